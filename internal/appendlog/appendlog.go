// Package appendlog keeps append-only logs of JSON lines that are valid after a
// kill at any instant.
//
// A record is one line, written with one call, and counts only when its newline
// is on the file: [Open] cuts off a torn last line. A checkpoint notes
// [Log.Offset]; a resumed job cuts the log back to it with [Log.Truncate] and
// writes the same records again.
//
//	log, err := appendlog.Open("metrics.jsonl")
//	if err != nil { ... }
//	defer log.Close()
//	err = log.Append(record)
//
// One process at a time writes a log; any number may read it. A Log may be used
// by several goroutines.
package appendlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/socialrl/socialrl/internal/atomicfile"
)

// Log is an open log.
type Log struct {
	mu     sync.Mutex
	file   file
	path   string
	offset int64 // bytes of complete lines
	broken error // a write that could not be undone; every later call gives it
}

// file is what a log needs of an [os.File].
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// Open opens the log at path for appending, and creates it and its folder where
// they are missing. What follows the last newline is the rest of a write that
// was interrupted, and is cut off.
func Open(path string) (*Log, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	l := &Log{file: f, path: path}
	if err := l.repair(f); err != nil {
		f.Close()
		return nil, err
	}
	return l, atomicfile.SyncDir(filepath.Dir(path))
}

func (l *Log) repair(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end, err := lastLineEnd(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	if end < info.Size() {
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	l.offset = end
	return nil
}

// lastLineEnd returns the offset behind the last newline among the first size
// bytes of r, 0 where there is none.
func lastLineEnd(r io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 1<<16)
	for end := size; end > 0; {
		start := max(0, end-int64(len(buf)))
		part := buf[:end-start]
		if _, err := r.ReadAt(part, start); err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// Append writes v as one line of JSON, without HTML escapes.
func (l *Log) Append(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	return l.write(b.Bytes())
}

// AppendLine writes one line; its newline is added. line must not hold one.
func (l *Log) AppendLine(line []byte) error {
	if bytes.IndexByte(line, '\n') >= 0 {
		panic("appendlog: line holds a newline")
	}
	return l.write(append(bytes.Clone(line), '\n'))
}

// write adds a record in one call. A write that fails halfway, on a full disk
// for example, is undone, and the log stays as it was.
func (l *Log) write(record []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	if _, err := l.file.WriteAt(record, l.offset); err != nil {
		err = fmt.Errorf("%s: record is not written: %w", l.path, err)
		if undo := l.file.Truncate(l.offset); undo != nil {
			l.broken = fmt.Errorf("%w; the log ends in a torn line: %v", err, undo)
			return l.broken
		}
		return err
	}
	l.offset += int64(len(record))
	return nil
}

// Offset returns the length of the log in bytes, which is where the next record
// will stand.
func (l *Log) Offset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.offset
}

// Sync flushes the log to the disk. Records are safe from a kill of the process
// without it, and from a loss of power with it.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Sync()
}

// Truncate cuts the log back to offset, which must be one that Offset gave: 0,
// or right behind a line. A log that is shorter has lost records that the
// checkpoint counted on, and is an error; so is an offset inside a line.
func (l *Log) Truncate(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < 0 || offset > l.offset {
		return fmt.Errorf("%s: cannot cut back to byte %d: the log has %d", l.path, offset, l.offset)
	}
	if offset > 0 {
		var last [1]byte
		if _, err := l.file.ReadAt(last[:], offset-1); err != nil {
			return fmt.Errorf("%s: %w", l.path, err)
		}
		if last[0] != '\n' {
			return fmt.Errorf("%s: cannot cut back to byte %d: it lies inside a line", l.path, offset)
		}
	}
	if err := l.file.Truncate(offset); err != nil {
		return err
	}
	l.offset = offset
	return l.file.Sync()
}

// Close closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
