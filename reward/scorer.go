package reward

import (
	"context"
	"fmt"
	"math"

	"github.com/socialrl/socialrl/episode"
)

// Sample is a reply to be scored.
type Sample struct {
	// Item is what was asked: its Input is the prompt. Output, where a data set
	// gave one, is that data set's reply and not the one to score.
	Item episode.Item
	// PromptIDs and CompletionIDs are the tokens as they were sampled, the end
	// token included where the reply ended by itself. Both may be nil where the
	// reply comes from elsewhere; Text then holds it.
	PromptIDs, CompletionIDs []int
	// Text is the reply without special tokens.
	Text string
	// Truncated is set where the reply ran into a limit.
	Truncated bool
}

// Scorer gives each sample a reward. Samples of one prompt follow each other, so
// that a scorer may compute the prompt once. NaN says that a sample cannot be
// scored; it is counted and takes no part. An error is for a failure of the whole
// call.
type Scorer interface {
	Score(ctx context.Context, samples []Sample) ([]float64, error)
}

// ScorerFunc makes a Scorer of a function.
type ScorerFunc func(ctx context.Context, samples []Sample) ([]float64, error)

// Score calls the function.
func (f ScorerFunc) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	return f(ctx, samples)
}

// Each makes a Scorer of a function of one sample.
func Each(score func(s Sample) float64) Scorer {
	return ScorerFunc(func(ctx context.Context, samples []Sample) ([]float64, error) {
		out := make([]float64, len(samples))
		for i, s := range samples {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			out[i] = score(s)
		}
		return out, nil
	})
}

// Weighted is a scorer among others.
type Weighted struct {
	Scorer Scorer
	Weight float64 // of its rewards in the sum; with 0 they are only logged
	Name   string  // in metrics and errors; "" stands for rewardN, N counting from 0
}

// Names returns the scorers' names. An error names a scorer that is nil, whose
// weight is not finite, or whose name another has too.
func Names(scorers []Weighted) ([]string, error) {
	names := make([]string, len(scorers))
	seen := map[string]bool{}
	for i, s := range scorers {
		names[i] = s.Name
		if s.Name == "" {
			names[i] = fmt.Sprintf("reward%d", i)
		}
		switch {
		case s.Scorer == nil:
			return nil, fmt.Errorf("reward: scorer %s is nil", names[i])
		case math.IsNaN(s.Weight) || math.IsInf(s.Weight, 0):
			return nil, fmt.Errorf("reward: the weight of scorer %s is %v", names[i], s.Weight)
		case seen[names[i]]:
			return nil, fmt.Errorf("reward: two scorers are called %s", names[i])
		}
		seen[names[i]] = true
	}
	return names, nil
}

// Scores calls a scorer and checks that it gave each sample a number that is not
// infinite. name stands in errors.
func Scores(ctx context.Context, name string, s Scorer, samples []Sample) ([]float64, error) {
	out, err := s.Score(ctx, samples)
	if err != nil {
		return nil, fmt.Errorf("scorer %s: %w", name, err)
	}
	if len(out) != len(samples) {
		return nil, fmt.Errorf("reward: scorer %s gave %d rewards for %d samples", name, len(out), len(samples))
	}
	for i, r := range out {
		if math.IsInf(r, 0) {
			return nil, fmt.Errorf("reward: scorer %s gave %v for sample %d", name, r, i)
		}
	}
	return out, nil
}

// Sum makes one scorer of several: the weighted sum of their rewards. A sample that
// one of them cannot score is NaN.
func Sum(scorers ...Weighted) (Scorer, error) {
	names, err := Names(scorers)
	if err != nil {
		return nil, err
	}
	return ScorerFunc(func(ctx context.Context, samples []Sample) ([]float64, error) {
		sum := make([]float64, len(samples))
		for k, s := range scorers {
			r, err := Scores(ctx, names[k], s.Scorer, samples)
			if err != nil {
				return nil, err
			}
			for i := range sum {
				sum[i] += s.Weight * r[i]
			}
		}
		return sum, nil
	}), nil
}
