package policy

import (
	"context"
	"slices"
)

// stepPlan is how a step is computed: in which parts, and how many of the lowest blocks
// are computed again in those with others below and in those without.
type stepPlan struct {
	parts         []*section
	stems, leaves int
	bytes         int64 // of the arena
}

// again returns how many blocks a part computes again.
func (s *stepPlan) again(p *section) int {
	if len(p.below) > 0 {
		return s.stems
	}
	return s.leaves
}

// stepper takes the gradient of a forest as planned.
type stepper struct {
	n    *net
	f    *Forest
	o    options
	plan stepPlan
	loss Loss
	mask dropout

	value float64 // of the loss so far
}

// dropout says what a policy drops in a step.
type dropout struct {
	rate float64
	seed uint64
	step uint32
	rows uint64 // of the step so far
}

// drop sets the dropout of a section's rows.
func (s *stepper) drop(p *section) {
	m := &s.mask
	s.n.setDropout(m.rate, m.seed, m.step, m.rows+uint64(p.lo), m.rows+uint64(p.readBefore))
}

// run computes parts below a tape, which is nil at the top.
func (s *stepper) run(ctx context.Context, parts []*section, up *tape) error {
	for _, p := range parts {
		if err := s.part(ctx, p, up); err != nil {
			return err
		}
	}
	return nil
}

// part computes a part and what is below it, forward and backward.
func (s *stepper) part(ctx context.Context, p *section, up *tape) error {
	eng := s.n.eng
	defer eng.Reset(eng.Mark())
	s.drop(p)
	t := newTape(s.n, s.f, p, up, s.plan.again(p))
	var err error
	if t.x, err = t.record(ctx); err != nil {
		return err
	}
	if p.examples != nil {
		if err := s.evaluate(t); err != nil {
			return err
		}
	}
	if len(p.below) > 0 {
		if err := s.run(ctx, p.below, t); err != nil {
			return err
		}
		s.drop(p)
	}
	return t.back(ctx, t.top())
}

// evaluate asks the loss about the examples that end in a part, and adds the gradients
// with respect to the last block's output to those of the parts on their path.
func (s *stepper) evaluate(t *tape) error {
	eng := s.n.eng
	defer eng.Reset(eng.Mark())
	examples := t.section.examples
	x, dx, alone := t.x, t.top(), t.up == nil && len(t.section.below) == 0
	if !alone {
		x = eng.Temp(len(examples.headRows), t.x.Cols)
		eachOrigin(t, examples.headRows, func(from *tape, rows Span, at []int32) {
			eng.Pick(x.RowRange(rows.Start, rows.End), from.x, at)
		})
		dx = eng.Temp(x.Rows, x.Cols)
	}
	e := &end{pass: t.pass, f: examples, o: s.o}
	targets, err := e.targets(x)
	if err != nil {
		return err
	}
	value, deriv, err := s.loss.Eval(targets)
	if err != nil {
		return err
	}
	s.value += value
	if err := e.checkDerivatives(deriv); err != nil {
		return err
	}
	e.back(dx, deriv)
	if !alone {
		eachOrigin(t, examples.headRows, func(from *tape, rows Span, at []int32) {
			eng.ScatterAdd(from.top(), dx.RowRange(rows.Start, rows.End), at)
		})
	}
	return nil
}

// eachOrigin calls f for every tape on a path that rows of the forest, ascending, belong
// to: with the range of them that do, and their places in the tape's output.
func eachOrigin(t *tape, rows []int32, f func(from *tape, rows Span, at []int32)) {
	for ; t != nil; t = t.up {
		start, _ := slices.BinarySearch(rows, int32(t.section.lo))
		end, _ := slices.BinarySearch(rows, int32(t.section.hi))
		if start == end {
			continue
		}
		at := make([]int32, end-start)
		for i, row := range rows[start:end] {
			place, _ := slices.BinarySearch(t.section.read, row-int32(t.section.lo))
			at[i] = int32(place)
		}
		f(t, Span{start, end}, at)
	}
}
