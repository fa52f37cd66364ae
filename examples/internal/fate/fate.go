// Package fate lets tests run a program in a process of its own and kill it at a
// chosen moment: when it writes a given text to standard error.
//
//	func TestMain(m *testing.M) {
//		fate.Child(run) // the test binary is the program where it was started so
//		os.Exit(m.Run())
//	}
package fate

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
)

// env names the environment variable that makes a test binary the program.
const env = "SOCIALRL_TEST_FATE"

// Program is a program as the examples define it: it returns its exit code.
type Program func(args []string, stdin io.Reader, stdout, stderr io.Writer) int

// Child runs the program and ends the process where [Start] has started it, and
// returns otherwise.
func Child(program Program) {
	fate := os.Getenv(env)
	if fate == "" {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	how, text, _ := strings.Cut(fate, " ")
	w := &trap{Writer: os.Stderr, text: text}
	switch how {
	case "kill":
		w.spring = func() { self.Kill(); select {} }
	case "interrupt":
		arrived := make(chan os.Signal, 1)
		signal.Notify(arrived, os.Interrupt)
		w.spring = func() { self.Signal(os.Interrupt); <-arrived }
	}
	os.Exit(program(os.Args[1:], os.Stdin, os.Stdout, w))
}

// trap springs when a text is written to it.
type trap struct {
	io.Writer
	text   string
	spring func()
}

func (t *trap) Write(p []byte) (int, error) {
	if t.spring != nil && bytes.Contains(p, []byte(t.text)) {
		t.spring()
	}
	return t.Writer.Write(p)
}

// Start runs the program in a process of its own and returns its exit code (-1 where
// it was killed) and what it wrote to standard error. fate is "kill TEXT",
// "interrupt TEXT", for what happens when it writes the text, or "none".
func Start(t *testing.T, fate string, args ...string) (code int, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), env+"="+fate)
	var b bytes.Buffer
	cmd.Stderr = &b
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

// Files returns every file below a directory by its path with slashes.
func Files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
