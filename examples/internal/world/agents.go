package world

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// Player makes the agent that plays the learner's side of a case. It is called
// once per episode and must be safe for concurrent use.
type Player func(c Case) episode.Agent

// Best returns the scripted best player: right tone, right act, right option,
// by nothing but what the learner can know. It reaches goal 10 in every case.
func Best() Player {
	return func(c Case) episode.Agent {
		return mover(c, func(s *state) episode.Action { return say(s.bestMove().Text(c.Scenario.Kind)) })
	}
}

// Random returns a player that picks any move of the situation, all equally
// likely, and walks out once in twenty turns.
func Random(seed uint64) Player {
	return func(c Case) episode.Agent {
		r := c.source(seed, purposeMove)
		return mover(c, func(*state) episode.Action {
			if r.IntN(20) == 0 {
				return episode.Action{Type: episode.Leave}
			}
			moves := moveTable[c.Scenario.Kind].moves
			return say(moves[r.IntN(len(moves))].Text(c.Scenario.Kind))
		})
	}
}

// The skill of a [Noisy] player is drawn evenly from this range.
const (
	leastSkill = 0.25
	mostSkill  = 0.75
)

// A [Noisy] player stumbles over its words in this share of its turns, and says
// something that belongs to another kind of situation in that share.
const (
	stumbles  = 0.05
	strayings = 0.05
)

// Noisy returns a player of mixed skill: each episode draws one skill, and
// tone, act and option of a move are each the best with that probability, and
// otherwise any. Once in twenty turns it stumbles over its words as well: one or
// two are lost, mistaken or too many; and once in twenty turns its words are of
// another kind of situation. Mostly the partner does not understand either. Such
// players are where training data come from: whoever learns from them what moves
// are worth learns also that only whole sentences count, and only in their place.
func Noisy(seed uint64) Player {
	return func(c Case) episode.Agent {
		skill := leastSkill + (mostSkill-leastSkill)*c.source(seed, purposeSkill).Float64()
		r := c.source(seed, purposeMove)
		return mover(c, func(s *state) episode.Action { return say(s.noisyText(skill, r)) })
	}
}

// noisyText is what a noisy player says.
func (s *state) noisyText(skill float64, r *rand.Rand) string {
	m := s.noisyMove(skill, r)
	switch x := r.Float64(); {
	case x < stumbles:
		return stumble(m.Text(s.c.Scenario.Kind), r)
	case x < stumbles+strayings:
		k := Kind(r.IntN(int(kinds)))
		stray := moveTable[k].moves[r.IntN(len(moveTable[k].moves))]
		return Move{m.Tone, stray.Act, stray.Option}.Text(k)
	}
	return m.Text(s.c.Scenario.Kind)
}

// stumble returns the text with one or two words lost, mistaken for others or too
// many.
func stumble(text string, r *rand.Rand) string {
	words := strings.Fields(text)
	for range 1 + r.IntN(2) {
		i := r.IntN(len(words))
		other := sayable[r.IntN(len(sayable))]
		switch r.IntN(3) {
		case 0:
			words = slices.Delete(words, i, i+1)
		case 1:
			words[i] = other
		default:
			words = slices.Insert(words, i, other)
		}
	}
	return strings.Join(words, " ")
}

// sayable are the words of all moves, each as often as it stands in them.
var sayable = func() (words []string) {
	for _, k := range Kinds() {
		for _, m := range moveTable[k].moves {
			words = append(words, strings.Fields(m.Text(k))...)
		}
	}
	return words
}()

// Skilled returns a player of one skill, 0..1; see [Noisy].
func Skilled(skill float64, seed uint64) Player {
	return func(c Case) episode.Agent {
		r := c.source(seed, purposeMove)
		return mover(c, func(s *state) episode.Action { return say(s.noisyMove(skill, r).Text(c.Scenario.Kind)) })
	}
}

// Constant returns a player that says the same in every turn of every case.
func Constant(text string) Player {
	return func(Case) episode.Agent {
		return episode.AgentFunc(func(context.Context, episode.Observation) (episode.Action, error) { return say(text), nil })
	}
}

// Replies makes a player of a function from prompts to replies, such as a model
// that is sampled. Prompts are those of [Template]; see [Play]. A reply that
// holds no action counts as doing nothing.
func Replies(reply func(ctx context.Context, c Case, turn int, prompt string) (string, error)) Player {
	return func(c Case) episode.Agent {
		return episode.AgentFunc(func(ctx context.Context, o episode.Observation) (episode.Action, error) {
			text, err := reply(ctx, c, o.Turn, Template().Render(o.Agent, o.History(), o.Turn))
			if err != nil {
				return episode.Action{}, err
			}
			action, err := episode.ParseAction(text)
			if err != nil {
				return episode.Action{Type: episode.None}, nil
			}
			return action, nil
		})
	}
}

// source returns the case's own stream of random numbers.
func (c Case) source(seed, purpose uint64) *rand.Rand {
	return source(seed, purpose, hash(c.Scenario.Codename), c.Seed, uint64(c.Index))
}

// mover makes an agent of a function that sees what has happened. The function
// must use only what the partner's words tell: mood, opened, agreed, and the
// fact where it is known.
func mover(c Case, choose func(*state) episode.Action) episode.Agent {
	s := newState(c)
	return episode.AgentFunc(func(context.Context, episode.Observation) (episode.Action, error) {
		action := choose(s)
		s.take(action)
		return action, nil
	})
}

// bestMove is what serves the learner most.
func (s *state) bestMove() Move {
	m := Move{Tone: s.c.Partner.Temper.Wants(), Act: s.bestAct()}
	if m.Act == Offer {
		m.Option = s.c.Fact
	}
	return m
}

func (s *state) bestAct() Act {
	switch {
	case s.agreed:
		return Close
	case !s.opened:
		return Open
	case !s.known:
		return Ask
	}
	return Offer
}

// noisyMove is the best move, tone, act and option each replaced by any with
// the probability 1 - skill. What is not known cannot be offered but by chance.
func (s *state) noisyMove(skill float64, r *rand.Rand) Move {
	m := s.bestMove()
	slip := func() bool { return r.Float64() >= skill }
	if slip() {
		m.Tone = Tone(r.IntN(int(tones)))
	}
	if slip() {
		m.Act = s.anyAct(r)
	}
	switch n := len(kindTable[s.c.Scenario.Kind].options); {
	case m.Act != Offer:
		m.Option = 0
	case !s.known || slip():
		m.Option = r.IntN(n)
	default:
		m.Option = s.c.Fact
	}
	return m
}

func (s *state) anyAct(r *rand.Rand) Act {
	if s.c.Scenario.Kind.needsOpening() {
		return Act(r.IntN(int(Close) + 1))
	}
	return Ask + Act(r.IntN(int(Close)))
}
