package gemm

import (
	"fmt"
	"math"
	"testing"
)

// eachDots runs f on the variants that multiply bfloat16 by bfloat16.
func eachDots(t *testing.T, f func(t *testing.T, p *Pool)) {
	found := false
	eachVariant(t, func(t *testing.T, p *Pool) {
		if p.kern.dots != nil {
			found = true
			f(t, p)
		}
	})
	if !found {
		t.Skip("this machine or build has no products of bfloat16")
	}
}

// The orders of summation of the package comment, element by element, forward and
// backward.
func TestOrderOfSummationOfPairs(t *testing.T) {
	const alpha, beta = float32(0.3), float32(-1.5)
	eachDots(t, func(t *testing.T, p *Pool) {
		for _, s := range [][3]int{{14, 70, 1000}, {3, 130, 801}, {1, 64, 33}, {30, 33, 1}} {
			m, n, k := s[0], s[1], s[2]
			w := frame(n, k, 0).noise(2)
			bits, wide := toBF16(w.Dense)
			packed := PackBF16(bits, n, k)
			compare := func(what string, left, right, y0 Dense, f func(y Dense)) {
				got, want := clone(y0), clone(y0)
				f(got)
				inOrder(p, alpha, left, right, beta, want)
				same(t, fmt.Sprint(what, s), got, want)
			}
			x, y := frame(m, k, 0).noise(1).Dense, frame(m, n, 0).noise(3).Dense
			compare("MulT", x, wide, y, func(y Dense) { MulT(y, x, packed, alpha, beta, p) })
			compare("Mul", y, transposed(wide), x, func(x Dense) { Mul(x, y, packed, alpha, beta, p) })
		}
	})
}

// inOrder sets y = alpha * x · wᵀ + beta * y in the order of a variant's dots.
func inOrder(p *Pool, alpha float32, x, w Dense, beta float32, y Dense) {
	sum := pairwise
	if p.kern.dots.matrix != nil {
		sum = stepwise
	}
	for i := range y.Rows {
		left := make([]float32, x.Cols)
		for r, v := range x.Row(i) {
			left[r] = math.Float32frombits(roundBF16(alpha*v) << 16)
		}
		for j := range y.Row(i) {
			y.Row(i)[j] = sum(beta*y.Row(i)[j], left, w.Row(j))
		}
	}
}

// pairwise returns acc + x·w, pair by pair.
func pairwise(acc float32, x, w []float32) float32 {
	for r := 0; r < len(x); r += 2 {
		if r+1 < len(x) {
			acc = fma(x[r+1], w[r+1], acc)
		}
		acc = fma(x[r], w[r], acc)
	}
	return acc
}

// stepwise returns acc + x·w, in steps of two sums each.
func stepwise(acc float32, x, w []float32) float32 {
	for r := 0; r < len(x); r += tileK {
		var sums [2]float32
		for i := r; i < min(r+tileK, len(x)); i++ {
			sums[i%2] = fma(x[i], w[i], sums[i%2])
		}
		acc += sums[0] + sums[1]
	}
	return acc
}

// Every kind of float32 is rounded by the kernel as by the plain loop.
func TestHalvingIsExact(t *testing.T) {
	eachDots(t, func(t *testing.T, p *Pool) {
		src := make([]float32, 1<<16+5)
		for i := range src {
			src[i] = math.Float32frombits(uint32(i)<<16 | uint32(i*40503)&0xffff)
		}
		for i, low := range []uint32{0x8000, 0x7fff, 0x8001, 0xffff} { // ties and their neighbours
			src[40*i] = math.Float32frombits(0x3f80<<16 | low)
			src[40*i+1] = math.Float32frombits(0x3f81<<16 | low)
			src[40*i+2] = math.Float32frombits(0x7f80<<16 | low) // NaN with its bits at the end
		}
		for _, n := range []int{1, 2, 15, 16, 17, 33, len(src)} {
			got, want := make([]uint32, (n+1)/2), make([]uint32, (n+1)/2)
			p.kern.dots.halve32(got, src[:n])
			halveGo(&want[0], &src[0], n)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%d numbers: pair %d of %v is %#x, want %#x", n, i, src[2*i], got[i], want[i])
				}
			}
		}
	})
}

func TestRoundingToBF16KeepsNaN(t *testing.T) {
	for bits, want := range map[uint32]uint32{
		0x7f800000: 0x7f80, // Inf
		0x7f800001: 0x7fc0, // NaN whose upper half is that of Inf
		0xffffffff: 0xffff, // NaN that a carry would wrap
		0x7f7fffff: 0x7f80, // the largest number is nearer to 2^128
		0x3f808000: 0x3f80, // a tie, to even
		0x3f818000: 0x3f82,
	} {
		if got := roundBF16(math.Float32frombits(bits)); got != want {
			t.Errorf("%#x rounds to %#x, want %#x", bits, got, want)
		}
	}
}

// A range of rows that ends inside a pair leaves out the other half, NaN or not.
func TestPairsEndWithTheRange(t *testing.T) {
	nan := float32(math.NaN())
	eachDots(t, func(t *testing.T, p *Pool) {
		w := frame(40, 64, 0).with(1)
		for c := range w.Cols {
			w.Row(37)[c] = nan
		}
		bits, _ := toBF16(w.Dense)
		dy, dx := frame(2, 37, 0).with(2), frame(2, 64, 0)
		MulRange(dx.Dense, dy.Dense, PackBF16(bits, 40, 64), 0, 37, 1, 0, p)
		same(t, "range of 37 rows", dx.Dense, frame(2, 64, 0).with(74).Dense)
	})
}
