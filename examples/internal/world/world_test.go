package world

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// play plays cases and fails the test on an error.
func evaluate(t testing.TB, cases []Case, p Player) []Score {
	t.Helper()
	scores, err := Evaluate(context.Background(), cases, p)
	if err != nil {
		t.Fatal(err)
	}
	return scores
}

func TestScenarios(t *testing.T) {
	all := Scenarios()
	if len(all) < 60 {
		t.Errorf("%d scenarios, want at least 60", len(all))
	}
	texts, names := map[string]string{}, map[string]bool{}
	for _, s := range all {
		if names[s.Codename] {
			t.Errorf("two scenarios are called %s", s.Codename)
		}
		names[s.Codename] = true
		if other, ok := texts[s.Setting]; ok {
			t.Errorf("%s and %s have the same setting", s.Codename, other)
		}
		texts[s.Setting] = s.Codename
		if s.Goal == "" || s.PartnerGoal == "" || s.Goal == s.PartnerGoal {
			t.Errorf("%s: both sides need a goal of their own: %q, %q", s.Codename, s.Goal, s.PartnerGoal)
		}
	}
}

func TestSplit(t *testing.T) {
	train, heldOut := Split(Scenarios(), 1)
	if len(heldOut) < 20 || len(train)+len(heldOut) != len(Scenarios()) {
		t.Errorf("%d to learn from and %d held out, of %d", len(train), len(heldOut), len(Scenarios()))
	}
	seen := map[string]bool{}
	kinds := map[Kind]int{}
	for _, s := range train {
		seen[s.Codename] = true
	}
	for _, s := range heldOut {
		kinds[s.Kind]++
		if seen[s.Codename] {
			t.Errorf("%s is on both sides", s.Codename)
		}
	}
	for _, k := range Kinds() {
		if kinds[k] != 4 {
			t.Errorf("%d of %v are held out, want 4 of 12", kinds[k], k)
		}
	}
	again, _ := Split(Scenarios(), 1)
	other, _ := Split(Scenarios(), 2)
	if !reflect.DeepEqual(train, again) || reflect.DeepEqual(train, other) {
		t.Error("the split must depend on the seed, and on nothing else")
	}
}

func TestCasesAreDrawnFromTheSeed(t *testing.T) {
	a, b, c := Cases(Scenarios(), 4, 1), Cases(Scenarios(), 4, 1), Cases(Scenarios(), 4, 2)
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Error("cases must depend on the seed, and on nothing else")
	}
	few := Cases(Scenarios()[3:4], 2, 1)
	if !reflect.DeepEqual(few, a[12:14]) {
		t.Error("a case must not depend on which others are drawn")
	}
	for _, c := range a {
		if c.Seat != c.Index%2 || c.Learner.Name == c.Partner.Name || c.Told && (c.Seat == 0 || c.Scenario.Kind.needsOpening()) {
			t.Errorf("bad case %+v", c)
		}
		if c.Fact < 0 || c.Fact >= len(kindTable[c.Scenario.Kind].options) {
			t.Errorf("%s: the partner hides option %d", c.ID(), c.Fact)
		}
	}
}

func TestEpisodesRepeat(t *testing.T) {
	cases := Cases(Scenarios()[:20], 2, 1)
	for name, p := range map[string]func(uint64) Player{"random": Random, "noisy": Noisy} {
		a, errA := Play(context.Background(), cases, p(1))
		b, errB := Play(context.Background(), cases, p(1))
		c, errC := Play(context.Background(), cases, p(2))
		if errA != nil || errB != nil || errC != nil {
			t.Fatal(errA, errB, errC)
		}
		if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
			t.Errorf("%s: episodes must depend on the seed, and on nothing else", name)
		}
	}
}

// TestLadder shows that there is something to learn at every step: each player
// is clearly better than the one before it.
func TestLadder(t *testing.T) {
	train, heldOut := Split(Scenarios(), 1)
	cases := Cases(heldOut, 8, 1)
	text, _ := BestConstant(Cases(train, 2, 1))
	ladder := []struct {
		name  string
		p     Player
		least float64 // by how much its goal exceeds the one before
	}{
		{"best constant: " + text, Constant(text), 0},
		{"random", Random(1), 0},
		{"noisy", Noisy(1), 2},
		{"skilled", Skilled(0.75, 1), 2},
		{"best", Best(), 1.5},
	}
	last := 0.0
	for _, step := range ladder {
		m := Mean(evaluate(t, cases, step.p))
		t.Logf("%-45s goal %5.2f relationship %5.2f knowledge %5.2f words %.2f", step.name, m.Goal, m.Relationship, m.Knowledge, m.Words)
		if m.Goal < last+step.least {
			t.Errorf("%s: goal %.2f, want %.2f more than %.2f", step.name, m.Goal, step.least, last)
		}
		last = m.Goal
	}
	_, goal := BestConstant(cases[:len(cases)/2])
	if goal > 1 {
		t.Errorf("a constant reply reaches goal %.2f on the cases themselves", goal)
	}
}

func TestBestReachesTheTop(t *testing.T) {
	cases := Cases(Scenarios(), 8, 3)
	for i, s := range evaluate(t, cases, Best()) {
		if s.Goal != 10 || s.Relationship < 4 {
			t.Errorf("%s: %+v", cases[i].ID(), s)
		}
	}
}

// TestLengthIsWorthNothing: the long tone earns less than the short right one,
// and all acts are about equally long.
func TestLengthIsWorthNothing(t *testing.T) {
	for _, c := range Cases(Scenarios(), 2, 1) {
		inTone := func(tone Tone) float64 {
			return simulate(c, func(s *state) episode.Action {
				m := s.bestMove()
				m.Tone = tone
				return say(m.Text(c.Scenario.Kind))
			}).goal()
		}
		if long, short := inTone(Ramble), inTone(c.Partner.Temper.Wants()); long >= short {
			t.Errorf("%s: rambling reaches %v, the right tone %v", c.ID(), long, short)
		}
	}
	for _, k := range Kinds() {
		for _, m := range acts(k) {
			if n := len(strings.Fields(m.words(k))); n < 4 || n > 5 {
				t.Errorf("%v: %q has %d words, want 4 or 5", k, m.words(k), n)
			}
		}
	}
}
