package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/lora"
)

// Objective is what Fit trains on: examples, and what to want of them.
type Objective struct {
	// Examples are all examples, training and held-out.
	Examples []Example
	// Groups names, for each example, what it must not be separated from: the
	// episode it comes from. Splits and shuffles move whole groups. nil makes
	// each example a group of its own.
	Groups []string
	// Values are what the loss compares scores with, one for each example; nil for
	// losses that need none. A run resumes with equal values only.
	Values []float64
	// Loss returns the loss of an optimiser step; batch holds indices into
	// Examples, and Targets.Index indices into batch.
	Loss func(batch []int) Loss
	// Evaluate turns the outputs for held-out examples (log-probabilities of the
	// targets, or one score) into metrics. It must give "loss", by which the best
	// checkpoint is chosen.
	Evaluate func(held []int, out [][]float64) map[string]float64
}

// FitProgress says how far Fit is.
type FitProgress struct {
	Step, Steps int
	Metrics     map[string]float64 // what was logged
	Evaluation  bool               // of the held-out examples
	Saving      float64            // rows without sharing over rows, of the step's batch or of the held-out examples
	Memory      int64              // bytes of activations that the step took; see Policy.StepMemory
}

// FitResult says how Fit ended.
type FitResult struct {
	Steps    int     // optimiser steps taken
	Skipped  int     // steps left out because the gradient was not finite
	Best     float64 // lowest held-out loss; 0 without held-out examples
	BestStep int     // the step after which it was reached
	Stopped  bool    // training stopped because the held-out loss no longer fell
	Tokens   int     // tokens trained on, as unshared
	Rows     int     // tokens computed
}

// fitState is what a checkpoint remembers beside adapter and optimiser.
type fitState struct {
	FitResult
	Bad  int  // evaluations since the best
	Done bool // nothing is left to do
}

// metricsLog is the run's log of metrics.
const metricsLog = "metrics.jsonl"

// Fit trains a policy's adapter on an objective: shuffled groups, batches packed
// into forests, a learning-rate schedule, evaluation on held-out groups, early stop,
// checkpoints, metrics. It resumes from cfg.Dir, and a run that was killed at any
// instant and resumed ends in the same adapter, optimiser and metrics, byte for
// byte, as one that was not.
//
// When it returns without error, the policy's adapter holds the parameters with the
// lowest held-out loss (the last ones where nothing is held out), and cfg.Dir has
// them in the folder "adapter". When ctx ends, Fit saves a checkpoint of the last
// finished step and returns ctx's error.
func Fit(ctx context.Context, p *Policy, o Objective, cfg FitConfig) (FitResult, error) {
	f, err := newFit(p, o, cfg)
	if err != nil {
		return FitResult{}, err
	}
	defer f.close()
	if !f.state.Done {
		if err := f.loop(ctx); err != nil {
			return f.state.FitResult, f.stop(ctx, err)
		}
	}
	return f.state.FitResult, f.finish()
}

// fit is one call of Fit.
type fit struct {
	p           *Policy
	o           Objective
	cfg         FitConfig
	schedule    lora.Schedule
	train, held []int
	order       *order
	steps       int
	opt         *lora.AdamW
	run         *Run
	state       fitState
	midway      bool // a step was taken whose evaluation or checkpoint is not done
}

func newFit(p *Policy, o Objective, cfg FitConfig) (*fit, error) {
	if p.adapter == nil {
		return nil, errors.New("policy: the bare base cannot be trained")
	}
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	f := &fit{p: p, o: o, cfg: cfg}
	var err error
	if f.schedule, err = cfg.schedule(); err != nil {
		return nil, err
	}
	groups := groupsOf(o)
	f.train, f.held = splitGroups(groups, cfg.Held, cfg.Seed)
	if len(f.train) == 0 {
		return nil, fmt.Errorf("policy: no training examples (%d examples, %d held out)", len(o.Examples), len(f.held))
	}
	f.order = newOrder(groups, f.train, cfg.Seed)
	f.steps = cfg.Epochs * f.perEpoch()
	if cfg.MaxSteps > 0 {
		f.steps = min(f.steps, cfg.MaxSteps)
	}
	p.Recompute, p.Memory = cfg.Recompute, cfg.Memory
	f.opt = lora.NewAdamW(p.adapter, cfg.Optimizer)
	f.run, _, err = OpenRun(cfg.Dir, f.settings(), []string{metricsLog}, cfg.Keep, p.adapter, f.opt, &f.state)
	if err != nil {
		f.opt.Close()
		return nil, err
	}
	return f, nil
}

// runSettings is what a run must be resumed with: config.json of its directory.
type runSettings struct {
	FitConfig
	Adapter    lora.Config // how what is trained changes the model
	Parameters int         // trained numbers
	Examples   int
	Data       string // digest of the examples and their groups
}

func (f *fit) settings() runSettings {
	return runSettings{FitConfig: f.cfg, Adapter: f.p.adapter.Config, Parameters: f.p.adapter.Size(),
		Examples: len(f.o.Examples), Data: digest(f.o)}
}

// digest returns the beginning of the SHA-256 sum of all tokens, targets, groups and
// values.
func digest(o Objective) string {
	h := sha256.New()
	for i, e := range o.Examples {
		group := ""
		if o.Groups != nil {
			group = o.Groups[i]
		}
		fmt.Fprintf(h, "%q %d %v\n", group, e.First, e.Tokens)
	}
	fmt.Fprint(h, o.Values)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

func (f *fit) close() {
	f.opt.Close()
	f.run.Close()
}

func (f *fit) perEpoch() int { return (len(f.train) + f.cfg.Batch - 1) / f.cfg.Batch }

func (f *fit) loop(ctx context.Context) error {
	if f.state.Steps == 0 {
		if err := f.evaluate(ctx); err != nil {
			return err
		}
	}
	for f.state.Steps < f.steps && !f.state.Stopped {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.step(ctx); err != nil {
			return err
		}
		f.midway = true
		if err := f.after(ctx); err != nil {
			return err
		}
		f.midway = false
	}
	return nil
}

// after evaluates and saves where it is time to.
func (f *fit) after(ctx context.Context) error {
	every := f.cfg.EvalEvery
	if every == 0 {
		every = f.perEpoch()
	}
	evaluate := f.state.Steps%every == 0 || f.state.Steps == f.steps
	if evaluate {
		if err := f.evaluate(ctx); err != nil {
			return err
		}
	}
	if f.cfg.SaveEvery > 0 && f.state.Steps%f.cfg.SaveEvery == 0 || f.cfg.SaveEvery == 0 && evaluate {
		return f.run.Checkpoint(f.state.Steps, f.state)
	}
	return nil
}

// batch returns the examples of the step after n steps.
func (f *fit) batch(n int) []int {
	order := f.order.epoch(n / f.perEpoch())
	at := n % f.perEpoch() * f.cfg.Batch
	return order[at:min(at+f.cfg.Batch, len(order))]
}

func (f *fit) step(ctx context.Context) error {
	batch := f.batch(f.state.Steps)
	packed, err := Pack(pickExamples(f.o.Examples, batch), f.cfg.Budget)
	if err != nil {
		return err
	}
	loss, err := f.gradients(ctx, packed, f.o.Loss(batch), len(batch))
	if err != nil {
		f.p.adapter.ZeroGrad()
		return err
	}
	lr := f.cfg.LR * f.schedule(f.state.Steps, f.steps)
	norm, err := f.opt.Step(lr)
	if err := f.skip(err); err != nil {
		return err
	}
	f.state.Steps++
	f.state.Tokens += packed.Flat
	f.state.Rows += packed.Rows
	m := map[string]float64{"loss": loss, "grad_norm": norm, "learning_rate": lr}
	return f.log(FitProgress{Metrics: m, Saving: packed.Saving(), Memory: f.memory(packed)})
}

// gradients accumulates the gradients of an optimiser step and returns its loss.
func (f *fit) gradients(ctx context.Context, packed *Packed, loss Loss, examples int) (float64, error) {
	total := packed.Targets
	if total == 0 {
		total = examples
	}
	f.p.BeginStep(f.cfg.Seed, f.state.Steps)
	sum := 0.0
	for _, forest := range packed.Forests {
		l, err := f.p.Step(ctx, forest, loss, WithTotal(total))
		if err != nil {
			return 0, err
		}
		sum += l
	}
	return sum, nil
}

// skip passes over a step whose gradient is not finite, which has changed nothing,
// unless all steps so far were such.
func (f *fit) skip(err error) error {
	var bad *lora.NonFiniteError
	if !errors.As(err, &bad) {
		return err
	}
	f.state.Skipped++
	if f.state.Skipped > 10 && f.state.Skipped > f.state.Steps/2 {
		return fmt.Errorf("policy: %d of %d steps skipped: %w", f.state.Skipped, f.state.Steps+1, err)
	}
	return nil
}

// memory returns the bytes of the largest of a step's forests.
func (f *fit) memory(packed *Packed) int64 {
	most := int64(0)
	for _, forest := range packed.Forests {
		most = max(most, f.p.StepMemory(forest))
	}
	return most
}

// log writes a line of metrics. Numbers that JSON has no name for are left out.
func (f *fit) log(progress FitProgress) error {
	m := progress.Metrics
	m["step"] = float64(f.state.Steps)
	m["epoch"] = float64(f.state.Steps) / float64(f.perEpoch())
	m["num_tokens"] = float64(f.state.Tokens)
	for name, v := range m {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(m, name)
		}
	}
	if err := f.run.Log(metricsLog, m); err != nil {
		return err
	}
	if f.cfg.OnStep != nil {
		progress.Step, progress.Steps = f.state.Steps, f.steps
		f.cfg.OnStep(progress)
	}
	return nil
}

// evaluate computes the held-out metrics, keeps the best parameters and counts
// towards the early stop.
func (f *fit) evaluate(ctx context.Context) error {
	if len(f.held) == 0 {
		return nil
	}
	packed, err := Pack(pickExamples(f.o.Examples, f.held), f.cfg.Budget)
	if err != nil {
		return err
	}
	out, err := f.p.PackedOutputs(ctx, packed)
	if err != nil {
		return err
	}
	metrics := map[string]float64{}
	for name, v := range f.o.Evaluate(f.held, out) {
		metrics["eval_"+name] = v
	}
	loss, ok := metrics["eval_loss"]
	if !ok {
		return errors.New("policy: the objective's evaluation gives no loss")
	}
	if err := f.log(FitProgress{Metrics: metrics, Evaluation: true, Saving: packed.Saving()}); err != nil {
		return err
	}
	return f.judge(loss)
}

func (f *fit) judge(loss float64) error {
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return &lora.NonFiniteError{What: "held-out loss", Value: loss}
	}
	if f.state.Steps > 0 && !(loss < f.state.Best) {
		f.state.Bad++
		f.state.Stopped = f.cfg.Patience > 0 && f.state.Bad >= f.cfg.Patience
		return nil
	}
	f.state.Best, f.state.BestStep, f.state.Bad = loss, f.state.Steps, 0
	return saveWhole(f.p.adapter, filepath.Join(f.cfg.Dir, "best"))
}

// saveWhole writes parameters to a directory that is complete or absent.
func saveWhole(a *lora.Adapter, dir string) error {
	temp := dir + ".tmp"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := SaveParameters(a, temp); err != nil {
		return err
	}
	return replaceDir(temp, dir)
}

// stop saves the last finished step where training was cancelled. A step whose
// evaluation was cut off is not saved: it is taken again on resume.
func (f *fit) stop(ctx context.Context, cause error) error {
	if ctx.Err() == nil || f.state.Steps == 0 || f.midway {
		return cause
	}
	return errors.Join(cause, f.run.Checkpoint(f.state.Steps, f.state))
}

// finish leaves the best parameters in the policy and in the folder "adapter".
func (f *fit) finish() error {
	if !f.state.Done {
		f.state.Done = true
		if err := f.run.Checkpoint(f.state.Steps, f.state); err != nil {
			return err
		}
	}
	if len(f.held) > 0 {
		if err := LoadParameters(f.p.adapter, filepath.Join(f.cfg.Dir, "best")); err != nil {
			return err
		}
	}
	return saveWhole(f.p.adapter, filepath.Join(f.cfg.Dir, "adapter"))
}

func pickExamples(examples []Example, at []int) []Example {
	out := make([]Example, len(at))
	for i, j := range at {
		out[i] = examples[j]
	}
	return out
}
