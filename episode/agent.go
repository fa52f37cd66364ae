package episode

import (
	"context"
	"strings"
)

// Agent decides what one participant of an episode does in a turn. An agent may
// keep state of the episode it plays in; whether several episodes may share one
// is its own affair. [LLMAgent], [BestOfN], [Human] and [Script] are agents.
type Agent interface {
	Act(ctx context.Context, o Observation) (Action, error)
}

// AgentFunc makes an [Agent] of a function.
type AgentFunc func(ctx context.Context, o Observation) (Action, error)

// Act calls f.
func (f AgentFunc) Act(ctx context.Context, o Observation) (Action, error) { return f(ctx, o) }

// Observation is what an agent knows when it is its turn.
type Observation struct {
	EpisodeID string
	Agent     string   // name of the agent that is to act
	Seat      int      // 0 for the first speaker, 1 for the second
	Turn      int      // number of the turn, from 0
	OwnTurn   int      // how many turns the agent was asked in before
	Messages  []string // everything the environment told the agent so far; the first is its view of the scene

	// Dialogue is what both agents did so far. Neither slice may be changed.
	Dialogue []Utterance

	log *replyLog // where the agent's replies are counted; nil outside of [Play]
}

// History returns the messages joined by newlines, as a [PromptTemplate] takes
// them.
func (o Observation) History() string { return strings.Join(o.Messages, "\n") }

// Script is an agent that does what it is told, one action a turn of its own,
// and leaves when there is nothing more to do.
type Script []Action

// Act returns the action of the agent's n-th turn.
func (s Script) Act(_ context.Context, o Observation) (Action, error) {
	if o.OwnTurn < len(s) {
		return s[o.OwnTurn], nil
	}
	return Action{Type: Leave}, nil
}
