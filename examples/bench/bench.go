package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// bench is one run of the program.
type bench struct {
	*settings
	out, err io.Writer

	config policy.Config
	report report
	base   *policy.Base // loaded, or nil
	kind   lora.Kind    // of its weights
	drawn  uint64       // sequences of random tokens so far
}

// job is what gives one or several lines of the table.
type job struct {
	name  string
	kind  lora.Kind
	model bool // needs the model
	fresh bool // needs memory that no row before has used: its peak is a result
	run   func(b *bench, ctx context.Context, j job) ([]line, error)
}

func (j job) title() string { return j.name + " " + j.kind.String() }

// jobs returns the jobs that the flags ask for.
func (b *bench) jobs() ([]job, error) {
	var err error
	if b.config, err = policy.LoadConfig(b.model); err != nil {
		return nil, err
	}
	all := b.products()
	for _, kind := range b.kinds {
		all = append(all, job{name: "prefill", kind: kind, model: true, run: (*bench).prefill},
			job{name: "decode", kind: kind, model: true, run: (*bench).decodeOne},
			job{name: "decode branches", kind: kind, model: true, run: (*bench).decodeBranches})
	}
	first := b.kinds[0]
	all = append(all, job{name: "sft", kind: first, model: true, fresh: true, run: (*bench).sft},
		job{name: "update", kind: first, model: true, fresh: true, run: (*bench).update},
		job{name: "grpo", kind: first, model: true, fresh: true, run: (*bench).grpo})
	all = slices.DeleteFunc(all, func(j job) bool { return !b.pattern.MatchString(j.title()) })
	if len(all) == 0 {
		return nil, fmt.Errorf("-rows %q matches no row", b.rows)
	}
	return all, nil
}

// run measures the limits and then the jobs. Each line is printed and written as soon
// as it is there.
func (b *bench) run(ctx context.Context, jobs []job) error {
	if err := b.limits(); err != nil {
		return err
	}
	for i, j := range jobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		fmt.Fprintf(b.err, "bench: %d of %d: %s\n", i+1, len(jobs), j.title())
		if err := b.do(ctx, j); err != nil {
			return fmt.Errorf("%s: %w", j.title(), err)
		}
	}
	return nil
}

func (b *bench) do(ctx context.Context, j job) error {
	if err := b.prepare(j); err != nil {
		return err
	}
	resetPeak()
	lines, err := j.run(b, ctx, j)
	if err != nil {
		return err
	}
	for _, l := range lines {
		l.Kind, l.Peak = j.kind.String(), peakMemory()
		b.print(l)
		b.report.Rows = append(b.report.Rows, l)
	}
	return b.write()
}

// prepare leaves the model that a job needs in memory, and nothing else.
func (b *bench) prepare(j job) error {
	if b.base != nil && (!j.model || j.fresh || b.kind != j.kind) {
		if err := b.close(); err != nil {
			return err
		}
	}
	if j.model && b.base == nil {
		return b.load(j.kind)
	}
	return nil
}

func (b *bench) load(kind lora.Kind) error {
	eng, err := lora.Open(b.device)
	if err != nil {
		return err
	}
	resetPeak()
	start := time.Now()
	if b.base, err = policy.LoadBase(eng, b.model, kind, b.loading...); err != nil {
		return errors.Join(err, eng.Close())
	}
	b.kind = kind
	b.base.SetTokenizer(nil) // rows work on tokens
	fmt.Fprintf(b.err, "bench: loaded as %v in %.2f s: %s, peak %s\n", kind, time.Since(start).Seconds(), cli.Size(eng.Stats().Weights), cli.Size(peakMemory()))
	debug.FreeOSMemory()
	return nil
}

// close gives the model back, and what it has used.
func (b *bench) close() error {
	if b.base == nil {
		return nil
	}
	eng := b.base.Engine()
	err := errors.Join(b.base.Close(), eng.Close())
	b.base = nil
	debug.FreeOSMemory()
	return err
}

// limits measures what the device can do.
func (b *bench) limits() error {
	eng, err := lora.Open(b.device)
	if err != nil {
		return err
	}
	defer debug.FreeOSMemory()
	defer eng.Close()
	b.report.Engine, b.report.Model = eng.Name(), describe(b.config)
	if m, ok := eng.(lora.Measurer); ok {
		fmt.Fprintln(b.err, "bench: measuring the limits")
		b.report.Limits = m.Limits()
	}
	b.printHead()
	return nil
}

// sequence returns random tokens that no other sequence of the run begins with.
func (b *bench) sequence(n int) []int {
	b.drawn++
	rng := rand.New(rand.NewPCG(b.seed, b.drawn))
	tokens := make([]int, n)
	for i := range tokens {
		tokens[i] = rng.IntN(b.config.VocabSize)
	}
	return tokens
}

// repeat calls f once, and then as often as the flags ask for, and returns the seconds
// of these calls.
func (b *bench) repeat(ctx context.Context, f func() error) ([]float64, error) {
	if err := f(); err != nil {
		return nil, err
	}
	var seconds []float64
	for began := time.Now(); len(seconds) < b.reps || time.Since(began) < b.time; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		took, err := timed(f)
		if err != nil {
			return nil, err
		}
		seconds = append(seconds, took)
	}
	return seconds, nil
}

func timed(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}
