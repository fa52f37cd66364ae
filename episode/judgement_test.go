package episode

import "testing"

// A second verdict stands in place of the first; what is said of the end stays.
func TestSetJudgementReplacesTheVerdict(t *testing.T) {
	e := &Episode{Reasoning: "Environment comments: terminated: Agent 1 is leaving; "}
	first := NewReward(DimensionScore{Goal, 1})
	e.SetJudgement(Judgement{Rewards: []Reward{first, first}, Reasoning: "Agent 1 comments:\ngoal: a\nAgent 2 comments:\ngoal: b", Prompt: "p"})
	second := NewReward(DimensionScore{Goal, 2})
	e.SetJudgement(Judgement{Rewards: []Reward{second, second}, Reasoning: "Agent 1 comments:\ngoal: c"})
	if want := "Environment comments: terminated: Agent 1 is leaving; \nAgent 1 comments:\ngoal: c"; e.Reasoning != want {
		t.Errorf("reasoning %q, want %q", e.Reasoning, want)
	}
	if e.RewardsPrompt != "" || len(e.Rewards) != 2 || len(e.RawRewards) != 2 || e.Rewards[1].Scores[0].Score != 2 || e.Rewards[0].Form != RewardScores {
		t.Errorf("%+v", e)
	}
	e.SetJudgement(Judgement{})
	if want := "Environment comments: terminated: Agent 1 is leaving; "; e.Reasoning != want || len(e.Rewards) != 0 {
		t.Errorf("without a verdict: %q, %v", e.Reasoning, e.Rewards)
	}
}
