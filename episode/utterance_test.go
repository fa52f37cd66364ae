package episode_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

// told returns an episode of an older file between the named agents.
func older(interactions string, names ...string) *episode.Episode {
	e := &episode.Episode{ID: "o", SocialInteractions: interactions}
	for _, n := range names {
		e.AgentsBackground = append(e.AgentsBackground, episode.NamedText{Name: n})
	}
	return e
}

func TestUtterancesOfOlderFiles(t *testing.T) {
	for _, c := range []struct {
		why, text string
		names     []string
		want      []string // index, speaker, text
	}{
		{"speech, gesture, action, leave", "Ann Bell said: \"Hi\"\n\nCy Dow: [non-verbal communication] nods\n\nAnn Bell: [action] waves\n\nCy Dow: left the conversation",
			[]string{"Ann Bell", "Cy Dow"},
			[]string{`0 Ann Bell said: "Hi"`, "1 Cy Dow [non-verbal communication] nods", "2 Ann Bell [action] waves", "3 Cy Dow left the conversation"}},
		{"apostrophe, hyphen, dot, non-ASCII", "Finnegan O'Malley said: \"a\"\n\nJosé St. John-Luc said: \"b\"", []string{"Finnegan O'Malley", "José St. John-Luc"},
			[]string{`0 Finnegan O'Malley said: "a"`, `1 José St. John-Luc said: "b"`}},
		{"one name starts the other: the longest fits", "Ann Lee said: \"a\"\n\nAnn said: \"b\"", []string{"Ann", "Ann Lee"}, []string{`0 Ann Lee said: "a"`, `1 Ann said: "b"`}},
		{"a name inside a word is no name", "Anna said: \"a\"\n\nAnn said: \"b\"", []string{"Ann", "Bo"}, []string{`0 Ann said: "b"`}},
		{"the same speaker twice: no alternation is assumed", "A said: \"1\"\n\nB said: \"2\"\n\nB said: \"3\"\n\nA said: \"4\"", []string{"A", "B"},
			[]string{`0 A said: "1"`, `1 B said: "2"`, `2 B said: "3"`, `3 A said: "4"`}},
		{"silent turns leave empty parts", "\n\nA said: \"1\"\n\n\n\n\n\nB said: \"2\"\n\n", []string{"A", "B"}, []string{`0 A said: "1"`, `1 B said: "2"`}},
		{"other parts belong to nobody", "Weather: rain\n\nA said: \"1\"\n\n(a pause)", []string{"A", "B"}, []string{`0 A said: "1"`}},
		{"a blank line inside speech, even before a name", "A said: \"1\n\nB is great\n\nbye\"\n\nB said: \"2\"", []string{"A", "B"},
			[]string{"0 A said: \"1\n\nB is great\n\nbye\"", `1 B said: "2"`}},
		{"a line that merely contains the words", "A said: \"I did nothing\"", []string{"A", "B"}, []string{`0 A said: "I did nothing"`}},
		{"nothing at all", "", []string{"A", "B"}, nil},
	} {
		var got []string
		for _, u := range older(c.text, c.names...).Utterances() {
			got = append(got, fmt.Sprintf("%d %s %s", u.Index, u.Speaker, u.Text))
			if u.Turn != -1 || !u.Action.Type.Valid() {
				t.Errorf("%s: turn %d, action %+v", c.why, u.Turn, u.Action)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.why, d)
		}
	}
}

// With raw messages an utterance knows the turn in which it was said, also after
// an agent did nothing on its own turn.
func TestUtterancesKnowTheirTurn(t *testing.T) {
	var got []string
	for _, u := range silentEpisode(t).Utterances() {
		got = append(got, fmt.Sprintf("%d turn %d %s: %s", u.Index, u.Turn, u.Key(), u.Action.Argument))
	}
	want := []string{
		"0 turn 0 Utterance 0 by Ann: a", "1 turn 1 Utterance 0 by Anna: 1", "2 turn 3 Utterance 1 by Anna: 2",
		"3 turn 4 Utterance 1 by Ann: c", "4 turn 5 Utterance 2 by Anna: ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// In published episodes both sources tell the same utterances, and one episode
// has two with one key.
func TestPublishedUtterances(t *testing.T) {
	for _, e := range readAll(t, fixtures.Data(t, "episodes", "full.jsonl")) {
		split := *e
		split.RawMessages = nil
		want := split.Utterances()
		got := e.Utterances()
		last := -1
		keys := map[string]int{}
		for i := range got {
			if got[i].Turn <= last {
				t.Errorf("%s: turn %d after %d", e.ID, got[i].Turn, last)
			}
			last, got[i].Turn = got[i].Turn, -1
			keys[got[i].Key()]++
		}
		if d := cmp.Diff(want, got); d != "" || len(got) == 0 {
			t.Errorf("%s: %s", e.ID, d)
		}
		if e.ID == "01HB5GE1A36GVX6XZW68PCS8YG" && len(keys) == len(got) {
			t.Errorf("%s: no key repeats", e.ID)
		}
		if n := len(e.UtterancesOf(e.Agents()[0])) + len(e.UtterancesOf(e.Agents()[1])); n != len(got) {
			t.Errorf("%s: %d utterances by agent, want %d", e.ID, n, len(got))
		}
	}
}

func TestActionText(t *testing.T) {
	for _, c := range []struct {
		a    episode.Action
		text string
	}{
		{episode.Action{Type: episode.None}, "did nothing"},
		{episode.Action{Type: episode.Speak, Argument: `He said "no".`}, `said: "He said "no"."`},
		{episode.Action{Type: episode.NonVerbal, Argument: "nods"}, "[non-verbal communication] nods"},
		{episode.Action{Type: episode.PhysicalAction, Argument: "opens [the] door"}, "[action] opens [the] door"},
		{episode.Action{Type: episode.Leave}, "left the conversation"},
		{episode.Action{Type: episode.Speak}, `said: ""`},
	} {
		if got := c.a.Text(); got != c.text {
			t.Errorf("%+v is %q, want %q", c.a, got, c.text)
		}
		for _, text := range []string{c.text, " " + c.text, "[private to ['Ann', 'Bo']] " + c.text} {
			if got, err := episode.ParseActionText(text); err != nil || got != c.a {
				t.Errorf("%q is %+v, %v, want %+v", text, got, err, c.a)
			}
		}
	}
	for _, text := range []string{"", "shouted: \"x\"", "[dance] x", "[private to"} {
		if a, err := episode.ParseActionText(text); err == nil {
			t.Errorf("%q is %+v, want an error", text, a)
		}
	}
}

func TestActionJSON(t *testing.T) {
	a := episode.Action{Type: episode.Speak, Argument: "<a> & \"b\"\n\u2028 caf\u00e9 😀\x7f"}
	want := `{"action_type": "speak", "argument": "<a> & \"b\"\n\u2028 caf\u00e9 \ud83d\ude00\u007f"}`
	if got := a.JSON(); got != want {
		t.Errorf("JSON is %s, want %s", got, want)
	}
	if !strings.HasPrefix((episode.Action{Type: episode.None}).JSON(), `{"action_type": "none", "argument": ""}`) {
		t.Error("an empty argument is left out")
	}
}
