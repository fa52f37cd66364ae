package policy

import (
	"errors"
	"fmt"

	"github.com/socialrl/socialrl/lora"
)

// FitConfig configures Fit. The zero value of a field stands for the value in
// parentheses.
type FitConfig struct {
	// Dir is the run's directory; see [Run]. Fit resumes from it.
	Dir string `json:"-"`

	Epochs   int     // passes over the training examples (1)
	MaxSteps int     // optimiser steps, if fewer (0: no bound)
	Batch    int     // examples an optimiser step (16)
	LR       float64 // highest learning rate (1e-4)
	Schedule string  // "linear", "cosine" or "constant" ("linear")
	Warmup   int     // steps of linear warm-up (0)

	Optimizer lora.AdamWConfig // its clip norm is 1 where it is 0; negative: no clipping

	Held      float64 // share of groups held out (0: none)
	EvalEvery int     // steps between evaluations (0: at the ends of epochs)
	Patience  int     // evaluations without a better loss before training stops (0: never)
	SaveEvery int     // steps between checkpoints (0: with each evaluation)
	Keep      int     // checkpoints to keep (2)

	Budget    int    // most rows of one forest (4096)
	Recompute bool   // see Policy.Recompute
	Memory    int64  `json:"-"` // see Policy.Memory (0: no bound); a run may go on with another, which changes the rounding of sums
	Seed      uint64 // of the split, the order and dropout (42)

	// OnStep is called after every step and every evaluation. It may be nil.
	OnStep func(FitProgress) `json:"-"`
}

func (c FitConfig) withDefaults() FitConfig {
	setInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	setInt(&c.Epochs, 1)
	setInt(&c.Batch, 16)
	setInt(&c.Keep, 2)
	setInt(&c.Budget, 4096)
	if c.LR == 0 {
		c.LR = 1e-4
	}
	if c.Schedule == "" {
		c.Schedule = "linear"
	}
	if c.Seed == 0 {
		c.Seed = 42
	}
	switch {
	case c.Optimizer.Clip == 0:
		c.Optimizer.Clip = 1
	case c.Optimizer.Clip < 0:
		c.Optimizer.Clip = 0
	}
	return c
}

func (c FitConfig) schedule() (lora.Schedule, error) {
	switch c.Schedule {
	case "linear":
		return lora.LinearDecay(c.Warmup), nil
	case "cosine":
		return lora.CosineDecay(c.Warmup), nil
	case "constant":
		return lora.ConstantRate(c.Warmup), nil
	}
	return nil, fmt.Errorf("policy: schedule is %q, want linear, cosine or constant", c.Schedule)
}

func (c FitConfig) check() error {
	switch {
	case c.Dir == "":
		return errors.New("policy: training needs a directory")
	case c.Epochs < 0 || c.MaxSteps < 0 || c.Batch < 0 || c.Warmup < 0 || c.EvalEvery < 0 || c.Patience < 0 || c.SaveEvery < 0 || c.Keep < 0 || c.Budget < 0 || c.Memory < 0:
		return errors.New("policy: no count in the training configuration may be negative")
	case !(c.Held >= 0 && c.Held < 1):
		return fmt.Errorf("policy: held-out share is %v, want 0 to less than 1", c.Held)
	case !(c.LR > 0):
		return fmt.Errorf("policy: learning rate is %v, want more than 0", c.LR)
	}
	return nil
}
