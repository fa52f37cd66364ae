package main

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/tokenizer"
)

// sft measures the gradient pass of behaviour cloning over the turns of one episode.
func (b *bench) sft(ctx context.Context, j job) ([]line, error) {
	examples := b.madeUp()
	if b.data != "" {
		var err error
		if examples, err = b.episode(); err != nil {
			return nil, err
		}
	}
	targets := 0
	for _, e := range examples {
		targets += len(e.Tokens) - e.First
	}
	g := &pass{examples: examples, loss: func() policy.Loss { return policy.CrossEntropy{} }, budget: b.budget(examples),
		opts: []policy.Option{policy.WithTotal(targets)}}
	return b.compare(ctx, fmt.Sprintf("sft %d items", len(examples)), g)
}

// budget returns the bound on the rows of a forest: that of the flags, or what the
// longest example needs.
func (b *bench) budget(examples []policy.Example) int {
	if b.rowBudget == 0 {
		return 0
	}
	n := b.rowBudget
	for _, e := range examples {
		n = max(n, len(e.Tokens))
	}
	return n
}

// episode reads the items of the first episode of -data, in the model's chat template.
func (b *bench) episode() ([]policy.Example, error) {
	tok, err := tokenizer.Load(b.model)
	if err != nil {
		return nil, err
	}
	enc, err := policy.NewEncoder(tok, 0, false)
	if err != nil {
		return nil, err
	}
	var first string
	var out []policy.Example
	for item, err := range episode.ReadItemFile(b.data) {
		if err != nil {
			return nil, err
		}
		if len(out) > 0 && item.EpisodeID != first {
			break
		}
		first = item.EpisodeID
		e, err := enc.Reply(item.Input, item.Output)
		if err != nil {
			return nil, fmt.Errorf("%s: item %d: %w", b.data, len(out), err)
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no training items", b.data)
	}
	return out, nil
}

// The made-up episode has the shape of an episode of Sotopia: two agents in turn, each
// with an introduction of its own before the common history, and behind the history
// instructions and the reply. With ten turns it has 10,880 tokens, 6,024 of them
// distinct.
const (
	introduction = 397
	utterance    = 60 // of the history, per turn
	instructions = 361
	answer       = 60 // tokens of a reply
)

// madeUp returns the items of an episode of random tokens.
func (b *bench) madeUp() []policy.Example {
	intro := [2][]int{b.sequence(introduction), b.sequence(introduction)}
	history := b.sequence(utterance * b.turns)
	tail := b.sequence(instructions)
	var out []policy.Example
	for t := range b.turns {
		tokens := append(append(append([]int{}, intro[t%2]...), history[:utterance*t]...), tail...)
		first := len(tokens)
		out = append(out, policy.Example{Tokens: append(tokens, b.sequence(answer)...), First: first})
	}
	return out
}
