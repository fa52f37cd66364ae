package episode

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Proposal is one thing that an agent could do in a turn.
type Proposal struct {
	Prompt string // what its model was asked
	Reply  string // what the model answered
	Action Action // what the reply says
}

// Proposer is an agent that can propose several actions for one turn. A turn has
// at least one proposal and at most n.
type Proposer interface {
	Propose(ctx context.Context, o Observation, n int) ([]Proposal, error)
}

// ActionScorer says how good proposals for one turn are: one number for each, the
// higher the better; NaN where a proposal cannot be scored.
type ActionScorer interface {
	ScoreActions(ctx context.Context, o Observation, proposals []Proposal) ([]float64, error)
}

// ActionScorerFunc makes an [ActionScorer] of a function.
type ActionScorerFunc func(ctx context.Context, o Observation, proposals []Proposal) ([]float64, error)

// ScoreActions calls f.
func (f ActionScorerFunc) ScoreActions(ctx context.Context, o Observation, proposals []Proposal) ([]float64, error) {
	return f(ctx, o, proposals)
}

// BestOfN is an agent that does the best of several things that another one
// proposes.
type BestOfN struct {
	Agent  Proposer
	Scorer ActionScorer
	N      int // proposals to ask for, at least 1
}

// ErrUnscored says that none of an agent's proposals could be scored.
var ErrUnscored = errors.New("no proposal could be scored")

// Act does what scores highest, the first of these on a tie. Where nothing can be
// scored the error wraps [ErrUnscored].
func (b *BestOfN) Act(ctx context.Context, o Observation) (Action, error) {
	proposals, err := b.Agent.Propose(ctx, o, max(1, b.N))
	if err != nil {
		return Action{}, err
	}
	scores, err := b.Scorer.ScoreActions(ctx, o, proposals)
	if err != nil {
		return Action{}, fmt.Errorf("%s, turn %d: scorer: %w", o.Agent, o.Turn, err)
	}
	if len(scores) != len(proposals) {
		return Action{}, fmt.Errorf("%s, turn %d: scorer gave %d scores for %d proposals", o.Agent, o.Turn, len(scores), len(proposals))
	}
	best := -1
	for i, s := range scores {
		if !math.IsNaN(s) && (best < 0 || s > scores[best]) {
			best = i
		}
	}
	if best < 0 {
		return Action{}, fmt.Errorf("%s, turn %d: %w", o.Agent, o.Turn, ErrUnscored)
	}
	return proposals[best].Action, nil
}
