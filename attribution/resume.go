package attribution

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/socialrl/socialrl/internal/appendlog"
)

// open reads what earlier runs wrote and opens the files for appending, unless
// another process does the same. What is open is closed by close, also after an
// error.
func (r *run) open() (err error) {
	if r.DryRun {
		return r.load()
	}
	if err := r.acquire(); err != nil {
		return err
	}
	if err := r.load(); err != nil {
		return err
	}
	if r.log, err = appendlog.Open(r.Path); err != nil {
		return err
	}
	r.failures, err = appendlog.Open(r.FailuresPath)
	return err
}

// acquire takes the lock of the output file, which the system gives back when
// the process ends in any way.
func (r *run) acquire() error {
	if err := os.MkdirAll(filepath.Dir(r.Path), 0o755); err != nil {
		return err
	}
	lock := flock.New(r.Path + ".lock")
	ok, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("%s: %w", lock.Path(), err)
	}
	if !ok {
		return fmt.Errorf("%s: another process is writing to it", r.Path)
	}
	r.lock = lock
	return nil
}

// close flushes and closes what is open.
func (r *run) close() error {
	var errs []error
	for _, l := range []*appendlog.Log{r.log, r.failures} {
		if l != nil {
			errs = append(errs, l.Sync(), l.Close())
		}
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Unlock())
	}
	return errors.Join(errs...)
}

// load reads what earlier runs wrote, without changing it.
func (r *run) load() error {
	if r.Path == "" {
		return nil
	}
	if err := r.loadFinished(); err != nil {
		return err
	}
	for f, err := range ReadFailures(r.FailuresPath) {
		if err != nil {
			return err
		}
		r.counts.Earlier.Add(f.Usage)
	}
	return nil
}

// loadFinished reads the keys of the output file. A line that is no attribution
// is an error: the file is somebody else's, or damaged, and must not be written
// to. So is a torn last line that cannot be the rest of one.
func (r *run) loadFinished() error {
	f, err := os.Open(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		text, err := lines.ReadBytes('\n')
		switch {
		case err == io.EOF && !tornLine(text):
			err = fmt.Errorf("%s:%d: not a line of an annotation file; it is left as it is", r.Path, n)
			return err
		case err == io.EOF:
			return nil
		case err == nil && len(bytes.TrimSpace(text)) > 0:
			err = r.loadLine(text)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", r.Path, n, err)
		}
	}
}

func (r *run) loadLine(text []byte) error {
	var a Attribution
	if err := json.Unmarshal(text, &a); err != nil {
		return err
	}
	r.finished[a.Key] = true
	r.counts.Earlier.Add(a.Usage)
	return nil
}

// tornLine reports whether text may be the beginning of a line that Annotate
// writes.
func tornLine(text []byte) bool {
	const opening = `{"episode_id": "`
	n := min(len(text), len(opening))
	return string(text[:n]) == opening[:n]
}
