package reward

import (
	"context"
	"errors"
	"fmt"
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
	return m.scoreEach(ctx, len(replies), func(i int) (policy.Example, error) {
		text, err := tok.Render(append(chat[:len(chat):len(chat)], tokenizer.Message{Role: "assistant", Content: replies[i]}))
		if err != nil {
			return policy.Example{}, fmt.Errorf("reward: reply %d: %w", i, err)
		}
		tokens := tok.Encode(strings.TrimSuffix(text, "\n"))
		if len(tokens) > m.maxLength {
			return policy.Example{}, policy.ErrTooLong
		}
		return policy.Example{Tokens: tokens, First: len(tokens)}, nil
	})
}
