package grpo

import (
	"context"
	"errors"
	"fmt"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// step takes one optimiser step: a new batch where the last one is used up, and one
// pass over it. The state changes only when the step is complete.
func (t *GRPOTrainer) step(ctx context.Context) error {
	next := t.state
	if next.Batch == nil {
		b, err := t.newBatch(ctx, next.Prompts, next.Step)
		if err != nil {
			return err
		}
		next.Batch, next.Pass = b, 0
		next.Prompts += len(b.Prompts)
		next.Tokens += t.tokens(b)
	}
	m, err := t.pass(ctx, next.Batch, next.Step)
	if err = t.skip(err, &next, &m); err != nil {
		return err
	}
	next.Step, next.Pass = next.Step+1, next.Pass+1
	first, b := next.Pass == 1, next.Batch
	if next.Pass == t.cfg.Passes {
		next.Batch = nil
	}
	t.state = next
	if first {
		t.describe(m, b)
		if err := t.logCompletions(b); err != nil {
			return err
		}
	}
	return t.log(m)
}

// skip passes over a step whose loss or gradient is not finite, which has changed
// nothing, and counts it, unless most steps so far were such.
func (t *GRPOTrainer) skip(err error, s *state, m *Metrics) error {
	var bad *lora.NonFiniteError
	if !errors.As(err, &bad) {
		return err
	}
	t.policy.Adapter().ZeroGrad()
	s.Skipped++
	*m = Metrics{"skipped_steps": float64(s.Skipped)}
	if s.Skipped > 10 && s.Skipped > s.Step/2 {
		return fmt.Errorf("%d of %d steps skipped: %w", s.Skipped, s.Step+1, err)
	}
	return nil
}

// tokens counts prompts, once a completion, and completions.
func (t *GRPOTrainer) tokens(b *batch) int {
	n := 0
	for i, r := range b.Rows {
		n += len(b.Prompts[i/t.cfg.Group]) + len(r.Tokens)
	}
	return n
}

// pass goes once over the batch: gradients of all forests, one update.
func (t *GRPOTrainer) pass(ctx context.Context, b *batch, step int) (Metrics, error) {
	t.begin(UpdatePhase)
	packed, err := t.pack(b)
	if err != nil {
		return nil, err
	}
	l := NewLoss(t.objective(), t.lossRows(b)).On(t.policy.Engine())
	t.policy.BeginStep(t.cfg.Seed, step)
	loss, memory := 0.0, int64(0)
	opts := []policy.Option{policy.WithTemperature(t.cfg.Temperature), policy.WithEntropy(), policy.WithTotal(packed.Targets)}
	for _, f := range packed.Forests {
		part, err := t.policy.Step(ctx, f, l, opts...)
		if err != nil {
			return nil, err
		}
		loss, memory = loss+part, max(memory, t.policy.StepMemory(f, opts...))
	}
	rate := t.cfg.LearningRate * schedules[t.cfg.Schedule](t.cfg.Warmup)(step, t.total)
	if t.inspect != nil {
		t.inspect(b, l)
	}
	norm, err := t.opt.Step(rate)
	if err != nil {
		return nil, err
	}
	if b.Old == nil && t.cfg.Passes > 1 {
		b.Old = l.LogProbs()
	}
	m := Metrics{"loss": loss, "grad_norm": norm, "learning_rate": rate, "forest/saving": packed.Saving(), "forest/memory": float64(memory)}
	l.addTo(m, t.cfg.Loss, true)
	return m, nil
}

func (t *GRPOTrainer) objective() Objective {
	c := &t.cfg
	return Objective{Surrogate: c.Loss.Surrogate, Clip: c.Clip, Level: c.Level, Beta: c.Beta, RatioKL: c.RatioKL}
}

// describe enters what a new batch looks like.
func (t *GRPOTrainer) describe(m Metrics, b *batch) {
	m["num_tokens"] = float64(t.state.Tokens)
	m["epoch"] = float64(t.state.Prompts) / float64(len(t.data.items))
	prompts := make([]float64, len(b.Prompts))
	for i, p := range b.Prompts {
		prompts[i] = float64(len(p))
	}
	m["prompts/mean_length"] = meanOf(prompts)
	m["prompts/cut"] = float64(b.Cut)
	lengths, truncated, texts := shapes(b.Rows)
	m.addLengths(lengths, truncated, texts)
	m.addRewards(t.names, toFloats(b.Rewards), t.weights, t.cfg.Group)
}

func shapes(rows []sample) (lengths []int, truncated []bool, texts []string) {
	for _, r := range rows {
		lengths = append(lengths, len(r.Tokens))
		truncated = append(truncated, r.Truncated)
		texts = append(texts, r.Text)
	}
	return lengths, truncated, texts
}
