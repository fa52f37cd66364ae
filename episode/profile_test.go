package episode_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

// village is a small set of profiles.
func village(t testing.TB) *episode.Profiles {
	t.Helper()
	p, err := episode.LoadProfiles("testdata/village")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sotopia is the published set of profiles.
func sotopia(t testing.TB) *episode.Profiles {
	t.Helper()
	p, err := episode.LoadProfiles(fixtures.Data(t, "sotopia"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The published files load whole, and are written as they were.
func TestPublishedProfiles(t *testing.T) {
	p := sotopia(t)
	if got := [4]int{len(p.Agents), len(p.Environments), len(p.Relationships), len(p.Pairings)}; got != [4]int{40, 90, 120, 450} {
		t.Errorf("%v agents, environments, relationships and pairings, want 40, 90, 120, 450", got)
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"agents.jsonl":        func(b *bytes.Buffer) error { return episode.WriteProfiles(b, p.Agents...) },
		"environments.jsonl":  func(b *bytes.Buffer) error { return episode.WriteProfiles(b, p.Environments...) },
		"relationships.jsonl": func(b *bytes.Buffer) error { return episode.WriteProfiles(b, p.Relationships...) },
		"pairings.jsonl":      func(b *bytes.Buffer) error { return episode.WriteProfiles(b, p.Pairings...) },
	} {
		want, err := os.ReadFile(fixtures.Data(t, "sotopia", name))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.TrimSpace(got.Bytes()), bytes.TrimSpace(want)) {
			t.Errorf("%s changes by being read and written", name)
		}
	}
}

// The views of the published episodes come out of the profiles byte for byte:
// those of strangers, in logs of 2023, in the wording of that time.
func TestPublishedViewsFromProfiles(t *testing.T) {
	p := sotopia(t)
	views := map[episode.Wording]int{}
	for _, e := range readAll(t, fixtures.Data(t, "episodes", "full.jsonl")) {
		s, err := p.Scene(e.EnvironmentID, e.AgentIDs[0], e.AgentIDs[1])
		if err != nil {
			t.Fatal(err)
		}
		if env, _ := p.Environment(e.EnvironmentID); env.Relationship == episode.Stranger {
			s.Wording = episode.WordingEmpty
		}
		for seat := range 2 {
			views[s.Wording]++
			if got, want := s.View(seat), e.RawMessages[0][seat].Text; got != want {
				t.Errorf("%s: view is\n%q, want\n%q", e.ID, got, want)
			}
			if own := s.Participants[seat]; own.Background != e.AgentsBackground[seat].Text || own.Goal != e.SocialGoals[seat].Text {
				t.Errorf("%s: background %q and goal %q, want %q and %q", e.ID, own.Background, own.Goal, e.AgentsBackground[seat].Text, e.SocialGoals[seat].Text)
			}
		}
	}
	if views[episode.WordingUnknown] != 18 || views[episode.WordingEmpty] != 6 {
		t.Errorf("%v views of either wording, want 18 and 6", views)
	}
}

// Every published pairing joins agents of the relationship and the ages that its
// environment asks for, and can be played. The one environment that asks for an
// occupation asks for actors, of whom there are none.
func TestPublishedPairings(t *testing.T) {
	p := sotopia(t)
	for _, c := range p.Pairings {
		env, err := p.Environment(c.EnvironmentID)
		if err != nil {
			t.Fatal(err)
		}
		if env.Occupations.Admits(0, "actor") {
			env.Occupations = episode.WordConstraint{}
		}
		s, err := p.PairingScene(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		forth, back := [2]string(c.AgentIDs), [2]string{c.AgentIDs[1], c.AgentIDs[0]}
		if all := p.Candidates(env); !slices.Contains(all, forth) && !slices.Contains(all, back) {
			t.Errorf("%s: %s does not admit %v", c.ID, env.Codename, c.AgentIDs)
		}
	}
	hard, err := p.Benchmark("hard")
	if err != nil || len(hard) != 14 {
		t.Errorf("%d hard environments, %v, want 14", len(hard), err)
	}
	p.Lists = nil // the library knows the list itself
	again, err := p.Benchmark("hard")
	if err != nil || !slices.Equal(hard, again) {
		t.Errorf("without a list: %v, %v, want the same", again, err)
	}
	if all, err := p.Benchmark("all"); err != nil || len(all) != 90 {
		t.Errorf("%d environments in all, %v, want 90", len(all), err)
	}
}

// What each level of relationship tells of an agent.
func TestSceneByRelationship(t *testing.T) {
	const (
		public  = "Ida Fox is a 30-year-old female baker. She/her pronouns. Ida bakes at night. "
		private = "Personality and values description: Ida is calm. "
		secret  = "Ida's secrets: Ida burned the mill down."
	)
	p := village(t)
	for level, want := range []string{
		"Unknown", "Ida Fox ", public, public + private, public + private, public + private,
	} {
		p.Environments[0].Relationship = episode.RelationshipLevel(level)
		s, err := p.Scene("env1", "a1", "a2")
		if err != nil {
			t.Fatal(err)
		}
		if got := knownOf(s.View(1), "Ida Fox"); got != want {
			t.Errorf("%v: the other sees %q, want %q", episode.RelationshipLevel(level), got, want)
		}
		if got := knownOf(s.View(0), "Ida Fox"); got != public+private+secret {
			t.Errorf("%v: the agent sees itself as %q", episode.RelationshipLevel(level), got)
		}
		s.Wording = episode.WordingClosed
		if got := knownOf(s.View(1), "Ida Fox"); got != "Unknown" {
			t.Errorf("%v: the newest wording tells %q", episode.RelationshipLevel(level), got)
		}
	}
}

func TestGenderAndNames(t *testing.T) {
	for gender, want := range map[string]string{"Man": "male", "Woman": "female", "Nonbinary": "nonbinary"} {
		a := episode.AgentProfile{FirstName: "Kim", Age: 3, Gender: gender, Occupation: "Chef", Pronoun: "P"}
		if got := a.KnownTo(episode.Acquaintance); got != "Kim is a 3-year-old "+want+" chef. P pronouns.  " {
			t.Errorf("%s: %q", gender, got)
		}
	}
}

// A document has other names for the same members, numbers where lines have
// texts, and null where lines have nan and none. Members that nobody knows pass.
func TestProfileDocuments(t *testing.T) {
	for _, c := range []struct {
		why, line, document string
		p                   interface {
			json.Unmarshaler
			json.Marshaler
			Document() ([]byte, error)
		}
	}{
		{"an agent", `{"agent_id": "a", "first_name": "Zo\u00eb", "age": 7, "tags": ["x"]}`,
			`{"pk": "a", "first_name": "Zo\u00eb", "age": 7, "tags": ["x"]}`, &episode.AgentProfile{}},
		{"an environment without constraints", `{"codename": "c", "env_id": "e", "agent_goals": ["g", "h"], "relationship": "3", "age_constraint": "nan", "occupation_constraint": "none", "agent_constraint": "none"}`,
			`{"codename": "c", "pk": "e", "agent_goals": ["g", "h"], "relationship": 3, "age_constraint": null, "occupation_constraint": null, "agent_constraint": null}`, &episode.EnvironmentProfile{}},
		{"an environment with constraints", `{"env_id": "e", "agent_goals": ["g", "h"], "age_constraint": "[(18, 30), (20, 70)]", "occupation_constraint": "[['actor', 'chef'], []]", "agent_constraint": "[['Al'], ['Bo']]"}`,
			`{"pk": "e", "agent_goals": ["g", "h"], "age_constraint": "[(18, 30), (20, 70)]", "occupation_constraint": "[['actor', 'chef'], []]", "agent_constraint": [["Al"], ["Bo"]]}`, &episode.EnvironmentProfile{}},
		{"a relationship", `{"relationship_id": "r", "agent1_id": "a", "agent2_id": "b", "relationship": "5", "background_story": "s"}`,
			`{"pk": "r", "agent_1_id": "a", "agent_2_id": "b", "relationship": 5, "background_story": "s"}`, &episode.RelationshipProfile{}},
		{"a pairing", `{"combo_id": "c", "env_id": "e", "agent_ids": ["a", "b"]}`,
			`{"pk": "c", "env_id": "e", "agent_ids": ["a", "b"]}`, &episode.Pairing{}},
	} {
		for _, text := range []string{c.line, c.document} {
			if err := c.p.UnmarshalJSON([]byte(text)); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			line, err := c.p.MarshalJSON()
			doc, err2 := c.p.Document()
			if err := errors.Join(err, err2); err != nil {
				t.Fatalf("%s: %v", c.why, err)
			}
			if string(doc) != c.document {
				t.Errorf("%s: document %s, want %s", c.why, doc, c.document)
			}
			// nan and none are one to a reader: a line made of a document has one spelling.
			if got := strings.ReplaceAll(string(line), `"none"`, `"nan"`); got != strings.ReplaceAll(c.line, `"none"`, `"nan"`) {
				t.Errorf("%s: line %s, want %s", c.why, line, c.line)
			}
		}
	}
}

func TestConstraints(t *testing.T) {
	for _, c := range []struct{ why, text, want string }{
		{"nothing", `"nan"`, `[[] []]`},
		{"null", `null`, `[[] []]`},
		{"bare words", `"[actor, actor]"`, `[[actor] [actor]]`},
		{"words of two", `"[police officer, chef]"`, `[[police officer] [chef]]`},
		{"lists of quoted words", `"[['a', \"b's\"], ('c',)]"`, `[[a b's] [c]]`},
		{"a JSON list", `[["a"], null]`, `[[a] []]`},
		{"nothing for one", `"[nan, chef]"`, `[[] [chef]]`},
	} {
		var got episode.WordConstraint
		if err := got.UnmarshalJSON([]byte(c.text)); err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, %v, want %s", c.why, got, err, c.want)
		}
	}
	for why, text := range map[string]string{
		"a word": `"actor"`, "three agents": `"[a, b, c]"`, "no end": `"[a, b"`, "an open quotation": `"['a, b]"`,
		"more behind it": `"[a, b] c"`, "too deep": `"[[[a]], b]"`, "a number": `7`,
	} {
		var got episode.WordConstraint
		if err := got.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is read as %q", why, got)
		}
	}
	var ages episode.AgeConstraint
	for _, text := range []string{`"[(18, 70), (x, 70)]"`, `"[(18, 70), (1, 2, 3)]"`} {
		if err := ages.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is read as %v", text, ages)
		}
	}
}

// Whoever is sampled fits the environment: relationship, age, occupation, name.
func TestPairCandidates(t *testing.T) {
	p := village(t)
	env := p.Environments[0]
	env.Relationship = episode.Friend
	for _, c := range []struct {
		why    string
		change func()
		want   string
	}{
		{"the friends, in the order of their profiles", func() {}, "[[a1 a2] [a3 a1] [a2 a4]]"},
		{"the first speaker is old", func() { env.Ages[0] = episode.AgeRange{Min: 50, Max: 90} }, "[[a2 a1] [a2 a4]]"},
		{"bakers speak second", func() { env.Ages, env.Occupations[1] = episode.AgeConstraint{}, []string{"baker"} }, "[[a2 a1] [a3 a1]]"},
		{"nobody is admitted", func() { env.Agents[0] = []string{"Nobody"} }, "[]"},
		{"by first name", func() { env.Agents[0] = []string{"tom"} }, "[[a3 a1]]"},
	} {
		c.change()
		if got := fmt.Sprint(p.Candidates(env)); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
	p.Relationships, env.Agents, env.Occupations = nil, episode.WordConstraint{}, episode.WordConstraint{}
	if got := len(p.Candidates(env)); got != 6 {
		t.Errorf("without relationship profiles %d pairs, want all 6", got)
	}
}

func TestSampledPairings(t *testing.T) {
	p := village(t)
	env, err := p.Environment("two_hats")
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.SamplePairings(env, 2, 7)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.PairingsFor(env, 2, 7) // it has no pairings of its own
	if d := cmp.Diff(pairingIDs(first), pairingIDs(again)); d != "" || err != nil {
		t.Errorf("the same seed gives others: %s, %v", d, err)
	}
	if first[0].ID == first[1].ID || len(first[0].ID) != 26 {
		t.Errorf("ids are %v", pairingIDs(first))
	}
	orders := map[string]bool{}
	for seed := range uint64(20) {
		c, err := p.SamplePairings(env, 3, seed)
		if err != nil {
			t.Fatal(err)
		}
		orders[strings.Join(pairingIDs(c), " ")] = true
	}
	if len(orders) < 3 {
		t.Errorf("20 seeds give %d orders of 3 pairs", len(orders))
	}
	if _, err := p.SamplePairings(env, 4, 7); err == nil || !strings.Contains(err.Error(), "admits 3 pairs") {
		t.Errorf("more than there are: error is %v", err)
	}
	if own, err := p.PairingsFor(p.Environments[0], 0, 7); err != nil || fmt.Sprint(pairingIDs(own)) != "[c1 c2]" {
		t.Errorf("pairings of its own: %v, %v", pairingIDs(own), err)
	}
}

func pairingIDs(all []*episode.Pairing) []string {
	var out []string
	for _, c := range all {
		out = append(out, c.ID)
	}
	return out
}

func TestBadProfiles(t *testing.T) {
	for why, c := range map[string]struct{ file, text, want string }{
		"no id":                    {"agents.jsonl", `{"first_name": "x"}`, "agents.jsonl:1: agent has no agent_id"},
		"the same id twice":        {"agents.jsonl", "{\"agent_id\": \"a\"}\n{\"agent_id\": \"a\"}", `two agents have the id "a"`},
		"one goal":                 {"environments.jsonl", `{"env_id": "e", "agent_goals": ["g"]}`, "1 agent_goals, want 2"},
		"an unknown relationship":  {"environments.jsonl", `{"env_id": "e", "agent_goals": ["g", "h"], "relationship": "6"}`, `relationship is "6", want 0 to 5`},
		"a pairing of nobody":      {"pairings.jsonl", `{"combo_id": "c", "env_id": "e", "agent_ids": ["a", "z"]}`, `pairing c names "z"`},
		"a list of what is not":    {"hard_env_ids.txt", "e\nq", `list hard names "q"`},
		"a relationship of nobody": {"relationships.jsonl", `{"relationship_id": "r", "agent1_id": "y", "agent2_id": "b"}`, `relationship r names "y"`},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"agents.jsonl":       "{\"agent_id\": \"a\"}\n{\"agent_id\": \"b\"}",
			"environments.jsonl": `{"env_id": "e", "agent_goals": ["g", "h"]}`,
			c.file:               c.text,
		} {
			if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := episode.LoadProfiles(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", why, err, c.want)
		}
	}
	if _, err := episode.LoadProfiles(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without files: error is %v", err)
	}
}
