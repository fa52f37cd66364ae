package world

import (
	"context"

	"github.com/socialrl/socialrl/episode"
)

// moodWords open every reply of the partner, so that the learner can tell how
// it feels. From worst to best; in the worst mood the partner leaves instead.
var moodWords = map[int]string{-1: "Careful. ", 0: "Hm. ", 1: "Fine. ", 2: "Gladly. "}

// The partner's words for events that are the same in every kind.
var eventWords = map[Event]string{
	Nothing:   "Go on.",
	Confused:  "What do you mean?",
	Opened:    "I hear you.",
	Evaded:    "I would rather not say.",
	Agreed:    "We agree.",
	Refused:   "That is not it.",
	Repeated:  "You said that before.",
	Offended:  "Do not push me.",
	Premature: "Thank me for what?",
	Reopened:  "We did agree.",
}

// Partner is the scripted side of one episode. It has a temper, a mood, limits
// and patience, and hides something; see the package comment. Make one per
// episode with [NewPartner].
type Partner struct{ state *state }

// NewPartner returns the partner of a case.
func NewPartner(c Case) *Partner { return &Partner{newState(c)} }

// Act takes in what the learner did last, and answers.
func (p *Partner) Act(_ context.Context, o episode.Observation) (episode.Action, error) {
	if o.Turn == 0 {
		return say(p.greeting()), nil
	}
	action := episode.Action{Type: episode.None}
	if n := len(o.Dialogue); n > 0 && o.Dialogue[n-1].Turn == o.Turn-1 {
		action = o.Dialogue[n-1].Action
	}
	e := p.state.take(action)
	if p.state.over {
		return episode.Action{Type: episode.Leave}, nil
	}
	return say(moodWords[p.state.mood] + p.words(e)), nil
}

func say(text string) episode.Action { return episode.Action{Type: episode.Speak, Argument: text} }

// greeting is what the partner says where it speaks first.
func (p *Partner) greeting() string {
	if p.state.c.Told {
		return "Hello. " + p.fact()
	}
	return "Hello."
}

func (p *Partner) fact() string {
	c := p.state.c
	return kindTable[c.Scenario.Kind].options[c.Fact].fact
}

func (p *Partner) words(e Event) string {
	switch e {
	case Revealed:
		return p.fact()
	case TooEarly:
		return kindTable[p.state.c.Scenario.Kind].first
	}
	return eventWords[e]
}

// take brings the state up to date with an action of the learner.
func (s *state) take(a episode.Action) Event {
	switch a.Type {
	case episode.None:
		s.pass()
	case episode.Leave:
		s.leave()
	case episode.Speak:
		m, ok := ParseMove(s.c.Scenario.Kind, a.Argument)
		s.hear(m, ok)
	default: // gestures are no moves
		s.hear(Move{}, false)
	}
	return s.events[len(s.events)-1]
}
