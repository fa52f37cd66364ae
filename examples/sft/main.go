// Command sft clones behaviour: it trains an adapter of a chat model to act as the
// agents of a file of episodes did, or to give the outputs of a file of training
// items.
//
//	sft -model Qwen2.5-7B-Instruct -data items.json -out runs/bc
//	sft -model Qwen2.5-7B-Instruct -data episodes.jsonl -select best -out runs/bc
//
// The directory OUT holds metrics.jsonl (a line for every step and evaluation),
// checkpoints, and in the end the adapter with the lowest held-out loss in
// OUT/adapter, a PEFT directory. Stopped by Ctrl-C or killed, the same command goes on
// where the last checkpoint is, and ends in the same files as if it had never been.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("sft", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, train)
}

func train(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := cli.CheckDirs(s.train.Dir, s.export); err != nil {
		return err
	}
	items, base, closeBase, err := s.input.Open()
	if err != nil {
		return err
	}
	defer closeBase()
	adapter, err := s.open(base)
	if err != nil {
		return err
	}
	defer adapter.Close()
	p, err := policy.New(base, adapter)
	if err != nil {
		return err
	}
	if err := cli.Pin(filepath.Join(s.train.Dir, "sft.json"), s.pinned(base, adapter, items)); err != nil {
		return err
	}
	return s.fit(ctx, p, items, io)
}

// open makes the adapter that is trained.
func (s *settings) open(base *policy.Base) (*lora.Adapter, error) {
	switch {
	case s.start != "":
		return cli.LoadAdapter(base, s.start)
	case s.full:
		return policy.NewFull(base)
	}
	config := s.adapter.Config()
	config.BaseModel = s.input.Model.Dir
	return policy.NewAdapter(base, config, s.train.Seed)
}

// fit trains, and reports on it.
func (s *settings) fit(ctx context.Context, p *policy.Policy, items []episode.Item, io cli.Streams) error {
	bar := &cli.Progress{Name: "sft", W: io.Err}
	defer bar.Close()
	t := timer{now: time.Now}
	s.train.OnStep = func(f policy.FitProgress) {
		t.see(f)
		bar.OnFit(f)
	}
	result, err := policy.SFT(ctx, p, items, s.train)
	bar.Close()
	if err != nil {
		return err
	}
	t.report(io.Err)
	report(io.Out, result)
	if s.export != "" {
		if err := p.Export(s.export, lora.DTypeBF16); err != nil {
			return err
		}
		fmt.Fprintln(io.Out, "model", s.export)
	}
	_, err = fmt.Fprintln(io.Out, "adapter", filepath.Join(s.train.Dir, "adapter"))
	return err
}

// report prints what was done, by this process and those that it goes on from.
func report(w io.Writer, r policy.SFTResult) {
	fmt.Fprintf(w, "items %d, too long %d\n", r.Items, r.TooLong)
	fmt.Fprintf(w, "tokens %d, computed %d (%.2f times fewer)\n", r.Tokens, r.Rows, float64(r.Tokens)/float64(max(1, r.Rows)))
	fmt.Fprintf(w, "steps %d, skipped %d", r.Steps, r.Skipped)
	if r.Best > 0 {
		fmt.Fprintf(w, ", best after %d: held-out loss %.6g", r.BestStep, r.Best)
	}
	if r.Stopped {
		fmt.Fprint(w, ", stopped early")
	}
	fmt.Fprintln(w)
}

// timer measures the steps of this process, without evaluations.
type timer struct {
	now   func() time.Time
	last  time.Time
	steps int
	total time.Duration
}

func (t *timer) see(f policy.FitProgress) {
	now := t.now()
	if !f.Evaluation && !t.last.IsZero() {
		t.steps++
		t.total += now.Sub(t.last)
	}
	t.last = now
}

func (t *timer) report(w io.Writer) {
	if t.steps > 0 {
		fmt.Fprintf(w, "sft: %.3g seconds a step\n", t.total.Seconds()/float64(t.steps))
	}
}
