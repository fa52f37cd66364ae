package attribution

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// talk makes a judged episode of two agents, A first, who speak in turns.
func talk(goal string, lines ...string) *episode.Episode {
	ep := &episode.Episode{
		ID: "TALK", SocialGoals: episode.Named{{Name: "A", Text: goal}, {Name: "B", Text: "listen"}},
		Rewards: slices.Repeat([]episode.Reward{episode.NewReward(
			episode.DimensionScore{Dimension: episode.Goal, Score: 8}, episode.DimensionScore{Dimension: episode.Knowledge, Score: 4})}, 2),
	}
	var parts []string
	for i, l := range lines {
		parts = append(parts, []string{"A", "B"}[i%2]+` said: "`+l+`"`)
	}
	ep.SocialInteractions = strings.Join(parts, "\n\n")
	return ep
}

// The formula, worked by hand. Content words: A1 {sell lamp} novelty 1, on goal
// 2 of 2, taken up 1 of 2; A2 {lamp lovely} novelty 1/2, on goal 1 of 2, and
// nothing follows.
func TestLexicalEvidenceFormula(t *testing.T) {
	ep := talk("sell the lamp", "I will sell you a lamp.", "What lamp?", "The lamp is lovely.")
	s1 := (1*1.0 + 2*1.0 + 1*0.5) / 4
	s2 := (1*0.5 + 2*0.5) / 3
	got, err := LexicalEvidence(LexicalWeights{Novelty: 1, Goal: 2, Uptake: 1})(ep, "A")
	if err != nil || !slices.EqualFunc(got, []float64{1, s2 / s1}, close12) {
		t.Errorf("evidence is %v, %v; want 1, %v", got, err, s2/s1)
	}
}

func TestLexicalEvidenceTellsWhatMatters(t *testing.T) {
	for _, c := range []struct {
		why     string
		ep      *episode.Episode
		weights LexicalWeights
		better  int // of the agent's utterances
		worse   int
	}{
		{"a repetition is worth less than what it repeats", talk("", "Buy apples, friend.", "Hm.", "Buy apples, friend.", "Hm."), LexicalWeights{Novelty: 1}, 0, 1},
		{"what speaks of the goal is worth more", talk("borrow the ladder", "Nice weather today.", "Hm.", "Could I borrow your ladder?", "Hm."), LexicalWeights{1, 2, 1}, 1, 0},
		{"what is taken up is worth more", talk("", "Maybe apples.", "Hm.", "Maybe pears.", "Pears it is."), LexicalWeights{Uptake: 1}, 1, 0},
		{"a name is not a word of the goal", talk("convince B", "B, hello!", "Hm.", "Let me convince you.", "Hm."), LexicalWeights{Goal: 1}, 1, 0},
		{"an echo of the other is no uptake of one's own words", talk("", "Maybe pears.", "Pears! Apples!", "Apples?", "Apples!"), LexicalWeights{Uptake: 1}, 0, 1},
	} {
		e, err := LexicalEvidence(c.weights)(c.ep, "A")
		if err != nil || e[c.better] <= e[c.worse] {
			t.Errorf("%s: evidence %v, %v", c.why, e, err)
		}
	}
}

func TestLexicalEvidenceStaysInRange(t *testing.T) {
	for _, d := range append(episode.Dimensions(), episode.ConversationBehavior) {
		for _, ep := range madeUp(t) {
			for _, agent := range ep.Agents() {
				e, err := LexicalEvidence(DefaultLexicalWeights(d))(ep, agent)
				if err != nil || checkEvidence(e, make([]Credit, len(ep.UtterancesOf(agent)))) != nil || slices.Max(e) != 1 {
					t.Errorf("%s, %s of %s: evidence %v, %v; want 0..1 with a best of 1", d, agent, ep.ID, e, err)
				}
			}
		}
	}
}

func TestLexicalEvidenceOfWordlessDialogues(t *testing.T) {
	for _, c := range []struct {
		why  string
		ep   *episode.Episode
		want []float64
	}{
		{"nothing said", talk("win"), nil},
		{"function words only", talk("win", "Yes.", "No.", "Oh, you!"), []float64{0, 0}},
	} {
		e, err := LexicalEvidence(LexicalWeights{1, 1, 1})(c.ep, "A")
		if err != nil || !slices.Equal(e, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.why, e, err, c.want)
		}
	}
}

func TestContentWords(t *testing.T) {
	for _, c := range []struct {
		why, text string
		want      []string
	}{
		{"case, punctuation and function words go", "The BOAT, the boat!", []string{"boat"}},
		{"either apostrophe", "don’t Don't", []string{"don't"}},
		{"numbers are content", "at 80 or 90", []string{"80", "90"}},
		{"any script with spaces", "Größe, щука", []string{"größe", "щука"}},
		{"scripts without spaces count characters", "買い物", []string{"い", "物", "買"}},
	} {
		var got []string
		for w := range contentWords(c.text) {
			got = append(got, w)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

func TestEvidenceByACallersFunction(t *testing.T) {
	offers := func(ep *episode.Episode, agent string) ([]float64, error) {
		var e []float64
		for _, u := range ep.UtterancesOf(agent) {
			switch {
			case strings.Contains(u.Text, "I will"):
				e = append(e, 1)
			case u.Action.Type != episode.Speak:
				e = append(e, Masked)
			default:
				e = append(e, 0.25)
			}
		}
		return e, nil
	}
	a, err := Evidence{Scale: 10, Func: offers}.Attribute(context.Background(), madeUp(t)[0], maeve)
	if err != nil {
		t.Fatal(err)
	}
	wantFigures(t, a, []float64{2.5, 2.5, 10, Masked}, []float64{2.25, 2.25, 9, Masked})
	if a.Own()[3].State != MaskedOut {
		t.Errorf("the gesture's state is %v, want MaskedOut", a.Own()[3].State)
	}
	a, err = Evidence{Normalized: true, Func: offers}.Attribute(context.Background(), madeUp(t)[0], maeve)
	if err != nil {
		t.Fatal(err)
	}
	wantFigures(t, a, []float64{0.75, 0.75, 3, Masked}, []float64{1.5, 1.5, 6, Masked})
}

func TestEvidenceRefusesWhatIsNoEvidence(t *testing.T) {
	broken := errors.New("no such table")
	for _, c := range []struct {
		why    string
		values []float64
		err    error
		want   string
	}{
		{"too few", []float64{1}, nil, "evidence for 1 utterances, want 4"},
		{"above 1", []float64{1, 2, 0, 0}, nil, "evidence for utterance 2 is 2, want 0..1 or -1"},
		{"an error of the function", nil, broken, "no such table"},
	} {
		e := Evidence{Func: func(*episode.Episode, string) ([]float64, error) { return c.values, c.err }}
		a, err := e.Attribute(context.Background(), madeUp(t)[0], maeve)
		if a != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.why, a, err, c.want)
		}
	}
}

func TestMethodsWithoutAModel(t *testing.T) {
	ep := madeUp(t)[0]
	for _, c := range []struct {
		method  Described
		name    string
		rewards []float64
	}{
		{Discounting{}, "discounting/goal", []float64{9 * 0.9 * 0.9 * 0.9, 9 * 0.9 * 0.9, 9 * 0.9, 9}},
		{Discounting{Gamma: 0.5, Dimension: episode.Relationship}, "discounting/relationship", []float64{0.25, 0.5, 1, 2}},
		{Uniform{}, "all_the_same/goal", []float64{9, 9, 9, 9}},
		{Uniform{Dimension: episode.Knowledge}, "all_the_same/knowledge", []float64{3, 3, 3, 3}},
	} {
		a, err := c.method.Attribute(context.Background(), ep, maeve)
		if err != nil || a.Method.String() != c.name || c.method.Method() != a.Method {
			t.Errorf("%s: %v, %v", c.name, a, err)
			continue
		}
		wantFigures(t, a, []float64{0, 0, 0, 0}, c.rewards)
		for _, own := range a.Own() {
			if own.State != RewardOnly {
				t.Errorf("%s: state %v, want RewardOnly", c.name, own.State)
			}
		}
	}
	if _, err := (Discounting{Gamma: 1.5}).Attribute(context.Background(), ep, maeve); err == nil {
		t.Error("a discount above 1 is accepted")
	}
}
