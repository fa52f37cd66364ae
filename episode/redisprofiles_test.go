package episode_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/redistest"
)

// profileLines returns all profiles as the files of a folder have them.
func profileLines(t *testing.T, p *episode.Profiles) string {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(episode.WriteProfiles(&b, p.Agents...), episode.WriteProfiles(&b, p.Environments...),
		episode.WriteProfiles(&b, p.Relationships...), episode.WriteProfiles(&b, p.Pairings...)); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), `"none"`, `"nan"`) // a document has null for both
}

// Profiles come out of a database as they went in, however often they are stored,
// with lists that other programs made there; scenes and pairings are the same.
func TestProfilesInRedis(t *testing.T) {
	for name, open := range map[string]func(*testing.T) string{
		"miniredis":    func(t *testing.T) string { return "redis://" + miniredis.RunT(t).Addr() },
		"redis-server": func(t *testing.T) string { return redistest.Start(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s, want := openRedis(t, open(t)), village(t)
			for range 2 {
				if err := want.SaveRedis(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			list := `{"pk": "l", "name": "rainy", "environments": ["env2", "env1"], "agent_index": null}`
			if err := s.PutDocument(t.Context(), episode.EnvironmentList, "l", []byte(list)); err != nil {
				t.Fatal(err)
			}
			got, err := episode.LoadProfilesRedis(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(profileLines(t, want), profileLines(t, got)); d != "" {
				t.Error(d)
			}
			if rainy, err := got.Benchmark("rainy"); err != nil || len(rainy) != 2 || rainy[0].ID != "env2" {
				t.Errorf("the list is %v, %v", rainy, err)
			}
			scene, err := got.PairingScene(got.Pairings[0])
			wanted, err2 := want.PairingScene(want.Pairings[0])
			if errors.Join(err, err2) != nil || scene.View(0) != wanted.View(0) || scene.View(1) != wanted.View(1) {
				t.Errorf("the scene is %+v, want %+v; %v, %v", scene, wanted, err, err2)
			}
		})
	}
}

// What is wrong in a database is told with its place; an empty one has no profiles.
func TestBadProfilesInRedis(t *testing.T) {
	for _, c := range []struct {
		why      string
		kind     episode.KeyPrefix
		pk, text string
		want     string
	}{
		{"an environment of one goal", episode.EnvironmentKey, "e", `{"pk": "e", "agent_goals": ["g"]}`, string(episode.EnvironmentKey) + "e"},
		{"a pairing of nobody", episode.PairingKey, "p", `{"pk": "p", "env_id": "env1", "agent_ids": ["a1", "nobody"]}`, `"nobody"`},
		{"a list of nothing", episode.EnvironmentList, "l", `{"pk": "l", "name": "odd", "environments": ["nowhere"]}`, `list odd names "nowhere"`},
	} {
		s := openRedis(t, "redis://"+miniredis.RunT(t).Addr())
		if p, err := episode.LoadProfilesRedis(t.Context(), s); err != nil || len(p.Agents) != 0 {
			t.Errorf("an empty database: %+v, %v", p, err)
		}
		if err := village(t).SaveRedis(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := s.PutDocument(t.Context(), c.kind, c.pk, []byte(c.text)); err != nil {
			t.Fatal(err)
		}
		if _, err := episode.LoadProfilesRedis(t.Context(), s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q in it", c.why, err, c.want)
		}
	}
}
