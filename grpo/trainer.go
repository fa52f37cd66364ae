package grpo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/oneline"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// GRPOTrainer trains a policy's adapter. One goroutine at a time may use it, and
// nobody else may use the policy's engine meanwhile.
type GRPOTrainer struct {
	cfg       Config
	policy    *policy.Policy
	reference *policy.Policy // nil where the loss has no KL term
	frozen    *lora.Adapter  // the reference's own adapter, or nil
	opt       *lora.AdamW
	scorers   []reward.Weighted
	names     []string
	weights   []float64

	data  *stream
	state state
	total int
	run   *policy.Run // nil without a directory

	dealt   func(b *batch) []int    // replaces the order in which rows are dealt to micro-batches
	inspect func(b *batch, l *Loss) // sees each pass before its update
}

// state is what a checkpoint holds beside adapter and optimiser. All random numbers
// are keyed by seed and step.
type state struct {
	Step    int `json:"step"`       // optimiser steps taken
	Prompts int `json:"prompts"`    // prompts taken from the data
	Tokens  int `json:"num_tokens"` // of prompts and completions so far
	Pass    int `json:"pass"`       // passes made over the batch under way
	Skipped int `json:"skipped"`    // steps passed over because a number was not finite
	// Evaluated is 1 + the step after which held-out items were last sampled.
	Evaluated int    `json:"evaluated"`
	Batch     *batch `json:"batch"` // under way; nil between batches
}

// Names of the files in a run's directory.
const (
	metricsLog     = "metrics.jsonl"
	completionsLog = "completions.jsonl"
	referenceDir   = "reference"
	adapterDir     = "adapter"
)

// NewGRPOTrainer returns a trainer of the policy's adapter with respect to the
// weighted sum of the scorers' rewards. The reference is fixed here. Close the
// trainer to give its memory back.
func NewGRPOTrainer(p *policy.Policy, scorers []reward.Weighted, cfg Config) (*GRPOTrainer, error) {
	if p.Adapter() == nil {
		return nil, errors.New("grpo: the policy has no adapter to train")
	}
	if len(scorers) == 0 {
		return nil, errors.New("grpo: no scorer")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	names, err := reward.Names(scorers)
	if err != nil {
		return nil, err
	}
	t := &GRPOTrainer{cfg: cfg, policy: p, scorers: scorers, names: names}
	for _, s := range scorers {
		t.weights = append(t.weights, s.Weight)
	}
	if t.cfg.Encode == nil {
		if t.cfg.Encode, err = chatEncoder(p.Base().Tokenizer()); err != nil {
			return nil, err
		}
	}
	p.SetDropout(cfg.Dropout)
	t.opt = lora.NewAdamW(p.Adapter(), cfg.AdamW)
	return t, t.freeze()
}

// freeze makes the reference.
func (t *GRPOTrainer) freeze() error {
	if t.cfg.Beta == 0 {
		return nil
	}
	if t.cfg.Reference == StartReference {
		t.frozen = t.policy.Adapter().Clone()
	}
	var err error
	t.reference, err = policy.New(t.policy.Base(), t.frozen)
	return err
}

// Close gives the memory of optimiser and reference back. The policy stays.
func (t *GRPOTrainer) Close() {
	t.opt.Close()
	if t.frozen != nil {
		t.frozen.Close()
	}
}

// Policy returns the policy that is trained.
func (t *GRPOTrainer) Policy() *policy.Policy { return t.policy }

// Step returns the number of optimiser steps taken so far.
func (t *GRPOTrainer) Step() int { return t.state.Step }

// Train runs to the end of the configured steps. With Config.Dir it resumes from
// the newest checkpoint there, and ends in the same bytes of adapter, optimiser and
// logs as a run that was never stopped; the folder then holds
//
//	metrics.jsonl       a line of Metrics each optimiser step, and each evaluation
//	completions.jsonl   a line each group: the prompt, its completions, rewards, advantages
//	checkpoint-N/       the state after step N
//	reference/          the frozen start, where that is the reference
//	adapter/            the trained adapter, once training is done
//
// When ctx ends, the step under way is dropped, a checkpoint of the last complete
// one is written, and Train returns the context's error. A step whose loss or
// gradient is not finite changes nothing but the count of skipped_steps in the
// metrics; many of them are an error that names the completion.
func (t *GRPOTrainer) Train(ctx context.Context, items iter.Seq2[episode.Item, error]) error {
	all, err := collect(items)
	if err != nil {
		return err
	}
	t.data = &stream{items: all, shuffle: t.cfg.Shuffle, seed: t.cfg.Seed}
	t.total = t.cfg.totalSteps(len(all))
	if err := t.open(); err != nil {
		return err
	}
	err = t.loop(ctx)
	if t.run == nil {
		return err
	}
	if err == nil || ctx.Err() != nil {
		err = oneline.Join(err, t.run.Checkpoint(t.state.Step, t.state))
	}
	if err == nil {
		err = saveDir(filepath.Join(t.cfg.Dir, adapterDir), t.policy.Adapter())
	}
	err = oneline.Join(err, t.run.Close())
	t.run = nil
	return err
}

// open opens the run's directory and takes over what it holds.
func (t *GRPOTrainer) open() error {
	if t.cfg.Dir == "" {
		return nil
	}
	run, resumed, err := policy.OpenRun(t.cfg.Dir, t.settings(), []string{metricsLog, completionsLog}, t.cfg.KeepLast, t.policy.Adapter(), t.opt, &t.state)
	if err != nil {
		return err
	}
	t.run = run
	if t.frozen == nil {
		return nil
	}
	dir := filepath.Join(t.cfg.Dir, referenceDir)
	if resumed {
		err = policy.LoadParameters(t.frozen, dir)
	} else {
		err = saveDir(dir, t.frozen)
	}
	if err != nil {
		return oneline.Join(fmt.Errorf("%s: %w", dir, err), run.Close())
	}
	return nil
}

// saveDir writes an adapter to a directory that appears whole or not at all.
func saveDir(dir string, a *lora.Adapter) error {
	temp := dir + ".tmp"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := policy.SaveParameters(a, temp); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// loop takes optimiser steps until the run is done.
func (t *GRPOTrainer) loop(ctx context.Context) error {
	for fresh := false; ; fresh = true {
		if t.evaluationDue() {
			if err := t.evaluate(ctx); err != nil {
				return fmt.Errorf("grpo: evaluation after step %d: %w", t.state.Step, err)
			}
		}
		if t.run != nil && fresh && every(t.cfg.SaveEvery, t.state.Step) {
			if err := t.run.Checkpoint(t.state.Step, t.state); err != nil {
				return err
			}
		}
		if t.state.Step >= t.total {
			return nil
		}
		if err := t.step(ctx); err != nil {
			t.policy.Adapter().ZeroGrad()
			return fmt.Errorf("grpo: step %d: %w", t.state.Step+1, err)
		}
	}
}

// evaluationDue reports whether the held-out items are to be sampled at this point
// and have not been yet.
func (t *GRPOTrainer) evaluationDue() bool {
	c := &t.cfg
	if len(c.EvalItems) == 0 || c.EvalEvery == 0 || t.state.Evaluated > t.state.Step {
		return false
	}
	return every(c.EvalEvery, t.state.Step) || t.state.Step == t.total
}

func every(n, step int) bool { return n > 0 && step%n == 0 }
