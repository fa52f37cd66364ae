package cli

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

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
	fs.Float64Var(&c.LR, "lr", c.LR, "highest learning `rate`")
	fs.StringVar(&c.Schedule, "schedule", "linear", "of the learning rate behind the warm-up: linear, cosine or constant")
	fs.IntVar(&c.Warmup, "warmup", c.Warmup, "steps over which the learning rate rises from 0")
	fs.Float64Var(&c.Optimizer.WeightDecay, "weight-decay", c.Optimizer.WeightDecay, "decoupled weight decay; 0 is none")
	fs.Float64Var(&c.Optimizer.Clip, "clip", 1, "largest norm of the gradient; negative is no bound")
	fs.Float64Var(&c.Held, "held-out", c.Held, "`share` of episodes to evaluate on instead of training, 0 to below 1; 0 is none")
	fs.IntVar(&c.EvalEvery, "eval-every", c.EvalEvery, "steps between evaluations; 0 is at the ends of epochs")
	fs.IntVar(&c.Patience, "patience", c.Patience, "evaluations without a better one before training stops; 0 is never")
	fs.IntVar(&c.SaveEvery, "save-every", c.SaveEvery, "steps between checkpoints; 0 is with each evaluation")
	fs.IntVar(&c.Keep, "keep", 2, "checkpoints to keep")
	fs.IntVar(&c.Budget, "budget", 4096, "most distinct tokens computed at a time")
	fs.BoolVar(&c.Recompute, "recompute", c.Recompute, "compute activations again in the backward pass, to save memory")
	fs.Var((*Bytes)(&c.Memory), "memory", "most `memory` of a step's activations, such as 2GB: it is computed in smaller parts, and as many blocks again, as that takes; 0 is no bound")
	fs.Uint64Var(&c.Seed, "seed", 42, "of the split, the order and dropout")
}

// CheckFit returns a UsageError for the first flag of [DefineFit] that is out of
// range.
func CheckFit(c *policy.FitConfig) error {
	for _, n := range []struct {
		flag       string
		value, min int
	}{
		{"epochs", c.Epochs, 1}, {"batch", c.Batch, 1}, {"keep", c.Keep, 1}, {"budget", c.Budget, 1},
		{"max-steps", c.MaxSteps, 0}, {"warmup", c.Warmup, 0}, {"eval-every", c.EvalEvery, 0},
		{"patience", c.Patience, 0}, {"save-every", c.SaveEvery, 0},
	} {
		if n.value < n.min {
			return Usagef("-%s is %d, want at least %d", n.flag, n.value, n.min)
		}
	}
	switch {
	case !(c.LR > 0):
		return Usagef("-lr is %v, want more than 0", c.LR)
	case !(c.Optimizer.WeightDecay >= 0):
		return Usagef("-weight-decay is %v, want 0 or more", c.Optimizer.WeightDecay)
	case c.Optimizer.Clip == 0 || math.IsNaN(c.Optimizer.Clip):
		return Usagef("-clip is %v, want more than 0, or less for no bound", c.Optimizer.Clip)
	case !(c.Held >= 0 && c.Held < 1):
		return Usagef("-held-out is %v, want 0 to less than 1", c.Held)
	case c.Seed == 0:
		return Usagef("-seed is 0, want 1 or more")
	case !slices.Contains(schedules, c.Schedule):
		return Usagef("-schedule is %q, want %s", c.Schedule, strings.Join(schedules, ", "))
	}
	return nil
}

// schedules are the names that -schedule takes.
var schedules = []string{"linear", "cosine", "constant"}

// Progress draws a run on W, which is standard error where it is nil. The bar begins
// with the first report.
type Progress struct {
	Name string
	W    io.Writer
	bar  *progress.Bar
}

func (p *Progress) writer() io.Writer {
	if p.W == nil {
		return os.Stderr
	}
	return p.W
}

// Set shows that a step is done.
func (p *Progress) Set(step, steps int, note string) {
	if p.bar == nil {
		p.bar = progress.New(p.writer(), p.Name, steps)
	}
	p.bar.Set(step, note)
}

// Logf writes a line above the bar.
func (p *Progress) Logf(format string, args ...any) {
	if p.bar == nil {
		fmt.Fprintf(p.writer(), format+"\n", args...)
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
	p.Set(f.Step, f.Steps, fmt.Sprintf("loss %.4g, %.2f times fewer tokens, %s", f.Metrics["loss"], f.Saving, Size(f.Memory)))
}
