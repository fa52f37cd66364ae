// Command rewardmodel trains a reward model: on records of prompt, reply and value,
// or on the annotations that the command annotate wrote.
//
//	rewardmodel -model Qwen2.5-0.5B-Instruct -records rm.json -out rm
//	rewardmodel -model Qwen2.5-0.5B-Instruct -episodes episodes.jsonl \
//	    -annotations annotated.jsonl -dimensions goal,relationship,knowledge -out rm
//
// Annotated dimensions are joined to the training items of the episodes, brought to
// 0..1 each, averaged and scaled to 0..10. The trained adapter, with its head, is in
// OUT/adapter, the ranges of the dimensions in OUT/ranges.json. Started again with
// the same flags the run continues where it stopped.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("rewardmodel", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, train)
}

func train(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := s.checkOutputs(); err != nil {
		return err
	}
	recs, ranges, err := s.data.load(io.Out)
	if err != nil {
		return err
	}
	if s.recordsOnly() {
		return s.data.keep(recs)
	}
	base, closeBase, err := s.model.Open()
	if err != nil {
		return err
	}
	defer closeBase()
	rm, err := s.open(base)
	if err != nil {
		return err
	}
	defer rm.Close()
	dir := s.train.FitConfig.Dir
	if err := cli.Pin(filepath.Join(dir, "rewardmodel.json"), s.pinned(base, rm, recs)); err != nil {
		return err
	}
	if ranges != nil {
		if err := ranges.Save(filepath.Join(dir, "ranges.json")); err != nil {
			return err
		}
	}
	if err := s.data.keep(recs); err != nil {
		return err
	}
	return s.fit(ctx, rm, recs, io)
}

// checkOutputs finds out whether what the flags name can be written, before anything is
// made.
func (s *settings) checkOutputs() error {
	if err := cli.CheckFiles(s.data.save); err != nil || s.recordsOnly() {
		return err
	}
	return cli.CheckDirs(s.train.FitConfig.Dir)
}

// open makes the model that is trained.
func (s *settings) open(base *policy.Base) (*reward.RewardModel, error) {
	opts := []reward.Option{reward.WithSeed(s.train.Seed), reward.WithMaxLength(s.maxLength), reward.WithBudget(s.train.Budget)}
	if s.drop {
		opts = append(opts, reward.WithDropOldest())
	}
	if s.start != "" {
		return reward.Load(base, s.start, opts...)
	}
	config := s.adapter.Config()
	config.BaseModel = s.model.Dir
	return reward.New(base, config, opts...)
}

// fit trains, and reports on it.
func (s *settings) fit(ctx context.Context, rm *reward.RewardModel, recs []reward.Record, io cli.Streams) error {
	bar := &cli.Progress{Name: "rewardmodel", W: io.Err}
	defer bar.Close()
	var last map[string]float64
	s.train.OnStep = func(p policy.FitProgress) {
		if p.Evaluation {
			last = p.Metrics
		}
		bar.OnFit(p)
	}
	s.train.OnCount = func(used, tooLong int) { fmt.Fprintf(io.Out, "records %d, too long %d\n", used, tooLong) }
	result, err := rm.Fit(ctx, recs, s.train)
	bar.Close()
	if err != nil {
		return err
	}
	fmt.Fprintf(io.Out, "tokens %d, computed %d (%.2f times fewer)\n", result.Tokens, result.Rows, float64(result.Tokens)/float64(max(1, result.Rows)))
	fmt.Fprintf(io.Out, "steps %d, skipped %d", result.Steps, result.Skipped)
	if result.Best > 0 {
		fmt.Fprintf(io.Out, ", best after %d: held-out mse %.6g", result.BestStep, result.Best)
	}
	fmt.Fprintln(io.Out)
	if last != nil {
		fmt.Fprintf(io.Out, "last evaluation: mse %.6g, pearson %.3f, spearman %.3f\n", last["eval_mse"], last["eval_pearson"], last["eval_spearman"])
	}
	_, err = fmt.Fprintln(io.Out, "adapter", filepath.Join(s.train.FitConfig.Dir, "adapter"))
	return err
}
