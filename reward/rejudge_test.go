package reward

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

// fixed gives both agents of every episode the same scores.
func fixed(scores ...episode.DimensionScore) episode.Evaluator {
	return episode.EvaluatorFunc(func(context.Context, *episode.Episode) (episode.Judgement, error) {
		r := episode.NewReward(scores...)
		return episode.Judgement{Rewards: []episode.Reward{r, r}, Reasoning: "Agent 1 comments:\nnew", Prompt: "p"}, nil
	})
}

func score(d episode.Dimension, v float64) episode.DimensionScore {
	return episode.DimensionScore{Dimension: d, Score: v}
}

// A second judge's verdict stands in place of the first one's, in a copy.
func TestRejudgeReplacesTheVerdict(t *testing.T) {
	e := party()
	e.SetJudgement(episode.Judgement{Rewards: []episode.Reward{episode.NewReward(score(episode.Goal, 1)), {}}, Reasoning: "Agent 1 comments:\nold"})
	if err := e.SetField("scores", map[string]float64{"Bo": 1}); err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(e)
	c, err := Rejudge(context.Background(), fixed(score(episode.Goal, 7)), "second", e)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(e); string(after) != string(before) {
		t.Error("the episode itself was changed")
	}
	if v, err := c.Score("Bo", episode.Goal); v != 7 || err != nil {
		t.Errorf("goal %v, %v", v, err)
	}
	if want := "Environment comments: terminated: Agent 2 is leaving; \nAgent 1 comments:\nnew"; c.Reasoning != want {
		t.Errorf("reasoning %q, want %q", c.Reasoning, want)
	}
	if c.Models[0] != "second" || e.Models[0] != "judge" || c.RewardsPrompt != "p" || len(c.Rewards) != 2 {
		t.Errorf("%+v", c)
	}
	if got := string(c.Field("scores")); !strings.Contains(got, `"Bo":7`) && !strings.Contains(got, `"Bo": 7`) {
		t.Errorf("the extra field scores is %s", got)
	}
}

// Two judges of the same episodes are compared score by score.
func TestCompareJudges(t *testing.T) {
	judgedBy := func(id string, scores ...[2]float64) *episode.Episode {
		e := party()
		e.ID = id
		j := episode.Judgement{}
		for _, s := range scores {
			j.Rewards = append(j.Rewards, episode.NewReward(score(episode.Goal, s[0]), score(episode.Knowledge, s[1])))
		}
		j.Rewards = append(j.Rewards, make([]episode.Reward, 2-len(j.Rewards))...)
		e.SetJudgement(j)
		return e
	}
	first := []*episode.Episode{judgedBy("a", [2]float64{1, 5}, [2]float64{4, 5}), judgedBy("b", [2]float64{9, 5}, [2]float64{0, 5}), judgedBy("c")}
	second := []*episode.Episode{judgedBy("b", [2]float64{10, 5}, [2]float64{0, 6}), judgedBy("a", [2]float64{1, 5}, [2]float64{7, 7}), judgedBy("d")}
	got, err := CompareJudges(first, second)
	if err != nil {
		t.Fatal(err)
	}
	if got.Episodes != 2 || got.Unmatched != 2 || got.Unjudged != 0 {
		t.Errorf("%+v", got)
	}
	// goal: 1, 4, 9, 0 against 1, 7, 10, 0: ranks are equal
	if g := got.Dimensions[episode.Goal]; g != (JudgeAgreement{4, 1, 1, 1, 0.5}) {
		t.Errorf("goal %+v", g)
	}
	// knowledge: 5 throughout against 5, 7, 5, 6
	k := got.Dimensions[episode.Knowledge]
	if k.N != 4 || k.MeanAbsoluteDifference != 0.75 || k.MeanDifference != 0.75 || !math.IsNaN(k.Spearman) || k.ExactMatch != 0.5 {
		t.Errorf("knowledge %+v", k)
	}
	if _, ok := got.Dimensions[episode.Overall]; !ok {
		t.Error("overall is not compared")
	}
	if text, err := json.Marshal(got); err != nil || !strings.Contains(string(text), `"spearman":null`) {
		t.Errorf("%s, %v", text, err)
	}
	half, err := CompareJudges(first, []*episode.Episode{judgedBy("a", [2]float64{1, 5})})
	if err != nil || half.Unjudged != 1 || half.Dimensions[episode.Goal].N != 1 {
		t.Errorf("with an agent that was not judged: %+v, %v", half, err)
	}
	other := judgedBy("a")
	other.AgentsBackground[0].Name = "Cy"
	if _, err := CompareJudges(first, []*episode.Episode{other}); err == nil {
		t.Error("episodes of other agents under one id are compared")
	}
}
