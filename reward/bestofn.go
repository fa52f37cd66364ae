package reward

import (
	"context"
	"errors"
	"math"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/policy"
)

// Sampler draws replies to a prompt, for example from a policy.
type Sampler interface {
	Sample(ctx context.Context, prompt episode.Item, n int) ([]Sample, error)
}

// SamplerFunc makes a Sampler of a function.
type SamplerFunc func(ctx context.Context, prompt episode.Item, n int) ([]Sample, error)

// Sample calls the function.
func (f SamplerFunc) Sample(ctx context.Context, prompt episode.Item, n int) ([]Sample, error) {
	return f(ctx, prompt, n)
}

// BestOfN draws replies and keeps the one that a scorer likes best.
type BestOfN struct {
	Scorer  Scorer
	Sampler Sampler
	N       int // replies to draw
}

// Best is the outcome of one draw of a [BestOfN].
type Best struct {
	Sample            // the best reply
	Index   int       // its place among those drawn
	Samples []Sample  // all that were drawn
	Rewards []float64 // theirs; NaN where a reply could not be scored
}

// ErrNoScore says that none of the replies could be scored.
var ErrNoScore = errors.New("reward: no reply could be scored")

// NewBestOfN returns a BestOfN of n replies. It panics where n is below 1.
func NewBestOfN(scorer Scorer, sampler Sampler, n int) *BestOfN {
	if n < 1 {
		panic("reward: best of fewer than one reply")
	}
	return &BestOfN{scorer, sampler, n}
}

// Draw draws replies to the prompt, scores them and returns the best, the first of
// those on a tie. Where no reply could be scored the error is [ErrNoScore].
func (b *BestOfN) Draw(ctx context.Context, prompt episode.Item) (Best, error) {
	samples, err := b.Sampler.Sample(ctx, prompt, b.N)
	if err != nil {
		return Best{}, err
	}
	rewards, err := Scores(ctx, "best-of-n", b.Scorer, samples)
	if err != nil {
		return Best{}, err
	}
	best := -1
	for i, r := range rewards {
		if !math.IsNaN(r) && (best < 0 || r > rewards[best]) {
			best = i
		}
	}
	if best < 0 {
		return Best{}, ErrNoScore
	}
	return Best{samples[best], best, samples, rewards}, nil
}

// PolicySampler draws replies from a policy: the item's input as one user message in
// the chat template of the base's tokenizer. One goroutine at a time may use it.
type PolicySampler struct {
	Policy *policy.Policy
	// Options are those of the draw; N and Tokenizer are filled in. The k-th draw,
	// counted from 0, has the seed Options.Seed + k.
	Options policy.SamplingOptions

	draws uint64
}

// Sample implements [Sampler].
func (s *PolicySampler) Sample(ctx context.Context, prompt episode.Item, n int) ([]Sample, error) {
	tok := s.Policy.Base().Tokenizer()
	enc, err := policy.NewEncoder(tok, 0, false)
	if err != nil {
		return nil, err
	}
	ids, err := enc.Prompt(prompt.Input)
	if err != nil {
		return nil, err
	}
	o := s.Options
	o.N, o.Tokenizer, o.Seed = n, tok, o.Seed+s.draws
	s.draws++
	groups, err := s.Policy.Generate(ctx, [][]int{ids}, o)
	if err != nil {
		return nil, err
	}
	out := make([]Sample, n)
	for i, c := range groups[0] {
		out[i] = Sample{Item: prompt, PromptIDs: ids, CompletionIDs: c.Tokens, Text: c.Text, Truncated: c.Truncated}
	}
	return out, nil
}
