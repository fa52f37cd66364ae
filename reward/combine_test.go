package reward

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// recs makes records of inputs "a", "b", ... with the given values.
func recs(values ...float64) []Record {
	out := make([]Record, len(values))
	for i, v := range values {
		out[i] = Record{Input: string(rune('a' + i)), Output: "o", Value: v}
	}
	return out
}

func values(recs []Record) map[string]float64 {
	m := map[string]float64{}
	for _, r := range recs {
		m[r.Input] = r.Value
	}
	return m
}

func TestCombine(t *testing.T) {
	goal := Part{Dimension: episode.Goal, Records: recs(0, 5, 10)}
	rel := Part{Dimension: episode.Relationship, Records: recs(-5, 5, 0)}
	for _, c := range []struct {
		why   string
		parts []Part
		o     CombineOptions
		want  map[string]float64
		count CombineCounts
	}{
		{"each dimension runs from 0 to 1, the mean is scaled by 10", []Part{goal, rel}, CombineOptions{},
			map[string]float64{"a": 0, "b": 7.5, "c": 7.5}, CombineCounts{Records: 3}},
		{"weights are relative", []Part{{episode.Goal, 3, goal.Records}, rel}, CombineOptions{Scale: 4},
			map[string]float64{"a": 0, "b": 4 * (1.5 + 1) / 4, "c": 4 * (3 + 0.5) / 4}, CombineCounts{Records: 3}},
		{"one dimension alone keeps its raw reward", []Part{goal}, CombineOptions{Scale: 4},
			map[string]float64{"a": 0, "b": 5, "c": 10}, CombineCounts{Records: 3}},
		{"an item without one of the dimensions is dropped", []Part{goal, {Dimension: episode.Relationship, Records: recs(-5, 5)}}, CombineOptions{},
			map[string]float64{"a": 0, "b": 7.5}, CombineCounts{Records: 2, Incomplete: 1}},
		{"of duplicates the last counts, and the others are outside the range",
			[]Part{{Dimension: episode.Goal, Records: append(recs(99), recs(0, 5, 10)...)}, rel}, CombineOptions{},
			map[string]float64{"a": 0, "b": 7.5, "c": 7.5}, CombineCounts{Records: 3, Duplicates: 1}},
		{"a constant dimension tells nothing: one half", []Part{goal, {Dimension: episode.Knowledge, Records: recs(7, 7, 7)}}, CombineOptions{},
			map[string]float64{"a": 2.5, "b": 5, "c": 7.5}, CombineCounts{Records: 3}},
		{"fitted ranges put new data on the old scale, beyond it too", []Part{goal, rel},
			CombineOptions{Ranges: Ranges{episode.Goal: {0, 5}, episode.Relationship: {-5, 5}}},
			map[string]float64{"a": 0, "b": 10, "c": 12.5}, CombineCounts{Records: 3}},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, _, count, err := Combine(c.parts, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, values(got)); diff != "" || count != c.count {
				t.Errorf("counts %+v, want %+v; values:\n%s", count, c.count, diff)
			}
		})
	}
}

func TestCombineErrors(t *testing.T) {
	goal := Part{Dimension: episode.Goal, Records: recs(1, 2)}
	for _, c := range []struct {
		parts []Part
		o     CombineOptions
		want  string
	}{
		{nil, CombineOptions{}, "nothing to combine"},
		{[]Part{goal, goal}, CombineOptions{}, "two parts of dimension goal"},
		{[]Part{{Dimension: episode.Goal}}, CombineOptions{}, "dimension goal has no records"},
		{[]Part{{episode.Goal, -1, goal.Records}}, CombineOptions{}, "the weight of goal is -1"},
		{[]Part{{Dimension: episode.Goal, Records: recs(math.NaN())}}, CombineOptions{}, "record 0 of goal"},
		{[]Part{goal, {Dimension: episode.Secret, Records: recs(1)}}, CombineOptions{Ranges: Ranges{episode.Goal: {0, 1}}}, "none for secret"},
	} {
		if _, _, _, err := Combine(c.parts, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}

// Training data combined in two runs, the second with the saved ranges of the
// first, lands where one run would have put it.
func TestRangesApplyToNewData(t *testing.T) {
	parts := func(from, to int) []Part {
		goal, rel := recs(0, 5, 10, 2), recs(-5, 5, 0, 1)
		return []Part{{Dimension: episode.Goal, Records: goal[from:to]}, {Dimension: episode.Relationship, Records: rel[from:to]}}
	}
	_, ranges, _, err := Combine(parts(0, 4), CombineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ranges.json")
	if err := ranges.Save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadRanges(path)
	if diff := cmp.Diff(ranges, loaded); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	all, _, _, _ := Combine(parts(0, 4), CombineOptions{})
	last, _, _, err := Combine(parts(3, 4), CombineOptions{Ranges: loaded})
	if diff := cmp.Diff(all[3:], last); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestJoin(t *testing.T) {
	item := func(turn int) episode.Item {
		return episode.Item{EpisodeID: "e", Agent: "Ann", Turn: turn, Input: string(rune('a' + turn)), Output: "o"}
	}
	key := func(d episode.Dimension) attribution.Key {
		return attribution.Key{EpisodeID: "e", Agent: "Ann", Method: attribution.Method{Name: "direct", Dimension: d, Scale: 3}}
	}
	credit := func(turn int, s attribution.State, r float64) attribution.Credit {
		return attribution.Credit{Turn: turn, Speaker: "Ann", State: s, Reward: r}
	}
	goal := &attribution.Attribution{Key: key(episode.Goal), Credits: []attribution.Credit{
		credit(0, attribution.Scored, 3), {Turn: 1, Speaker: "Bob", State: attribution.Unscored},
		credit(2, attribution.MaskedOut, attribution.Masked), credit(4, attribution.RewardOnly, 0),
		credit(6, attribution.Unscored, 0), credit(20, attribution.Scored, 1), credit(-1, attribution.Scored, 1)}}
	rel := &attribution.Attribution{Key: key(episode.Relationship), Credits: []attribution.Credit{credit(0, attribution.Scored, -1)}}

	parts, counts, err := Join([]episode.Item{item(0), item(2), item(4), item(6), item(8)}, []*attribution.Attribution{goal, rel})
	if err != nil {
		t.Fatal(err)
	}
	// Goal: turns 0 and 4 (a reward of 0 is a reward); relationship: turn 0, whose -1 is a
	// reward and no mask.
	if len(parts) != 2 || parts[0].Dimension != episode.Goal || parts[1].Dimension != episode.Relationship {
		t.Fatalf("parts %+v", parts)
	}
	if diff := cmp.Diff(map[string]float64{"a": 3, "e": 0}, values(parts[0].Records)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]float64{"a": -1}, values(parts[1].Records)); diff != "" {
		t.Error(diff)
	}
	want := JoinCounts{Joined: 3, Masked: 1, Unscored: 1, Unplaced: 2, Unattributed: 1 + 4}
	if counts != want {
		t.Errorf("counts %+v, want %+v", counts, want)
	}

	other := &attribution.Attribution{Key: key(episode.Goal)}
	other.Method.Scale = 10
	if _, _, err := Join(nil, []*attribution.Attribution{goal, other}); err == nil ||
		!strings.Contains(err.Error(), "goal is attributed by both direct/goal/3 and direct/goal/10") {
		t.Errorf("error %v", err)
	}
}
