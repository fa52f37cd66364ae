package reward_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/reward"
)

// Two dimensions of the same three replies become one value: the best in both would
// have 10.
func ExampleCombine() {
	records := func(values ...float64) (recs []reward.Record) {
		for i, v := range values {
			recs = append(recs, reward.Record{Input: "What do you say?", Output: fmt.Sprintf("reply %d", i), Value: v})
		}
		return recs
	}
	recs, ranges, counts, err := reward.Combine([]reward.Part{
		{Dimension: episode.Goal, Records: records(2, 8, 5)},
		{Dimension: episode.Relationship, Records: records(-1, 3, 3)},
	}, reward.CombineOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range recs {
		fmt.Println(r.Output, r.Value)
	}
	fmt.Println(ranges[episode.Goal], counts.Records)
	// Output:
	// reply 0 0
	// reply 1 10
	// reply 2 7.5
	// {2 8} 3
}

func ExampleBestOfN() {
	sampler := reward.SamplerFunc(func(_ context.Context, prompt episode.Item, n int) ([]reward.Sample, error) {
		texts := []string{"No.", "Could we split the bill?", "Hm."}
		samples := make([]reward.Sample, n)
		for i := range samples {
			samples[i] = reward.Sample{Item: prompt, Text: texts[i%len(texts)]}
		}
		return samples, nil
	})
	longest := reward.Each(func(s reward.Sample) float64 { return float64(len(s.Text)) })
	best, err := reward.NewBestOfN(longest, sampler, 5).Draw(context.Background(), episode.Item{Input: "Who pays?"})
	fmt.Println(best.Text, best.Index, best.Rewards, err)
	// Output: Could we split the bill? 1 [3 24 3 3 24] <nil>
}

// A reward model learns that polite replies are worth more.
func ExampleRewardModel() {
	base, closeBase, err := tiny.Load("cpu") // for a model of the hub, lora.Open and policy.LoadBase
	if err != nil {
		log.Fatal(err)
	}
	defer closeBase()
	rm, err := reward.New(base, lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV})
	if err != nil {
		log.Fatal(err)
	}
	var recs []reward.Record
	for i := range 16 {
		prompt := fmt.Sprintf("%d: tea?", i)
		recs = append(recs, reward.Record{Input: prompt, Output: "yes, please", Value: 1}, reward.Record{Input: prompt, Output: "give me", Value: 0})
	}
	dir, err := os.MkdirTemp("", "reward")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg := reward.TrainConfig{Dir: filepath.Join(dir, "rm")}
	cfg.LR, cfg.Epochs = 1e-2, 8
	if err := rm.Train(context.Background(), recs, cfg); err != nil {
		log.Fatal(err)
	}
	item := episode.Item{Input: "99: tea?"}
	v, err := rm.Score(context.Background(), []reward.Sample{{Item: item, Text: "yes, please"}, {Item: item, Text: "give me"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("polite is worth at least 0.5 more:", v[0] > v[1]+0.5)
	// Output: polite is worth at least 0.5 more: true
}

// A judge's reply becomes the scores and comments of an episode. Here the model is a
// function; it would be [episode.NewRemote] for an endpoint.
func ExampleJudge() {
	llm := episode.LLMFunc(func(_ context.Context, r episode.Request) (episode.Reply, error) {
		one := `{"goal": {"reasoning": "They agreed on Friday.", "score": 8}}`
		return episode.Reply{Text: `{"agent_1": ` + one + `, "agent_2": ` + one + `}`}, nil
	})
	judge := reward.Judge{LLM: llm, Criteria: []reward.Criterion{{Dimension: episode.Goal}}}
	scene := episode.Scene{Scenario: "Two friends look for a day to meet.", Participants: [2]episode.Participant{
		{Name: "Ann", Goal: "Meet on Friday."}, {Name: "Bo", Goal: "Meet soon."},
	}}
	ann := episode.Script{{Type: episode.Speak, Argument: "Friday?"}}
	bo := episode.Script{{Type: episode.Speak, Argument: "Fine."}}
	e, err := episode.Play(context.Background(), scene, []episode.Agent{ann, bo}, episode.WithEvaluator(judge))
	if err != nil {
		log.Fatal(err)
	}
	goal, err := e.Score("Bo", episode.Goal)
	fmt.Println(goal, err)
	_, comments, _ := strings.Cut(e.Reasoning, "\n") // the first line tells why the episode ended
	fmt.Println(comments)
	// Output:
	// 8 <nil>
	// Agent 1 comments:
	// goal: They agreed on Friday.
	// Agent 2 comments:
	// goal: They agreed on Friday.
}

// Two episodes of one model, and what it reached in them.
func ExampleReport() {
	play := func(id string, goal float64) *episode.Episode {
		r := episode.NewReward(episode.DimensionScore{Dimension: episode.Goal, Score: goal})
		return &episode.Episode{
			ID: id, EnvironmentID: id, Models: []string{"judge", "ours", "partner"},
			SocialGoals: episode.Named{{Name: "Ann"}, {Name: "Bo"}}, Rewards: []episode.Reward{r, {}},
		}
	}
	report, err := reward.NewReport([]*episode.Episode{play("a", 6), play("b", 9)}, reward.ReportOptions{})
	if err != nil {
		log.Fatal(err)
	}
	ours := report.Models[0]
	goal := ours.First.Scores[episode.Goal]
	fmt.Printf("%s: goal %.1f [%.1f, %.1f] of %d, %d without a verdict in all\n", ours.Model, goal.Mean, goal.Low, goal.High, goal.N, len(report.Failures))
	// Output: ours: goal 7.5 [6.0, 9.0] of 2, 2 without a verdict in all
}
