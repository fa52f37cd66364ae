package main

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/learner"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/policy"
)

// The players, in the order of the table.
const (
	randomPlayer  = "random agent"
	clonePlayer   = "cloned policy"
	controlPlayer = "shuffled rewards"
	grpoPlayer    = "GRPO policy"
	bestPlayer    = "scripted best"
)

// evaluate plays the held-out cases with everybody.
func (x *experiment) evaluate(ctx context.Context, t *taught) error {
	x.out.Cases = x.evaluation
	x.out.Constant, x.out.ConstantOf = world.BestConstant(x.evaluation)
	if err := x.evaluateScript(ctx, randomPlayer, world.Random(x.seed)); err != nil {
		return err
	}
	models := []struct {
		name   string
		policy *policy.Policy
	}{{clonePlayer, t.clone}, {controlPlayer, t.control}, {grpoPlayer, t.trained}}
	for _, m := range models {
		if m.policy == nil {
			continue
		}
		if err := x.evaluateModel(ctx, m.name, m.policy); err != nil {
			return err
		}
	}
	return x.evaluateScript(ctx, bestPlayer, world.Best())
}

func (x *experiment) evaluateScript(ctx context.Context, name string, p world.Player) error {
	episodes, err := x.ref.play(ctx, x.evaluation, p)
	if err != nil {
		return err
	}
	return x.enter(name, episodes)
}

func (x *experiment) evaluateModel(ctx context.Context, name string, p *policy.Policy) error {
	s, err := learner.NewSampler(p, x.seed, x.settings.grpo.MaxCompletion)
	if err != nil {
		return err
	}
	fmt.Fprintf(x.log, "evaluating: %s\n", name)
	episodes, err := x.ref.playTogether(ctx, x.evaluation, s.Reply)
	if err != nil {
		return err
	}
	return x.enter(name, episodes)
}

// enter makes a row of the table.
func (x *experiment) enter(name string, episodes []*episode.Episode) error {
	scores, err := world.Scores(x.evaluation, episodes)
	x.out.Players = append(x.out.Players, player{name, scores, episodes})
	return err
}
