package grpo

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// batch is what a group of prompts gives: completions, their rewards, and what the
// passes over them need. Rows stand group after group. Checkpoints between two
// passes hold it.
type batch struct {
	Items   []int       `json:"items"`   // group -> index of the item
	Prompts [][]int     `json:"prompts"` // group -> tokens
	Cut     int         `json:"cut"`     // prompts that were cut
	Rows    []sample    `json:"rows"`
	Rewards [][]number  `json:"rewards"` // scorer -> row
	Old     [][]float64 `json:"old"`     // row -> log-probabilities of the first pass; nil before it
	Ref     [][]float64 `json:"ref"`     // row -> log-probabilities of the reference; nil without
}

// sample is one completion.
type sample struct {
	Tokens    []int   `json:"tokens"`
	Text      string  `json:"text"`
	Truncated bool    `json:"truncated"`
	Advantage float64 `json:"advantage"`
	Micro     int     `json:"micro"`
}

// newBatch samples from the policy, scores, and asks the reference.
func (t *GRPOTrainer) newBatch(ctx context.Context, first, step int) (*batch, error) {
	b := &batch{}
	for n := range t.cfg.prompts() {
		b.Items = append(b.Items, t.data.at(first+n))
	}
	if err := t.encode(b); err != nil {
		return nil, err
	}
	t.begin(SamplePhase)
	if err := t.rollout(ctx, b, step); err != nil {
		return nil, fmt.Errorf("sampling: %w", err)
	}
	t.begin(ScorePhase)
	rewards, err := t.score(ctx, t.samples(b))
	if err != nil {
		return nil, err
	}
	if err := t.setRewards(b, rewards); err != nil {
		return nil, err
	}
	t.deal(b, step)
	return b, t.askReference(ctx, b)
}

// encode makes tokens of the prompts.
func (t *GRPOTrainer) encode(b *batch) error {
	for _, i := range b.Items {
		ids, cut, err := t.prompt(t.data.items[i])
		if err != nil {
			return fmt.Errorf("item %d (episode %q, turn %d): %w", i, t.data.items[i].EpisodeID, t.data.items[i].Turn, err)
		}
		if cut {
			b.Cut++
		}
		b.Prompts = append(b.Prompts, ids)
	}
	return nil
}

// prompt returns the tokens of an item's prompt, and whether it had to be cut.
func (t *GRPOTrainer) prompt(it episode.Item) ([]int, bool, error) {
	ids, err := t.cfg.Encode(it)
	if err != nil {
		return nil, false, err
	}
	if len(ids) == 0 {
		return nil, false, fmt.Errorf("grpo: the prompt has no tokens")
	}
	if over := len(ids) - t.cfg.MaxPrompt; over > 0 {
		return ids[over:], true, nil
	}
	return ids, false, nil
}

// rollout draws the group of each prompt.
func (t *GRPOTrainer) rollout(ctx context.Context, b *batch, step int) error {
	groups, err := t.draw(ctx, b.Prompts, t.cfg.Group, lora.ForSampling, step)
	if err != nil {
		return err
	}
	for _, g := range groups {
		for _, c := range g {
			b.Rows = append(b.Rows, sample{Tokens: c.Tokens, Text: c.Text, Truncated: c.Truncated})
		}
	}
	return nil
}

// draw returns n completions a prompt, by Rollout or from the policy.
func (t *GRPOTrainer) draw(ctx context.Context, prompts [][]int, n int, purpose lora.Purpose, step int) ([][]policy.Completion, error) {
	c := &t.cfg
	if c.Rollout == nil {
		w := lora.Key{Seed: c.Seed, Purpose: purpose, Step: uint32(step)}.Philox(0)
		return t.policy.Generate(ctx, prompts, policy.SamplingOptions{
			N: n, MaxTokens: c.MaxCompletion, Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP,
			RepetitionPenalty: c.RepetitionPenalty, StopTokens: c.EndTokens, Tokenizer: t.policy.Base().Tokenizer(),
			Seed: uint64(w[0])<<32 | uint64(w[1]),
		})
	}
	groups, err := c.Rollout(ctx, prompts, n)
	if err != nil {
		return nil, err
	}
	if len(groups) != len(prompts) {
		return nil, fmt.Errorf("grpo: Rollout gave %d groups for %d prompts", len(groups), len(prompts))
	}
	for i, g := range groups {
		if len(g) != n {
			return nil, fmt.Errorf("grpo: Rollout gave %d completions for prompt %d, want %d", len(g), i, n)
		}
	}
	t.decode(groups)
	return groups, nil
}

// samples returns the rows as scorers see them.
func (t *GRPOTrainer) samples(b *batch) []reward.Sample {
	out := make([]reward.Sample, len(b.Rows))
	for i, r := range b.Rows {
		g := i / t.cfg.Group
		out[i] = newSample(t.data.items[b.Items[g]], b.Prompts[g], r.Tokens, r.Text, r.Truncated)
	}
	return out
}

// score asks every scorer.
func (t *GRPOTrainer) score(ctx context.Context, samples []reward.Sample) ([][]float64, error) {
	out := make([][]float64, len(t.scorers))
	for k, s := range t.scorers {
		r, err := reward.Scores(ctx, t.names[k], s.Scorer, samples)
		if err != nil {
			return nil, err
		}
		out[k] = r
	}
	return out, nil
}

// setRewards takes over the rewards, and the advantages that they give.
func (t *GRPOTrainer) setRewards(b *batch, rewards [][]float64) error {
	b.Rewards = toNumbers(rewards)
	c, of := &t.cfg, advantager(advantages)
	if d := deviceOf(t.policy.Engine()); d != nil {
		of = d.groupAdvantages
	}
	all, err := aggregate(c.Aggregation, of, rewards, t.weights, c.Group, c.Scale, c.AdvantageEps)
	if err != nil {
		return err
	}
	for i, a := range all {
		b.Rows[i].Advantage = a
	}
	return nil
}

// deal assigns the rows to micro-batches: in their order, or shuffled.
func (t *GRPOTrainer) deal(b *batch, step int) {
	order := t.rowOrder(b, step)
	for k, row := range order {
		b.Rows[row].Micro = k / t.cfg.MicroBatch
	}
}

func (t *GRPOTrainer) rowOrder(b *batch, step int) []int {
	if t.dealt != nil {
		return t.dealt(b)
	}
	order := make([]int, len(b.Rows))
	for i := range order {
		order[i] = i
	}
	if t.cfg.ShuffleRows {
		shuffler(t.cfg.Seed^0x726f7773, step).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return order
}

// counts reports whether a row has tokens that count in the loss.
func (t *GRPOTrainer) counts(r sample) bool {
	return len(r.Tokens) > 0 && !(r.Truncated && t.cfg.MaskTruncated)
}

// pack makes forests of the rows that count: the prompt is the root of its group,
// the completions are its children. Example k is the k-th row that counts.
func (t *GRPOTrainer) pack(b *batch) (*policy.Packed, error) {
	var examples []policy.Example
	for i, r := range b.Rows {
		if !t.counts(r) {
			continue
		}
		prompt := b.Prompts[i/t.cfg.Group]
		tokens := append(append(make([]int, 0, len(prompt)+len(r.Tokens)), prompt...), r.Tokens...)
		examples = append(examples, policy.Example{Tokens: tokens, First: len(prompt)})
	}
	return policy.Pack(examples, t.cfg.Budget)
}

// askReference computes the reference's log-probabilities where the loss wants them.
func (t *GRPOTrainer) askReference(ctx context.Context, b *batch) error {
	if t.reference == nil {
		return nil
	}
	t.begin(ReferencePhase)
	packed, err := t.pack(b)
	if err != nil {
		return err
	}
	var rows []int // example -> row
	for i, r := range b.Rows {
		if t.counts(r) {
			rows = append(rows, i)
		}
	}
	b.Ref = make([][]float64, len(b.Rows))
	for _, f := range packed.Forests {
		targets, err := t.reference.LogProbs(ctx, f, t.cfg.Temperature)
		if err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		for k, example := range targets.Index {
			b.Ref[rows[example]] = append([]float64(nil), targets.Example(k)...)
		}
	}
	return nil
}

// lossRows returns the rows as the loss sees them.
func (t *GRPOTrainer) lossRows(b *batch) []Row {
	rows := make([]Row, len(b.Rows))
	for i, r := range b.Rows {
		rows[i] = Row{Completion: Completion{Advantage: r.Advantage}, Micro: r.Micro}
		if !t.counts(r) {
			continue
		}
		rows[i].Tokens = len(r.Tokens)
		if b.Ref != nil {
			rows[i].Ref = b.Ref[i]
		}
		if b.Old != nil {
			rows[i].Old = b.Old[i]
		}
	}
	Weigh(rows, t.cfg.Loss.Normaliser, t.cfg.MaxCompletion)
	return rows
}
