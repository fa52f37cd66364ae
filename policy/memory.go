package policy

import (
	"context"
	"sort"

	"github.com/socialrl/socialrl/lora"
)

// StepMemory returns the bytes of the engine's arena that Step takes for a forest and
// these options: activations, gradients of activations, and what operations need for
// themselves. It is exact. Weights, the adapter, its gradients and moments come on top;
// lora.MemoryStats counts them.
func (p *Policy) StepMemory(f *Forest, opts ...Option) int64 {
	p.bind()
	_, bytes := p.plan(f, newOptions(f, opts))
	return bytes
}

// plan returns how many of the lowest blocks a step computes again, and the bytes of
// the arena that it takes then.
func (p *Policy) plan(f *Forest, o options) (again int, bytes int64) {
	blocks := len(p.net.blocks)
	if p.Recompute {
		return blocks, p.measure(f, o, blocks)
	}
	if bytes = p.measure(f, o, 0); p.Memory == 0 || bytes <= p.Memory {
		return 0, bytes
	}
	again = 1 + sort.Search(blocks-1, func(i int) bool { return p.measure(f, o, i+1) <= p.Memory })
	return again, p.measure(f, o, again)
}

// measure runs a step on an engine that computes nothing and returns the highest use
// of the arena.
func (p *Policy) measure(f *Forest, o options, again int) int64 {
	dry := lora.Dry(p.base.eng)
	n := *p.net
	n.eng = dry
	n.setDropout(p.dropout.rate, 0, 0, 0)
	t := newTape(&n, f, again)
	x, _ := t.record(context.Background())
	e := &end{pass: t.pass, f: f, o: o}
	_, _ = e.targets(x)
	dx := t.top()
	e.back(dx, make([]float64, max(f.Targets(), f.Examples())))
	_ = t.back(context.Background(), dx)
	return dry.Stats().ArenaPeak
}
