package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/learner"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// teach returns a policy that begins as p and learned the lessons. What is finished in the
// folder is not trained again.
func (l *loop) teach(ctx context.Context, p *policy.Policy, lessons lessons, dir string) (*policy.Policy, error) {
	clone, err := learner.Successor(p)
	if err != nil {
		return nil, err
	}
	defer clone.Adapter().Close()
	if err := l.clone(ctx, clone, lessons, l.sizes.sft, filepath.Join(dir, "sft")); err != nil {
		return nil, err
	}
	rm, err := l.valuer(clone)
	if err != nil {
		return nil, err
	}
	defer rm.Close()
	if err := l.learnReward(ctx, rm, lessons, filepath.Join(dir, "reward")); err != nil {
		return nil, fmt.Errorf("reward model: %w", err)
	}
	next, err := learner.Successor(clone)
	if err != nil {
		return nil, err
	}
	if err := l.improve(ctx, next, rm, lessons, filepath.Join(dir, "grpo")); err != nil {
		next.Adapter().Close()
		return nil, fmt.Errorf("GRPO: %w", err)
	}
	return next, nil
}

// clone trains a policy to do what was done in its best episodes.
func (l *loop) clone(ctx context.Context, p *policy.Policy, lessons lessons, cfg policy.SFTConfig, dir string) error {
	cfg.Dir = dir
	bar := &cli.Progress{Name: "behaviour cloning", W: l.Err}
	defer bar.Close()
	cfg.OnStep = bar.OnFit
	if _, err := policy.SFT(ctx, p, lessons.best, cfg); err != nil {
		return fmt.Errorf("behaviour cloning: %w", err)
	}
	return nil
}

// learnReward trains a reward model on what utterances are worth.
func (l *loop) learnReward(ctx context.Context, rm *reward.RewardModel, lessons lessons, dir string) error {
	cfg := l.sizes.reward
	cfg.Dir = dir
	bar := &cli.Progress{Name: "reward model", W: l.Err}
	defer bar.Close()
	cfg.OnStep = bar.OnFit
	return rm.Train(ctx, lessons.records, cfg)
}

// improve trains a policy against the reward model.
func (l *loop) improve(ctx context.Context, p *policy.Policy, rm *reward.RewardModel, lessons lessons, dir string) error {
	cfg := l.sizes.grpo
	cfg.Dir = dir
	bar := &cli.Progress{Name: "GRPO", W: l.Err}
	defer bar.Close()
	cfg.OnStep = func(step, total int, m grpo.Metrics) {
		bar.Set(step, total, fmt.Sprintf("reward %.3f KL %.4f", m["reward"], m["kl"]))
	}
	if s, ok := l.ground.(roller); ok {
		cfg.Rollout = s.rollout(p, cfg)
	}
	t, err := grpo.NewGRPOTrainer(p, []reward.Weighted{{Scorer: rm, Weight: 1, Name: "reward_model"}}, cfg)
	if err != nil {
		return err
	}
	defer t.Close()
	return t.Train(ctx, learner.Mixed(lessons.items, cfg.Seed))
}

// roller is a ground in which GRPO samples otherwise than freely.
type roller interface {
	rollout(p *policy.Policy, cfg grpo.Config) func(ctx context.Context, prompts [][]int, n int) ([][]policy.Completion, error)
}
