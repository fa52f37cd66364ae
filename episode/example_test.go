package episode_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

const twoLines = `{"episode_id": "e1", "agents_background": {"Ann O'Hara": "tidy", "José": "sings"}, "social_interactions": "Ann O'Hara said: \"Hi\"\n\nJosé: [non-verbal communication] waves", "rewards": [{"goal": 8.0, "overall_score": 3.1}, 0.0]}
{"episode_id": "e2", "rewards": "none"}
`

func ExampleReadJSONL() {
	for e, err := range episode.ReadJSONL(strings.NewReader(twoLines)) {
		if err != nil {
			fmt.Println(strings.Split(err.Error(), ":")[0]) // and the cause behind it
			continue
		}
		for _, agent := range e.Agents() {
			goal, err := e.Score(agent, episode.Goal)
			fmt.Println(agent, goal, errors.Is(err, episode.ErrNotJudged))
		}
	}
	// Output:
	// Ann O'Hara 8 false
	// José 0 true
	// line 2
}

func ExampleEpisode_Utterances() {
	for e, err := range episode.ReadJSONL(strings.NewReader(twoLines)) {
		if err != nil {
			break
		}
		for _, u := range e.Utterances() {
			fmt.Println(u.Index, u.Key(), u.Action.JSON())
		}
	}
	// Output:
	// 0 Utterance 0 by Ann O'Hara {"action_type": "speak", "argument": "Hi"}
	// 1 Utterance 0 by José {"action_type": "non-verbal communication", "argument": "waves"}
}

func ExampleParseAction() {
	a, err := episode.ParseAction("Here you go:\n```json\n{'action_type': 'speak', 'argument': 'Good morning'")
	fmt.Println(a.Text(), err)
	_, err = episode.ParseAction(`{"action_type": "shout", "argument": "Hey"}`)
	fmt.Println(errors.Is(err, episode.ErrActionType))
	// Output:
	// said: "Good morning" <nil>
	// true
}

var tea = episode.Scene{
	EnvironmentID: "tea", Scenario: "Two colleagues, one last tea bag.",
	Participants: [2]episode.Participant{
		{Name: "Ann", Background: "Ann is tired.", Goal: "Get the tea."},
		{Name: "Bo", Background: "Bo is kind.", Goal: "Keep the peace."},
	},
}

func ExamplePlay() {
	ann := episode.Script{{Type: episode.Speak, Argument: "May I have it?"}, {Type: episode.Leave}}
	bo := episode.Script{{Type: episode.Speak, Argument: "Of course."}}
	e, err := episode.Play(context.Background(), tea, []episode.Agent{ann, bo}, episode.WithID("e1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.SocialInteractions)
	fmt.Println(e.Reasoning)
	// Output:
	// Ann said: "May I have it?"
	//
	// Bo said: "Of course."
	//
	// Ann: left the conversation
	// Environment comments: terminated: Agent 1 is leaving;
}

func ExampleEpisode_Items() {
	template, err := episode.NewPromptTemplate("You are {agent}.{history}Turn {turn_number}.")
	if err != nil {
		fmt.Println(err)
		return
	}
	ann := episode.Script{{Type: episode.Speak, Argument: "May I have it?"}}
	e, err := episode.Play(context.Background(), tea, []episode.Agent{ann, episode.Script{}}, episode.WithID("e1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	items, err := e.Items("Bo", template)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(items[0].Input)
	fmt.Println(items[0].Output)
	// Output:
	// You are Bo.
	// Here is the context of this interaction:
	// Scenario: Two colleagues, one last tea bag.
	// Participants: Ann and Bo
	// Ann's background: Unknown
	// Bo's background: Bo is kind.
	// Ann's goal: Unknown
	// Bo's goal: Keep the peace.
	// Conversation Starts:
	//
	// Turn #0: Ann said: "May I have it?"
	// Turn 1.
	// {"action_type": "leave", "argument": ""}
}

func ExampleOpenDir() {
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
	ctx := context.Background()
	for _, id := range []string{"e2", "e1"} {
		if err := store.Put(ctx, &episode.Episode{ID: id, Tag: "trial"}); err != nil {
			fmt.Println(err)
		}
	}
	for e, err := range store.Find(ctx, episode.Query{Tag: "trial"}) {
		fmt.Println(e.ID, err)
	}
	_, err = store.Get(ctx, "e3")
	fmt.Println(errors.Is(err, episode.ErrNotFound))
	// Output:
	// e1 <nil>
	// e2 <nil>
	// true
}

func ExampleNewRemote() {
	llm := episode.NewRemote("http://localhost:8000/v1", os.Getenv("API_KEY"), "social",
		episode.WithRateLimit(5, 1), episode.WithPrice(2.5, 10))
	fmt.Println(llm) // never shows the key
	// Output: social@http://localhost:8000/v1
}

func ExampleSelection() {
	judge := episode.EvaluatorFunc(func(_ context.Context, e *episode.Episode) (episode.Judgement, error) {
		good := episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: float64(len(e.Utterances()))})
		return episode.Judgement{Rewards: []episode.Reward{good, good}}, nil
	})
	short, long := episode.Script{}, episode.Script{{Type: episode.Speak, Argument: "Hi"}}
	episodes := func(yield func(*episode.Episode, error) bool) {
		for _, first := range []episode.Script{short, long} {
			e, err := episode.Play(context.Background(), tea, []episode.Agent{first, short}, episode.WithEvaluator(judge))
			if !yield(e, err) {
				return
			}
		}
	}
	items, err := episode.Selection{}.Items(episodes)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, i := range items {
		fmt.Println(i.Agent, i.Turn, i.Output)
	}
	// Output:
	// Ann 0 {"action_type": "speak", "argument": "Hi"}
	// Bo 1 {"action_type": "leave", "argument": ""}
}
