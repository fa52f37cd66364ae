package grpo

import (
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/tokenizer"
)

// chatEncoder encodes prompts by the tokenizer's chat template.
func chatEncoder(tok *tokenizer.Tokenizer) (func(episode.Item) ([]int, error), error) {
	enc, err := policy.NewEncoder(tok, 0, false)
	if err != nil {
		return nil, err
	}
	return func(it episode.Item) ([]int, error) { return enc.Prompt(it.Input) }, nil
}

// decode fills in the texts of completions that came without.
func (t *GRPOTrainer) decode(groups [][]policy.Completion) {
	tok := t.policy.Base().Tokenizer()
	if tok == nil {
		return
	}
	for _, g := range groups {
		for i := range g {
			if g[i].Text == "" {
				g[i].Text = tok.Decode(g[i].Tokens, tokenizer.SkipSpecial)
			}
		}
	}
}
