package episode

import (
	"context"
	"fmt"
	"strings"
)

// Agent decides what one participant of an episode does in a turn. An agent may
// keep state of the episode it plays in; whether several episodes may share one
// is its own affair. [LLMAgent] and [Script] are agents.
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
	Messages  []string // everything the environment told the agent so far; the first is its view of the scene

	// Dialogue is what both agents did so far. Neither slice may be changed.
	Dialogue []Utterance
}

// History returns the messages joined by newlines, as a [PromptTemplate] takes
// them.
func (o Observation) History() string { return strings.Join(o.Messages, "\n") }

// LLMAgent lets a chat model act: it fills the template and parses the reply.
type LLMAgent struct {
	LLM         LLM
	Template    *PromptTemplate // nil: [DefaultPrompt]
	Temperature *float64        // nil: 1, as SOTOPIA plays
	MaxTokens   int             // of a reply; 0: the model's default
	Reformat    LLM             // asked once to put an unreadable reply into form; nil: such a reply does nothing at once
	OnError     func(Observation, error)
}

// Act asks the model. A reply that is no action is reported to OnError, where
// that is set, then given once to Reformat, and counts as doing nothing if that
// does not help either. An error of the model itself is returned.
func (a *LLMAgent) Act(ctx context.Context, o Observation) (Action, error) {
	temperature := a.Temperature
	if temperature == nil {
		temperature = new(1.0)
	}
	reply, err := a.LLM.Chat(ctx, Request{
		Messages:    Prompt(a.Template.Render(o.Agent, o.History(), o.Turn)),
		Temperature: temperature, MaxTokens: a.MaxTokens,
	})
	if err != nil {
		return Action{}, fmt.Errorf("%s, turn %d: %w", o.Agent, o.Turn, err)
	}
	action, err := ParseAction(reply.Text)
	if err == nil {
		return action, nil
	}
	a.report(o, err)
	if a.Reformat == nil {
		return Action{Type: None}, nil
	}
	return a.reformat(ctx, o, reply.Text)
}

const reformatPrompt = `The text below should be one JSON object of the form
{"action_type": "none|speak|non-verbal communication|action|leave", "argument": "..."}
but cannot be read as one. Write that object, with the same meaning and the same wording, and nothing else.

`

func (a *LLMAgent) reformat(ctx context.Context, o Observation, bad string) (Action, error) {
	reply, err := a.Reformat.Chat(ctx, Request{Messages: Prompt(reformatPrompt + bad), Temperature: new(0.0), JSON: true})
	if err != nil {
		return Action{}, fmt.Errorf("%s, turn %d: reformat: %w", o.Agent, o.Turn, err)
	}
	action, err := ParseAction(reply.Text)
	if err != nil {
		a.report(o, err)
		return Action{Type: None}, nil
	}
	return action, nil
}

func (a *LLMAgent) report(o Observation, err error) {
	if a.OnError != nil {
		a.OnError(o, err)
	}
}

// Script is an agent that does what it is told, one action a turn of its own,
// and leaves when there is nothing more to do.
type Script []Action

// Act returns the action of the agent's n-th turn.
func (s Script) Act(_ context.Context, o Observation) (Action, error) {
	if n := o.Turn / 2; n < len(s) {
		return s[n], nil
	}
	return Action{Type: Leave}, nil
}
