package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// childEnv names the environment variable that makes the test binary the program:
// "kill TEXT" and "interrupt TEXT" say what happens to it when it writes the text,
// and anything else that nothing does.
const childEnv = "SOCIALRL_TEST_SFT"

// child is the program in a process of its own.
func child(args []string) int {
	how, text, _ := strings.Cut(os.Getenv(childEnv), " ")
	w := &trap{Writer: os.Stderr, text: text}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	switch how {
	case "kill":
		w.spring = func() { self.Kill(); select {} }
	case "interrupt":
		arrived := make(chan os.Signal, 1)
		signal.Notify(arrived, os.Interrupt)
		w.spring = func() { self.Signal(os.Interrupt); <-arrived }
	}
	return run(args, os.Stdin, os.Stdout, w)
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

func start(t *testing.T, fate string, args []string) (code int, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+fate)
	var b bytes.Buffer
	cmd.Stderr = &b
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

// A run that is killed after some step or interrupted, and started again each time,
// leaves the same bytes in every file as one that is not.
func TestKilledAndResumed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted here")
	}
	t.Parallel()
	whole, broken := t.TempDir(), t.TempDir()
	if code, stderr := start(t, "nothing", quick(whole)); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, c := range []struct {
		fate string
		code int
		want string // how the last line ends
	}{
		{"kill step 0: held-out", -1, ""}, // before any checkpoint
		{"kill step 4: held-out", -1, ""}, // behind a step and before its checkpoint
		{"interrupt step 6: held-out", 1, "sft: interrupted; start again to go on\n"},
		{"nothing", 0, "a step\n"},
		{"nothing", 0, ""}, // what is finished stays
	} {
		if code, stderr := start(t, c.fate, quick(broken)); code != c.code || !strings.HasSuffix(stderr, c.want) {
			t.Fatalf("%s: exit code %d, want %d and %q:\n%s", c.fate, code, c.code, c.want, stderr)
		}
	}
	want, got := contents(t, whole), contents(t, broken)
	for _, name := range []string{"metrics.jsonl", "adapter/adapter_model.safetensors", "checkpoint-10/optimizer.safetensors"} {
		if want[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s differs", name)
		}
	}
}

// contents returns every file of a directory by its path with slashes.
func contents(t *testing.T, dir string) map[string]string {
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

// A run does not go on with other data or settings.
func TestResumeWithOtherSettings(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	if code, _, stderr := execute(quick(out, "-max-steps", "2")...); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, []byte(`[{"input": "a", "output": "b"}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, flags := range map[string][]string{
		"Items was 24, now 1":       {"-data", other},
		"Alpha was 64, now 32":      {"-alpha", "32"},
		"Batch was 4, now 8":        {"-batch", "8"},
		"MaxLength was 4096, now 9": {"-max-length", "9"},
	} {
		code, _, stderr := execute(quick(out, append([]string{"-max-steps", "2"}, flags...)...)...)
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %s, want 1 and %q", flags, code, stderr, want)
		}
	}
}
