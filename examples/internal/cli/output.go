package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/internal/atomicfile"
)

// CheckFiles returns an error for the first path at which no file can be written, so that
// a program says so before it works for hours. It leaves nothing behind. Empty paths and
// -, the standard output, are passed over.
func CheckFiles(paths ...string) error {
	for _, path := range paths {
		if path == "" || path == "-" {
			continue
		}
		w, err := atomicfile.Create(path, 0o644)
		if err != nil {
			return err
		}
		w.Discard()
	}
	return nil
}

// CheckDirs returns an error for the first path that is no folder in which files can be
// made, and cannot become one. It leaves nothing behind. Empty paths are passed over.
func CheckDirs(paths ...string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		if err := checkDir(path); err != nil {
			return err
		}
	}
	return nil
}

// checkDir makes a folder in the innermost folder on the way to path that exists.
func checkDir(path string) error {
	at := filepath.Clean(path)
	_, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		_, err = os.Stat(at)
	}
	if err == nil {
		var made string
		if made, err = os.MkdirTemp(at, ".check*"); err == nil {
			return os.Remove(made)
		}
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return &fs.PathError{Op: "mkdir", Path: path, Err: err}
}
