package gemm

import (
	"fmt"
	"math"
	"testing"
)

// A product of plain matrices has the bits of the one with a packed matrix, wherever
// and however transposed its factors lie.
func TestPlainProductsEqualPackedOnesBitByBit(t *testing.T) {
	eachVariant(t, func(t *testing.T, p *Pool) {
		for i, m := range heights {
			for _, n := range []int{1, 8, 16, 17, 32, 33, 70} {
				for _, k := range []int{1, 2, 7, 32, stridedDepth + 3} {
					checkPlain(t, p, m, n, k, float32(i%2))
				}
			}
		}
		checkPlain(t, p, 150, 100, 3*stridedDepth+1, 1) // shared by several workers
	})
}

func checkPlain(t *testing.T, p *Pool, m, n, k int, beta float32) {
	t.Helper()
	x, w, y := frame(m, k, 3).noise(1), frame(n, k, 1).noise(2), frame(m, n, 2).noise(3)
	want := clone(y.Dense)
	MulT(want, x.Dense, PackF32(w.Dense), 1, beta, p)
	for i := range 4 {
		transA, transB := i&1 != 0, i&2 != 0
		a, b, c := x.Dense, w.Dense, frame(m, n, 2)
		for r := range m {
			copy(c.Row(r), y.Row(r))
		}
		if transA {
			a = transposed(a)
		}
		if !transB {
			b = transposed(b)
		}
		Gemm(transA, transB, 1, a, b, beta, c.Dense, p)
		what := fmt.Sprintf("%dx%dx%d %v %v beta %v", m, n, k, transA, transB, beta)
		same(t, what, c.Dense, want)
		c.checkGuards(t, what)
	}
}

func TestAffineEqualsTheProductOntoTheBias(t *testing.T) {
	eachVariant(t, func(t *testing.T, p *Pool) {
		for _, m := range []int{0, 1, 13, 150} {
			for _, n := range []int{1, 16, 33, 100} {
				for _, k := range []int{0, 1, 40, stridedRight/64 + 1} {
					x, w, bias := frame(m, k, 3).noise(1), frame(n, k, 1).noise(2), frame(1, n, 0).noise(3)
					y, want := frame(m, n, 2).with(float32(math.NaN())), frame(m, n, 0)
					for i := range m {
						copy(want.Row(i), bias.Row(0))
					}
					Gemm(false, true, 1, x.Dense, w.Dense, 1, want.Dense, p)
					Affine(y.Dense, x.Dense, w.Dense, bias.Row(0), p)
					what := fmt.Sprintf("%dx%dx%d", m, n, k)
					same(t, what, y.Dense, want.Dense)
					y.checkGuards(t, what)
				}
			}
		}
	})
}

// What lies beside a factor, and what scratch memory held before, reaches no result.
func TestPlainProductsReadNothingElse(t *testing.T) {
	nan := float32(math.NaN())
	eachVariant(t, func(t *testing.T, p *Pool) {
		poison := frame(70, 70, 0).with(nan)
		for i := range 4 {
			transA, transB := i&1 != 0, i&2 != 0
			Gemm(transA, transB, 1, poison.Dense, poison.Dense, 0, frame(70, 70, 0).Dense, p)
			a, b, c := frame(13, 13, 5).with(nan), frame(13, 13, 7).with(nan), frame(13, 13, 1)
			for r := range 13 {
				clear(a.Row(r))
				clear(b.Row(r))
			}
			Gemm(transA, transB, 1, a.Dense, b.Dense, 0, c.Dense, p)
			same(t, fmt.Sprint("zeros ", transA, transB), c.Dense, View(make([]float32, 13*13), 13, 13))
		}
	})
}

func BenchmarkSmallProducts(b *testing.B) {
	for _, c := range []struct {
		m, n, k        int
		transA, transB bool
	}{
		{2720, 128, 96, false, true},  // a small layer
		{2720, 96, 128, false, false}, // its input's gradient
		{128, 96, 2720, true, false},  // its weights' gradient
		{192, 100, 32, false, true},   // attention: scores
		{192, 32, 100, false, false},  // attention: values
		{100, 32, 192, true, false},   // attention: gradients of keys
		{2720, 8, 96, false, true},    // a low-rank branch
	} {
		p := open2(b, 0, "")
		a, right, y := frame(c.m, c.k, 0).noise(1).Dense, frame(c.k, c.n, 0).noise(2).Dense, frame(c.m, c.n, 0).Dense
		if c.transA {
			a = transposed(a)
		}
		if c.transB {
			right = transposed(right)
		}
		b.Run(fmt.Sprintf("%dx%dx%d", c.m, c.n, c.k), func(b *testing.B) {
			for b.Loop() {
				Gemm(c.transA, c.transB, 1, a, right, 0, y, p)
			}
			b.ReportMetric(2*float64(c.m)*float64(c.n)*float64(c.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
