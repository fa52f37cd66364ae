package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// experiment is the whole method for one seed, from episodes to scores.
type experiment struct {
	settings
	seed    uint64
	dir     string
	control bool
	log     io.Writer

	ref        *referee
	train      *corpus // on the training scenarios
	heldOut    *corpus // of the same players, on the held-out ones
	evaluation []world.Case
	out        outcome
}

// outcome is what an experiment found.
type outcome struct {
	Seed        uint64
	Cases       []world.Case
	Players     []player // from the random agent to the best
	Clone       policy.FitResult
	Reward      reward.Evaluation // on held-out scenarios
	Predicted   []float64
	True        []float64
	Constant    string // the best constant reply
	ConstantOf  float64
	TrainCalls  int64 // of the judge, between the first step of training and the last
	GatherCalls int64
	EvalCalls   int64
	Stages      []stage
	Dir         string
}

// player is one row of the table.
type player struct {
	Name     string
	Scores   []world.Score
	Episodes []*episode.Episode
}

// stage says how long a part of the experiment took.
type stage struct {
	Name string
	Time time.Duration
}

// run runs all stages. What an earlier run finished in the same folder is not
// trained again.
func (x *experiment) run(ctx context.Context) (*outcome, error) {
	x.out.Seed, x.out.Dir = x.seed, x.dir
	if err := os.MkdirAll(filepath.Join(x.dir, "heldout"), 0o755); err != nil {
		return nil, err
	}
	eng, err := lora.Open("cpu")
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	base, err := newBase(eng, x.seed)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	if err := x.timed("episodes", func() error { return x.gather(ctx) }); err != nil {
		return nil, err
	}
	before := x.ref.calls.Load()
	x.out.GatherCalls = before
	t, err := x.teach(ctx, base)
	if err != nil {
		return nil, err
	}
	x.out.TrainCalls = x.ref.calls.Load() - before
	err = x.timed("evaluation", func() error { return x.evaluate(ctx, t) })
	x.out.EvalCalls = x.ref.calls.Load() - before - x.out.TrainCalls
	return &x.out, err
}

func (x *experiment) timed(name string, f func() error) error {
	start := time.Now()
	err := f()
	x.out.Stages = append(x.out.Stages, stage{name, time.Since(start)})
	if err != nil {
		return fmt.Errorf("seed %d: %s: %w", x.seed, name, err)
	}
	return nil
}

// gather draws the cases and plays the episodes that there is to learn from, and
// those that the reward model is measured on.
func (x *experiment) gather(ctx context.Context) error {
	fmt.Fprintf(x.log, "seed %d: playing and crediting episodes\n", x.seed)
	train, heldOut := world.Split(world.Scenarios(), x.seed)
	if n := x.scenarios; n > 0 {
		train, heldOut = train[:min(n, len(train))], heldOut[:min(n, len(heldOut))]
	}
	cases := world.Cases(train, x.episodes, x.seed)
	others := world.Cases(heldOut, max(2, x.episodes/4), x.seed)
	x.evaluation = world.Cases(heldOut, x.cases, ^x.seed)
	x.ref = newReferee(cases, others, x.evaluation)
	var err error
	if x.train, err = gather(ctx, x.ref, cases, x.seed, x.dir); err != nil {
		return err
	}
	x.heldOut, err = gather(ctx, x.ref, others, x.seed, filepath.Join(x.dir, "heldout"))
	return err
}

// teach trains all models. They are given items and records, which know no judge.
func (x *experiment) teach(ctx context.Context, base *policy.Base) (*taught, error) {
	records, ranges, _, err := reward.Combine(x.train.parts, reward.CombineOptions{})
	if err != nil {
		return nil, err
	}
	if err := reward.WriteRecords(filepath.Join(x.dir, "records.json"), records); err != nil {
		return nil, err
	}
	good, err := x.train.best(x.cloneOf)
	if err != nil {
		return nil, err
	}
	truth, _, _, err := reward.Combine(x.heldOut.parts, reward.CombineOptions{Ranges: ranges})
	if err != nil {
		return nil, err
	}
	t := &taught{settings: x.settings, dir: x.dir, log: x.log, base: base}
	if err := x.timed("behaviour cloning", func() error { return t.cloneFrom(ctx, good) }); err != nil {
		return nil, err
	}
	x.out.Clone = t.cloned
	if err := x.timed("reward model", func() error { return t.learnReward(ctx, records) }); err != nil {
		return nil, err
	}
	if err := x.timed("measuring it", func() error { return x.measure(ctx, t.reward, truth) }); err != nil {
		return nil, err
	}
	if err := x.timed("GRPO", func() error { return t.improve(ctx, x.train.items) }); err != nil {
		return nil, err
	}
	if !x.control {
		return t, nil
	}
	return t, x.timed("control", func() error { return t.improveAtRandom(ctx, x.train.items) })
}

// measure compares the reward model with records that it has not seen.
func (x *experiment) measure(ctx context.Context, m *reward.RewardModel, records []reward.Record) error {
	samples := make([]reward.Sample, len(records))
	for i, r := range records {
		samples[i] = reward.Sample{Item: r.Item(), Text: r.Output}
		x.out.True = append(x.out.True, r.Value)
	}
	var err error
	if x.out.Predicted, err = m.Score(ctx, samples); err != nil {
		return err
	}
	x.out.Reward = reward.Evaluate(x.out.Predicted, x.out.True)
	fmt.Fprintf(x.log, "reward model on held-out scenarios: Spearman %.3f\n", x.out.Reward.Spearman)
	return nil
}
