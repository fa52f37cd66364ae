package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// RewardModel is a base model with an adapter and a scalar head that is read at the
// last token, the one that ends the reply's turn:
//
//	score(prompt, reply) = head · norm(hidden state of the last token)
//
// The head has no bias. One goroutine at a time may use the models of one engine.
type RewardModel struct {
	policy *policy.Policy

	maxLength  int
	dropOldest bool
	budget     int
	seed       uint64
	onPack     func(*policy.Packed)
}

// Option changes what [New], [Load] and [Of] make.
type Option func(*RewardModel)

// WithSeed sets the seed of a new model's adapter and head; without it, 42.
func WithSeed(seed uint64) Option { return func(m *RewardModel) { m.seed = seed } }

// WithMaxLength bounds the tokens of prompt and reply together; without it, 4096.
// Longer examples are left out and counted in training, and score NaN.
func WithMaxLength(tokens int) Option { return func(m *RewardModel) { m.maxLength = tokens } }

// WithDropOldest shortens texts that are too long by their oldest turns instead of
// leaving them out. The reply is never cut.
func WithDropOldest() Option { return func(m *RewardModel) { m.dropOldest = true } }

// WithBudget bounds the distinct tokens that are computed at a time; without it,
// 8192.
func WithBudget(rows int) Option { return func(m *RewardModel) { m.budget = rows } }

// WithOnPack has f told how the texts of each scoring are packed, before they are
// computed: how many tokens they have, and how many of them are distinct.
func WithOnPack(f func(*policy.Packed)) Option { return func(m *RewardModel) { m.onPack = f } }

// New returns a reward model with a new adapter: low-rank branches as cfg says and a
// head, whatever cfg.Head. Sotopia-RL uses rank 8, alpha 32, dropout 0.1 on q_proj
// and v_proj.
func New(base *policy.Base, cfg lora.Config, opts ...Option) (*RewardModel, error) {
	cfg.Head = true
	m := newModel(opts)
	a, err := policy.NewAdapter(base, cfg, m.seed)
	if err != nil {
		return nil, err
	}
	m.policy, err = policy.New(base, a)
	return m, err
}

// Load reads the PEFT directory of a reward model for its base. An adapter without a
// head is an error: its scores would mean nothing.
func Load(base *policy.Base, dir string, opts ...Option) (*RewardModel, error) {
	a, err := policy.LoadAdapter(base, dir)
	if err != nil {
		return nil, err
	}
	if a.Param(lora.AdapterName(lora.HeadModule, lora.PartWhole)) == nil {
		a.Close()
		return nil, fmt.Errorf("%s: the adapter has no head: it lacks the tensor %s", dir, lora.AdapterName(lora.HeadModule, lora.PartWhole))
	}
	m := newModel(opts)
	m.policy, err = policy.New(base, a)
	return m, err
}

// Of returns the reward model that a policy is: its adapter must have a head, or its
// base be a sequence-classification checkpoint.
func Of(p *policy.Policy, opts ...Option) *RewardModel {
	m := newModel(opts)
	m.policy = p
	return m
}

func newModel(opts []Option) *RewardModel {
	m := &RewardModel{maxLength: 4096, budget: 8192, seed: 42}
	for _, o := range opts {
		o(m)
	}
	return m
}

// Policy returns the base and adapter that the model consists of.
func (m *RewardModel) Policy() *policy.Policy { return m.policy }

// Save writes the adapter with its head as a PEFT directory, which PEFT and [Load]
// read.
func (m *RewardModel) Save(dir string) error { return policy.SaveParameters(m.policy.Adapter(), dir) }

// Close gives the adapter's memory back. The base stays.
func (m *RewardModel) Close() {
	if a := m.policy.Adapter(); a != nil {
		a.Close()
	}
}

// Score returns the model's value of each reply. Samples with tokens are read as they
// were sampled, followed by the end of the turn, so that nothing is encoded twice;
// the others as the chat template writes Item.Input and Text. Prompts, and whatever
// else samples begin with alike, are computed once. A sample that is too long is NaN.
func (m *RewardModel) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	r := reader{RewardModel: m}
	return m.scoreEach(ctx, len(samples), func(i int) (policy.Example, error) {
		e, err := r.example(samples[i])
		if err != nil {
			return e, fmt.Errorf("reward: sample %d: %w", i, err)
		}
		return e, nil
	})
}

// scoreEach returns the scores of n examples, NaN for one that is too long.
func (m *RewardModel) scoreEach(ctx context.Context, n int, example func(i int) (policy.Example, error)) ([]float64, error) {
	out := make([]float64, n)
	var examples []policy.Example
	var at []int
	for i := range n {
		e, err := example(i)
		switch {
		case errors.Is(err, policy.ErrTooLong):
			out[i] = math.NaN()
		case err != nil:
			return nil, err
		default:
			examples, at = append(examples, e), append(at, i)
		}
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

// scores computes the score of each example.
func (m *RewardModel) scores(ctx context.Context, examples []policy.Example) ([]float64, error) {
	budget := m.budget
	for _, e := range examples {
		budget = max(budget, len(e.Tokens))
	}
	packed, err := policy.Pack(examples, budget)
	if err != nil {
		return nil, err
	}
	if m.onPack != nil {
		m.onPack(packed)
	}
	out, err := m.policy.PackedOutputs(ctx, packed)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(out))
	for i, v := range out {
		scores[i] = v[0]
	}
	return scores, nil
}

// reader turns samples into examples; it finds the end of the turn once.
type reader struct {
	*RewardModel
	end   int
	found bool
}

// example returns a sample as the model reads it.
func (r *reader) example(s Sample) (policy.Example, error) {
	if s.CompletionIDs == nil {
		return r.render(s.Item.Input, s.Text)
	}
	if !r.found {
		var err error
		if r.end, err = r.endOfTurn(); err != nil {
			return policy.Example{}, err
		}
		r.found = true
	}
	tokens := slices.Concat(s.PromptIDs, s.CompletionIDs)
	if n := len(s.CompletionIDs); n > 0 && slices.Contains(r.policy.Base().EndTokens(), s.CompletionIDs[n-1]) {
		tokens = tokens[:len(tokens)-1]
	}
	tokens = append(tokens, r.end)
	if len(tokens) > r.maxLength {
		return policy.Example{}, fmt.Errorf("%w: %d, more than %d", policy.ErrTooLong, len(tokens), r.maxLength)
	}
	return policy.Example{Tokens: tokens, First: len(tokens)}, nil
}

// render returns prompt and reply in the chat template, without the final newline,
// so that the last token is the end of the turn.
func (m *RewardModel) render(input, output string) (policy.Example, error) {
	enc, err := policy.NewEncoder(m.policy.Base().Tokenizer(), m.maxLength, m.dropOldest)
	if err != nil {
		return policy.Example{}, err
	}
	return enc.Scored(input, output)
}

// endOfTurn returns the token that the chat template ends a reply with; without a
// template it is the model's first end token.
func (m *RewardModel) endOfTurn() (int, error) {
	base := m.policy.Base()
	if tok := base.Tokenizer(); tok != nil && tok.HasTemplate() {
		e, err := m.render("a", "a")
		if err != nil {
			return 0, err
		}
		return e.Tokens[len(e.Tokens)-1], nil
	}
	ends := base.EndTokens()
	if len(ends) == 0 {
		return 0, errors.New("reward: the model has neither a chat template nor an end token")
	}
	return ends[0], nil
}
