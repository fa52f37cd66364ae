package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/examples/internal/credit"
	"github.com/socialrl/socialrl/examples/internal/flaky"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/examples/internal/jobs/jobstest"
	"github.com/socialrl/socialrl/internal/redistest"
)

var command clitest.Program = run

func TestMain(m *testing.M) { command.Main(m) }

func TestUsage(t *testing.T) {
	command.Want(t, 2, "-redis is missing")
	command.Want(t, 2, "-concurrency is 0", "-redis", "redis://localhost", "-concurrency", "0")
	command.Want(t, 2, "-grace is 0s", "-redis", "redis://localhost", "-grace", "0s")
	command.Want(t, 2, `-jobs names "cook"`, "-redis", "redis://localhost", "-jobs", "annotate,cook")
	command.Want(t, 2, "-limit is -1", "-redis", "redis://localhost", "-limit", "-1")
	command.Want(t, 2, `-device: lora: unknown engine "abacus"`, "-redis", "redis://localhost", "-device", "abacus")
	command.Want(t, 1, "none/config.json", "-redis", "redis://127.0.0.1:1", "-model", "none")
	command.Want(t, 2, "-jobs names no kind", "-redis", "redis://localhost", "-jobs", "")
	command.Want(t, 1, "redis://[USER]", "-redis", "http://:hunter2@localhost")
	command.Want(t, 1, "redis 127.0.0.1:1: connect", "-redis", "redis://127.0.0.1:1")
}

// madeUp are a few episodes that nobody ever played.
var madeUp = filepath.Join("..", "..", "attribution", "testdata", "episodes.jsonl")

// farm is a Redis with workers.
type farm struct {
	t      *testing.T
	url    string
	queue  *jobs.Queue
	server *flaky.Server
}

func newFarm(t *testing.T, c flaky.Config) *farm {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be interrupted here")
	}
	url := redistest.Start(t)
	q, err := jobs.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	server := flaky.New(c)
	t.Cleanup(server.Close)
	return &farm{t, url, q, server}
}

// worker is a process of the program.
type worker struct {
	*exec.Cmd
	t      *testing.T
	stderr *bytes.Buffer
}

func (f *farm) start(args ...string) worker {
	f.t.Helper()
	w := worker{clitest.Command("none", append([]string{"-redis", f.url}, args...)...), f.t, new(bytes.Buffer)}
	w.Stderr = w.stderr
	if err := w.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { w.Process.Kill(); w.Wait() })
	return w
}

// interrupt ends a worker as Ctrl-C does.
func (w worker) interrupt() {
	w.t.Helper()
	if err := w.Process.Signal(syscall.SIGINT); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Wait(); err != nil {
		w.t.Errorf("interrupted worker: %v\n%s", err, w.stderr)
	}
}

// kill ends a worker at once.
func (w worker) kill() {
	w.t.Helper()
	if err := w.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	w.Wait()
}

func (f *farm) methods() credit.Methods {
	return credit.Methods{Names: "direct,discounting", Dimensions: "goal,relationship", Scale: 3, Gamma: 0.9, Tries: 5}
}

func (f *farm) endpoint(run string) credit.Endpoint {
	return credit.Endpoint{URL: f.server.URL + "/" + run, Model: "m", Timeout: time.Minute}
}

var price = attribution.Price{Prompt: 3, Completion: 10}

// annotate annotates the episodes by means of the workers.
func (f *farm) annotate(ctx context.Context, out string) (attribution.Summary, error) {
	return f.queue.Annotate(ctx, episode.ReadFile(madeUp), jobs.AnnotateOptions{
		AnnotateOptions: attribution.AnnotateOptions{Path: out, Price: price},
		Methods:         f.methods(), Endpoint: f.endpoint("workers"), Ahead: 2,
	})
}

// alone annotates them in one process, one after the other, and returns the file.
func (f *farm) alone() string {
	f.t.Helper()
	out := filepath.Join(f.t.TempDir(), "alone.jsonl")
	var keys credit.Keys
	var methods []attribution.Attributor
	for _, one := range f.methods().Each() {
		m, err := one.Attributor(func() (episode.LLM, error) { return keys.Open(f.endpoint("alone"), false) })
		if err != nil {
			f.t.Fatal(err)
		}
		methods = append(methods, m)
	}
	if _, err := attribution.Annotate(f.t.Context(), episode.ReadFile(madeUp), methods,
		attribution.AnnotateOptions{Path: out, Concurrency: 1, Price: price}); err != nil {
		f.t.Fatal(err)
	}
	return f.read(out)
}

func (f *farm) read(path string) string {
	f.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// A worker is killed in the middle of its jobs. Another one does them, and in the end the
// file is that of a single process, byte for byte.
func TestAnnotationSurvivesTheDeathOfAWorker(t *testing.T) {
	t.Parallel()
	f := newFarm(t, flaky.Config{Delay: 5 * time.Millisecond})
	want := f.alone()
	f.server.Limit("workers", 0) // the first worker's calls are kept waiting
	victim := f.start("-concurrency", "2")
	out := filepath.Join(t.TempDir(), "out.jsonl")
	type result struct {
		attribution.Summary
		error
	}
	done := make(chan result, 1)
	go func() {
		sum, err := f.annotate(t.Context(), out)
		done <- result{sum, err}
	}()
	for waiting := 0; waiting < 2; {
		if run := <-f.server.Arrived(); run == "workers" {
			waiting++
		}
	}
	victim.kill()
	f.server.Limit("workers", 1000)
	jobstest.Age(t, f.url, jobs.Annotate)
	f.start("-concurrency", "2")
	f.start("-concurrency", "2")
	r := <-done
	if r.error != nil || r.Failed > 0 {
		t.Fatalf("%+v, %v", r.Summary, r.error)
	}
	if got := f.read(out); got != want {
		t.Errorf("the workers' file is\n%s\nwant\n%s", got, want)
	}
	// Nothing is left behind for the next run, and nothing is done twice by it.
	calls := len(f.server.Calls())
	if sum, err := f.annotate(t.Context(), out); err != nil || sum.Done > 0 || len(f.server.Calls()) != calls {
		t.Errorf("second run: %+v, %v, %d calls", sum, err, len(f.server.Calls())-calls)
	}
}

// An interrupt stops the program that hands out jobs. What workers did meanwhile is not
// done again by its next run, and the file comes out the same.
func TestInterruptedAnnotationGoesOn(t *testing.T) {
	t.Parallel()
	f := newFarm(t, flaky.Config{Delay: 20 * time.Millisecond})
	want := f.alone()
	before := len(f.server.Calls())
	w := f.start("-concurrency", "1")
	out := filepath.Join(t.TempDir(), "out.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for waiting := 0; waiting < 3; {
			if run := <-f.server.Arrived(); run == "workers" {
				waiting++
			}
		}
		cancel()
	}()
	if _, err := f.annotate(ctx, out); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v, want the interrupt", err)
	}
	w.interrupt()
	if !strings.Contains(w.stderr.String(), "worker: waiting for jobs at redis 127.0.0.1:") || strings.Contains(w.stderr.String(), "pass") {
		t.Errorf("the worker wrote\n%s", w.stderr)
	}
	first := len(f.server.Calls()) - before
	f.start("-concurrency", "1")
	if _, err := f.annotate(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if got := f.read(out); got != want {
		t.Errorf("the file of both runs is\n%s\nwant\n%s", got, want)
	}
	if calls := len(f.server.Calls()) - before; calls != before {
		t.Errorf("%d calls by workers (%d before the interrupt), %d by one process", calls, first, before)
	}
}

// A failure on a worker stands in the file of failures as one of the process itself, and
// an endpoint that refuses everything ends the run.
func TestFailuresComeBack(t *testing.T) {
	t.Parallel()
	f := newFarm(t, flaky.Config{Share: 1, Faults: []flaky.Fault{flaky.WrongCount}})
	f.start()
	out := filepath.Join(t.TempDir(), "out.jsonl")
	sum, err := f.annotate(t.Context(), out)
	var incomplete *attribution.IncompleteError
	if !errors.As(err, &incomplete) || !errors.Is(err, attribution.ErrNoUsableReply) {
		t.Fatalf("%+v, %v", sum, err)
	}
	if sum.Failed != 12 || sum.Done != 12 || sum.Usage.Calls != 60 || sum.Usage.Cost == 0 {
		t.Errorf("%+v, want 12 failed of 24 after 60 calls", sum)
	}
	for failure, err := range attribution.ReadFailures(out + ".failures") {
		if err != nil || len(failure.Tries) != 5 {
			t.Errorf("%v, %v", failure, err)
		}
	}
}
