package episode_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/fixtures"
)

// The items of the published episodes equal those that the Python project
// rebuilds, byte for byte.
func TestItemsEqualPythonProject(t *testing.T) {
	template, err := episode.LoadPromptTemplate(
		fixtures.Data(t, "prompts", "agent_turn.txt"), fixtures.Data(t, "prompts", "action_format.txt"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fixtures.Path(t, "prompts", "items.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	for _, e := range readAll(t, fixtures.Data(t, "episodes", "full.jsonl")) {
		for seat, agent := range e.Agents() {
			items, err := e.Items(agent, template)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range items {
				var want struct {
					EpisodeID     string `json:"episode_id"`
					Agent         string
					SecondSpeaker bool `json:"second_speaker"`
					Turn          int
					Input, Output string
				}
				if err := json.Unmarshal(lines[0], &want); err != nil {
					t.Fatal(err)
				}
				lines = lines[1:]
				if item.EpisodeID != want.EpisodeID || item.Agent != want.Agent || item.Turn != want.Turn ||
					(seat == 1) != want.SecondSpeaker || item.Input != want.Input || item.Output != want.Output {
					t.Fatalf("item %+v\nwant %+v", item, want)
				}
			}
		}
	}
	if len(lines) != 0 {
		t.Errorf("%d items are missing", len(lines))
	}
}
