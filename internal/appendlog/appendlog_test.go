package appendlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

type record struct {
	N    int
	Text string
}

func open(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func TestRecordsAreLinesOfJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "log.jsonl")
	l := open(t, path)
	must(t, l.Append(record{1, "a <b> & c"}))
	must(t, l.AppendLine([]byte(`{"N":2}`)))
	want := `{"N":1,"Text":"a <b> & c"}` + "\n" + `{"N":2}` + "\n"
	if got := content(t, path); got != want {
		t.Errorf("log holds %q, want %q", got, want)
	}
	if l.Offset() != int64(len(want)) {
		t.Errorf("offset is %d, want %d", l.Offset(), len(want))
	}
}

// A process may die after any byte of a write: whatever is left, Open gives a
// log of whole records, and the next one stands on a line of its own.
func TestOpenAfterKillAtEveryByte(t *testing.T) {
	whole := "{\"N\":1,\"Text\":\"x\"}\n{\"N\":2,\"Text\":\"y\"}\n"
	first := strings.Index(whole, "\n") + 1
	for n := range len(whole) + 1 {
		path := filepath.Join(t.TempDir(), "log.jsonl")
		must(t, os.WriteFile(path, []byte(whole[:n]), 0o644))
		kept := 0
		switch {
		case n == len(whole):
			kept = 2
		case n >= first:
			kept = 1
		}
		l := open(t, path)
		must(t, l.Append(record{9, "z"}))
		var got []int
		for r, err := range Read[record](path) {
			must(t, err)
			got = append(got, r.N)
		}
		if want := append([]int{1, 2}[:kept:kept], 9); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %d bytes: records %v, want %v", n, got, want)
		}
	}
}

// The last newline is found however long the torn line is.
func TestOpenRepairsLongTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	must(t, os.WriteFile(path, []byte("{}\n"+strings.Repeat("x", 200_000)), 0o644))
	if l := open(t, path); l.Offset() != 3 {
		t.Errorf("offset is %d, want 3", l.Offset())
	}
	if got := content(t, path); got != "{}\n" {
		t.Errorf("log holds %d bytes, want 3", len(got))
	}
}

func TestTruncateAndRepeatGivesSameBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	l := open(t, path)
	must(t, l.Append(record{1, "a"}))
	checkpoint := l.Offset()
	must(t, l.Append(record{2, "b"}))
	want := content(t, path)
	l.Close()

	l = open(t, path)
	must(t, l.Truncate(checkpoint))
	must(t, l.Append(record{2, "b"}))
	if got := content(t, path); got != want {
		t.Errorf("log holds %q, want %q", got, want)
	}
}

func TestTruncateRefusesWhatNoOffsetWas(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log.jsonl"))
	must(t, l.Append(record{1, "a"}))
	for _, offset := range []int64{-1, 3, l.Offset() - 1, l.Offset() + 1} {
		if err := l.Truncate(offset); err == nil {
			t.Errorf("cut back to byte %d of %d without an error", offset, l.Offset())
		}
	}
	must(t, l.Truncate(0))
}

func TestReadOfMissingLogIsEmpty(t *testing.T) {
	for r, err := range Read[record](filepath.Join(t.TempDir(), "none")) {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestReadNamesBadLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	must(t, os.WriteFile(path, []byte("{}\nnonsense\n{}\n"), 0o644))
	var last error
	for _, err := range Read[record](path) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), "log.jsonl:2") {
		t.Errorf("error is %v, want one about line 2", last)
	}
}

func TestAppendFromManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	l := open(t, path)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				if err := l.Append(record{i*50 + j, "x"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for r, err := range Read[record](path) {
		must(t, err)
		seen[r.N] = true
	}
	if len(seen) != 400 {
		t.Errorf("%d different records, want 400", len(seen))
	}
}

// fullDisk takes a part of a write and then fails.
type fullDisk struct {
	*os.File
	room       int
	noTruncate error
}

var errFull = errors.New("no space left on device")

func (f *fullDisk) WriteAt(b []byte, off int64) (int, error) {
	if len(b) <= f.room {
		f.room -= len(b)
		return f.File.WriteAt(b, off)
	}
	n, _ := f.File.WriteAt(b[:f.room], off)
	return n, errFull
}

func (f *fullDisk) Truncate(size int64) error {
	if f.noTruncate != nil {
		return f.noTruncate
	}
	return f.File.Truncate(size)
}

// A full disk is an error, keeps what was there, and later writes succeed.
func TestFullDiskLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	l := open(t, path)
	disk := &fullDisk{File: l.file.(*os.File), room: 40}
	l.file = disk
	must(t, l.Append(record{1, "a"}))
	want := content(t, path)
	if err := l.Append(record{2, strings.Repeat("b", 100)}); !errors.Is(err, errFull) || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want one that names the log and the cause", err)
	}
	if got := content(t, path); got != want {
		t.Errorf("log holds %q after the failure, want %q", got, want)
	}
	disk.room = 1000
	must(t, l.Append(record{3, "c"}))
	if got := content(t, path); got != want+"{\"N\":3,\"Text\":\"c\"}\n" {
		t.Errorf("log holds %q", got)
	}
}

// Where not even the undo succeeds, the log refuses to go on: a record behind a
// torn line would be lost.
func TestTornLineStopsTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	l := open(t, path)
	disk := &fullDisk{File: l.file.(*os.File), room: 5, noTruncate: errors.New("read-only file system")}
	l.file = disk
	if err := l.Append(record{1, "a"}); !errors.Is(err, errFull) {
		t.Errorf("error is %v", err)
	}
	disk.room = 1000
	if err := l.Append(record{2, "b"}); !errors.Is(err, errFull) {
		t.Errorf("second write gives %v, want the first failure", err)
	}
}
