package attribution

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

func TestDirect(t *testing.T) {
	ep := madeUp(t)[0] // Maeve says 0, 2, 4, 6 and has goal 9, relationship 2
	for _, c := range []struct {
		why         string
		direct      Direct
		reply       string
		attrs, rews []float64
	}{
		{"goal on three points is the default", Direct{}, `{"0": 0, "2": 1, "4": 3, "6": 0}`, []float64{0, 1, 3, 0}, []float64{0, 3, 9, 0}},
		{"ten points", Direct{Scale: 10}, `{"0": 0, "2": 5, "4": 10, "6": 0}`, []float64{0, 5, 10, 0}, []float64{0, 4.5, 9, 0}},
		{"shares of the score", Direct{Normalized: true}, `{"0": 0, "2": 1, "4": 2, "6": 0}`, []float64{0, 1, 2, 0}, []float64{0, 3, 6, 0}},
		{"all zero is an answer", Direct{}, `{"0": 0, "2": 0, "4": 0, "6": 0}`, []float64{0, 0, 0, 0}, []float64{0, 0, 0, 0}},
		{"another dimension has its own score", Direct{Dimension: episode.Relationship}, `{"0": 3, "2": 0, "4": 3, "6": 0}`, []float64{3, 0, 3, 0}, []float64{2, 0, 2, 0}},
		{"goal_barebone has goal's score", Direct{Dimension: episode.GoalBarebone}, `{"0": 0, "2": 0, "4": 3, "6": 0}`, []float64{0, 0, 3, 0}, []float64{0, 0, 9, 0}},
		{"the manner of conversation is worth 10", Direct{Dimension: episode.ConversationBehavior, Scale: 5}, `{"0": 1, "2": 0, "4": 1, "6": 5}`, []float64{1, 0, 1, 5}, []float64{2, 0, 2, 10}},
		{"a masked utterance has no reward", Direct{}, `{"0": -1, "2": 0, "4": 3, "6": 0}`, []float64{Masked, 0, 3, 0}, []float64{Masked, 0, 9, 0}},
	} {
		c.direct.LLM = replies(c.reply)
		a, err := c.direct.Attribute(context.Background(), ep, maeve)
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		wantFigures(t, a, c.attrs, c.rews)
		for _, credit := range a.Credits {
			if own := credit.Speaker == maeve; own == (credit.State == Unscored) {
				t.Errorf("%s: utterance %d of %s has state %v", c.why, credit.Index, credit.Speaker, credit.State)
			}
		}
	}
}

func TestDirectMarksMaskedUtterances(t *testing.T) {
	a, err := Direct{LLM: replies(`{"0": -1, "2": 0, "4": 3, "6": 0}`)}.Attribute(context.Background(), madeUp(t)[0], maeve)
	if err != nil || a.Own()[0].State != MaskedOut || a.Own()[1].State != Scored {
		t.Errorf("states are %v, %v, %v; want MaskedOut, Scored", a.Own()[0].State, a.Own()[1].State, err)
	}
}

// An agent that speaks twice in a row has two utterances under one key of the
// files; both get their own score.
func TestDirectTellsUtterancesApartByIndex(t *testing.T) {
	ep := madeUp(t)[1] // Maeve says 1 and 2, José the lamp's price before and an action after
	llm := replies(`{"1": 3, "2": 1, "4": 0}`)
	a, err := Direct{LLM: llm}.Attribute(context.Background(), ep, maeve)
	if err != nil {
		t.Fatal(err)
	}
	wantFigures(t, a, []float64{3, 1, 0}, []float64{10, 10.0 / 3, 0})
	if !strings.Contains(llm.prompts[0], "[2] "+maeve+` said: "Fine, 55`) {
		t.Errorf("the prompt does not number the utterances:\n%s", llm.prompts[0])
	}
}

func TestDirectTellsTheModelWhatWasWrong(t *testing.T) {
	llm := replies(`{"0": 1, "2": 2}`, "Sorry!", `{"0": 9, "2": 1, "4": 3, "6": 0}`, `{"0": 0, "2": 1, "4": 3, "6": 0}`)
	a, err := Direct{LLM: llm}.Attribute(context.Background(), madeUp(t)[0], maeve)
	if err != nil {
		t.Fatal(err)
	}
	wantFigures(t, a, []float64{0, 1, 3, 0}, []float64{0, 3, 9, 0})
	for i, want := range []string{"2 scores, want 4: none for utterance 4", "no complete JSON value", "score 9 is outside -1..3"} {
		if !strings.Contains(llm.prompts[i+1], want) {
			t.Errorf("try %d does not say %q", i+2, want)
		}
	}
	if want := (Usage{Calls: 4, Usage: episode.Usage{PromptTokens: 400, CompletionTokens: 40}}); a.Usage != want {
		t.Errorf("usage is %+v, want %+v: unusable replies are paid for too", a.Usage, want)
	}
}

func TestDirectFailsWithTheEvidence(t *testing.T) {
	llm := replies("no", "{}", `{"0": 1}`, `{"0": 1, "2": 1, "4": 1, "6": 4}`, "still no")
	a, err := Direct{LLM: llm}.Attribute(context.Background(), madeUp(t)[0], maeve)
	var f *Failure
	if a != nil || !errors.As(err, &f) || !errors.Is(err, ErrNoUsableReply) {
		t.Fatalf("got %v, %v; want a Failure and no attribution", a, err)
	}
	if len(f.Tries) != DefaultTries || f.Tries[3].Reply != `{"0": 1, "2": 1, "4": 1, "6": 4}` ||
		f.Tries[3].Reason != "utterance 6: score 4 is outside -1..3" || f.Usage.Calls != 5 {
		t.Errorf("the evidence is %+v", f)
	}
	want := Key{"EP1", maeve, Method{"direct", episode.Goal, 3}}
	if f.Key != want || llm.calls() != 5 {
		t.Errorf("key %v after %d calls, want %v after 5", f.Key, llm.calls(), want)
	}
}

func TestDirectPassesOnWhatTheModelCannotDo(t *testing.T) {
	down := errors.New("connection refused")
	llm := &model{answer: func(call int, _ episode.Request) (string, error) {
		if call == 0 {
			return "no", nil
		}
		return "", down
	}}
	_, err := Direct{LLM: llm}.Attribute(context.Background(), madeUp(t)[0], maeve)
	var f *Failure
	if !errors.Is(err, down) || !errors.As(err, &f) || len(f.Tries) != 1 || llm.calls() != 2 {
		t.Errorf("got %v with %+v; want the call's error at once, with the reply before it", err, f)
	}
}

func TestDirectRefusesWhatItCannotJudge(t *testing.T) {
	ep := madeUp(t)[0]
	llm := replies("unused")
	unjudged := &episode.Episode{ID: "E", SocialGoals: ep.SocialGoals, RawMessages: ep.RawMessages}
	for _, c := range []struct {
		why    string
		direct Direct
		ep     *episode.Episode
		agent  string
		want   string
	}{
		{"a scale without a description", Direct{LLM: llm, Scale: 4}, ep, maeve, "Scale is 4, want 3, 5 or 10"},
		{"a dimension nobody described", Direct{LLM: llm, Dimension: "charm"}, ep, maeve, `"charm" needs a Description`},
		{"a dimension nobody scored", Direct{LLM: llm, Dimension: "charm", Description: "Charm."}, ep, maeve, "no score on charm"},
		{"an agent who is not there", Direct{LLM: llm}, ep, "Bob", `no agent "Bob"`},
		{"an episode without a judgement", Direct{LLM: llm}, unjudged, maeve, "not judged"},
		{"no model", Direct{}, ep, maeve, "LLM is missing"},
		{"an episode without an id", Direct{LLM: llm}, &episode.Episode{}, maeve, "without an id"},
	} {
		if a, err := c.direct.Attribute(context.Background(), c.ep, c.agent); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.why, a, err, c.want)
		}
	}
	if llm.calls() != 0 {
		t.Errorf("the model was asked %d times", llm.calls())
	}
}

func TestDirectDoesNotAskAboutSilence(t *testing.T) {
	ep := madeUp(t)[0]
	silent := &episode.Episode{ID: "E", SocialGoals: ep.SocialGoals, Rewards: ep.Rewards}
	a, err := Direct{LLM: replies("unused")}.Attribute(context.Background(), silent, maeve)
	if err != nil || len(a.Own()) != 0 || a.Usage.Calls != 0 {
		t.Errorf("got %+v, %v; want an attribution without utterances", a, err)
	}
}

func TestDirectTemperature(t *testing.T) {
	ep := madeUp(t)[0]
	cold, err := Direct{}.Requests(ep, maeve)
	if err != nil || cold[0].Temperature == nil || *cold[0].Temperature != 0 || !cold[0].JSON {
		t.Errorf("request %+v, %v; want temperature 0 and JSON mode", cold, err)
	}
	own, err := Direct{Temperature: -1}.Requests(ep, maeve)
	if err != nil || own[0].Temperature != nil {
		t.Errorf("request %+v, %v; want no temperature", own, err)
	}
}

// The prompts are kept as goldens so that a change of wording is seen.
func TestDirectPrompts(t *testing.T) {
	ep := madeUp(t)[0]
	for name, d := range map[string]Direct{
		"goal3":        {},
		"relationship": {Dimension: episode.Relationship, Scale: 5},
		"behavior10":   {Dimension: episode.ConversationBehavior, Scale: 10},
		"custom":       {Dimension: "overall_score", Description: "What {agent} was like, up to {scale}."},
	} {
		requests, err := d.Requests(ep, maeve)
		if err != nil || len(requests) != 1 {
			t.Fatalf("%s: %d requests, %v", name, len(requests), err)
		}
		goldenPrompt(t, name, requests[0])
	}
}
