package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/world"
)

// referee plays cases, has the world's judge score the episodes, and counts how often
// it was asked. Whoever trains is given no referee.
type referee struct {
	cases map[string]world.Case // by the id of their episode
	calls atomic.Int64
}

func newReferee(cases ...[]world.Case) *referee {
	r := &referee{cases: map[string]world.Case{}}
	for _, some := range cases {
		for _, c := range some {
			r.cases[c.ID()] = c
		}
	}
	return r
}

// Evaluate implements [episode.Evaluator].
func (r *referee) Evaluate(ctx context.Context, e *episode.Episode) (episode.Judgement, error) {
	c, ok := r.cases[e.ID]
	if !ok {
		return episode.Judgement{}, fmt.Errorf("episode %s is of no known case", e.ID)
	}
	r.calls.Add(1)
	return world.Judge{Case: c}.Evaluate(ctx, e)
}

// play plays each case once with a scripted player.
func (r *referee) play(ctx context.Context, cases []world.Case, p world.Player) ([]*episode.Episode, error) {
	episodes := make([]*episode.Episode, len(cases))
	for i, c := range cases {
		e, err := world.PlayCase(ctx, c, p(c), false, episode.WithEvaluator(r))
		if err != nil {
			return nil, err
		}
		episodes[i] = e
	}
	return episodes, nil
}

// playTogether plays all cases at once with a player that answers many prompts
// together.
func (r *referee) playTogether(ctx context.Context, cases []world.Case, reply func(context.Context, []world.Prompt) ([]string, error)) ([]*episode.Episode, error) {
	return world.Lockstep(ctx, cases, false, reply, episode.WithEvaluator(r))
}
