package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"path/filepath"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/learner"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// taught are the models of one experiment. Training sees prompts, replies and
// numbers: there is no way from here to a judge.
type taught struct {
	settings
	dir  string
	log  io.Writer
	base *policy.Base

	clone   *policy.Policy
	cloned  policy.FitResult
	reward  *reward.RewardModel
	trained *policy.Policy // by GRPO
	control *policy.Policy // by GRPO with shuffled rewards, or nil
}

// cloneFrom trains a policy from scratch to do what was done in the items, until the
// loss on held-out episodes no longer falls.
func (t *taught) cloneFrom(ctx context.Context, items []episode.Item) error {
	var err error
	if t.clone, err = learner.Fresh(t.base); err != nil {
		return err
	}
	cfg := t.settings.clone
	cfg.Dir = filepath.Join(t.dir, "clone")
	bar := &cli.Progress{Name: "behaviour cloning", W: t.log}
	defer bar.Close()
	cfg.OnStep = bar.OnFit
	result, err := policy.SFT(ctx, t.clone, items, cfg)
	t.cloned = result.FitResult
	return err
}

// learnReward trains the reward model on the records.
func (t *taught) learnReward(ctx context.Context, records []reward.Record) error {
	var err error
	if t.reward, err = learner.Valuer(t.clone); err != nil {
		return err
	}
	cfg := t.settings.reward
	cfg.Dir = filepath.Join(t.dir, "reward")
	bar := &cli.Progress{Name: "reward model", W: t.log}
	defer bar.Close()
	cfg.OnStep = bar.OnFit
	return t.reward.Train(ctx, records, cfg)
}

// improve trains a successor of the clone against the reward model.
func (t *taught) improve(ctx context.Context, items []episode.Item) error {
	var err error
	t.trained, err = t.optimise(ctx, "GRPO", "grpo", t.reward, items)
	return err
}

// improveAtRandom does the same with the rewards of each step dealt out at random:
// whatever it changes was not learned from the rewards.
func (t *taught) improveAtRandom(ctx context.Context, items []episode.Item) error {
	var err error
	t.control, err = t.optimise(ctx, "control", "control", shuffled(t.reward, t.settings.grpo.Seed), items)
	return err
}

func (t *taught) optimise(ctx context.Context, name, dir string, s reward.Scorer, items []episode.Item) (*policy.Policy, error) {
	p, err := learner.Successor(t.clone)
	if err != nil {
		return nil, err
	}
	cfg := t.settings.grpo
	cfg.Dir = filepath.Join(t.dir, dir)
	bar := &cli.Progress{Name: name, W: t.log}
	defer bar.Close()
	cfg.OnStep = func(step, total int, m grpo.Metrics) {
		bar.Set(step, total, fmt.Sprintf("reward %.3f KL %.4f", m["reward"], m["kl"]))
	}
	trainer, err := grpo.NewGRPOTrainer(p, []reward.Weighted{{Scorer: s, Weight: 1, Name: "reward_model"}}, cfg)
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	return p, trainer.Train(ctx, learner.Mixed(items, cfg.Seed))
}

// shuffled returns a scorer that gives the samples of a call each other's rewards. The
// order depends on the seed and the samples alone, so that a resumed run repeats it.
func shuffled(s reward.Scorer, seed uint64) reward.Scorer {
	return reward.ScorerFunc(func(ctx context.Context, samples []reward.Sample) ([]float64, error) {
		rewards, err := s.Score(ctx, samples)
		r := rand.New(rand.NewPCG(seed, fingerprint(samples)))
		r.Shuffle(len(rewards), func(i, j int) { rewards[i], rewards[j] = rewards[j], rewards[i] })
		return rewards, err
	})
}

// fingerprint is a number that depends on every token of the samples.
func fingerprint(samples []reward.Sample) uint64 {
	h := fnv.New64a()
	for _, s := range samples {
		fmt.Fprintln(h, s.PromptIDs, s.CompletionIDs)
	}
	return h.Sum64()
}
