package episode_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

func TestDimensions(t *testing.T) {
	for _, c := range []struct {
		d      episode.Dimension
		abbr   string
		lo, hi float64
	}{
		{"believability", "BEL", 0, 10}, {"relationship", "REL", -5, 5}, {"knowledge", "KNO", 0, 10}, {"secret", "SEC", -10, 0},
		{"social_rules", "SOC", -10, 0}, {"financial_and_material_benefits", "FIN", -5, 5}, {"goal", "GOAL", 0, 10},
	} {
		lo, hi, ok := c.d.Range()
		if c.d.Abbreviation() != c.abbr || lo != c.lo || hi != c.hi || !ok {
			t.Errorf("%s: %s, %v..%v", c.d, c.d.Abbreviation(), lo, hi)
		}
		if got, err := episode.ParseDimension(strings.ToLower(c.abbr)); got != c.d || err != nil {
			t.Errorf("%s is %v, %v", c.abbr, got, err)
		}
		if c.d.Check(lo) != nil || c.d.Check(hi) != nil || c.d.Check(hi+0.5) == nil || c.d.Check(lo-1) == nil || c.d.Check(math.NaN()) == nil {
			t.Errorf("%s: limits are not kept", c.d)
		}
		if !slices.Contains(episode.Dimensions(), c.d) {
			t.Errorf("%s is not among the seven", c.d)
		}
	}
	for _, d := range []episode.Dimension{"conversation_behavior", "goal_barebone", "overall_score"} {
		if got, err := episode.ParseDimension(string(d)); got != d || err != nil {
			t.Errorf("%s is %v, %v", d, got, err)
		}
	}
	if _, err := episode.ParseDimension("charm"); err == nil || !strings.Contains(err.Error(), "charm") {
		t.Errorf("error is %v", err)
	}
	if _, _, ok := episode.Dimension("charm").Range(); ok || episode.Dimension("charm").Check(99) != nil {
		t.Error("a custom dimension has a range")
	}
}

func read(t *testing.T, text string) *episode.Episode {
	t.Helper()
	for e, err := range episode.ReadJSONL(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Fatal("no episode")
	return nil
}

// Rewards of all generations are read, and a judge that failed is told from one
// that gave 0.
func TestScore(t *testing.T) {
	const head = `{"episode_id": "e", "social_goals": {"A": "", "B": ""}, `
	for _, c := range []struct {
		why, rewards string
		goal         float64
		goalErr      error
		overall      float64
		overallErr   error
	}{
		{"pair", `"raw_rewards": [[2.5, {"goal": 7, "overall_score": 2.5}], 0.0]`, 7, nil, 2.5, nil},
		{"dictionary of older files", `"rewards": [{"goal": 7.0, "overall_score": 3.0}, {}]`, 7, nil, 3, nil},
		{"dictionary without overall_score", `"rewards": [{"goal": 7, "secret": -7, "believability": 7, "relationship": 0, "knowledge": 7, "social_rules": 0, "financial_and_material_benefits": 0}, 0]`, 7, nil, 2, nil},
		{"dictionary of one dimension", `"rewards": [{"goal": 7}, 0]`, 7, nil, 0, episode.ErrNoScore},
		{"both, the dictionary counts", `"raw_rewards": [[1.0, {"goal": 1}], 0.0], "rewards": [{"goal": 2, "overall_score": 2.0}, 0]`, 2, nil, 2, nil},
		{"failed dictionary, good pair", `"raw_rewards": [[1.0, {"goal": 1}], 0.0], "rewards": [0.0, 0.0]`, 1, nil, 1, nil},
		{"a judged 0", `"raw_rewards": [[0.0, {"goal": 0.0, "overall_score": 0.0}], 0.0]`, 0, nil, 0, nil},
		{"0.0 is a failed judge", `"raw_rewards": [0.0, 0.0], "rewards": [0.0, 0.0]`, 0, episode.ErrNotJudged, 0, episode.ErrNotJudged},
		{"an empty dictionary too", `"rewards": [[0.0, {}], 0.0]`, 0, episode.ErrNotJudged, 0, episode.ErrNotJudged},
		{"a bare number is the overall score", `"rewards": [3.5, 0.0]`, 0, episode.ErrNoScore, 3.5, nil},
		{"null", `"rewards": [null, null]`, 0, episode.ErrNotJudged, 0, episode.ErrNotJudged},
		{"no rewards", `"rewards": []`, 0, episode.ErrNotJudged, 0, episode.ErrNotJudged},
	} {
		e := read(t, head+c.rewards+"}")
		goal, err := e.Score("A", episode.Goal)
		if goal != c.goal || !errors.Is(err, c.goalErr) {
			t.Errorf("%s: goal is %v, %v", c.why, goal, err)
		}
		if overall, err := e.Score("A", episode.Overall); overall != c.overall || !errors.Is(err, c.overallErr) {
			t.Errorf("%s: overall is %v, %v", c.why, overall, err)
		}
		if bare, err := e.Score("A", episode.GoalBarebone); bare != goal || !errors.Is(err, c.goalErr) {
			t.Errorf("%s: goal_barebone is %v, %v", c.why, bare, err)
		}
		if v, err := e.Score("A", episode.ConversationBehavior); v != 10 || err != nil {
			t.Errorf("%s: conversation_behavior is %v, %v", c.why, v, err)
		}
	}
}

func TestScoreOfStranger(t *testing.T) {
	e := read(t, `{"episode_id": "e7", "social_goals": {"A": "", "B": ""}}`)
	if _, err := e.Score("C", episode.Goal); err == nil || !strings.Contains(err.Error(), "e7") || !strings.Contains(err.Error(), `"A" "B"`) {
		t.Errorf("error is %v, want one with the episode and its agents", err)
	}
}

// The order of the keys says who speaks first.
func TestAgents(t *testing.T) {
	for why, text := range map[string]string{
		"backgrounds":  `{"agents_background": {"Zoë": "", "Al": ""}, "social_goals": {"Al": "", "Zoë": ""}}`,
		"goals":        `{"social_goals": {"Zoë": "", "Al": ""}}`,
		"raw messages": `{"raw_messages": [[["Environment", "Zoë", "x"], ["Environment", "Al", "x"]]]}`,
	} {
		if got := read(t, text).Agents(); !slices.Equal(got, []string{"Zoë", "Al"}) {
			t.Errorf("%s: agents are %q", why, got)
		}
	}
}

// A changed field is written anew in its place; everything else stays.
func TestChangesAreWritten(t *testing.T) {
	e := read(t, `{"x": 1e2, "rewards": [3, {"goal": 1}], "experiment_tag": null, "episode_id": "e"}`)
	e.Tag, e.Scenario = "new <tag>", "added"
	if err := e.SetField("x", []int{1, 2}); err != nil {
		t.Fatal(err)
	}
	if err := e.SetField("y", "z"); err != nil {
		t.Fatal(err)
	}
	want := `{"x": [1, 2], "rewards": [3, {"goal": 1}], "experiment_tag": "new <tag>", "episode_id": "e", "y": "z", "scenario": "added"}` + "\n"
	if got := line(t, e); got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
	if string(e.Field("y")) != `"z"` || e.Field("none") != nil || e.Field("scenario") != nil {
		t.Errorf("fields are %s, %s", e.Field("y"), e.Field("none"))
	}
	if err := e.SetField("scenario", "x"); err == nil {
		t.Error("a field of its own is set by name")
	}
}

func TestNewIDSorts(t *testing.T) {
	a := episode.NewID()
	if len(a) != 26 || strings.Trim(a, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" || a[0] > '7' {
		t.Errorf("%s is no ULID", a)
	}
	if b := episode.NewID(); a == b || a[:8] > b[:8] {
		t.Errorf("%s follows %s", b, a)
	}
}

func TestItemsNeedMessages(t *testing.T) {
	e := read(t, `{"episode_id": "e7", "social_goals": {"A": "", "B": ""}, "social_interactions": "A said: \"x\""}`)
	if _, err := e.Items("A", nil); !errors.Is(err, episode.ErrNoMessages) || !strings.Contains(err.Error(), "e7") {
		t.Errorf("error is %v, want %v", err, episode.ErrNoMessages)
	}
	if _, err := e.Items("C", nil); err == nil || errors.Is(err, episode.ErrNoMessages) {
		t.Errorf("error is %v, want one about the name", err)
	}
}

func TestPromptTemplate(t *testing.T) {
	p, err := episode.NewPromptTemplate("{agent}: {history} ", `{turn_number} {"foo": ["{bar"]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Render("{history}", "{agent}", 3), `{history}: {agent} 3 {"foo": ["{bar"]}`; got != want {
		t.Errorf("rendered %q, want %q: what is filled in is not filled again", got, want)
	}
	for _, text := range []string{"no history {agent}", "{history} {name}"} {
		if _, err := episode.NewPromptTemplate(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if _, err := episode.LoadPromptTemplate("missing.txt"); err == nil || !strings.Contains(err.Error(), "missing.txt") {
		t.Errorf("error is %v", err)
	}
}
