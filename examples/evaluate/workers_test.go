package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/examples/internal/arena/arenatest"
	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/examples/internal/jobs/jobstest"
	"github.com/socialrl/socialrl/internal/redistest"
)

// startWorker starts a process of the program worker.
func startWorker(t *testing.T, program, url string) *os.Process {
	t.Helper()
	cmd := exec.Command(program, "-redis", url, "-jobs", "play", "-concurrency", "4")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process
}

func buildWorker(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", path, "../worker").CombinedOutput(); err != nil {
		t.Fatal(errors.New(string(out)))
	}
	return path
}

// Two worker processes and a real Redis give the table, and the episodes, of one process,
// though a third worker is killed in the middle of its episodes.
func TestWorkersGiveTheSameTable(t *testing.T) {
	url := redistest.Start(t)
	worker := buildWorker(t)
	judge := arenatest.Judge(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	code, want, stderr := command.Run("", flags(judge.URL, "-out", in("whole"), "-jsonl", in("whole.jsonl"))...)
	if code != 0 {
		t.Fatal(stderr)
	}

	var asked atomic.Int64
	reached := make(chan bool)
	answer := judge.Config.Handler
	judge.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 { // the first worker waits for this verdict when it is killed
			io.Copy(io.Discard, r.Body) // a server hears of a hang-up behind the body only
			close(reached)
			<-r.Context().Done()
			return
		}
		answer.ServeHTTP(w, r)
	})
	victim := startWorker(t, worker, url)
	type result struct {
		code          int
		table, stderr string
	}
	done := make(chan result)
	go func() {
		code, table, stderr := command.Run("", flags(judge.URL, "-out", in("workers"), "-jsonl", in("workers.jsonl"), "-redis", url)...)
		done <- result{code, table, stderr}
	}()
	<-reached
	victim.Kill()
	victim.Wait()
	jobstest.Age(t, url, jobs.Play)
	startWorker(t, worker, url)
	startWorker(t, worker, url)
	r := <-done
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	if d := cmp.Diff(want, r.table); d != "" {
		t.Errorf("the tables differ:\n%s", d)
	}
	if whole, workers := clitest.ReadFile(t, in("whole.jsonl")), clitest.ReadFile(t, in("workers.jsonl")); whole != workers {
		t.Error("the episodes differ")
	}
}
