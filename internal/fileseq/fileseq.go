// Package fileseq makes sequences over readers sequences over files.
package fileseq

import (
	"io"
	"iter"
	"os"
)

// Of returns what read yields of the named file, which is opened each time that the
// sequence is used and closed after it. A file that cannot be opened yields the
// error and the zero value. The sequence may be used by several goroutines at once
// where read may be called so.
func Of[T any](path string, read func(io.Reader) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
		defer f.Close()
		read(f)(yield)
	}
}
