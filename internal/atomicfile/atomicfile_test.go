package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// only fails the test where the folder holds anything but the named files.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("folder holds %q, want %q", got, names)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteFileReplacesContent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	for _, want := range []string{"first, and longer", "second", ""} {
		if err := WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != want {
			t.Errorf("file holds %q, want %q", got, want)
		}
	}
	only(t, dir, "a.json")
}

func TestFailedWriteLeavesOldContent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	if err := WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	err := Write(path, 0o644, func(w io.Writer) error {
		io.WriteString(w, "half of the n")
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("error is %v, want %v", err, full)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("file holds %q, want the old content", got)
	}
	only(t, dir, "a.json")
}

// Before Commit the name holds the old content, whatever has been written.
func TestNothingIsSeenBeforeCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	w, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "new")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file is there before Commit (error %v)", err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "new" {
		t.Errorf("file holds %q after Commit", got)
	}
	if err := w.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second Commit gives %v, want %v", err, fs.ErrClosed)
	}
}

func TestErrorNamesThePath(t *testing.T) {
	dir := t.TempDir()
	err := WriteFile(filepath.Join(dir, "missing", "a.json"), nil, 0o644)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("error is %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "folder"), nil, 0o644); err == nil {
		t.Error("a folder is replaced by a file")
	}
	only(t, dir, "folder")
}

// Whoever comes last wins; nobody sees a mixture.
func TestConcurrentWritersDoNotMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			text := strings.Repeat(fmt.Sprint(i), 1000)
			for range 5 {
				if err := WriteFile(path, []byte(text), 0o644); err != nil {
					t.Error(err)
				}
				b, err := os.ReadFile(path)
				if err != nil || len(b) != 1000 || strings.Trim(string(b), string(b[:1])) != "" {
					t.Errorf("file holds a mixture of %d bytes (error %v)", len(b), err)
				}
			}
		})
	}
	wg.Wait()
}

// A folder is no place for a file, and errors of creation name the file, not the temporary
// one.
func TestCreateNamesThePath(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none", "file")} {
		_, err := Create(path, 0o644)
		if err == nil || !strings.HasPrefix(err.Error(), "create "+path+": ") || strings.Contains(err.Error(), ".tmp") {
			t.Errorf("%s: error %v", path, err)
		}
	}
}
