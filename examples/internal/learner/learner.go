// Package learner makes the model that learns in the miniature world, from fresh weights,
// and has it play there.
package learner

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// NewBase makes the model with fresh weights and the world's tokenizer.
func NewBase(eng lora.Engine, seed uint64) (*policy.Base, error) {
	tok, err := world.Tokenizer()
	if err != nil {
		return nil, err
	}
	end, ok := tok.EOS()
	if !ok {
		return nil, fmt.Errorf("the tokenizer has no end token")
	}
	base, err := policy.NewBase(eng, config(end), seed)
	if err != nil {
		return nil, err
	}
	base.SetTokenizer(tok)
	return base, nil
}

// Fresh returns a policy of which every weight is trained.
func Fresh(base *policy.Base) (*policy.Policy, error) {
	all, err := policy.NewFull(base)
	if err != nil {
		return nil, err
	}
	return policy.New(base, all)
}

// Successor returns a policy that starts from another one's weights and is trained
// apart from it.
func Successor(p *policy.Policy) (*policy.Policy, error) {
	return policy.New(p.Base(), p.Adapter().Clone())
}

// headName is the scalar head's tensor in a model of which every weight is trained.
const headName = "score.weight"

// Valuer returns a reward model that starts from a policy's weights: the same
// transformer, and a scalar head, which is zero.
func Valuer(p *policy.Policy) (*reward.RewardModel, error) {
	weights := p.Adapter().Clone()
	weights.Add(headName, 1, p.Base().Config().HiddenSize)
	q, err := policy.New(p.Base(), weights)
	if err != nil {
		return nil, err
	}
	return reward.Of(q), nil
}

// Sampler makes a policy answer the prompts of the world, at temperature 1.
type Sampler struct {
	policy *policy.Policy
	enc    *policy.Encoder
	seed   uint64
	tokens int // most tokens of a reply
	rounds uint64
}

// NewSampler returns a sampler of replies of at most so many tokens.
func NewSampler(p *policy.Policy, seed uint64, tokens int) (*Sampler, error) {
	enc, err := policy.NewEncoder(p.Base().Tokenizer(), 0, false)
	return &Sampler{policy: p, enc: enc, seed: seed, tokens: tokens}, err
}

// Reply answers one round of prompts. Each round has its own random numbers.
func (s *Sampler) Reply(ctx context.Context, prompts []world.Prompt) ([]string, error) {
	ids := make([][]int, len(prompts))
	for i, p := range prompts {
		var err error
		if ids[i], err = s.enc.Prompt(p.Text); err != nil {
			return nil, err
		}
	}
	s.rounds++
	drawn, err := s.policy.Generate(ctx, ids, policy.SamplingOptions{
		MaxTokens: s.tokens, Temperature: 1, Seed: s.seed<<16 + s.rounds, Tokenizer: s.policy.Base().Tokenizer(), MaxLive: 256,
	})
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(drawn))
	for i, d := range drawn {
		texts[i] = d[0].Text
	}
	return texts, nil
}

// config is a Qwen2 of 0.3 million weights: the shape of the big ones, with a
// vocabulary of 512.
func config(endToken int) policy.Config {
	return policy.Config{
		ModelType: policy.Qwen2, VocabSize: 512, HiddenSize: 96, IntermediateSize: 128, Layers: 4,
		Heads: 4, KVHeads: 2, HeadDim: 32, RMSNormEps: 1e-6, RopeTheta: 10000, MaxPositions: 1024,
		TieEmbeddings: true, EOS: []int{endToken}, InitializerRange: 0.05,
	}
}

// Mixed is a sequence of the items in random order, so that the prompts of a step come
// from many episodes.
func Mixed(items []episode.Item, seed uint64) iter.Seq2[episode.Item, error] {
	return func(yield func(episode.Item, error) bool) {
		for _, i := range rand.New(rand.NewPCG(seed, uint64(len(items)))).Perm(len(items)) {
			if !yield(items[i], nil) {
				return
			}
		}
	}
}
