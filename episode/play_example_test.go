package episode_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

func ExampleProfiles_Scene() {
	profiles, err := episode.LoadProfiles("testdata/village")
	if err != nil {
		fmt.Println(err)
		return
	}
	scene, err := profiles.Scene("two_hats", "a1", "a2") // friends: all but secret and goal
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(strings.TrimSpace(scene.View(0))) {
		fmt.Println(strings.TrimSpace(line))
	}
	// Output:
	// Here is the context of this interaction:
	// Scenario: Two villagers find two hats, one of them torn.
	// Participants: Ida Fox and Odo Reed
	// Ida Fox's background: Ida Fox is a 30-year-old female baker. She/her pronouns. Ida bakes at night. Personality and values description: Ida is calm. Ida's secrets: Ida burned the mill down.
	// Odo Reed's background: Odo Reed is a 61-year-old male miller. He/him pronouns. Odo has two dogs. Personality and values description: Odo is loud.
	// Ida Fox's goal: Take the good hat home
	// Odo Reed's goal: Unknown
	// Conversation Starts:
}

func ExampleBatch_Play() {
	dir, err := os.MkdirTemp("", "episodes")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := episode.OpenDir(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	ask := episode.Script{{Type: episode.Speak, Argument: "May I have it?"}}
	matches := []episode.Match{
		{Scene: tea, Agents: []episode.Agent{ask, episode.Script{}}, Tag: "trial"},
		{Scene: tea, Agents: []episode.Agent{episode.Script{}, ask}, Tag: "trial", Trial: 1},
	}
	batch := &episode.Batch{Store: store}
	for _, n := range []int{1, 2, 2} { // as if the program were started again with more to do
		results, err := batch.Play(context.Background(), matches[:n])
		if err != nil {
			fmt.Println(err)
			return
		}
		var settled []episode.MatchStatus
		for _, r := range results {
			settled = append(settled, r.Status)
		}
		fmt.Println(settled)
	}
	// Output:
	// [played]
	// [stored played]
	// [stored stored]
}

func ExampleBestOfN() {
	llm := episode.LLMFunc(func(_ context.Context, r episode.Request) (episode.Reply, error) {
		greeting := []string{"Hey", "Good morning", "Yo"}[*r.Seed%3]
		return episode.Reply{Text: episode.Action{Type: episode.Speak, Argument: greeting}.JSON()}, nil
	})
	polite := episode.ActionScorerFunc(func(_ context.Context, _ episode.Observation, all []episode.Proposal) ([]float64, error) {
		scores := make([]float64, len(all))
		for i, p := range all {
			scores[i] = float64(len(p.Action.Argument))
		}
		return scores, nil
	})
	best := &episode.BestOfN{Agent: &episode.LLMAgent{LLM: llm, Seed: 1}, Scorer: polite, N: 16}
	e, err := episode.Play(context.Background(), tea, []episode.Agent{best, episode.Script{}}, episode.WithID("e1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	replies, err := e.Replies()
	fmt.Println(strings.Split(e.SocialInteractions, "\n")[0])
	fmt.Println(replies[0].Replies, err)
	// Output:
	// Ann said: "Good morning"
	// 16 <nil>
}
