package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/jobs"
	"github.com/socialrl/socialrl/internal/redistest"
)

// production is what the workers are told.
type production struct{ Greeting string }

// cast has the agents greet each other, and be judged by their models' names.
func cast(text json.RawMessage) (*jobs.Troupe, error) {
	var p production
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, err
	}
	return &jobs.Troupe{
		Cast: func(m *episode.Match) error {
			for _, model := range m.Models[1:] {
				line := episode.Action{Type: episode.Speak, Argument: p.Greeting + " from " + model}
				m.Agents = append(m.Agents, episode.Script{line, line})
			}
			m.Play = []episode.Option{episode.WithMaxTurns(3)}
			return nil
		},
		Evaluator: episode.EvaluatorFunc(func(_ context.Context, e *episode.Episode) (episode.Judgement, error) {
			if e.Models[1] == "rude" {
				return episode.Judgement{}, errors.New("the judge is offended")
			}
			score := episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: float64(len(e.Models[1]))})
			return episode.Judgement{Rewards: []episode.Reward{score, score}, Reasoning: "by name"}, nil
		}),
	}, nil
}

func matches(models ...string) []episode.Match {
	var all []episode.Match
	for i, model := range models {
		all = append(all, episode.Match{
			Scene: episode.Scene{
				EnvironmentID: fmt.Sprint("env-", i), Scenario: "Two people meet.",
				Participants: [2]episode.Participant{{ID: "a", Name: "Ann", Goal: "Greet & be greeted."}, {ID: "b", Name: "Bob O'Hara", Goal: "Greet <back>."}},
			},
			Models: [3]string{"judge", model, "partner"}, Tag: "test",
		})
	}
	return all
}

// texts returns the episodes of results as JSON lines, "" where there is none.
func texts(t *testing.T, results []episode.MatchResult) string {
	t.Helper()
	var b strings.Builder
	for _, r := range results {
		if r.Episode != nil {
			if err := episode.WriteJSONL(&b, r.Episode); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintln(&b, r.Status, r.Err)
	}
	return b.String()
}

// playHere plays with the same troupe in this process.
func playHere(t *testing.T, ms []episode.Match) (string, error) {
	t.Helper()
	troupe, err := cast(json.RawMessage(`{"Greeting":"hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	for i := range ms {
		if err := troupe.Cast(&ms[i]); err != nil {
			t.Fatal(err)
		}
	}
	b := episode.Batch{Evaluator: troupe.Evaluator}
	results, err := b.Play(t.Context(), ms)
	return texts(t, results), err
}

func dir(t *testing.T) episode.Store {
	t.Helper()
	s, err := episode.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Workers bring the episodes that this process would have played, in the order of the
// matches, and a failure of the judge as well; what is stored is not played again.
func TestWorkersPlayTheSameEpisodes(t *testing.T) {
	t.Parallel()
	q := open(t, redistest.Start(t))
	var played atomic.Int64
	handler := jobs.Player(func(_ context.Context, p json.RawMessage) (*jobs.Troupe, error) { return cast(p) })
	startWith(t, q, map[jobs.Kind]jobs.Handler{jobs.Play: func(ctx context.Context, payload []byte) ([]byte, error) {
		played.Add(1)
		return handler(ctx, payload)
	}})
	models := []string{"kind", "rude", "shy", "bold"}
	want, wantErr := playHere(t, matches(models...))
	b := episode.Batch{Store: dir(t), Evaluator: episode.EvaluatorFunc(nil)}
	results, err := q.Play(t.Context(), b, production{"hello"}, matches(models...))
	if got := texts(t, results); got != want || err == nil || err.Error() != wantErr.Error() {
		t.Errorf("the workers' episodes are\n%s%v\nwant\n%s%v", got, err, want, wantErr)
	}
	before := played.Load()
	results, err = q.Play(t.Context(), b, production{"hello"}, matches(models...))
	if err == nil || played.Load() != before+1 || results[1].Status != episode.MatchFailed || results[0].Status != episode.MatchStored {
		t.Errorf("second run: %v, %d jobs, want 1: to judge what was played", err, played.Load()-before)
	}
}

// A program that is interrupted takes back what nobody has begun, and its next run finds
// what was played meanwhile.
func TestInterruptedPlayGoesOn(t *testing.T) {
	t.Parallel()
	q := open(t, redistest.Start(t))
	ctx, interrupt := context.WithCancel(t.Context())
	var played atomic.Int64
	handler := jobs.Player(func(_ context.Context, p json.RawMessage) (*jobs.Troupe, error) { return cast(p) })
	startWith(t, q, map[jobs.Kind]jobs.Handler{jobs.Play: func(ctx context.Context, payload []byte) ([]byte, error) {
		if played.Add(1) == 2 {
			interrupt()
		}
		time.Sleep(20 * time.Millisecond) // the program gives up meanwhile
		return handler(ctx, payload)
	}})
	models := []string{"a", "bb", "ccc", "dddd", "eeeee", "ffffff"}
	b := episode.Batch{Store: dir(t), Evaluator: episode.EvaluatorFunc(nil), Concurrency: 3}
	if _, err := q.Play(ctx, b, production{"hello"}, matches(models...)); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v, want the interrupt", err)
	}
	results, err := q.Play(t.Context(), b, production{"hello"}, matches(models...))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := playHere(t, matches(models...))
	got := strings.ReplaceAll(texts(t, results), "stored <nil>", "played <nil>")
	if got != want || played.Load() > int64(len(models)) {
		t.Errorf("%d jobs for %d matches; the episodes are\n%s\nwant\n%s", played.Load(), len(models), got, want)
	}
}
