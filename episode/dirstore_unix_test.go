//go:build unix

package episode_test

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// A disk that takes no more, here a limit on the size of files, is a clear
// error; the old version stays, and nothing is left beside it.
func TestDirStoreOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	e := played(t, "a")
	if err := s.Put(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	want := line(t, e)
	e.Reasoning = strings.Repeat("x", 1<<20)
	err := withFileLimit(t, 64<<10, func() error { return s.Put(t.Context(), e) })
	if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want one that names the place and the cause", err)
	}
	if got, err := s.Get(t.Context(), "a"); err != nil || line(t, got) != want {
		t.Errorf("the old version is gone: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left, want 1", len(entries))
	}
	if err := s.Put(t.Context(), e); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if got, err := s.Get(t.Context(), "a"); err != nil || got.Reasoning != e.Reasoning {
		t.Errorf("with room again: %v", err)
	}
	if got := ids(t, s, episode.Query{}); len(got) != 1 {
		t.Errorf("found %q", got)
	}
}

// withFileLimit runs f while files cannot grow beyond limit bytes.
func withFileLimit(t *testing.T, limit int, f func() error) error {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	tight := old
	setLimit(&tight, limit)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)
	return f()
}

// setLimit sets the soft limit; the type of the field differs between systems.
func setLimit(r *syscall.Rlimit, limit int) {
	set(&r.Cur, limit)
}

func set[T int64 | uint64](p *T, v int) { *p = T(v) }
