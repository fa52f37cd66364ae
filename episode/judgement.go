package episode

import "strings"

// commentsMark opens a judge's comments in the reasoning of an episode.
const commentsMark = "Agent 1 comments:"

// SetJudgement gives the episode a verdict in place of the one that it has: rewards,
// prompt and comments. What the reasoning says about the end of the episode stays.
func (e *Episode) SetJudgement(j Judgement) {
	end, _, _ := strings.Cut(e.Reasoning, commentsMark)
	e.Reasoning = strings.TrimRight(end, "\n")
	e.setJudgement(j)
	e.Reasoning = strings.TrimPrefix(e.Reasoning, "\n")
}
