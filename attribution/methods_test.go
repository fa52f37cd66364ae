package attribution

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// one replies to prompts about single utterances with a score for each, by index.
func one(scores map[string]string) *model {
	return &model{answer: func(_ int, r episode.Request) (string, error) {
		_, rest, _ := strings.Cut(r.Messages[0].Content, "The keys are: ")
		key, _, _ := strings.Cut(rest, ".")
		return fmt.Sprintf(`{"scores": {%q: %s}}`, key, scores[key]), nil
	}}
}

func states(a *Attribution) []State {
	var s []State
	for _, c := range a.Own() {
		s = append(s, c.State)
	}
	return s
}

// What each method makes of the replies. In episode 0 Maeve, who opens it, says 0,
// 2, 4, 6 and José 1, 3, 5, 7; she has goal 9 and relationship 2. In episode 1 José
// says 0 and 3, Maeve 1, 2 and 4; she has goal 10.
func TestMethodsThatAskAModel(t *testing.T) {
	four := []State{Scored, Scored, Scored, Scored}
	for _, c := range []struct {
		why         string
		name        string
		options     Options
		episode     int
		llm         *model
		calls       int
		attrs, rews []float64
		states      []State
	}{
		{"key_utterance: all for one", "key_utterance", Options{}, 0, replies(`{"key_utterance": 4}`), 1,
			[]float64{0, 0, 1, 0}, []float64{0, 0, 9, 0}, four},
		{"key_utterance of another dimension", "key_utterance", Options{Dimension: episode.Relationship}, 0, replies(`{"key_utterance": "0"}`), 1,
			[]float64{1, 0, 0, 0}, []float64{2, 0, 0, 0}, four},
		{"goal_progress: what is before 0 is not asked; a setback costs", "goal_progress", Options{}, 0, one(map[string]string{"2": "2", "4": "7", "6": "5"}), 3,
			[]float64{0, 0, 0, 0}, []float64{0, 0.2 * 9, 0.5 * 9, -0.2 * 9}, []State{Unscored, RewardOnly, RewardOnly, RewardOnly}},
		{"goal_progress: one who answers is asked every time", "goal_progress", Options{}, 1, one(map[string]string{"1": "1", "2": "4", "4": "10"}), 3,
			[]float64{0, 0, 0}, []float64{1, 3, 6}, []State{RewardOnly, RewardOnly, RewardOnly}},
		{"only_response: every one of Maeve's gets a reply", "only_response", Options{}, 0, one(map[string]string{"0": "1", "2": "0", "4": "3", "6": "-1"}), 4,
			[]float64{1, 0, 3, Masked}, []float64{3, 0, 9, Masked}, []State{Scored, Scored, Scored, MaskedOut}},
		{"only_response: the last word has no reply", "only_response", Options{}, 1, one(map[string]string{"1": "3", "2": "0"}), 2,
			[]float64{3, 0, 0}, []float64{10, 0, 0}, []State{Scored, Scored, Unscored}},
		{"utterance_quality is worth 10, whatever the score", "utterance_quality", Options{}, 0, one(map[string]string{"0": "0", "2": "3", "4": "3", "6": "0"}), 4,
			[]float64{0, 3, 3, 0}, []float64{0, 10, 10, 0}, four},
		{"utterance_quality_normalized shares the score", "utterance_quality_normalized", Options{}, 0, one(map[string]string{"0": "0", "2": "1", "4": "2", "6": "0"}), 4,
			[]float64{0, 1, 2, 0}, []float64{0, 3, 6, 0}, four},
		{"nothing of quality, nothing to share", "utterance_quality_normalized", Options{}, 0, one(map[string]string{"0": "0", "2": "0", "4": "0", "6": "0"}), 4,
			[]float64{0, 0, 0, 0}, []float64{0, 0, 0, 0}, four},
		{"direct_generic is direct under its name in the field", "direct_generic", Options{Dimension: episode.Relationship, Scale: 5}, 0, replies(`{"0": 5, "2": 0, "4": 1, "6": 0}`), 1,
			[]float64{5, 0, 1, 0}, []float64{2, 0, 0.4, 0}, four},
	} {
		c.options.LLM = c.llm
		m, err := ByName(c.name, c.options)
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.Attribute(context.Background(), madeUp(t)[c.episode], maeve)
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		wantFigures(t, a, c.attrs, c.rews)
		if got := states(a); !slices.Equal(got, c.states) || c.llm.calls() != c.calls || a.Usage.Calls != c.calls || a.Method != m.Method() {
			t.Errorf("%s: states %v, want %v; %d calls, want %d; method %s", c.why, got, c.states, c.llm.calls(), c.calls, a.Method)
		}
	}
}

// Every method that asks obeys the same rules: a usable reply ends the asking, a
// useless one is told what was wrong with it, and after the last one there is a
// Failure with all replies, never a 0.
func TestMethodsRetryAndThenFail(t *testing.T) {
	ep := madeUp(t)[0]
	for name, c := range map[string]struct {
		bad, reason string
		tries       int
	}{
		"direct":            {`{"0": 1}`, "1 scores, want 4", 5},
		"direct_generic":    {`{"0": 1, "2": 1, "4": 1, "6": 4}`, "score 4 is outside -1..3", 5},
		"direct_normalized": {`none of them`, "no complete JSON value", 5},
		"key_utterance":     {`{"key_utterance": 3}`, `key_utterance is "3", want one of 0, 2, 4, 6`, 5},
		"goal_progress":     {`{"scores": {"2": -1}}`, "score -1 is outside 0..10", 3},
		"only_response":     {`{"scores": {"0": 9}}`, "score 9 is outside -1..3", 3},
		"utterance_quality": {`{"scores": {"2": 1}}`, "a score for utterance 2, which was not asked for", 3},
		"shapley":           {`{"score": 11}`, `score is "11", want a number from 0 to 10`, 3},
	} {
		llm := replies(c.bad)
		m, err := ByName(name, Options{LLM: llm})
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.Attribute(context.Background(), ep, maeve)
		var f *Failure
		if a != nil || !errors.As(err, &f) || !errors.Is(err, ErrNoUsableReply) {
			t.Errorf("%s: %v, %v; want a Failure", name, a, err)
			continue
		}
		if f.Method != m.Method() || len(f.Tries) != c.tries || f.Usage.Calls != c.tries || !strings.Contains(f.Tries[0].Reason, c.reason) || f.Tries[0].Reply != c.bad {
			t.Errorf("%s: %d calls of %s, tries %+v; want %d because of %q", name, f.Usage.Calls, f.Method, f.Tries, c.tries, c.reason)
		}
		if !strings.Contains(llm.prompts[1], c.reason) {
			t.Errorf("%s: the second prompt does not say %q", name, c.reason)
		}
	}
}

// A failure at a late utterance still tells what the earlier ones took.
func TestFailuresCountTheCallsBeforeThem(t *testing.T) {
	llm := one(map[string]string{"0": "1", "2": "7", "4": "1", "6": "1"})
	_, err := OnlyResponse{LLM: llm, Tries: 2}.Attribute(context.Background(), madeUp(t)[0], maeve)
	var f *Failure
	if !errors.As(err, &f) || f.Usage.Calls != 3 || len(f.Tries) != 2 || f.Usage.PromptTokens != 300 {
		t.Errorf("%+v, %v; want 3 calls, 2 of them useless", f, err)
	}
}

func TestMethodsNeedAModelAndAScore(t *testing.T) {
	unjudged := *madeUp(t)[0]
	unjudged.Rewards, unjudged.RawRewards = nil, nil
	good := map[string]bool{"utterance_quality": true, "shapley": true} // these share no score out
	for _, name := range Names() {
		m, err := ByName(name, Options{LLM: replies(`{"scores": {"0": 1}, "key_utterance": 0, "score": 1}`)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Attribute(context.Background(), &unjudged, maeve)
		if errors.Is(err, episode.ErrNotJudged) == good[name] {
			t.Errorf("%s of an episode without a judgement: %v", name, err)
		}
		m, _ = ByName(name, Options{})
		_, err = m.Attribute(context.Background(), madeUp(t)[0], maeve)
		if missing := err != nil && strings.Contains(err.Error(), "LLM is missing"); missing != AsksModel(name) {
			t.Errorf("%s without a model: %v", name, err)
		}
	}
}

func TestNames(t *testing.T) {
	want := []string{"direct", "direct_generic", "direct_normalized", "key_utterance", "goal_progress", "only_response",
		"utterance_quality", "utterance_quality_normalized", "discounting", "all_the_same", "evidence", "evidence_normalized", "shapley"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("names are %q, want %q", got, want)
	}
	for _, name := range want {
		m, err := ByName(name, Options{})
		if err != nil || m.Method().Name != name {
			t.Errorf("%s makes %v, %v", name, m, err)
		}
	}
	for _, c := range []struct {
		name string
		d    episode.Dimension
		want string
	}{
		{"magic", "", `no method is called "magic" (known: direct,`},
		{"goal_progress", episode.Knowledge, "goal_progress is about goal only, not about knowledge"},
	} {
		if _, err := ByName(c.name, Options{Dimension: c.d}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %q: %v, want %q", c.name, c.d, err, c.want)
		}
	}
}

// What a dry run counts is what is then asked, for every method.
func TestMethodsPlanWhatTheyAsk(t *testing.T) {
	ep := madeUp(t)[1]
	for _, name := range Names() {
		llm := &model{answer: func(_ int, r episode.Request) (string, error) {
			switch prompt := r.Messages[0].Content; {
			case strings.Contains(prompt, "key_utterance"):
				return `{"key_utterance": 1}`, nil
			case strings.Contains(prompt, `{"score": ...}`):
				return `{"score": 3}`, nil
			}
			return usable(r).Text, nil
		}}
		m, err := ByName(name, Options{LLM: llm})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Attribute(context.Background(), ep, maeve); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var planned []string
		if p, ok := m.(Planner); ok {
			requests, err := p.Requests(ep, maeve)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, r := range requests {
				planned = append(planned, r.Messages[0].Content)
			}
		}
		if !slices.Equal(planned, llm.prompts) {
			t.Errorf("%s: planned\n%q\nasked\n%q", name, planned, llm.prompts)
		}
	}
}

// A model sees no more of the dialogue than it is to judge by.
func TestMethodsShowWhatTheyShould(t *testing.T) {
	ep := madeUp(t)[0]
	for name, last := range map[string][]int{ // last utterance that is shown, for each call
		"direct": {7}, "key_utterance": {7}, "goal_progress": {1, 3, 5}, "only_response": {1, 3, 5, 7}, "utterance_quality": {0, 2, 4, 6},
	} {
		m, err := ByName(name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		requests, err := m.(Planner).Requests(ep, maeve)
		if err != nil || len(requests) != len(last) {
			t.Errorf("%s: %d requests, %v; want %d", name, len(requests), err, len(last))
			continue
		}
		for i, r := range requests {
			prompt := r.Messages[0].Content
			shown := strings.Contains(prompt, fmt.Sprintf("\n[%d] ", last[i]))
			if !shown || strings.Contains(prompt, fmt.Sprintf("\n[%d] ", last[i]+1)) {
				t.Errorf("%s, call %d does not end with utterance %d:\n%s", name, i, last[i], prompt)
			}
			if hindsight := strings.Contains(prompt, "scored 9"); hindsight != (last[i] == 7 && name != "only_response") {
				t.Errorf("%s, call %d tells the result: %v", name, i, hindsight)
			}
		}
	}
}

// The prompts are kept as goldens so that a change of wording is seen.
func TestMethodPrompts(t *testing.T) {
	ep := madeUp(t)[0]
	for _, name := range []string{"key_utterance", "goal_progress", "only_response", "utterance_quality", "shapley"} {
		m, err := ByName(name, Options{Dimension: episode.Goal})
		if err != nil {
			t.Fatal(err)
		}
		requests, err := m.(Planner).Requests(ep, maeve)
		if err != nil {
			t.Fatal(err)
		}
		goldenPrompt(t, name, requests[min(2, len(requests)-1)])
	}
}

func goldenPrompt(t *testing.T, name string, r episode.Request) {
	t.Helper()
	got := r.Messages[0].Content + "\n"
	path := "testdata/prompt_" + name + ".golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s differs (UPDATE_GOLDEN=1 rewrites it): %v\n%s", path, err, got)
	}
	if strings.Contains(got, "extra_info") || strings.Contains(got, "<no value>") || strings.Contains(got, "{agent}") {
		t.Errorf("%s holds markup or an unfilled place:\n%s", path, got)
	}
}

func TestChoicesThatAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		why, reply, want string // want: the place, or a piece of the error
	}{
		{"the form asked for", `{"key_utterance": 3}`, "1"},
		{"as a text", `{"key_utterance": "5"}`, "2"},
		{"with the mark of the dialogue", `{"key_utterance": "[1]"}`, "0"},
		{"in an object", `{"key_utterance": {"index": 3, "why": "the offer"}}`, "1"},
		{"in prose, the last counts", `First {"key_utterance": 1}, no: {"key_utterance": 5}.`, "2"},
		{"with a reason beside", `{"reason": "x", "key_utterance": 3}`, "1"},
		{"somebody else's utterance", `{"key_utterance": 2}`, `"2", want one of 1, 3, 5`},
		{"two of them", `{"key_utterance": [1, 3]}`, "want one of"},
		{"nothing", `{"key_utterance": null}`, "want one of"},
		{"a fraction", `{"key_utterance": 3.5}`, "want one of"},
		{"negative", `{"key_utterance": -1}`, "want one of"},
		{"the key of other programs", `{"Utterance 1 by Ann": "critical"}`, "no complete JSON object"},
		{"cut off", `{"key_utterance": 1`, "no complete JSON object"},
		{"empty", "", "no complete JSON object"},
		{"too long to look at", strings.Repeat("x", maxReply+1), "at most"},
	} {
		i, err := parseChoice(c.reply, asked)
		got := fmt.Sprint(i)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

func TestValuesThatAreUnderstood(t *testing.T) {
	for _, c := range []struct{ reply, want string }{
		{`{"score": 7}`, "7"}, {`{"score": -5}`, "-5"}, {`{"reason": "x", "score": "2.5"}`, "2.5"}, {`draft {"score": 1} final {"score": 2}`, "2"},
		{`{"score": 10.5}`, "want a number from -5 to 10"}, {`{"score": "NaN"}`, "want a number"}, {`{"score": null}`, "want a number"},
		{`7`, "no complete JSON object"}, {`{"score": 7`, "no complete JSON object"},
	} {
		v, err := parseValue(c.reply, -5, 10)
		got := fmt.Sprint(v)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: %s, want %s", c.reply, got, c.want)
		}
	}
}

func FuzzParseChoice(f *testing.F) {
	for _, reply := range []string{`{"key_utterance": 3}`, `{"key_utterance": {"index": "[5]"}}`, `{"score": 7.5}`, `{'score': 1e1,}`, `[{"key_utterance":[`, "\x00{\"score\":\xff}"} {
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		if i, err := parseChoice(reply, asked); err == nil && (i < 0 || i >= len(asked)) {
			t.Errorf("choice %d of %d", i, len(asked))
		}
		if v, err := parseValue(reply, -5, 10); err == nil && !(v >= -5 && v <= 10) {
			t.Errorf("score %v is outside -5..10", v)
		}
	})
}
