package cli

import (
	"flag"
	"fmt"
	"os"

	"github.com/socialrl/socialrl/internal/progress"
	"github.com/socialrl/socialrl/policy"
)

// DefineFit defines the flags of a training run; c holds the defaults. -out is its
// directory.
func DefineFit(fs *flag.FlagSet, c *policy.FitConfig) {
	fs.StringVar(&c.Dir, "out", "", "`directory` of the run, which is resumed where there is one (required)")
	fs.IntVar(&c.Epochs, "epochs", c.Epochs, "passes over the training examples")
	fs.IntVar(&c.MaxSteps, "max-steps", c.MaxSteps, "most optimiser steps; 0 is no bound")
	fs.IntVar(&c.Batch, "batch", c.Batch, "examples an optimiser step")
	fs.Float64Var(&c.LR, "lr", c.LR, "highest learning rate")
	fs.StringVar(&c.Schedule, "schedule", "linear", "of the learning rate behind the warm-up: linear, cosine or constant")
	fs.IntVar(&c.Warmup, "warmup", c.Warmup, "steps over which the learning rate rises from 0")
	fs.Float64Var(&c.Optimizer.WeightDecay, "weight-decay", c.Optimizer.WeightDecay, "decoupled weight decay")
	fs.Float64Var(&c.Optimizer.Clip, "clip", 1, "largest norm of the gradient; negative is no bound")
	fs.Float64Var(&c.Held, "held-out", c.Held, "share of episodes to evaluate on instead of training")
	fs.IntVar(&c.EvalEvery, "eval-every", c.EvalEvery, "steps between evaluations; 0 is at the ends of epochs")
	fs.IntVar(&c.Patience, "patience", c.Patience, "evaluations without a better one before training stops; 0 is never")
	fs.IntVar(&c.SaveEvery, "save-every", c.SaveEvery, "steps between checkpoints; 0 is with each evaluation")
	fs.IntVar(&c.Keep, "keep", 2, "checkpoints to keep")
	fs.IntVar(&c.Budget, "budget", 4096, "most distinct tokens computed at a time")
	fs.BoolVar(&c.Recompute, "recompute", c.Recompute, "compute activations again in the backward pass, to save memory")
	fs.Uint64Var(&c.Seed, "seed", 42, "of the split, the order and dropout")
}

// Progress draws a run on standard error. The bar begins with the first report.
type Progress struct {
	Name string
	bar  *progress.Bar
}

// Set shows that a step is done.
func (p *Progress) Set(step, steps int, note string) {
	if p.bar == nil {
		p.bar = progress.New(os.Stderr, p.Name, steps)
	}
	p.bar.Set(step, note)
}

// Logf writes a line above the bar.
func (p *Progress) Logf(format string, args ...any) {
	if p.bar == nil {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		return
	}
	p.bar.Logf(format, args...)
}

// Close ends the bar.
func (p *Progress) Close() {
	if p.bar != nil {
		p.bar.Close()
	}
}

// OnFit reports the steps and evaluations of Fit.
func (p *Progress) OnFit(f policy.FitProgress) {
	if f.Evaluation {
		p.Logf("%s: step %d: held-out loss %.4g", p.Name, f.Step, f.Metrics["eval_loss"])
		return
	}
	p.Set(f.Step, f.Steps, fmt.Sprintf("loss %.4g", f.Metrics["loss"]))
}
