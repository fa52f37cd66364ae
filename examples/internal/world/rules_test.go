package world

import (
	"context"
	"fmt"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// caseOf returns a case of the kind: the learner speaks first, the partner is
// touchy (wants Gentle, cannot stand Brief) and hides the given option.
func caseOf(k Kind, fact int) Case {
	for _, s := range Scenarios() {
		if s.Kind == k {
			return Case{Scenario: s, Learner: Characters()[1], Partner: Characters()[0], Fact: fact}
		}
	}
	panic("no scenario of this kind")
}

// hear plays moves against the partner of a case.
func hear(c Case, moves ...Move) *state {
	s := newState(c)
	for _, m := range moves {
		s.hear(m, true)
	}
	return s
}

func TestTempers(t *testing.T) {
	for temper := range tempers {
		info := temperTable[temper]
		if info.wants == info.detested || info.wants >= Cold || info.detested >= Cold {
			t.Errorf("%v wants %v and detests %v", temper, info.wants, info.detested)
		}
		for _, tone := range Tones() {
			want := 0
			switch tone {
			case info.wants:
				want = 1
			case info.detested, Cold:
				want = -1
			}
			if got := temper.effect(tone); got != want {
				t.Errorf("tone %d moves %v by %d, want %d", tone, temper, got, want)
			}
		}
	}
	count := map[Temper]int{}
	for _, c := range Characters() {
		count[c.Temper]++
	}
	for temper := range tempers {
		if count[temper] != 4 {
			t.Errorf("%d characters are %v, want 4", count[temper], temper)
		}
	}
}

// The rules of the partner, one line each: what the last move brings about, and
// the mood after it.
func TestPartnerRules(t *testing.T) {
	const fact = 2
	ask, asked := Move{Tone: Gentle, Act: Ask}, Move{Tone: Ramble, Act: Ask}
	fits := Move{Tone: Gentle, Act: Offer, Option: fact}
	rules := []struct {
		rule  string
		kind  Kind
		moves []Move
		event Event
		mood  int
		over  bool
	}{
		{"asked in the right tone it opens up", Favour, []Move{ask}, Revealed, 1, false},
		{"asked in a tone that is neither it does not", Favour, []Move{asked}, Evaded, 0, false},
		{"asked in the tone it detests it cools", Favour, []Move{{Tone: Brief, Act: Ask}}, Evaded, -1, false},
		{"and never asks to be asked twice", Favour, []Move{ask, ask}, Repeated, 1, false},
		{"what fits is agreed to", Favour, []Move{ask, fits}, Agreed, 2, false},
		{"by chance too", Favour, []Move{fits}, Agreed, 1, false},
		{"but not in a bad mood", Favour, []Move{{Tone: Cold, Act: Ask}, {Tone: Ramble, Act: Offer, Option: fact}}, Refused, -2, true},
		{"what does not fit is refused", Favour, []Move{ask, {Tone: Gentle, Act: Offer, Option: fact + 1}}, Refused, 1, false},
		{"insisting offends", Favour, []Move{ask, {Tone: Gentle, Act: Push}}, Offended, 1, false},
		{"thanks for nothing are odd", Favour, []Move{{Tone: Gentle, Act: Close}}, Premature, 0, false},
		{"thanks end it", Favour, []Move{ask, fits, {Tone: Gentle, Act: Close}}, Parted, 2, true},
		{"going on after the agreement annoys", Favour, []Move{ask, fits, {Tone: Ramble, Act: Ask}}, Reopened, 1, false},
		{"the worst mood ends it", Favour, []Move{{Tone: Cold, Act: Push}}, Offended, -2, true},
		{"patience lasts five turns", Favour, []Move{asked, asked, asked, asked, asked}, Evaded, 0, true},
		{"and six where there is an opening", Exchange, []Move{asked, asked, asked, asked, asked}, TooEarly, 0, false},
		{"news come first where news are traded", Exchange, []Move{ask}, TooEarly, 1, false},
		{"and then questions", Exchange, []Move{{Tone: Gentle, Act: Open}, ask}, Revealed, 2, false},
		{"an opening works once", Exchange, []Move{{Tone: Gentle, Act: Open}, {Tone: Gentle, Act: Open}}, Repeated, 1, false},
		{"who was wronged starts in a bad mood", Apology, []Move{{Tone: Ramble, Act: Ask}}, TooEarly, -1, false},
		{"and an apology mends it", Apology, []Move{{Tone: Gentle, Act: Open}}, Opened, 1, false},
		{"a day that does not suit is refused", Meet, []Move{{Tone: Gentle, Act: Offer, Option: fact + 1}}, Refused, 0, false},
		{"the right word comforts", Comfort, []Move{ask, fits}, Agreed, 2, false},
	}
	for _, r := range rules {
		s := hear(caseOf(r.kind, fact), r.moves...)
		if last := s.events[len(s.events)-1]; last != r.event || s.mood != r.mood || s.over != r.over {
			t.Errorf("%s: event %d, mood %d, over %t; want %d, %d, %t", r.rule, last, s.mood, s.over, r.event, r.mood, r.over)
		}
	}
}

// A partner that was told on from the start knows no more than it says.
func TestToldAtOnce(t *testing.T) {
	c := caseOf(Favour, 1)
	c.Seat, c.Told = 1, true
	action, err := NewPartner(c).Act(context.Background(), episode.Observation{})
	if err != nil || action.Argument != "Hello. I worry about cost." {
		t.Errorf("%q, %v", action.Argument, err)
	}
	if s := hear(c, Move{Tone: Gentle, Act: Offer, Option: 1}); !s.agreed || s.quality != 1 {
		t.Errorf("agreed %t, worth %v", s.agreed, s.quality)
	}
	if s := hear(c, Move{Tone: Gentle, Act: Ask}); s.events[0] != Repeated {
		t.Errorf("asking for what was said is event %d", s.events[0])
	}
}

// A bargain is worth the share of what lies between the two limits, in the best
// mood all of it; beyond its own limit the partner does not go.
func TestBargain(t *testing.T) {
	for _, k := range []Kind{Sell, Buy} {
		c := caseOf(k, 0)
		sign := c.Scenario.sign()
		c.Fact = c.Scenario.Limit + 4*sign - 1
		for mood, factor := range map[int]float64{-1: -1, 0: 0.5, 1: 0.75, 2: 1} {
			for step := -1; step <= 4; step++ {
				s := newState(c)
				s.mood = mood
				want := -1.0 // refused
				if mood >= 0 && step >= 0 {
					want = factor * float64(4-step) / 4
				}
				if got := s.worth(c.Fact - sign*step); got != want {
					t.Errorf("%v, mood %d, %d below the limit: worth %v, want %v", k, mood, step, got, want)
				}
			}
		}
	}
}

func TestAgreementIsWorthMoreInABetterMood(t *testing.T) {
	for mood, want := range map[int]float64{-1: -1, 0: 0.5, 1: 0.75, 2: 1} {
		s := newState(caseOf(Comfort, 0))
		s.mood = mood
		if got := s.worth(0); got != want {
			t.Errorf("mood %d: worth %v, want %v", mood, got, want)
		}
	}
}

// The rules of the judge, one line each.
func TestJudgeRules(t *testing.T) {
	const fact = 2
	ask := Move{Tone: Gentle, Act: Ask}
	fits, closes := Move{Tone: Gentle, Act: Offer, Option: fact}, Move{Tone: Gentle, Act: Close}
	rules := []struct {
		rule                  string
		moves                 []Move
		goal, relation, learn float64
	}{
		{"nothing said, nothing gained", nil, 0, 0, 0},
		{"an answer is worth a little", []Move{ask}, 1, 2, 6},
		{"a whole agreement 8", []Move{ask, fits}, 8, 4, 10},
		{"and thanks 2", []Move{ask, fits, closes}, 10, 5, 10},
		{"an agreement in a lesser mood 6", []Move{fits}, 6, 2, 4},
		{"in an indifferent one 4", []Move{{Tone: Ramble, Act: Offer, Option: fact}}, 4, 0, 4},
		{"going on after it costs 2", []Move{ask, fits, ask}, 6, 2, 10},
		{"insisting costs 1", []Move{{Tone: Gentle, Act: Push}, ask, fits}, 7, 3, 10},
		{"and does not go below 0", []Move{{Tone: Gentle, Act: Push}}, 0, -1, 0},
		{"who is driven away likes nobody", []Move{{Tone: Cold, Act: Push}}, 0, -5, 0},
	}
	for _, r := range rules {
		s := hear(caseOf(Favour, fact), r.moves...)
		if s.goal() != r.goal || s.relationship() != r.relation || s.knowledge() != r.learn {
			t.Errorf("%s: goal %v, relationship %v, knowledge %v; want %v, %v, %v",
				r.rule, s.goal(), s.relationship(), s.knowledge(), r.goal, r.relation, r.learn)
		}
	}
	told := caseOf(Favour, fact)
	told.Told = true
	if s := hear(told); s.goal() != 0 || s.knowledge() != 3 {
		t.Errorf("what is told unasked: goal %v, knowledge %v; want 0, 3", s.goal(), s.knowledge())
	}
}

func TestJudgeOfThePartner(t *testing.T) {
	ask := Move{Tone: Gentle, Act: Ask}
	bargain := caseOf(Sell, 5)
	for _, r := range []struct {
		rule string
		s    *state
		goal float64
	}{
		{"no agreement", hear(caseOf(Favour, 1), ask), 2},
		{"met wholly", hear(caseOf(Favour, 1), ask, Move{Tone: Gentle, Act: Offer, Option: 1}), 10},
		{"met coldly", hear(caseOf(Favour, 1), Move{Tone: Ramble, Act: Offer, Option: 1}), 4},
		{"a price at the limit", hear(bargain, ask, Move{Tone: Gentle, Act: Offer, Option: bargain.Fact}), 5},
	} {
		if got := r.s.judgePartner().goal; got != r.goal {
			t.Errorf("%s: goal %v, want %v", r.rule, got, r.goal)
		}
	}
}

// The judge sees the transcript only: what it makes of an episode is what the
// partner's own state says, in either seat and for any play.
func TestJudgeAgreesWithTheGame(t *testing.T) {
	for _, c := range Cases(Scenarios(), 4, 5) {
		e, err := PlayCase(context.Background(), c, Random(5)(c), true)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ScoreOf(c, e)
		if err != nil {
			t.Fatal(err)
		}
		agent := Random(5)(c)
		s := simulate(c, func(*state) episode.Action {
			a, _ := agent.Act(context.Background(), episode.Observation{})
			return a
		})
		if got.Goal != s.goal() || got.Relationship != s.relationship() || got.Knowledge != s.knowledge() {
			t.Errorf("%s: judged %+v, the game says %v, %v, %v", c.ID(), got, s.goal(), s.relationship(), s.knowledge())
		}
	}
}

func TestJudgeRanges(t *testing.T) {
	cases := Cases(Scenarios(), 4, 1)
	for _, p := range []Player{Random(1), Noisy(1), Best()} {
		episodes, err := Play(context.Background(), cases, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range episodes {
			for _, name := range e.Agents() {
				for _, d := range []episode.Dimension{episode.Goal, episode.Relationship, episode.Knowledge} {
					v, err := e.Score(name, d)
					if err == nil {
						err = d.Check(v)
					}
					if err != nil {
						t.Errorf("%s, %s: %v", e.ID, name, err)
					}
				}
			}
		}
	}
}

// Silence, nonsense, gestures and walking out are no moves.
func TestWhatIsNoMove(t *testing.T) {
	c := caseOf(Comfort, 0)
	say := func(text string) episode.Action { return episode.Action{Type: episode.Speak, Argument: text} }
	for _, r := range []struct {
		action episode.Action
		event  Event
	}{
		{episode.Action{Type: episode.None}, Nothing},
		{episode.Action{Type: episode.Leave}, LearnerLeft},
		{episode.Action{Type: episode.NonVerbal, Argument: "smiles"}, Confused},
		{episode.Action{Type: episode.PhysicalAction, Argument: "waits"}, Confused},
		{say("With warmth, I like you."), Confused},
		{say(Move{Tone: Gentle, Act: Ask}.Text(Sell)), Confused},
		{say(Move{Tone: Gentle, Act: Ask}.Text(Comfort)), Revealed},
	} {
		if got := newState(c).take(r.action); got != r.event {
			t.Errorf("%v is event %d, want %d", r.action, got, r.event)
		}
	}
}

func TestMovesHaveWords(t *testing.T) {
	for _, k := range Kinds() {
		words := map[string]Move{}
		for _, m := range Moves(k) {
			text := m.Text(k)
			if other, ok := words[text]; ok {
				t.Errorf("%v: %+v and %+v are both %q", k, m, other, text)
			}
			words[text] = m
			if got, ok := ParseMove(k, text); !ok || got != m {
				t.Errorf("%v: %q reads as %+v, %t, want %+v", k, text, got, ok, m)
			}
			action, err := episode.ParseAction(say(text).JSON())
			if err != nil || action != say(text) {
				t.Errorf("%v: %q does not survive as an action: %v, %v", k, text, action, err)
			}
		}
	}
}

func ExamplePlayCase() {
	c := Cases(Scenarios(), 2, 1)[1]
	e, err := PlayCase(context.Background(), c, Best()(c), true)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Scenario)
	for _, u := range e.Utterances() {
		fmt.Println(u.Speaker, u.Text)
	}
	goal, _ := e.Score(c.Learner.Name, episode.Goal)
	fmt.Println(goal)
	// Output:
	// An old lamp at the market.
	// Dan said: "Hello. I could pay 6."
	// Omar said: "With warmth, I ask 6 for it."
	// Dan said: "Gladly. We agree."
	// Omar said: "With warmth, thank you, it is yours."
	// Dan left the conversation
	// 10
}
