package episode_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/socialrl/socialrl/episode"
)

func openDir(t *testing.T, path string) episode.Store {
	t.Helper()
	s, err := episode.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestDirStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "store")
	testStore(t, func(t *testing.T) episode.Store { return openDir(t, path) })
}

// A file that is no episode is an error in its place; the rest is found.
func TestDirStoreNamesBadFile(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	for _, id := range []string{"a", "c"} {
		if err := s.Put(t.Context(), played(t, id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "b.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	var good int
	var bad error
	for e, err := range s.Find(t.Context(), episode.Query{}) {
		if err != nil {
			bad = err
		} else if e != nil {
			good++
		}
	}
	if good != 2 || bad == nil || !strings.Contains(bad.Error(), "b.json") {
		t.Errorf("%d episodes and error %v, want 2 and one that names the file", good, bad)
	}
}

// What a killed writer left goes when it is old; a writer at work is spared.
func TestDirStoreSweepsLeftovers(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, ".a.json.tmp1"), filepath.Join(dir, ".a.json.tmp2")
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	s := openDir(t, dir)
	if got := ids(t, s, episode.Query{}); len(got) != 0 {
		t.Errorf("found %q", got)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the old leftover is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("the file of a writer at work is gone")
	}
}

func TestDirStoreRefusesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := episode.OpenDir(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want one that names the path", err)
	}
}
