package world

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"gonum.org/v1/gonum/stat"
)

// The rules of the evidence, one line each: the attribution, 0..3, of the last
// move in goal, relationship and knowledge.
func TestEvidenceRules(t *testing.T) {
	const fact = 2
	ask, closes := Move{Tone: Gentle, Act: Ask}, Move{Tone: Gentle, Act: Close}
	offer := func(tone Tone) Move { return Move{Tone: tone, Act: Offer, Option: fact} }
	rules := []struct {
		rule                      string
		kind                      Kind
		moves                     []Move
		goal, relation, knowledge float64
	}{
		{"it made the partner tell", Favour, []Move{ask}, 3, 3, 3},
		{"it was answered, not told", Favour, []Move{{Tone: Ramble, Act: Ask}}, 0, 1, 0},
		{"gladly agreed", Favour, []Move{ask, offer(Gentle)}, 3, 3, 2},
		{"agreed, a little less gladly", Favour, []Move{offer(Gentle)}, 2, 3, 2},
		{"agreed with a shrug", Favour, []Move{offer(Ramble)}, 1, 1, 2},
		{"refused", Favour, []Move{ask, {Tone: Gentle, Act: Offer}}, 0, 1, 0},
		{"thanks after the agreement", Favour, []Move{ask, offer(Gentle), closes}, 3, 3, 0},
		{"more talk after it", Favour, []Move{ask, offer(Gentle), ask}, 0, 0, 0},
		{"thanks before it", Favour, []Move{ask, closes}, 0, 1, 0},
		{"the partner gets angry and leaves", Favour, []Move{ask, {Tone: Cold, Act: Push}, {Tone: Cold, Act: Push}}, 0, 3, 0},
		{"a good opening", Apology, []Move{{Tone: Gentle, Act: Open}}, 3, 3, 0},
		{"a lesser one", Apology, []Move{{Tone: Ramble, Act: Open}}, 2, 1, 0},
		{"the right tone alone", Exchange, []Move{ask}, 1, 3, 0},
	}
	for _, r := range rules {
		c := caseOf(r.kind, fact)
		var script episode.Script
		for _, m := range r.moves {
			script = append(script, say(m.Text(r.kind)))
		}
		e, err := PlayCase(context.Background(), c, script, true)
		if err != nil {
			t.Fatal(err)
		}
		for d, want := range map[episode.Dimension]float64{
			episode.Goal: r.goal, episode.Relationship: r.relation, episode.Knowledge: r.knowledge,
		} {
			a, err := attribution.Evidence{Dimension: d, Func: Evidence(d)}.Attribute(context.Background(), e, c.Learner.Name)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.Own()[len(r.moves)-1].Attribution; got != want {
				t.Errorf("%s: %s %v, want %v\n%s", r.rule, d, got, want, e.SocialInteractions)
			}
		}
	}
}

// fork returns a copy of s that lives on by itself.
func (s *state) fork() *state {
	f := *s
	f.events, f.moods = slices.Clone(s.events), slices.Clone(s.moods)
	return &f
}

// trial plays a move and goes on with a player of middling skill. It returns
// the goal in the end, and the reward that attribution gives the move for it.
func (s *state) trial(m Move, r *rand.Rand) (goal, reward float64) {
	f := s.fork()
	x := exchange{said: m.Text(s.c.Scenario.Kind), before: s.mood, agreed: s.agreed, mood: worstMood}
	if s.turns == 0 {
		x.before = 0
	}
	event := f.hear(m, true)
	if !f.over {
		x.mood, x.answer = f.mood, (&Partner{f}).words(event)
	}
	f.finish(func(s *state) episode.Action { return say(s.noisyMove(0.5, r).Text(s.c.Scenario.Kind)) })
	return f.goal(), attribution.ScaledReward(float64(goalCredit(x)), 3, f.goal())
}

// trials returns mean goal and mean reward of every move over n trials.
func (s *state) trials(n int, r *rand.Rand) (goals, rewards []float64) {
	for _, m := range moveTable[s.c.Scenario.Kind].moves {
		var g, w float64
		for range n {
			goal, reward := s.trial(m, r)
			g += goal / float64(n)
			w += reward / float64(n)
		}
		goals, rewards = append(goals, g), append(rewards, w)
	}
	return goals, rewards
}

func spearman(x, y []float64) float64 { return stat.Correlation(ranks(x), ranks(y), nil) }

// ranks returns the rank of each element, the mean rank for equal ones.
func ranks(x []float64) []float64 {
	sorted := slices.Sorted(slices.Values(x))
	r := make([]float64, len(x))
	for i, v := range x {
		lo, _ := slices.BinarySearch(sorted, v)
		hi := lo
		for hi < len(sorted) && sorted[hi] == v {
			hi++
		}
		r[i] = float64(lo+hi-1) / 2
	}
	return r
}

// TestCreditIsAligned asks the simulator what every move is truly worth in the
// situations that players get into, and compares that with the reward that
// attribution gives it: within a situation the two must rank moves alike.
func TestCreditIsAligned(t *testing.T) {
	const n = 16
	r := source(1, purposeMove)
	var correlations []float64
	_, heldOut := Split(Scenarios(), 1)
	for _, c := range Cases(heldOut, 2, 1) {
		s := newState(c)
		for range r.IntN(4) {
			if f := s.fork(); !f.over {
				if f.hear(f.noisyMove(0.5, r), true); !f.over {
					s = f
				}
			}
		}
		goals, rewards := s.trials(n, r)
		if rho := spearman(goals, rewards); rho == rho { // some situations are lost whatever one says
			correlations = append(correlations, rho)
		}
	}
	mean := stat.Mean(correlations, nil)
	t.Logf("rank correlation of a move's reward with what it is worth: %.2f, over %d situations", mean, len(correlations))
	if mean < 0.4 || len(correlations) < 40 {
		t.Errorf("mean rank correlation %.2f over %d situations, want at least 0.4 over 40", mean, len(correlations))
	}
}

// TestGreedyOnCreditPlaysWell: who says in every situation what the attributed
// rewards of middling players recommend plays far better than they do.
func TestGreedyOnCreditPlaysWell(t *testing.T) {
	r := source(2, purposeMove)
	_, heldOut := Split(Scenarios(), 1)
	cases := Cases(heldOut, 1, 1)
	var greedy, middling float64
	for _, c := range cases {
		moves := moveTable[c.Scenario.Kind].moves
		greedy += simulate(c, func(s *state) episode.Action {
			_, rewards := s.trials(10, r)
			best := slices.Index(rewards, slices.Max(rewards))
			return say(moves[best].Text(c.Scenario.Kind))
		}).goal() / float64(len(cases))
	}
	middling = Mean(evaluate(t, cases, Skilled(0.5, 1))).Goal
	t.Logf("goal %.2f by the best expected reward, %.2f of the players that it was learned from", greedy, middling)
	if greedy < middling+4 {
		t.Errorf("goal %.2f, want 4 more than %.2f", greedy, middling)
	}
}
