package reward

import (
	"context"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// WordsOver is the number of words that a reply has beyond a limit, negated, words
// being told apart by space: a term against replies that grow without end.
//
//	r = −max(0, words − limit)
func WordsOver(limit int) Scorer {
	return Each(func(s Sample) float64 { return -float64(max(0, Words(s)-limit)) })
}

// Words returns the number of words of a reply: those of its action's argument where
// it holds an action, and otherwise of its text.
func Words(s Sample) int {
	if a, err := episode.ParseAction(s.Text); err == nil {
		return len(strings.Fields(a.Argument))
	}
	return len(strings.Fields(s.Text))
}

// IsAction is 1 for a reply that holds an action as JSON and 0 for any other.
var IsAction = Each(func(s Sample) float64 {
	if _, err := episode.ParseAction(s.Text); err != nil {
		return 0
	}
	return 1
})

// ByText makes a scorer read replies as text, with no regard to their tokens: for a
// reward model whose tokenizer is not the policy's.
func ByText(s Scorer) Scorer {
	return ScorerFunc(func(ctx context.Context, samples []Sample) ([]float64, error) {
		texts := make([]Sample, len(samples))
		for i, x := range samples {
			x.PromptIDs, x.CompletionIDs = nil, nil
			texts[i] = x
		}
		return s.Score(ctx, texts)
	})
}
