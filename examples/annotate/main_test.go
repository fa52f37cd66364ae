package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/examples/internal/credit"
	"github.com/socialrl/socialrl/examples/internal/flaky"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/internal/redistest"
)

var folder string // of the compiled program

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "annotate"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "annotate")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		err = errors.New(string(out))
	}
	return path, err
})

// program returns the path of the compiled program.
func program(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("go build: %v", err)
	}
	return path
}

// madeUp are a few episodes that nobody ever played.
var madeUp = filepath.Join("..", "..", "attribution", "testdata", "episodes.jsonl")

// episodesFile is the published sample, or the made-up episodes where that is not
// there.
func episodesFile(t *testing.T) string {
	t.Helper()
	if fixtures.Set() {
		return fixtures.Data(t, "episodes", "full.jsonl")
	}
	return madeUp
}

// execute runs the program to its end.
func execute(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(program(t), args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestOfflineMethods(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	args := []string{"-episodes", madeUp, "-out", out, "-method", "evidence,discounting,uniform", "-dimensions", "goal, REL"}
	for _, want := range []string{"annotated 36, skipped 0", "annotated 0, skipped 36"} {
		if code, stdout, stderr := execute(t, nil, args...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, want 0 with %q:\n%s%s", code, want, stdout, stderr)
		}
	}
}

// All methods go into one file under their own keys, also where a fifth of the calls
// fail, and are found there again.
func TestEveryMethodIsFiledAndSkipped(t *testing.T) {
	t.Parallel()
	server := flaky.New(flaky.Config{Seed: 1, Share: 0.2})
	defer server.Close()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	names := strings.Join(attribution.Names(), ",")
	args := []string{"-episodes", madeUp, "-out", out, "-url", server.URL + "/run/v1", "-model", "m", "-tries", "9", "-method"}
	if code, _, stderr := execute(t, nil, append(args, names+",uniform")...); code != 1 || !strings.Contains(stderr, "two methods are called all_the_same/goal") {
		t.Errorf("exit code %d for a method under two names:\n%s", code, stderr)
	}
	all := 6 * len(attribution.Names())
	for _, want := range []string{fmt.Sprintf("annotated %d, skipped 0, failed 0", all), fmt.Sprintf("annotated 0, skipped %d", all)} {
		if code, stdout, stderr := execute(t, nil, append(args, names)...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, want 0 with %q:\n%s%s", code, want, stdout, stderr)
		}
	}
	found := map[string]int{}
	for a, err := range attribution.ReadFile(out) {
		if err != nil {
			t.Fatal(err)
		}
		found[a.Method.Name]++
	}
	for _, name := range attribution.Names() {
		if found[name] != 6 {
			t.Errorf("%d lines of %s, want 6", found[name], name)
		}
	}
}

func TestDryRunCallsNobody(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	code, stdout, stderr := execute(t, []string{"OPENAI_API_KEY="}, "-episodes", madeUp, "-out", out, "-dry-run", "-show-prompts",
		"-dimensions", "goal,knowledge", "-scale", "5", "-price-prompt", "2.5", "-price-reply", "10", "-agents", "second")
	if code != 0 || !strings.Contains(stdout, "to annotate 6") || !strings.Contains(stdout, "calls 6,") || strings.Contains(stdout, "cost 0.000000") {
		t.Errorf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	if n := strings.Count(stdout, "=== direct/knowledge/5 of episode"); n != 3 {
		t.Errorf("%d prompts about knowledge, want 3", n)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a dry run wrote its output file")
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	notOurs := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(notOurs, []byte("dear diary\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.jsonl")
	ok := []string{"-episodes", madeUp, "-out", out, "-method", "uniform"}
	for _, c := range []struct {
		why  string
		args []string
		code int
		want string
	}{
		{"help", []string{"-h"}, 0, "-max-cost"},
		{"no episodes", []string{"-out", out}, 2, "-episodes is missing"},
		{"no output", []string{"-episodes", madeUp}, 2, "-out is missing"},
		{"a flag that is none", append(ok, "-episode", "x"), 2, "-episode"},
		{"an argument", append(ok, "more"), 2, `unexpected argument "more"`},
		{"an unknown dimension", append(ok, "-dimensions", "charm"), 2, `"charm"`},
		{"an unknown method", []string{"-episodes", madeUp, "-out", out, "-method", "magic"}, 2, `-method is "magic"`},
		{"goal progress of another dimension", []string{"-episodes", madeUp, "-out", out, "-method", "goal_progress", "-dimensions", "REL", "-url", "http://localhost:1"}, 2, "goal_progress is about goal only"},
		{"a single pair of orders", append(ok, "-shapley-pairs", "1"), 2, "-shapley-pairs 1: want"},
		{"an unknown scale", append(ok, "-scale", "4"), 2, "-scale is 4, want 3, 5 or 10"},
		{"a limit without prices", append(ok, "-max-cost", "3"), 2, "-max-cost needs"},
		{"no key for OpenAI", []string{"-episodes", madeUp, "-out", out, "-key-env", "NO_SUCH_KEY"}, 2, `"NO_SUCH_KEY" holds no API key`},
		{"a bound that cannot be kept", append(ok, "-redis", "redis://localhost", "-max-cost", "1", "-price-prompt", "1"), 2, "-max-cost cannot be kept"},
		{"nobody ahead", append(ok, "-ahead", "0"), 2, "-ahead is 0"},
		{"no Redis there", append(ok, "-redis", "redis://:hunter2@127.0.0.1:1"), 1, "redis 127.0.0.1:1: connect"},
		{"no such file", []string{"-episodes", filepath.Join(dir, "none.jsonl"), "-out", out, "-method", "uniform"}, 1, "none.jsonl"},
		{"another file as output", []string{"-episodes", madeUp, "-out", notOurs, "-method", "uniform"}, 1, notOurs + ":1:"},
	} {
		code, stdout, stderr := execute(t, nil, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", c.why, code, c.code, c.want, stdout, stderr)
		}
		if code == 2 && strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: not one line on standard error:\n%s", c.why, stderr)
		}
	}
	if text, _ := os.ReadFile(notOurs); string(text) != "dear diary\n" {
		t.Errorf("the other file now holds %q", text)
	}
}

// With -redis workers do the work, and the file is that of one process which does one
// thing after the other.
func TestWorkersWriteTheSameFile(t *testing.T) {
	t.Parallel()
	url := redistest.Start(t)
	q, err := jobs.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() {
		stopped <- q.Work(ctx, jobs.WorkOptions{Handlers: map[jobs.Kind]jobs.Handler{jobs.Annotate: jobs.Annotator(&credit.Keys{})}})
	}()
	dir := t.TempDir()
	var files []string
	for i, how := range [][]string{{"-concurrency", "1"}, {"-redis", url}} {
		out := filepath.Join(dir, fmt.Sprint(i))
		args := []string{"-episodes", madeUp, "-out", out, "-method", "evidence,discounting", "-dimensions", "goal,REL"}
		code, stdout, stderr := execute(t, nil, append(args, how...)...)
		if code != 0 || !strings.Contains(stdout, "annotated 24, skipped 0") || strings.Contains(stderr, "pass") {
			t.Fatalf("%q: exit code %d:\n%s%s", how, code, stdout, stderr)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, string(text))
	}
	if files[0] != files[1] {
		t.Errorf("the workers' file is\n%s\nwant\n%s", files[1], files[0])
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// Ctrl-C ends the program at once, with what was finished in the file, and the
// next run goes on from there.
func TestInterruptStopsCleanly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted by another one here")
	}
	t.Parallel()
	server := flaky.New(flaky.Config{Delay: 20 * time.Millisecond})
	defer server.Close()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	args := []string{"-episodes", madeUp, "-out", out, "-url", server.URL + "/run/v1", "-model", "m", "-concurrency", "1"}
	cmd := exec.Command(program(t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-server.Arrived()
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.HasSuffix(stderr.String(), "annotate: interrupted; start again to go on\n") {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
	code, stdout, errs := execute(t, nil, args...)
	if code != 0 || strings.Contains(stdout, "skipped 0") || len(server.Calls()) > 7 {
		t.Errorf("exit code %d after %d calls, want 0 after at most 7:\n%s%s", code, len(server.Calls()), stdout, errs)
	}
}

// The key goes to the endpoint and nowhere else, even where the endpoint sends it
// back.
func TestTheKeyIsNeverShown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"error": {"message": "unknown key `+r.Header.Get("Authorization")+`"}}`, http.StatusUnauthorized)
	}))
	defer server.Close()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	code, stdout, stderr := execute(t, []string{"MY_KEY=sk-very-secret"}, "-episodes", madeUp, "-out", out,
		"-url", server.URL, "-model", "m", "-key-env", "MY_KEY")
	failures, _ := os.ReadFile(out + ".failures")
	if code != 1 || !strings.Contains(stderr, "unknown key") || len(failures) == 0 || strings.Contains(stdout+stderr+string(failures), "very-secret") {
		t.Errorf("exit code %d:\n%s%s%s", code, stdout, stderr, failures)
	}
}

// Files that cannot be read or written are told in one line, and leave nothing behind.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, episodes, out, failures string }{
		{"open " + path("none"), path("none"), path("out.jsonl"), ""},
		{dir + ": is a directory", dir, path("out.jsonl"), ""},
		{dir + ": is a directory", madeUp, dir, ""},
		{dir + ": is a directory", madeUp, path("out.jsonl"), dir},
		{"mkdir " + path("file"), madeUp, path("file/x"), ""},
		{"mkdir " + path("file"), madeUp, path("out.jsonl"), path("file/x")},
	} {
		before := dirtest.Names(t, dir)
		code, _, stderr := execute(t, nil, "-episodes", c.episodes, "-out", c.out, "-failures", c.failures, "-method", "discounting")
		if code != 1 || !strings.Contains(stderr, "\nannotate: "+c.text) || strings.Count(stderr, "\nannotate: ") != 1 {
			t.Errorf("exit code %d, want 1 and %q in one line; printed\n%s", code, c.text, stderr)
		}
		if diff := cmp.Diff(before, dirtest.Names(t, dir)); diff != "" {
			t.Errorf("%+v leaves something behind:\n%s", c, diff)
		}
	}
	for flags, want := range map[string]string{"-temperature NaN": "-temperature is NaN", "-price-reply NaN": "prices", "-rate NaN": "-rate"} {
		code, _, stderr := execute(t, nil, append([]string{"-episodes", madeUp, "-out", path("o")}, strings.Fields(flags)...)...)
		if code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", flags, code, stderr)
		}
	}
}
