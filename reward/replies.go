package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/tokenizer"
)

// ScoreReplies returns the model's value of each reply to a chat, as a [policy.Server]
// asks for it: chat and reply as the chat template writes them. One that is longer than
// the model takes is NaN; nothing is dropped.
func (m *RewardModel) ScoreReplies(ctx context.Context, chat []tokenizer.Message, replies []string) ([]float64, error) {
	tok := m.policy.Base().Tokenizer()
	if tok == nil {
		return nil, errors.New("reward: the base model has no tokenizer")
	}
	out := make([]float64, len(replies))
	var examples []policy.Example
	var at []int
	for i, reply := range replies {
		text, err := tok.Render(append(chat[:len(chat):len(chat)], tokenizer.Message{Role: "assistant", Content: reply}))
		if err != nil {
			return nil, fmt.Errorf("reward: reply %d: %w", i, err)
		}
		tokens := tok.Encode(strings.TrimSuffix(text, "\n"))
		if len(tokens) > m.maxLength {
			out[i] = math.NaN()
			continue
		}
		examples, at = append(examples, policy.Example{Tokens: tokens, First: len(tokens)}), append(at, i)
	}
	scores, err := m.scores(ctx, examples)
	if err != nil {
		return nil, err
	}
	for k, v := range scores {
		out[at[k]] = v
	}
	return out, nil
}
