package episode_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// judged returns a played episode with the given goal and overall scores.
func judged(t *testing.T, id, environment string, scores [2][2]float64, opts ...episode.Option) *episode.Episode {
	t.Helper()
	e := played(t, id, opts...)
	e.EnvironmentID = environment
	e.RawRewards, e.Rewards = nil, nil
	for _, s := range scores {
		e.Rewards = append(e.Rewards, episode.Reward{Form: episode.RewardScores, Scores: []episode.DimensionScore{
			{Dimension: episode.Goal, Score: s[0]}, {Dimension: episode.Overall, Score: s[1]},
		}})
	}
	return e
}

func sequence(eps ...*episode.Episode) iter.Seq2[*episode.Episode, error] {
	return func(yield func(*episode.Episode, error) bool) {
		for _, e := range eps {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestSelection(t *testing.T) {
	models := func(a, b string) episode.Option { return episode.WithModels("judge", a, b) }
	failed := played(t, "f")
	failed.EnvironmentID = "x"
	eps := sequence(
		judged(t, "1", "x", [2][2]float64{{5, 1}, {5, 3}}, models("m", "m"), episode.WithTag("t")),
		judged(t, "2", "x", [2][2]float64{{5, 2}, {5, 3}}, models("m", "n")),
		judged(t, "3", "y", [2][2]float64{{0, 0}, {0, 0}}, models("m", "m")),
		judged(t, "4", "x", [2][2]float64{{4, 9}, {6, 0}}, models("n", "n")),
		failed,
	)
	for _, c := range []struct {
		why  string
		s    episode.Selection
		want string
	}{
		{"higher overall decides between equal goals, goal comes first, a real 0 is a score", episode.Selection{}, "[2/0 4/1 3/0 3/1]"},
		{"both models, earliest on a tie", episode.Selection{Model: "m"}, "[1/0 1/1 3/0 3/1]"},
		{"by tag", episode.Selection{Tag: "t"}, "[1/0 1/1]"},
		{"all that were judged", episode.Selection{All: true}, "[1/0 1/1 2/0 2/1 3/0 3/1 4/0 4/1]"},
		{"nothing fits", episode.Selection{Model: "z"}, "[]"},
	} {
		seats, err := c.s.Seats(eps)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, s := range seats {
			seat, err := s.Episode.Seat(s.Agent)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s/%d", s.Episode.ID, seat))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: selected %v, want %v", c.why, got, c.want)
		}
	}
}

// The earlier of two equal episodes counts.
func TestSelectionTie(t *testing.T) {
	seats, err := episode.Selection{}.Seats(sequence(
		judged(t, "b", "x", [2][2]float64{{5, 2}, {5, 3}}), judged(t, "a", "x", [2][2]float64{{5, 2}, {5, 3}})))
	if err != nil || len(seats) != 2 || seats[0].Episode.ID != "b" || seats[1].Episode.ID != "b" {
		t.Errorf("selected %v, %v", seats, err)
	}
}

// Turns that did nothing are not cloned.
func TestSelectionDropsDidNothing(t *testing.T) {
	e := silentEpisode(t)
	all, err := e.Items(e.Agents()[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	items, err := episode.Selection{}.Items(sequence(e))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, i := range items {
		if i.DidNothing() {
			t.Errorf("item %+v did nothing", i)
		}
		if i.Agent == e.Agents()[0] {
			n++
		}
	}
	if n != len(all)-1 {
		t.Errorf("%d items of the first speaker, want %d of %d", n, len(all)-1, len(all))
	}
}

// silentEpisode returns a judged episode in which the first speaker once did
// nothing on its turn.
func silentEpisode(t *testing.T) *episode.Episode {
	t.Helper()
	first := episode.Script{{Type: episode.Speak, Argument: "a"}, {Type: episode.None}, {Type: episode.Speak, Argument: "c"}}
	second := episode.Script{{Type: episode.Speak, Argument: "1"}, {Type: episode.Speak, Argument: "2"}}
	scene := episode.Scene{EnvironmentID: "x", Participants: [2]episode.Participant{{Name: "Ann"}, {Name: "Anna"}}}
	reward := episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: 3})
	judge := episode.EvaluatorFunc(func(context.Context, *episode.Episode) (episode.Judgement, error) {
		return episode.Judgement{Rewards: []episode.Reward{reward, reward}}, nil
	})
	e, err := episode.Play(t.Context(), scene, []episode.Agent{first, second}, episode.WithID("s"), episode.WithEvaluator(judge))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSelectionPassesErrorsOn(t *testing.T) {
	bad := errors.New("bad line")
	_, err := episode.Selection{}.Items(func(yield func(*episode.Episode, error) bool) { yield(nil, bad) })
	if !errors.Is(err, bad) {
		t.Errorf("error is %v, want %v", err, bad)
	}
}
