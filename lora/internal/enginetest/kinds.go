package enginetest

import (
	"fmt"

	"github.com/socialrl/socialrl/lora"
)

// testKinds checks, for weights of every kind, that a row multiplied alone or with few
// others is the same as in a batch.
func testKinds(s *suite) {
	const rows, in, out = 40, 200, 150
	for _, kind := range lora.Kinds() {
		ref, w := s.weights(tensorOf(lora.DTypeF32, out, in, s.values(out*in)), kind)
		l, e := &lora.Linear{W: w}, s.got
		numbers := s.numbers(ref)
		xs, dys := s.random(rows, in), s.random(rows, out)
		x, dy := xs.got, dys.got
		boundY := s.productBounds(xs.data[7*in:], numbers, in, false, s.rounding(kind))
		boundX := s.productBounds(dys.data[7*out:], numbers, in, true, s.rounding(kind))
		y, dx := e.NewView(rows, out), e.NewView(rows, in)
		e.Linear(y, x, l, lora.View{})
		e.LinearBack(dx, dy, x, l, lora.View{}, false)
		for _, n := range []int{0, 1, 2, 3, 4, 5, 13} {
			what := fmt.Sprintf("%v, %d rows", kind, n)
			few, dfew := e.NewView(n, out), e.NewView(n, in)
			e.Linear(few, x.RowRange(7, 7+n), l, lora.View{})
			e.LinearBack(dfew, dy.RowRange(7, 7+n), x.RowRange(7, 7+n), l, lora.View{}, false)
			s.sameRows(what, s.read(e, few), s.read(e, y.RowRange(7, 7+n)), boundY)
			s.sameRows(what+" backward", s.read(e, dfew), s.read(e, dx.RowRange(7, 7+n)), boundX)
		}
	}
}

// productBounds returns bounds of the errors of x·wᵀ, or of x·w where back is set, for w
// [out, in]: n terms of magnitude m carry n·eps·m and the rounding of their factors.
func (s *suite) productBounds(x, w []float32, in int, back bool, rounding float64) []float64 {
	e := s.ref
	m := e.NewView(len(w)/in, in)
	e.Write(m, absolute(w))
	layer, terms := &lora.Linear{W: e.ViewWeight(m)}, in
	if back {
		terms = m.Rows
	}
	from := e.NewView(len(x)/terms, terms)
	e.Write(from, absolute(x))
	to := e.NewView(from.Rows, in+m.Rows-terms)
	if back {
		e.LinearBack(to, from, e.NewView(to.Rows, in), layer, lora.View{}, false)
	} else {
		e.Linear(to, from, layer, lora.View{})
	}
	bound := make([]float64, to.Len())
	sums := make([]float32, to.Len())
	_ = e.Read(sums, to)
	for i, size := range sums {
		bound[i] = (eps*float64(terms+8) + rounding) * float64(size)
	}
	return bound
}
