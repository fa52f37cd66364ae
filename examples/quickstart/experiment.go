package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/learner"
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
	device  string // of lora.Open
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
	Seed   uint64
	Dir    string
	Stages []stage

	Clone     policy.FitResult
	Reward    reward.Evaluation // of the reward model on held-out scenarios
	Predicted []float64         // values there, by the reward model
	True      []float64         // and by credit

	Cases      []world.Case // on which players are compared
	Players    []player     // from the random agent to the best
	Constant   string       // the constant reply that reaches the highest goal in the cases
	ConstantOf float64      // that goal

	// Calls of the judge: for the episodes to learn from, between the first step of
	// training and the last, and after it.
	GatherCalls, TrainCalls, EvalCalls int64
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
	eng, err := lora.Open(x.device)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	if err := os.MkdirAll(filepath.Join(x.dir, "heldout"), 0o755); err != nil {
		return nil, err
	}
	base, err := learner.NewBase(eng, x.seed)
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

// lessons are what is learned from: items and records, which know no judge.
type lessons struct {
	good    []episode.Item  // to be cloned
	items   []episode.Item  // whose prompts GRPO answers
	records []reward.Record // of the training scenarios
	unseen  []reward.Record // of the held-out ones, on the same scale
}

// prepare makes the lessons and writes the reward records.
func (x *experiment) prepare() (l lessons, err error) {
	var ranges reward.Ranges
	if l.records, ranges, _, err = reward.Combine(x.train.parts, reward.CombineOptions{}); err != nil {
		return l, err
	}
	if l.unseen, _, _, err = reward.Combine(x.heldOut.parts, reward.CombineOptions{Ranges: ranges}); err != nil {
		return l, err
	}
	l.items = x.train.items
	if l.good, err = x.train.best(x.cloneOf); err != nil {
		return l, err
	}
	return l, reward.WriteRecords(filepath.Join(x.dir, "records.json"), l.records)
}

// teach trains all models.
func (x *experiment) teach(ctx context.Context, base *policy.Base) (*taught, error) {
	l, err := x.prepare()
	if err != nil {
		return nil, err
	}
	t := &taught{settings: x.settings, dir: x.dir, log: x.log, base: base}
	stages := []struct {
		name string
		run  func() error
	}{
		{"behaviour cloning", func() error { return t.cloneFrom(ctx, l.good) }},
		{"reward model", func() error { return t.learnReward(ctx, l.records) }},
		{"measuring it", func() error { return x.measure(ctx, t.reward, l.unseen) }},
		{"GRPO", func() error { return t.improve(ctx, l.items) }},
		{"control", func() error { return t.improveAtRandom(ctx, l.items) }},
	}
	if !x.control {
		stages = stages[:len(stages)-1]
	}
	for _, s := range stages {
		if err := x.timed(s.name, s.run); err != nil {
			return nil, err
		}
	}
	x.out.Clone = t.cloned
	return t, nil
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
