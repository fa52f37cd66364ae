package attribution

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/episode"
)

// pay values the dialogue by what each utterance is worth alone, and 5 for 0 and 1
// together.
func pay(worth ...float64) Value {
	return func(_ context.Context, _ *episode.Episode, _ string, said []bool) (float64, error) {
		v := 1 + additive(worth...)(said)
		if said[0] && said[1] {
			v += 5
		}
		return v, nil
	}
}

func TestShapleyCreditsUtterances(t *testing.T) {
	ep := madeUp(t)[0]
	s := Shapley{Value: pay(1, -2, 0, 3), Dimension: episode.Knowledge}
	a, err := s.Attribute(context.Background(), ep, maeve)
	if err != nil {
		t.Fatal(err)
	}
	wantFigures(t, a, []float64{0, 0, 0, 0}, []float64{3.5, 0.5, 0, 3})
	if !close12(a.Score, 7) || a.Method != (Method{Name: "shapley", Dimension: episode.Knowledge}) || a.GoalScore != 9 {
		t.Errorf("score %v, method %s, goal %v", a.Score, a.Method, a.GoalScore)
	}
	for _, c := range a.Own() {
		if c.State != RewardOnly || c.StdErr != 0 {
			t.Errorf("utterance %d: state %v, standard error %v", c.Index, c.State, c.StdErr)
		}
	}
}

// Sampled credits carry their standard errors into files and back.
func TestShapleyTellsItsStandardErrors(t *testing.T) {
	ep := madeUp(t)[0]
	majority := Value(func(_ context.Context, _ *episode.Episode, _ string, said []bool) (float64, error) {
		return weightedMajority(3, 2, 1, 1, 1)(said), nil
	})
	a, err := Shapley{Value: majority, Options: ShapleyOptions{Exact: -1, Pairs: 20}}.Attribute(context.Background(), ep, maeve)
	if err != nil {
		t.Fatal(err)
	}
	if e := a.Own()[0].StdErr; !(e > 0 && e < 0.2) {
		t.Errorf("standard error %v", e)
	}
	text, err := a.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, readAll(t, string(text))[0]); d != "" {
		t.Errorf("read differs from written:\n%s", d)
	}
	if other, _ := (Shapley{Value: majority, Options: ShapleyOptions{Exact: -1, Pairs: 20, Seed: 1}}).Attribute(context.Background(), ep, maeve); cmp.Equal(a.Credits, other.Credits) {
		t.Error("another seed gives the same estimates")
	}
}

// A model judges each of the 16 dialogues; its calls are counted.
func TestRatingJudgesWhatIsLeft(t *testing.T) {
	ep := madeUp(t)[0]
	llm := &model{answer: func(_ int, r episode.Request) (string, error) {
		score := 2
		if prompt := r.Messages[0].Content; strings.Contains(prompt, "\n[4] Maeve") && strings.Contains(prompt, "\n[2] Maeve") {
			score = 8
		}
		return fmt.Sprintf(`{"score": %d}`, score), nil
	}}
	rating := Rating{LLM: llm}
	a, err := Shapley{Value: rating.Value, Request: rating.Request}.Attribute(context.Background(), ep, maeve)
	if err != nil {
		t.Fatal(err)
	}
	wantFigures(t, a, []float64{0, 0, 0, 0}, []float64{0, 3, 3, 0})
	if a.Usage.Calls != 16 || a.Usage.PromptTokens != 1600 || llm.calls() != 16 {
		t.Errorf("%d calls, usage %+v; want 16", llm.calls(), a.Usage)
	}
	for _, p := range llm.prompts {
		if n := strings.Count(p, "\n["); n < 4 || strings.Contains(p, "scored 9") {
			t.Errorf("a prompt with %d utterances, or with the result:\n%s", n, p)
		}
	}
}

func TestShapleyRefusals(t *testing.T) {
	ep := madeUp(t)[0]
	bad := errors.New("judge is out")
	for _, c := range []struct {
		why  string
		s    Shapley
		want string
	}{
		{"no value", Shapley{}, "Value is missing"},
		{"a value that fails", Shapley{Value: func(context.Context, *episode.Episode, string, []bool) (float64, error) { return 0, bad }}, "shapley/goal of episode EP1, agent Maeve O'Malley: judge is out"},
		{"a dimension without a range", Shapley{Value: Rating{LLM: replies("x"), Dimension: "charm"}.Value}, `range of dimension "charm" is not known`},
		{"a table too large", Shapley{Value: pay(1, 1, 1, 1), Options: ShapleyOptions{Exact: 40}}, "Exact is 40"},
	} {
		if a, err := c.s.Attribute(context.Background(), ep, maeve); a != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.why, a, err, c.want)
		}
	}
}

func TestWithout(t *testing.T) {
	ep := madeUp(t)[0]
	before := madeUp(t)[0]
	e, err := Without(ep, maeve, []bool{true, false, true, false})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before.RawMessages, ep.RawMessages); d != "" {
		t.Errorf("the episode was changed:\n%s", d)
	}
	var texts []string
	for _, u := range e.Utterances() {
		texts = append(texts, fmt.Sprintf("%d %s", u.Turn, u.Speaker))
	}
	want := []string{"0 " + maeve, "1 " + jose, "3 " + jose, "4 " + maeve, "5 " + jose, "7 " + jose}
	if d := cmp.Diff(want, texts); d != "" {
		t.Errorf("utterances (-want +got):\n%s", d)
	}
	for _, turn := range e.RawMessages {
		for _, m := range turn {
			if strings.Contains(m.Text, "I need the boat back") || strings.Contains(m.Text, "shakes hands") {
				t.Errorf("%s still hears %q", m.Receiver, m.Text)
			}
		}
	}
	if got := e.RawMessages[3][0].Text; got != "Turn #2: \n" {
		t.Errorf("after a turn without an utterance the environment says %q", got)
	}
	if strings.Contains(e.SocialInteractions, "I need the boat back") || !strings.Contains(e.SocialInteractions, jose+": left the conversation") {
		t.Errorf("interactions are\n%s", e.SocialInteractions)
	}
	if _, err := e.Reward(maeve); !errors.Is(err, episode.ErrNotJudged) {
		t.Errorf("an episode that nobody played has a verdict: %v", err)
	}
}

// With everything said nothing changes but the verdict.
func TestWithoutNothing(t *testing.T) {
	for _, ep := range madeUp(t) {
		for _, agent := range ep.Agents() {
			e, err := Without(ep, agent, everybody(len(ep.UtterancesOf(agent))))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(ep.RawMessages, e.RawMessages) + cmp.Diff(ep.SocialInteractions, e.SocialInteractions); d != "" {
				t.Errorf("%s, %s (-before +after):\n%s", ep.ID, agent, d)
			}
		}
	}
	if _, err := Without(madeUp(t)[0], maeve, []bool{true}); err == nil || !strings.Contains(err.Error(), "1 utterances to say or leave out") {
		t.Errorf("a wrong number of utterances: %v", err)
	}
	if _, err := Without(madeUp(t)[0], "Bob", nil); err == nil {
		t.Error("an unknown agent is accepted")
	}
}

// Where several agents act in one turn, what the others did is still heard.
func TestWithoutOneOfSeveralInATurn(t *testing.T) {
	env := episode.Environment
	ep := &episode.Episode{ID: "E", SocialGoals: episode.Named{{Name: "A"}, {Name: "B"}}, RawMessages: [][]episode.LogMessage{
		{{Sender: env, Receiver: "A", Text: "view"}, {Sender: "A", Receiver: env, Text: `said: "x"`}, {Sender: "B", Receiver: env, Text: "[action] waves"}},
		{{Sender: env, Receiver: "A", Text: "Turn #0: A said: \"x\";B [action] waves\n"}},
	}}
	e, err := Without(ep, "A", []bool{false})
	if err != nil || e.RawMessages[1][0].Text != "Turn #0: B [action] waves\n" || e.RawMessages[0][1].Text != "did nothing" {
		t.Errorf("%v: %+v", err, e.RawMessages)
	}
}

// The Python programs know neither the list of utterances nor the method. What
// they read from our lines is what we wrote.
func TestMethodsRoundTripThroughTheFieldsOwnForm(t *testing.T) {
	ep := madeUp(t)[0]
	for _, name := range Names() {
		m, err := ByName(name, Options{LLM: &model{answer: func(_ int, r episode.Request) (string, error) {
			if prompt := r.Messages[0].Content; strings.Contains(prompt, "key_utterance") {
				return `{"key_utterance": 4}`, nil
			} else if strings.Contains(prompt, `{"score": ...}`) {
				return fmt.Sprintf(`{"score": %d}`, strings.Count(prompt, "\n[")), nil
			}
			return usable(r).Text, nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.Attribute(context.Background(), ep, maeve)
		if err != nil {
			t.Fatal(err)
		}
		text, err := a.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		start := strings.Index(string(text), `, "method": `)
		theirs := readAll(t, string(text[:start])+"}")[0]
		for i, c := range theirs.Credits {
			want := a.Credits[i]
			want.Turn = -1
			if !cmp.Equal(want, c) {
				t.Errorf("%s, utterance %d: read %+v, want %+v", name, i, c, want)
			}
		}
		if len(theirs.Credits) != len(a.Credits) {
			t.Errorf("%s: %d utterances are read, want %d", name, len(theirs.Credits), len(a.Credits))
		}
		if d := cmp.Diff(a, readAll(t, string(text))[0]); d != "" {
			t.Errorf("%s: read differs from written (-want +got):\n%s", name, d)
		}
	}
}
