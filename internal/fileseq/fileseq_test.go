package fileseq

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"testing"
)

// whole yields all that a reader holds, as one text, and keeps the reader.
func whole(kept *io.Reader) func(io.Reader) iter.Seq2[string, error] {
	return func(r io.Reader) iter.Seq2[string, error] {
		*kept = r
		return func(yield func(string, error) bool) {
			text, err := io.ReadAll(r)
			yield(string(text), err)
		}
	}
}

func TestOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var kept io.Reader
	seq := Of(path, whole(&kept))
	for text, err := range seq {
		if !errors.Is(err, fs.ErrNotExist) || text != "" {
			t.Errorf("before there is a file: %q, %v", text, err)
		}
	}
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // each use reads from the start
		n := 0
		for text, err := range seq {
			if n++; err != nil || text != "text" {
				t.Errorf("%q, %v", text, err)
			}
		}
		if n != 1 {
			t.Errorf("%d values, want 1", n)
		}
		if _, err := kept.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("the file is still open: %v", err)
		}
	}
}
