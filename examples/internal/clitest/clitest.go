// Package clitest runs an example program for its tests: within the test, or in a
// process of its own that is killed or interrupted at a chosen moment, when it writes
// a given text to standard error.
//
//	var command clitest.Program = run
//
//	func TestMain(m *testing.M) { command.Main(m) }
//
//	func TestUsage(t *testing.T) { command.Want(t, 2, "-out is missing", "-model", "m") }
package clitest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/reward"
)

// Program is a program as the examples define it: it returns its exit code.
type Program func(args []string, stdin io.Reader, stdout, stderr io.Writer) int

// Run runs the program within the test and returns its exit code and what it
// printed.
func (p Program) Run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = p(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// Want fails the test unless the program, which is given no input, ends with an exit
// code and a last line on standard error that has the given text in it. A program
// that ends with 2 must print nothing else.
func (p Program) Want(t *testing.T, code int, text string, args ...string) {
	t.Helper()
	got, stdout, stderr := p.Run("", args...)
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	silent := len(lines) == 1 && stdout == ""
	if got != code || !strings.Contains(lines[len(lines)-1], text) || code == 2 && !silent {
		t.Errorf("%q: exit code %d, want %d and %q in the last line; printed\n%s%s", args, got, code, text, stdout, stderr)
	}
}

// Refuses fails the test unless the program ends as for Want and leaves everything below
// a folder as it is, empty folders included.
func (p Program) Refuses(t *testing.T, dir string, code int, text string, args ...string) {
	t.Helper()
	before := dirtest.Names(t, dir)
	p.Want(t, code, text, args...)
	if diff := cmp.Diff(before, dirtest.Names(t, dir)); diff != "" {
		t.Errorf("%q leaves something behind:\n%s", args, diff)
	}
}

// WriteModels writes a tiny model to dir/model and a reward model over it to dir/rm,
// which it returns as well.
func WriteModels(t *testing.T, dir string) *reward.RewardModel {
	t.Helper()
	WriteModel(t, dir)
	m, err := reward.New(tiny.Base(t, "cpu"), lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(filepath.Join(dir, "rm")); err != nil {
		t.Fatal(err)
	}
	return m
}

// WriteModel writes a tiny model to dir/model and returns that path.
func WriteModel(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "model")
	if err := tiny.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// WriteFile writes a text file and returns its path.
func WriteFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// ReadFile returns what a file holds.
func ReadFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
