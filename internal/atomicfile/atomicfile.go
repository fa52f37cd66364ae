// Package atomicfile writes files that are either complete or absent: the new
// content goes to a temporary file in the same folder, is flushed to the disk,
// and takes the name in one step. A crash at any instant leaves the old content
// or the new one.
//
// Several processes may write the same name; one of them wins as a whole.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes data to the named file. A new file gets the permissions perm,
// before the umask; an existing one is replaced.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write has f produce the content of the named file, as [WriteFile] does. Where
// f fails, nothing is left behind and its error is returned.
func Write(path string, perm fs.FileMode, f func(io.Writer) error) error {
	w, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer w.Discard()
	if err := f(w.File); err != nil {
		return err
	}
	return w.Commit()
}

// Writer is a file on its way to a name. Either Commit or Discard must be called.
type Writer struct {
	*os.File        // the temporary file, open for reading and writing
	path     string // the name that Commit gives it
	done     bool
}

// tempPattern names temporary files: hidden, and different in every process.
const tempPattern = ".%s.tmp*"

// Create opens a temporary file beside path. Errors name path, which must not be a
// folder.
func Create(path string, perm fs.FileMode) (*Writer, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "create", Path: path, Err: errors.New("is a directory")}
	}
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, fmt.Sprintf(tempPattern, base))
	if err != nil {
		return nil, createError(path, err)
	}
	w := &Writer{File: f, path: path}
	if err := f.Chmod(perm); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		w.Discard()
		return nil, err
	}
	return w, nil
}

// createError names the file that was asked for, not the temporary one.
func createError(path string, err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return &fs.PathError{Op: "create", Path: path, Err: err}
}

// Commit flushes the file to the disk, closes it and gives it its name. After an
// error the name holds what it held before, and the temporary file is gone.
func (w *Writer) Commit() error {
	if w.done {
		return fmt.Errorf("%s: %w", w.path, fs.ErrClosed)
	}
	w.done = true
	err := w.File.Sync()
	if e := w.File.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(w.File.Name(), w.path)
	}
	if err != nil {
		os.Remove(w.File.Name())
		return fmt.Errorf("%s is not written: %w", w.path, err)
	}
	return SyncDir(filepath.Dir(w.path))
}

// Discard closes and removes the temporary file. After Commit it does nothing.
func (w *Writer) Discard() {
	if w.done {
		return
	}
	w.done = true
	w.File.Close()
	os.Remove(w.File.Name())
}
