package attribution

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/episode"
)

// EvidenceFunc looks at a finished episode and says, for each utterance of the
// agent in order, how much speaks for its having mattered: 0 for nothing, 1 for
// full credit, or [Masked] for an utterance that cannot be judged. It must be
// safe for concurrent use.
type EvidenceFunc func(ep *episode.Episode, agent string) ([]float64, error)

// Evidence credits utterances by what can be seen in the dialogue, without a
// model. With evidence e in 0..1, attribution and reward are
//
//	a = Scale * e
//	r = a/Scale * score,   or a/sum(a) * score where Normalized is set
//
// Attributions need not be whole numbers. Its name in files is "evidence", or
// "evidence_normalized"; give two functions two names by [Named].
type Evidence struct {
	Dimension  episode.Dimension // "" is goal
	Scale      int               // highest attribution; 0 is 3
	Normalized bool              // share the score out instead of scaling it
	Func       EvidenceFunc      // nil: [LexicalEvidence] with the weights of the dimension
}

// Method implements [Described].
func (e Evidence) Method() Method {
	e = e.withDefaults()
	m := Method{Name: "evidence", Dimension: e.Dimension, Scale: e.Scale}
	if e.Normalized {
		m.Name = "evidence_normalized"
	}
	return m
}

// Attribute implements [Attributor]. An error of Func, evidence outside its
// range, or another number of values than the agent has utterances is an error.
func (e Evidence) Attribute(_ context.Context, ep *episode.Episode, agent string) (*Attribution, error) {
	e = e.withDefaults()
	if e.Scale < 0 {
		return nil, fmt.Errorf("attribution: Evidence: Scale is %d, want a positive number", e.Scale)
	}
	a, err := begin(ep, agent, e.Method())
	if err != nil {
		return nil, err
	}
	values, err := e.Func(ep, agent)
	if err == nil {
		err = checkEvidence(values, a.Own())
	}
	if err != nil {
		return nil, fmt.Errorf("attribution: %s: %w", a.Key, err)
	}
	scores := make([]float64, len(values))
	for i, v := range values {
		scores[i] = v * float64(e.Scale)
		if v == Masked {
			scores[i] = Masked
		}
	}
	a.rate(scores, float64(e.Scale), e.Normalized)
	return a, nil
}

func (e Evidence) withDefaults() Evidence {
	e.Dimension = orGoal(e.Dimension)
	if e.Scale == 0 {
		e.Scale = 3
	}
	if e.Func == nil {
		e.Func = LexicalEvidence(DefaultLexicalWeights(e.Dimension))
	}
	return e
}

func checkEvidence(values []float64, own []Credit) error {
	if len(values) != len(own) {
		return fmt.Errorf("evidence for %d utterances, want %d", len(values), len(own))
	}
	for i, v := range values {
		if v != Masked && !(v >= 0 && v <= 1) {
			return fmt.Errorf("evidence for utterance %d is %v, want 0..1 or %d", own[i].Index, v, Masked)
		}
	}
	return nil
}

// LexicalWeights says how much each kind of [LexicalEvidence] counts. Only their
// ratios matter.
type LexicalWeights struct {
	Novelty float64 // says what the agent has not said before
	Goal    float64 // speaks of the agent's goal
	Uptake  float64 // is taken up in the other's next utterance
}

// DefaultLexicalWeights returns weights that put half of the total on what the
// dimension is about: the goal for goal, uptake for relationship, novelty for
// knowledge. Other dimensions weigh all three alike.
func DefaultLexicalWeights(d episode.Dimension) LexicalWeights {
	switch d {
	case episode.Goal, episode.GoalBarebone:
		return LexicalWeights{Novelty: 1, Goal: 2, Uptake: 1}
	case episode.Relationship:
		return LexicalWeights{Novelty: 1, Goal: 1, Uptake: 2}
	case episode.Knowledge:
		return LexicalWeights{Novelty: 2, Goal: 1, Uptake: 1}
	}
	return LexicalWeights{1, 1, 1}
}

// LexicalEvidence judges an utterance by its words, which makes it weak but
// cheap, repeatable and independent of any model. Let W(u) be the set of content
// words of utterance u (in lower case, without common function words and the
// agents' names), own(u) the words of the agent's earlier utterances, all(u) those of every earlier
// utterance, G the words of the goal, and reply(u) the words of the other's
// utterance that follows at once:
//
//	novelty(u) = |W(u) - own(u)| / |W(u)|
//	goal(u)    = |W(u) & G| / max over the agent's v of |W(v) & G|
//	uptake(u)  = |(W(u) - all(u)) & reply(u)| / |W(u) - all(u)|
//	s(u)       = weighted mean of the three
//	e(u)       = s(u) / max over the agent's v of s(v)
//
// A ratio with denominator 0 is 0. Where no utterance of the other follows,
// uptake is unknown and the mean is over the other two; likewise goal where the
// episode tells none. The best utterance has evidence 1, and an utterance that
// repeats itself, leaves the goal alone and is passed over has 0. An utterance
// without content words has 0.
//
// It panics where a weight is negative or all of them are 0.
func LexicalEvidence(w LexicalWeights) EvidenceFunc {
	if min(w.Novelty, w.Goal, w.Uptake) < 0 || w.Novelty+w.Goal+w.Uptake == 0 {
		panic("attribution: LexicalEvidence needs weights that are not negative and not all 0")
	}
	return func(ep *episode.Episode, agent string) ([]float64, error) {
		if _, err := ep.Seat(agent); err != nil {
			return nil, err
		}
		return w.evidence(ep, agent), nil
	}
}
