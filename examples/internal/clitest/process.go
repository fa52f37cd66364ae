package clitest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
)

// env names the environment variable that makes a test binary the program.
const env = "SOCIALRL_TEST_FATE"

// Main runs the tests, or the program where [Start] has started the process. It does
// not return.
func (p Program) Main(m *testing.M) {
	p.Child()
	os.Exit(m.Run())
}

// Child runs the program and ends the process where [Start] has started it, and
// returns otherwise.
func (p Program) Child() {
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
	os.Exit(p(os.Args[1:], os.Stdin, os.Stdout, w))
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

// Command is the program in a process of its own that is not started yet; fate is as
// [Start] has it.
func Command(fate string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), env+"="+fate)
	return cmd
}

// Start runs the program in a process of its own and returns its exit code (-1 where
// it was killed) and what it wrote to standard error. fate is "kill TEXT",
// "interrupt TEXT", for what happens when it writes the text, or "none".
func Start(t *testing.T, fate string, args ...string) (code int, stderr string) {
	t.Helper()
	cmd := Command(fate, args...)
	var b bytes.Buffer
	cmd.Stderr = &b
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}
