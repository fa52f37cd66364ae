package attribution

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

// attributions makes one of every kind.
func attributions(t *testing.T) []*Attribution {
	t.Helper()
	ep := madeUp(t)[1]
	var as []*Attribution
	for _, m := range []Attributor{
		Direct{LLM: replies(`{"1": -1, "2": 3, "4": 0}`)}, Direct{LLM: replies(`{"1": 1, "2": 3, "4": 0}`), Scale: 10, Normalized: true},
		Discounting{Dimension: episode.Relationship}, Uniform{}, Evidence{},
	} {
		a, err := m.Attribute(context.Background(), ep, maeve)
		if err != nil {
			t.Fatal(err)
		}
		as = append(as, a)
	}
	as[0].Credits[1].Human = map[string]float64{"2024-04-23T20:48:11Z": 2}
	return as
}

func TestFilesRoundTrip(t *testing.T) {
	want := attributions(t)
	var file bytes.Buffer
	if err := WriteJSONL(&file, want...); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, readAll(t, file.String()), cmpopts.EquateNaNs()); d != "" {
		t.Errorf("read differs from written (-want +got):\n%s", d)
	}
}

func readAll(t *testing.T, text string) []*Attribution {
	t.Helper()
	var as []*Attribution
	for a, err := range ReadJSONL(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		as = append(as, a)
	}
	return as
}

// What other programs of the field read: the map, its keys, and its second
// elements. Maeve speaks twice in a row, utterances 1 and 2; their keys differ,
// José's 0 and Maeve's 1 share a number.
func TestLineAsOtherProgramsReadIt(t *testing.T) {
	for i, want := range []string{
		`"Utterance 0 by Maeve O'Malley": ["said: \"I can pay 50.\"", {"reward": -1.0, "attribution": -1, "dimension": "goal", "scale": "default", "dim_score": 10.0}, {"2024-04-23T20:48:11Z": 2}]`,
		`"Utterance 1 by Maeve O'Malley": ["said: \"Fine, 55, and I take the shade as well.\"", {"reward": 7.5, "attribution": 3, "dimension": "goal", "scale": "10", "dim_score": 10.0}]`,
		`"Utterance 2 by Maeve O'Malley": ["said: \"Thank you!\"", 1.0]`, // the last of a discounted dialogue: a bare number
		`"Utterance 1 by Maeve O'Malley": ["said: \"Fine, 55, and I take the shade as well.\"", {"reward": 10.0, "dimension": "goal", "dim_score": 10.0}]`,
		`"Utterance 0 by Jos\u00e9 N\u00fa\u00f1ez-Ortega": ["said: \"This lamp is 90.\"", 0]`,
	} {
		text, err := attributions(t)[i].MarshalJSON()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v: line\n%s\ndoes not hold\n%s", err, text, want)
		}
	}
	var fields map[string]any
	text, _ := attributions(t)[0].MarshalJSON()
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["goal_score"] != 10.0 || fields["is_first_speaker"] != false || fields["method"] != "direct" || len(fields["utterances"].([]any)) != 5 {
		t.Errorf("fields are %v", fields)
	}
}

// Two utterances with one key: the map keeps the later, the list both.
func TestRepeatedKeysStayInTheList(t *testing.T) {
	a := attributions(t)[3]
	a.Credits[3].Speaker = maeve // now 2 and 3 are both "Utterance 1 by Maeve O'Malley"
	text, err := a.MarshalJSON()
	if err != nil || bytes.Count(text, []byte(`"Utterance 1 by Maeve O'Malley"`)) != 1 {
		t.Fatalf("%v: the key does not stand once in %s", err, text)
	}
	if got := readAll(t, string(text))[0]; len(got.Own()) != 4 {
		t.Errorf("%d of Maeve's utterances are read, want 4", len(got.Own()))
	}
}

func TestLinesOfOtherPrograms(t *testing.T) {
	const head = `{"episode_id": "E", "scenario": "s", "agent": "Al", "goal": "g", "is_first_speaker": true, "goal_score": 8.0, "attributed_utterances": {`
	for _, c := range []struct {
		why, utterances string
		want            []Credit
		method          Method
	}{
		{"direct", `"Utterance 0 by Al": ["said: \"a\"", {"reward": 8.0, "attribution": 3}], "Utterance 0 by Al-Bo": ["said: \"b\"", 0], "Utterance 1 by Al": ["said: \"c\"", {"reward": -1, "attribution": -1}]`,
			[]Credit{{0, -1, "Al", `said: "a"`, Scored, 3, 8, nil, 0}, {1, -1, "Al-Bo", `said: "b"`, Unscored, 0, 0, nil, 0}, {2, -1, "Al", `said: "c"`, MaskedOut, -1, -1, nil, 0}},
			Method{"", episode.Goal, 0}},
		{"any dimension, which the objects tell", `"Utterance 0 by Al": ["said: \"a\"", {"reward": 1.0, "attribution": 1, "dimension": "knowledge", "scale": "default", "dim_score": 3.0}]`,
			[]Credit{{0, -1, "Al", `said: "a"`, Scored, 1, 1, nil, 0}}, Method{"", episode.Knowledge, 3}},
		{"the same for all: no attribution", `"Utterance 0 by Al": ["said: \"a\"", {"reward": 8.0}]`,
			[]Credit{{0, -1, "Al", `said: "a"`, RewardOnly, 0, 8, nil, 0}}, Method{"", episode.Goal, 0}},
		{"goal progress: bare rewards, a 0 among them, no entry for the first", `"Utterance 0 by Al": ["said: \"a\"", 0], "Utterance 1 by Al": ["said: \"b\"", 1.6], "Utterance 2 by Al": ["said: \"c\"", 0.0]`,
			[]Credit{{0, -1, "Al", `said: "a"`, Unscored, 0, 0, nil, 0}, {2, -1, "Al", `said: "b"`, RewardOnly, 0, 1.6, nil, 0}, {4, -1, "Al", `said: "c"`, RewardOnly, 0, 0, nil, 0}},
			Method{"", episode.Goal, 0}},
		{"own utterances without a score are unscored, not 0", `"Utterance 0 by Al": ["said: \"a\"", 0], "Utterance 1 by Al": ["said: \"b\"", {"reward": 0.0, "attribution": 0}]`,
			[]Credit{{0, -1, "Al", `said: "a"`, Unscored, 0, 0, nil, 0}, {2, -1, "Al", `said: "b"`, Scored, 0, 0, nil, 0}}, Method{"", episode.Goal, 0}},
	} {
		a := readAll(t, head+c.utterances+"}}")[0]
		if d := cmp.Diff(c.want, a.Credits); d != "" || a.Method != c.method {
			t.Errorf("%s: method %v, credits (-want +got):\n%s", c.why, a.Method, d)
		}
	}
}

func TestOlderLogs(t *testing.T) {
	a := readAll(t, `{"episode_id": "E", "scenario": "s", "agent": "Al", "goal": "g", "score": 8.0, "is_first_speaker": true, "rewarded_utterances": `+
		`{"Utterance 0 by Al": ["Al said: \"a\"", 5, {"2024-04-23T20:48:11.993641Z": 3}], "Utterance 0 by Bo": ["Bo: [action] nods", -1], "Utterance 1 by Al": ["Al said: \"c\"", -1]}}`)[0]
	want := []Credit{
		{0, -1, "Al", `said: "a"`, Scored, 5, 4, map[string]float64{"2024-04-23T20:48:11.993641Z": 3}, 0},
		{1, -1, "Bo", "[action] nods", Unscored, 0, 0, nil, 0},
		{2, -1, "Al", `said: "c"`, MaskedOut, Masked, Masked, nil, 0},
	}
	if d := cmp.Diff(want, a.Credits); d != "" || a.Method != (Method{"", episode.Goal, 10}) || a.GoalScore != 8 || !a.FirstSpeaker {
		t.Errorf("%+v, credits (-want +got):\n%s", a.Key, d)
	}
}

// Every label of the published annotations is found. The counts were taken from
// the files by other means.
func TestPublishedAnnotations(t *testing.T) {
	for _, c := range []struct {
		file                                              string
		lines, utterances, scored, masked, human, sum, hs int
	}{
		{"human_and_llm.jsonl", 36, 360, 159, 21, 10, 873, 4},
		{"llm.jsonl", 24, 278, 122, 17, 0, 710, 0},
	} {
		got := c
		got.lines, got.utterances, got.scored, got.masked, got.human, got.sum, got.hs = 0, 0, 0, 0, 0, 0, 0
		for a, err := range ReadFile(fixtures.Data(t, "annotations", c.file)) {
			if err != nil {
				t.Fatal(err)
			}
			got.lines++
			got.utterances += len(a.Credits)
			for _, credit := range a.Own() {
				got.scored += indicatorInt(credit.State == Scored)
				got.masked += indicatorInt(credit.State == MaskedOut)
				got.human += len(credit.Human)
				if credit.State == Scored {
					got.sum += int(credit.Attribution)
				}
				for _, label := range credit.Human {
					got.hs += int(label)
				}
				if strings.HasPrefix(credit.Text, a.Agent) {
					t.Errorf("%s: text with the speaker's name: %s", a.Key, credit.Text)
				}
			}
		}
		if got != c {
			t.Errorf("found %+v, want %+v", got, c)
		}
	}
}

func indicatorInt(b bool) int { return int(indicator(b)) }

// The published annotations and episodes number utterances alike.
func TestPublishedAnnotationsMeetTheirEpisodes(t *testing.T) {
	eps := map[string]*episode.Episode{}
	for ep, err := range episode.ReadFile(fixtures.Data(t, "episodes", "full.jsonl")) {
		if err != nil {
			t.Fatal(err)
		}
		eps[ep.ID] = ep
	}
	met := 0
	for a, err := range ReadFile(fixtures.Data(t, "annotations", "llm.jsonl")) {
		if err != nil {
			t.Fatal(err)
		}
		ep := eps[a.EpisodeID]
		if ep == nil {
			t.Fatalf("no episode %s", a.EpisodeID)
		}
		us := ep.Utterances()
		for _, c := range a.Credits {
			if c.Index < len(us) && us[c.Index].Speaker == c.Speaker && us[c.Index].Text == c.Text {
				met++
			}
		}
	}
	if met < 270 { // of 278; where a speaker spoke twice in a row the old logs lost a line
		t.Errorf("%d of 278 utterances stand in the episode under their index", met)
	}
}

func TestBadLinesSayWhatIsWrong(t *testing.T) {
	const head = `{"episode_id": "E", "agent": "A", `
	good := head + `"attributed_utterances": {}}`
	for _, c := range []struct{ why, line, want string }{
		{"not JSON", `{"episode_id"`, "unexpected end"},
		{"an episode", `{"episode_id": "E", "social_interactions": ""}`, "agent is missing"},
		{"no utterances", head + `"goal": "g"}`, "no utterances"},
		{"a list instead of a map", head + `"attributed_utterances": []}`, "not an object"},
		{"a key of another form", head + `"attributed_utterances": {"Line 1 by A": ["x", 0]}}`, `"Line 1 by A": key is not of the form`},
		{"no second element", head + `"attributed_utterances": {"Utterance 0 by A": ["x"]}}`, "want [text, number or object"},
		{"a word for a reward", head + `"attributed_utterances": {"Utterance 0 by A": ["x", {"reward": "high"}]}}`, "not a number"},
		{"no reward in the object", head + `"attributed_utterances": {"Utterance 0 by A": ["x", {"attribution": 1}]}}`, "without a reward"},
		{"an attribution beyond the older scale", head + `"rewarded_utterances": {"Utterance 0 by A": ["x", 11]}}`, "11 is outside 0..10"},
		{"an attribution without a reward", head + `"utterances": [{"index": 0, "speaker": "A", "attribution": 1, "reward": null}]}`, "an attribution and no reward"},
	} {
		var errs []error
		n := 0
		for a, err := range ReadJSONL(strings.NewReader(good + "\n\n" + c.line + "\n" + good)) {
			if err != nil {
				errs = append(errs, err)
			} else if a != nil {
				n++
			}
		}
		var le *episode.LineError
		if len(errs) != 1 || n != 2 || !errors.As(errs[0], &le) || le.Line != 3 || !strings.Contains(errs[0].Error(), c.want) {
			t.Errorf("%s: %d lines read, errors %v; want 2 and one of line 3 with %q", c.why, n, errs, c.want)
		}
	}
}

func TestUnknownScoresAreNull(t *testing.T) {
	a := attributions(t)[3]
	a.GoalScore = math.NaN()
	text, err := a.MarshalJSON()
	if err != nil || !strings.Contains(string(text), `"goal_score": null`) || !math.IsNaN(readAll(t, string(text))[0].GoalScore) {
		t.Errorf("%v: %s", err, text)
	}
	a.Credits[1].Reward = math.Inf(1)
	if _, err := a.MarshalJSON(); err == nil {
		t.Error("an infinite reward is written")
	}
}

func TestFailuresRoundTrip(t *testing.T) {
	want := &Failure{
		Key{"E", "A", Method{"direct", episode.Goal, 3}}, []Try{{"no <b>", "no complete JSON"}},
		Usage{1, episode.Usage{PromptTokens: 5, CompletionTokens: 2, Cost: 0.25}}, ErrNoUsableReply,
	}
	text, err := want.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	got := new(Failure)
	if err := json.Unmarshal(text, got); err != nil || !errors.Is(got, ErrNoUsableReply) {
		t.Fatal(err, got)
	}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if !strings.Contains(got.Error(), "direct/goal/3 of episode E, agent A") {
		t.Errorf("the message does not name the key: %v", got)
	}
}
