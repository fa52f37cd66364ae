package episode_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/socialrl/socialrl/episode"
)

// played returns a complete episode under the given id.
func played(t testing.TB, id string, opts ...episode.Option) *episode.Episode {
	t.Helper()
	scene := episode.Scene{
		EnvironmentID: "env-" + id[:1], Codename: "shared_desk", Scenario: "Two colleagues share <one> desk.",
		Participants: [2]episode.Participant{
			{ID: "a1", Name: "José O'Malley", Background: "José is tidy.", Goal: "Get the window seat."},
			{ID: "a2", Name: "Jean-Luc St. John", Background: "Jean-Luc sings.", Goal: "Keep the seat."},
		},
	}
	first := episode.Script{{Type: episode.Speak, Argument: "May I sit at the window? 😀"}, {Type: episode.NonVerbal, Argument: "smiles"}}
	second := episode.Script{{Type: episode.Speak, Argument: `He said "no".`}}
	e, err := episode.Play(t.Context(), scene, []episode.Agent{first, second}, append([]episode.Option{episode.WithID(id)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ids returns the ids that a search finds; an error fails the test.
func ids(t *testing.T, s episode.Store, q episode.Query) []string {
	t.Helper()
	var out []string
	for e, err := range s.Find(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.ID)
	}
	return out
}

// lines returns an episode as a JSON line.
func line(t testing.TB, e *episode.Episode) string {
	t.Helper()
	var b strings.Builder
	if err := episode.WriteJSONL(&b, e); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// testStore is what every store must do. open opens the same empty store each
// time, as another process would.
func testStore(t *testing.T, open func(t *testing.T) episode.Store) {
	s := open(t)
	ctx := t.Context()
	t.Run("nothing is there at first", func(t *testing.T) {
		if _, err := s.Get(ctx, "1"); !errors.Is(err, episode.ErrNotFound) {
			t.Errorf("error is %v, want %v", err, episode.ErrNotFound)
		}
		if got := ids(t, s, episode.Query{}); len(got) != 0 {
			t.Errorf("found %v", got)
		}
	})
	t.Run("what is put comes back byte for byte", func(t *testing.T) {
		for e, err := range episode.ReadJSONL(strings.NewReader(generations)) {
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Put(ctx, e); err != nil {
				t.Fatal(err)
			}
			got, err := s.Get(ctx, e.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := line(t, got), line(t, e); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if d := cmp.Diff(e, got, cmpopts.IgnoreUnexported(episode.Episode{})); d != "" {
				t.Error(d)
			}
		}
	})
	t.Run("search", func(t *testing.T) { testFind(t, s) })
	t.Run("a second put replaces", func(t *testing.T) {
		e := played(t, "a1", episode.WithTag("other tag"))
		if err := s.Put(ctx, e); err != nil {
			t.Fatal(err)
		}
		if got := ids(t, s, episode.Query{Tag: "other tag"}); !slices.Equal(got, []string{"a1"}) {
			t.Errorf("found %v", got)
		}
	})
	t.Run("another process sees it", func(t *testing.T) {
		other := open(t)
		if a, b := ids(t, s, episode.Query{}), ids(t, other, episode.Query{}); !slices.Equal(a, b) || len(a) == 0 {
			t.Errorf("one finds %v, the other %v", a, b)
		}
	})
	t.Run("an episode without id is refused", func(t *testing.T) {
		if err := s.Put(ctx, &episode.Episode{Scenario: "x"}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("awkward ids", func(t *testing.T) {
		for _, id := range []string{"../x", ".hidden", "a/b c", "é%41", "CON:*?", "a.json"} {
			e := played(t, "z")
			e.ID = id
			if err := s.Put(ctx, e); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Get(ctx, id); err != nil || got.ID != id {
				t.Errorf("%q: got %v, %v", id, got, err)
			}
			if got := ids(t, s, episode.Query{IDs: []string{id}}); !slices.Equal(got, []string{id}) {
				t.Errorf("%q: found %q", id, got)
			}
		}
		if got := ids(t, s, episode.Query{}); !slices.IsSorted(got) || !slices.Contains(got, "é%41") {
			t.Errorf("found %q, want all in order", got)
		}
	})
	t.Run("many at once", func(t *testing.T) { testConcurrent(t, open) })
	t.Run("a done context", func(t *testing.T) {
		done, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.Get(done, "a1"); !errors.Is(err, context.Canceled) {
			t.Errorf("Get gives %v", err)
		}
		if err := s.Put(done, played(t, "a9")); !errors.Is(err, context.Canceled) {
			t.Errorf("Put gives %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		c := open(t)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(ctx, "a1"); err == nil || errors.Is(err, episode.ErrNotFound) {
			t.Errorf("Get gives %v", err)
		}
	})
}

func testFind(t *testing.T, s episode.Store) {
	models := []string{"judge", "m1", "m2"}
	for _, e := range []*episode.Episode{
		played(t, "b2", episode.WithTag("run 1: a-b|c"), episode.WithModels("judge", "m1", "m2")),
		played(t, "a1", episode.WithTag("run 1: a-b|c"), episode.WithModels("judge", "m2", "m1")),
		played(t, "a3", episode.WithTag("RUN 1: a-b|c")),
	} {
		if err := s.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		why  string
		q    episode.Query
		want []string
	}{
		{"by tag, exact, in order of ids", episode.Query{Tag: "run 1: a-b|c"}, []string{"a1", "b2"}},
		{"by tag and environment", episode.Query{Tag: "run 1: a-b|c", EnvironmentID: "env-a"}, []string{"a1"}},
		{"by models in the order of seats", episode.Query{Models: models}, []string{"b2"}},
		{"by agents", episode.Query{AgentIDs: []string{"a1", "a2"}, EnvironmentID: "env-b"}, []string{"b2"}},
		{"agents in the other order", episode.Query{AgentIDs: []string{"a2", "a1"}}, nil},
		{"by id", episode.Query{IDs: []string{"b2", "missing", "a3", "b2"}}, []string{"a3", "b2"}},
		{"by id and tag", episode.Query{IDs: []string{"b2", "a3"}, Tag: "RUN 1: a-b|c"}, []string{"a3"}},
		{"part of a tag", episode.Query{Tag: "run"}, nil},
	} {
		for range 2 { // the second search knows the files
			if got := ids(t, s, c.q); !slices.Equal(got, c.want) {
				t.Errorf("%s: found %q, want %q", c.why, got, c.want)
			}
		}
	}
	for e, err := range s.Find(t.Context(), episode.Query{}) {
		if err != nil || e == nil {
			t.Fatal(err)
		}
		break // a search may be left early
	}
}

// Several processes write one episode and read it meanwhile: each version that
// is seen is whole.
func testConcurrent(t *testing.T, open func(t *testing.T) episode.Store) {
	var wg sync.WaitGroup
	for i := range 4 {
		s, e := open(t), played(t, "c")
		e.Tag = fmt.Sprintf("writer %d", i)
		e.Reasoning = strings.Repeat(e.Tag+" ", 500)
		wg.Go(func() {
			for range 10 {
				if err := s.Put(t.Context(), e); err != nil {
					t.Error(err)
				}
				got, err := s.Get(t.Context(), e.ID)
				if err != nil || got.Reasoning != strings.Repeat(got.Tag+" ", 500) {
					t.Errorf("episode is a mixture (error %v)", err)
				}
			}
		})
	}
	wg.Wait()
}

// generations holds one line of each generation of the format, with unknown
// fields, null and integer scores.
const generations = `{"episode_id": "g1", "environment_id": "e", "agent_ids": ["x", "y"], "experiment_tag": null, "experiment_model_name_pairs": ["j", "m", "n"], "raw_messages": [[["Environment", "Zo\u00eb", "view"], ["Environment", "Al", "view"], ["Zo\u00eb", "Environment", "said: \"hi\""], ["Al", "Environment", "did nothing"]]], "raw_rewards": [[0.0, {"goal": 0, "overall_score": 0.0}], 0.0], "raw_rewards_prompt": "", "scenario": "s <b> & c", "codename": "c", "agents_background": {"Zo\u00eb": "z", "Al": "a"}, "social_goals": {"Zo\u00eb": "g", "Al": "h"}, "social_interactions": "Zo\u00eb said: \"hi\"", "reasoning": "r", "rewards": [{"goal": 0.0}, 0.0], "scores": {"Zo\u00eb": 1e2}, "extra": [1, {"deep": null}]}
{"scenario": "s", "episode_id": "g2", "social_interactions": "", "rewards": [{"goal": 7.0, "overall_score": 3.5}, {"goal": 1.0, "overall_score": 0.5}], "social_goals": {"B": "1", "A": "2"}}
{"episode_id": "g3", "agent_classes": ["a", "b"], "rewards": [0.0, 0.0], "raw_rewards": [0.0, 0.0]}
`

// The published episodes survive conversion to documents and back.
func TestDocumentKeepsLine(t *testing.T) {
	for e, err := range episode.ReadJSONL(strings.NewReader(generations)) {
		if err != nil {
			t.Fatal(err)
		}
		doc, err := e.Document()
		if err != nil {
			t.Fatal(err)
		}
		back, err := episode.ParseDocument(doc)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := line(t, back), line(t, e); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if !reflect.DeepEqual(back, e) {
			t.Errorf("got %+v, want %+v", back, e)
		}
	}
}
