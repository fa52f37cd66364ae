package main

import (
	"context"
	"fmt"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// trainee returns a policy with a new adapter. close gives the adapter back.
func (b *bench) trainee() (p *policy.Policy, close func(), err error) {
	a, err := policy.NewAdapter(b.base, lora.Config{Rank: b.rank, Alpha: 8 * float64(b.rank), Targets: lora.QV}, b.seed)
	if err != nil {
		return nil, nil, err
	}
	if p, err = policy.New(b.base, a); err != nil {
		a.Close()
		return nil, nil, err
	}
	p.Memory = int64(b.memory)
	return p, a.Close, nil
}

// pass is a gradient pass over the forests of some examples.
type pass struct {
	examples []policy.Example
	loss     func() policy.Loss
	opts     []policy.Option
	budget   int // of rows a forest
}

// pack returns the forests: with shared beginnings merged, or each example alone.
func (g *pass) pack(flat bool) ([]*policy.Forest, error) {
	if !flat {
		packed, err := policy.Pack(g.examples, g.budget)
		if err != nil {
			return nil, err
		}
		return packed.Forests, nil
	}
	out := make([]*policy.Forest, len(g.examples))
	for i := range out {
		var err error
		if out[i], err = policy.NewForest(g.examples[i : i+1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// run takes the gradient of forests that pack made.
func (g *pass) run(ctx context.Context, p *policy.Policy, forests []*policy.Forest, flat bool) error {
	loss := g.loss()
	for i, f := range forests {
		l := loss
		if flat {
			l = alone{loss, i}
		}
		if _, err := p.Step(ctx, f, l, g.opts...); err != nil {
			return err
		}
	}
	p.Adapter().ZeroGrad()
	return nil
}

// memory returns the bytes of the largest forest's activations.
func (g *pass) memory(p *policy.Policy, forests []*policy.Forest) int64 {
	most := int64(0)
	for _, f := range forests {
		most = max(most, p.StepMemory(f, g.opts...))
	}
	return most
}

// alone is the loss of one example of a pass, in a forest of its own.
type alone struct {
	policy.Loss
	index int
}

// Eval implements [policy.Loss].
func (a alone) Eval(t policy.Targets) (float64, []float64, error) {
	t.Index = []int{a.index}
	return a.Loss.Eval(t)
}

// workOf adds up forests.
func workOf(forests []*policy.Forest) work {
	var w work
	for _, f := range forests {
		w.rows, w.targets, w.pairs = w.rows+f.Rows(), w.targets+f.Targets(), w.pairs+f.Pairs()
	}
	return w
}

// compare measures a gradient pass with shared beginnings merged and without, and
// gives a line for each and one for their ratio.
func (b *bench) compare(ctx context.Context, name string, g *pass) ([]line, error) {
	p, closePolicy, err := b.trainee()
	if err != nil {
		return nil, err
	}
	defer closePolicy()
	trie, err := g.pack(false)
	if err != nil {
		return nil, err
	}
	flat, err := g.pack(true)
	if err != nil {
		return nil, err
	}
	var seconds [2][]float64
	for i := range b.warmup + b.steps {
		for k, forests := range [][]*policy.Forest{trie, flat} {
			fmt.Fprintf(b.err, "bench: %s: %s, %s\n", name, []string{"merged", "flat"}[k], b.stepOf(i))
			took, err := timed(func() error { return g.run(ctx, p, forests, k == 1) })
			if err != nil {
				return nil, err
			}
			if i >= b.warmup {
				seconds[k] = append(seconds[k], took)
			}
		}
	}
	lines := b.compared(name, workOf(trie), workOf(flat), seconds)
	lines[0].Note += ", activations " + cli.Size(g.memory(p, trie))
	lines[1].Note += ", activations " + cli.Size(g.memory(p, flat))
	return lines, nil
}

// stepOf names a step of training, counted from 0.
func (b *bench) stepOf(i int) string {
	if i < b.warmup {
		return fmt.Sprintf("warm-up %d of %d", i+1, b.warmup)
	}
	return fmt.Sprintf("%d of %d", i-b.warmup+1, b.steps)
}

// compared makes the lines of compare. Rates count the tokens of the unshared batch.
func (b *bench) compared(name string, trie, flat work, seconds [2][]float64) []line {
	tokens := float64(flat.rows)
	var lines []line
	for k, w := range []work{trie, flat} {
		limit := tokens * b.arithmetic() / b.training(w)
		l := newLine(name+[]string{" merged", " flat"}[k], "tokens/s", rates(tokens, seconds[k]), limit, ofArithmetic)
		l.Note = fmt.Sprintf("%d tokens, %d computed, %d targets, %.2f s, best %.2f", flat.rows, w.rows, w.targets, tokens/l.Median, tokens/l.Best)
		l.Bytes = b.streamed()
		lines = append(lines, l)
	}
	times := make([]float64, len(seconds[0]))
	for i := range times {
		times[i] = seconds[1][i] / seconds[0][i]
	}
	ratio := newLine(name+" flat : merged", "times", times, b.training(flat)/b.training(trie), ofArithmetic)
	ratio.Note = fmt.Sprintf("at most %.2f", ratio.Limit)
	return append(lines, ratio)
}

// update measures the gradient pass of a GRPO step over one group.
func (b *bench) update(ctx context.Context, j job) ([]line, error) {
	group := 2 * b.group
	prompt := b.sequence(b.prompt)
	g := &pass{opts: []policy.Option{policy.WithTemperature(0.9), policy.WithEntropy(), policy.WithTotal(group * b.reply)}}
	rows := make([]grpo.Row, group)
	for i := range rows {
		tokens := append(prompt[:b.prompt:b.prompt], b.sequence(b.reply)...)
		g.examples = append(g.examples, policy.Example{Tokens: tokens, First: b.prompt})
		rows[i] = grpo.Row{Tokens: b.reply, Completion: grpo.Completion{Advantage: float64(i%2*2 - 1), Ref: make([]float64, b.reply)}}
	}
	cfg := grpo.Default()
	grpo.Weigh(rows, cfg.Loss.Normaliser, b.reply)
	objective := grpo.Objective{Surrogate: cfg.Loss.Surrogate, Clip: cfg.Clip, Level: cfg.Level, Beta: cfg.Beta}
	g.loss = func() policy.Loss { return grpo.NewLoss(objective, rows) }
	return b.compare(ctx, fmt.Sprintf("update P=%d C=%d G=%d", b.prompt, b.reply, group), g)
}
