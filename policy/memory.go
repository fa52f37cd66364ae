package policy

import (
	"context"
	"sort"

	"github.com/socialrl/socialrl/lora"
)

// partSizes returns the rows of parts that are tried, the first of them always and the
// others where a step does not fit into its memory: the fewer, the less is held, and the
// fewer rows have to share what each read of a weight costs.
func (p *Policy) partSizes() []int {
	if p.partRows != nil {
		return p.partRows
	}
	var sizes []int
	full := lora.RowsForSpeed(p.base.eng)
	for most := full; most >= max(128, full/16); most /= 2 {
		sizes = append(sizes, most)
	}
	return sizes
}

// StepMemory returns the bytes of the engine's arena that Step takes for a forest and
// these options: activations, gradients of activations, and what operations need for
// themselves. It is exact. Weights, the adapter, its gradients and moments come on top;
// lora.MemoryStats counts them.
func (p *Policy) StepMemory(f *Forest, opts ...Option) int64 {
	p.bind()
	return p.plan(f, newOptions(f, opts)).bytes
}

// plan returns how a step is computed: in the largest parts, or as a whole where that takes
// no more memory; where that does not fit, in the way that computes the fewest rows again,
// of these with the largest parts; and where nothing fits, in that which takes the least.
func (p *Policy) plan(f *Forest, o options) stepPlan {
	best := p.planned(f, o, stepPlan{parts: whole(f)})
	if p.Recompute {
		best.leaves = len(p.net.blocks)
		return p.planned(f, o, best)
	}
	var sizes []int
	if !o.whole {
		sizes = p.partSizes()
	}
	if len(sizes) > 0 && f.Rows() > sizes[0] {
		if s := p.planned(f, o, stepPlan{parts: cut(f, sizes[0])}); s.bytes < best.bytes {
			best = s
		}
	}
	if p.Memory == 0 || best.bytes <= p.Memory {
		return best
	}
	best = p.bounded(f, o, whole(f))
	for _, most := range sizes {
		if f.Rows() <= most {
			continue
		}
		if s := p.bounded(f, o, cut(f, most)); p.prefers(s, best) {
			best = s
		}
	}
	return best
}

// planned returns the plan with the bytes that it takes.
func (p *Policy) planned(f *Forest, o options, s stepPlan) stepPlan {
	s.bytes = p.measurePlan(f, o, s)
	return s
}

// prefers reports whether a plan is better than another.
func (p *Policy) prefers(s, other stepPlan) bool {
	if s.bytes > p.Memory || other.bytes > p.Memory {
		return s.bytes < other.bytes
	}
	return s.repeated() < other.repeated()
}

// repeated returns how many rows times blocks are computed again.
func (s *stepPlan) repeated() int {
	stems, leaves := sum(s.parts)
	return s.stems*stems + s.leaves*leaves
}

// bounded returns the plan of given parts that fits into the memory with the fewest
// blocks computed again, first of the parts that others wait for, as what they hold is
// held the longest. Where none fits it computes all again.
func (p *Policy) bounded(f *Forest, o options, parts []*section) stepPlan {
	blocks := len(p.net.blocks)
	stems, _ := sum(parts)
	steps := blocks
	if stems > 0 {
		steps = 2 * blocks
	}
	at := func(i int) stepPlan {
		s := stepPlan{parts: parts, leaves: i}
		if stems > 0 {
			s.stems, s.leaves = min(i, blocks), max(0, i-blocks)
		}
		return p.planned(f, o, s)
	}
	return at(sort.Search(steps, func(i int) bool { return at(i).bytes <= p.Memory }))
}

// measure returns what a step takes that is computed as a whole, with so many blocks
// computed again.
func (p *Policy) measure(f *Forest, o options, again int) int64 {
	return p.measurePlan(f, o, stepPlan{parts: whole(f), leaves: again})
}

// measurePlan runs a step on an engine that computes nothing and returns the highest use
// of the arena.
func (p *Policy) measurePlan(f *Forest, o options, plan stepPlan) int64 {
	dry := lora.Dry(p.base.eng)
	n := *p.net
	n.eng = dry
	s := &stepper{n: &n, f: f, o: o, plan: plan, loss: noLoss, mask: dropout{rate: p.dropout.rate}}
	_ = s.run(context.Background(), plan.parts, nil)
	return dry.Stats().ArenaPeak
}

// noLoss has no derivatives.
var noLoss = LossFunc(func(t Targets) (float64, []float64, error) {
	return 0, make([]float64, max(len(t.LogProb), len(t.Score))), nil
})
