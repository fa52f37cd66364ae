package oneline

import (
	"errors"
	"io"
	"io/fs"
	"testing"
)

func TestJoin(t *testing.T) {
	if err := Join(nil, nil); err != nil {
		t.Errorf("nothing gives %v", err)
	}
	err := Join(io.EOF, nil, Join(fs.ErrExist, fs.ErrClosed))
	if want := "EOF; file already exists; file already closed"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if !errors.Is(err, fs.ErrClosed) || !errors.Is(err, io.EOF) || errors.Is(err, fs.ErrInvalid) {
		t.Error("the errors are not wrapped")
	}
}
