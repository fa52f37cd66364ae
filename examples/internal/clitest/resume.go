package clitest

import (
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/internal/dirtest"
)

// Trial is a run that is broken off again and again, and started again each time.
type Trial struct {
	Name string   // of the program, as its messages have it
	Args []string // of the run, -out left out

	KillFirst string // what it writes before its first checkpoint: it is killed there
	KillNext  string // what it writes behind a step and before the step's checkpoint: it is killed there
	Interrupt string // what it writes when it is interrupted
	Finish    string // how standard error ends when the run is finished

	Files []string // some of those that the run must leave
}

// Run fails the test unless the run leaves the same bytes in every file as one that
// nothing happens to, and leaves them so when it is started once more.
func (r Trial) Run(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted here")
	}
	dir := t.TempDir()
	whole, broken := filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	r.start(t, "none", 0, r.Finish, whole)
	r.start(t, "kill "+r.KillFirst, -1, "", broken)
	r.start(t, "kill "+r.KillNext, -1, "", broken)
	r.start(t, "interrupt "+r.Interrupt, 1, r.Name+": interrupted; start again to go on\n", broken)
	r.start(t, "none", 0, r.Finish, broken)
	r.start(t, "none", 0, "", broken)
	want, got := dirtest.Files(t, whole), dirtest.Files(t, broken)
	for _, name := range r.Files {
		if want[name] == "" {
			t.Errorf("no %s among %v", name, slices.Sorted(maps.Keys(want)))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// start starts the run in a directory and holds it to its exit code and last words.
func (r Trial) start(t *testing.T, fate string, code int, last, dir string) {
	t.Helper()
	got, stderr := Start(t, fate, append(slices.Clone(r.Args), "-out", dir)...)
	if got != code || !strings.HasSuffix(stderr, last) {
		t.Fatalf("%s: exit code %d, want %d and %q:\n%s", fate, got, code, last, stderr)
	}
}
