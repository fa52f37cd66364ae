package enginetest

import (
	"fmt"

	"github.com/socialrl/socialrl/lora"
)

// testKinds checks, for weights of every kind, that a row multiplied alone or with
// few others has the same bits as in a batch.
func testKinds(s *suite) {
	const rows, in, out = 40, 200, 150
	for _, kind := range lora.Kinds() {
		_, w := s.weights(tensorOf(lora.DTypeF32, out, in, s.values(out*in)), kind)
		l, e := &lora.Linear{W: w}, s.got
		x, dy := s.random(rows, in).got, s.random(rows, out).got
		y, dx := e.NewView(rows, out), e.NewView(rows, in)
		e.Linear(y, x, l, lora.View{})
		e.LinearBack(dx, dy, x, l, lora.View{}, false)
		for _, n := range []int{0, 1, 2, 3, 4, 5, 13} {
			what := fmt.Sprintf("%v, %d rows", kind, n)
			few, dfew := e.NewView(n, out), e.NewView(n, in)
			e.Linear(few, x.RowRange(7, 7+n), l, lora.View{})
			e.LinearBack(dfew, dy.RowRange(7, 7+n), x.RowRange(7, 7+n), l, lora.View{}, false)
			s.sameBits(what, s.read(e, few), s.read(e, y.RowRange(7, 7+n)))
			s.sameBits(what+" backward", s.read(e, dfew), s.read(e, dx.RowRange(7, 7+n)))
		}
	}
}
