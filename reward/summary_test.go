package reward

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

// The statistics of the published episodes equal those of scipy.
func TestSummarizeEqualsTheReference(t *testing.T) {
	want := publishedFigures(t)
	got, err := Summarize(publishedEpisodes(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d models, want %d", len(got), len(want))
	}
	for model, w := range want {
		g := got[model]
		if g == nil || g.Count != w.Count || g.Settings != w.Settings {
			t.Fatalf("%s: %+v", model, g)
		}
		for d, e := range w.All {
			same(t, model+" "+string(d)+" mean", g.All[d].Mean, e.Mean)
			same(t, model+" "+string(d)+" margin", g.All[d].Margin, e.Margin)
		}
		for seat, s := range []SeatSummary{w.Seat1, w.Seat2} {
			if g.Seats[seat].Count != s.Count {
				t.Errorf("%s, seat %d: %d appearances, want %d", model, seat+1, g.Seats[seat].Count, s.Count)
			}
			for d, mean := range s.Means {
				same(t, model+" "+string(d)+" by seat", g.Seats[seat].Means[d], mean)
			}
		}
	}
}

// publishedEpisodes reads the real episodes; so that settings repeat, the reference
// takes the environment of the i-th to be i mod 3.
func publishedEpisodes(t *testing.T) []*episode.Episode {
	t.Helper()
	f, err := os.Open(fixtures.Data(t, "episodes", "full.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []*episode.Episode
	for e, err := range episode.ReadJSONL(f) {
		if err != nil {
			t.Fatal(err)
		}
		e.EnvironmentID = strconv.Itoa(len(out) % 3)
		out = append(out, e)
	}
	return out
}

func same(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestSummarizeCountsWhatFailed(t *testing.T) {
	judged := episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: 4})
	play := func(rewards ...episode.Reward) *episode.Episode {
		return &episode.Episode{ID: "x", EnvironmentID: "e", Models: []string{"judge", "a", "a"}, Rewards: rewards,
			SocialGoals: episode.Named{{Name: "Ann", Text: "g"}, {Name: "Bo", Text: "h"}}}
	}
	got, err := Summarize([]*episode.Episode{play(judged, judged), play(judged, episode.Reward{})})
	if err != nil {
		t.Fatal(err)
	}
	if s := got["a"]; s.Count != 3 || s.Failed != 1 || s.Settings != 2 || s.All[episode.Goal] != (Estimate{4, 0}) {
		t.Errorf("%+v", s)
	}
	if _, err := Summarize([]*episode.Episode{{ID: "y"}}); err == nil {
		t.Error("an episode without models is summarised")
	}
}

// modelFigures are what scipy made of one model's episodes.
type modelFigures struct {
	Count, Settings int
	All             map[episode.Dimension]struct{ Mean, Margin float64 }
	Seat1, Seat2    SeatSummary
}

// publishedFigures reads the figures of the published episodes, by model.
func publishedFigures(t *testing.T) map[string]modelFigures {
	t.Helper()
	text, err := os.ReadFile(fixtures.Path(t, "eval", "episodes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var figures map[string]modelFigures
	if err := json.Unmarshal(text, &figures); err != nil {
		t.Fatal(err)
	}
	return figures
}
