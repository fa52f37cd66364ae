package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// JudgeFailure is the error of a judgement that came to nothing, with the
// evidence. It never stands for a score of 0.
type JudgeFailure struct {
	EpisodeID string
	Tries     []attribution.Try // replies that could not be used, in order
	Usage     attribution.Usage // what they took
	Err       error             // [attribution.ErrNoUsableReply], or why the model could not be asked
}

// Error names the episode, the cause, and the last reply's fault.
func (f *JudgeFailure) Error() string {
	s := fmt.Sprintf("reward: judging episode %s: %v", f.EpisodeID, f.Err)
	if n := len(f.Tries); n > 0 {
		last := f.Tries[n-1]
		s += fmt.Sprintf(" (unusable replies: %d; the last: %s: %.200q)", n, last.Reason, last.Reply)
	}
	return s
}

// Unwrap returns Err.
func (f *JudgeFailure) Unwrap() error { return f.Err }

// failureField is the field of an episode that keeps why it has no verdict.
const failureField = "judge_failure"

// storedFailure is a JudgeFailure as an episode keeps it.
type storedFailure struct {
	Error string            `json:"error"`
	Tries []attribution.Try `json:"tries,omitempty"`
	Usage attribution.Usage `json:"usage"`
}

// KeepFailures makes an evaluator of a judge whose unusable replies do not lose the
// episode: the episode gets no rewards, which files spell 0.0 and
// [episode.ErrNotJudged] reports, and its field judge_failure keeps the replies and
// what was wrong with them ([StoredFailure] reads it). Every other error, that of a
// model that cannot be reached included, is returned as it is: the next episode
// would fail in the same way.
func KeepFailures(judge episode.Evaluator) episode.Evaluator {
	return episode.EvaluatorFunc(func(ctx context.Context, e *episode.Episode) (episode.Judgement, error) {
		j, err := judge.Evaluate(ctx, e)
		var f *JudgeFailure
		if !errors.As(err, &f) || !errors.Is(f.Err, attribution.ErrNoUsableReply) {
			return j, err
		}
		err = e.SetField(failureField, storedFailure{f.Err.Error(), f.Tries, f.Usage})
		return episode.Judgement{Rewards: make([]episode.Reward, agents)}, err
	})
}

// StoredFailure returns why an episode has no verdict, as [KeepFailures] left it; nil
// where it left nothing.
func StoredFailure(e *episode.Episode) (*JudgeFailure, error) {
	raw := e.Field(failureField)
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var s storedFailure
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("reward: episode %s: %s: %w", e.ID, failureField, err)
	}
	f := &JudgeFailure{EpisodeID: e.ID, Tries: s.Tries, Usage: s.Usage, Err: errors.New(s.Error)}
	if s.Error == attribution.ErrNoUsableReply.Error() {
		f.Err = attribution.ErrNoUsableReply
	}
	return f, nil
}
