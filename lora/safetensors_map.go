package lora

import (
	"fmt"
	"io"
	"math"
	"os"

	"github.com/edsrzf/mmap-go"
)

// stFile is a whole file in memory: mapped, or read where mapping fails.
type stFile struct {
	path   string
	data   []byte
	mapped mmap.MMap // nil where the file was read
}

func stOpen(path string) (*stFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("%s: %d bytes do not fit this machine's address space", path, info.Size())
	}
	if m, err := mmap.Map(f, mmap.RDONLY, 0); err == nil {
		return &stFile{path: path, data: m, mapped: m}, nil
	}
	return stReadFile(path, f, int(info.Size()))
}

// stReadFile reads size bytes: for systems without mapping, and for empty files,
// which no system maps.
func stReadFile(path string, r io.Reader, size int) (*stFile, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &stFile{path: path, data: data}, nil
}

func (f *stFile) close() error {
	f.data = nil
	if f.mapped == nil {
		return nil
	}
	return f.mapped.Unmap()
}
