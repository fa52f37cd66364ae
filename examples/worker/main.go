// Command worker does jobs of the other programs, on as many machines as there are
// workers: those that were started with -redis hand them out.
//
//	OPENAI_API_KEY=... worker -redis redis://:PASSWORD@HOST:6379
//
// API keys do not travel with jobs: each worker has its own in its environment (that of
// -key-env for attributions, OPENAI_API_KEY and CUSTOM_API_KEY for players and judges). A worker
// that is interrupted lets its jobs go on for a while and gives back those that are not
// done. The job of one that is killed is done by another. It exits with 0 when it was
// interrupted, with 1 where it cannot use the Redis, and with 2 on wrong usage.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/socialrl/socialrl/examples/internal/arena"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/credit"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/internal/progress"
	"github.com/socialrl/socialrl/policy"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("worker", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, work)
}

// settings are the parsed flags.
type settings struct {
	redis string
	kinds string
	keys  credit.Keys
	local arena.Local
	jobs.WorkOptions
	close func() // frees models
}

const synopsis = `Do jobs of programs that were started with -redis, until interrupted.`

func parse(args []string, s cli.Streams) (*settings, error) {
	w := &settings{}
	fs := cli.NewFlags("worker", synopsis)
	fs.StringVar(&w.redis, "redis", "", "`URL` of the Redis that holds the jobs, such as redis://:PASSWORD@HOST:6379 (required)")
	fs.StringVar(&w.kinds, "jobs", "annotate,play", "comma-separated `kinds` of jobs to do: annotate (of annotate), play (of selfplay and evaluate)")
	fs.IntVar(&w.Concurrency, "concurrency", 8, "jobs that run at once")
	fs.DurationVar(&w.Grace, "grace", 8*time.Second, "how long running jobs may go on after an interrupt")
	fs.StringVar(&w.local.ModelDir, "model", "", "Hugging Face model `directory` of players called local; that of the program that hands out the jobs if empty")
	fs.StringVar(&w.local.Device, "device", "", "`name` of the engine that computes for them, such as cpu or cuda:0; likewise")
	fs.IntVar(&w.local.Limit, "limit", 16, "calls of players and judges under way at one endpoint; 0 is no limit")
	w.keys.Define(fs)
	return w, cli.Parse(fs, args, s, w.check)
}

func (w *settings) check() error {
	if err := cli.Required("redis", w.redis); err != nil {
		return err
	}
	if w.Concurrency < 1 {
		return cli.Usagef("-concurrency is %d, want at least 1", w.Concurrency)
	}
	if w.Grace <= 0 {
		return cli.Usagef("-grace is %v, want more than 0", w.Grace)
	}
	if w.local.Limit < 0 {
		return cli.Usagef("-limit is %d, want at least 0", w.local.Limit)
	}
	if w.local.Device != "" {
		if err := cli.CheckDevice(w.local.Device); err != nil {
			return err
		}
	}
	return w.choose()
}

// choose makes the handlers of the kinds of jobs that the flags name.
func (w *settings) choose() error {
	w.local.Concurrency = w.Concurrency
	open, closeAll := w.local.Troupe()
	w.close = closeAll
	all := map[jobs.Kind]jobs.Handler{jobs.Annotate: jobs.Annotator(&w.keys), jobs.Play: jobs.Player(open)}
	w.Handlers = map[jobs.Kind]jobs.Handler{}
	for _, name := range cli.Split(w.kinds) {
		kind := jobs.Kind(name)
		if all[kind] == nil {
			return cli.Usagef("-jobs names %q, want annotate or play", name)
		}
		w.Handlers[kind] = all[kind]
	}
	if len(w.Handlers) == 0 {
		return cli.Usagef("-jobs names no kind of jobs")
	}
	return nil
}

func work(ctx context.Context, args []string, s cli.Streams) error {
	w, err := parse(args, s)
	if err != nil {
		return err
	}
	if dir := w.local.ModelDir; dir != "" {
		if _, err := policy.LoadConfig(dir); err != nil {
			return err
		}
	}
	q, err := jobs.Open(ctx, w.redis)
	if err != nil {
		return err
	}
	defer q.Close()
	defer w.close()
	bar := progress.New(s.Err, "worker", 0)
	defer bar.Close()
	bar.Logf("worker: waiting for jobs at redis %s", q.Addr())
	w.tell(bar)
	return q.Work(ctx, w.WorkOptions)
}

// tell shows what the worker does.
func (w *settings) tell(bar *progress.Bar) {
	var done, failed atomic.Int64
	w.OnJob = func(kind jobs.Kind, took time.Duration, err error) {
		if err != nil {
			failed.Add(1)
			bar.Logf("worker: %s: %v", kind, err)
		}
		bar.Set(int(done.Add(1)), fmt.Sprintf("%d given back, the last took %v", failed.Load(), took.Round(time.Millisecond)))
	}
	w.OnTrouble = func(text string) { bar.Logf("worker: %s", text) }
}
