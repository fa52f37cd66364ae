package gemm

import (
	"math"
	"testing"
)

// eachSplits runs f on the variants that multiply split matrices.
func eachSplits(t *testing.T, f func(t *testing.T, p *Pool)) {
	found := false
	for _, v := range Variants() {
		if p := open2(t, 1, v); p.Splits() {
			found = true
			t.Run(v, func(t *testing.T) { f(t, p) })
		}
	}
	if !found {
		t.Skip("this machine or build has no tiles")
	}
}

// Kernels split as the plain loops do, numbers of every kind.
func TestSplittingIsExact(t *testing.T) {
	eachSplits(t, func(t *testing.T, p *Pool) {
		src := make([]float32, 1<<16)
		for i := range src {
			src[i] = math.Float32frombits(uint32(i)<<16 | uint32(i*40503)&0xffff)
		}
		n := len(src)
		high, low := make([]uint32, n/2), make([]uint32, n/2)
		wantHigh, wantLow := make([]uint32, n/2), make([]uint32, n/2)
		compare := func(what string) {
			t.Helper()
			for i := range high {
				if high[i] != wantHigh[i] || low[i] != wantLow[i] {
					t.Fatalf("%s: word %d is %#x and %#x, want %#x and %#x", what, i, high[i], low[i], wantHigh[i], wantLow[i])
				}
			}
		}
		p.kern.splits.rows(&high[0], &low[0], &src[0], n)
		splitRowsGo(&wantHigh[0], &wantLow[0], &src[0], n)
		compare("rows")
		p.kern.splits.pairs(&high[0], &low[0], &src[0], &src[n/2], n/2)
		splitPairsGo(&wantHigh[0], &wantLow[0], &src[0], &src[n/2], n/2)
		compare("pairs")
	})
}

// What a split leaves of a number is at most 2⁻¹⁷ of it.
func TestASplitLeavesLittle(t *testing.T) {
	for i := range 1 << 16 {
		x := math.Float32frombits(0x3f800000 | uint32(i*181+5)&0x7fffff)
		high, low := splitPair(x, -x)
		sum := float64(math.Float32frombits(high<<16)) + float64(math.Float32frombits(low<<16))
		if d := math.Abs(sum - float64(x)); d > 0x1p-17*float64(x) {
			t.Fatalf("%v is split into %v: %v is left", x, sum, d)
		}
		if high>>16 != high&0xffff|0x8000 || low>>16&0x7fff != low&0x7fff {
			t.Fatalf("%v and its negative are split into %#x and %#x", x, high, low)
		}
	}
}

// Products of split matrices are those of the matrices within 2⁻¹⁵ of the sum of
// magnitudes, beside the error of summation, for all parts of the factors; and nothing
// else is written.
func TestSplitProducts(t *testing.T) {
	eachSplits(t, func(t *testing.T, p *Pool) {
		for _, s := range [][3]int{{1, 1, 1}, {5, 17, 40}, {16, 32, 64}, {33, 70, 96}, {100, 256, 130}, {128, 48, 33}} {
			m, n, k := s[0], s[1], s[2]
			a, b, c0 := frame(m, k, 0).noise(1), frame(k, n, 0).noise(2), frame(m, n, 0).noise(3)
			left := splitLeft(p, a.Dense)
			for name, right := range map[string]Right{"pairs": splitRight(p, b.Dense), "columns": splitRightT(p, transposed(b.Dense))} {
				for _, add := range []bool{false, true} {
					panels := frame((n+NR-1)/NR*m, NR, 3)
					want := product64(1, a.Dense, transposed(b.Dense), float32(btoi(add)), c0.Dense)
					for i := range m {
						for j, v := range c0.Row(i) {
							panels.Row(j/NR*m + i)[j%NR] = v
						}
					}
					p.MulSplit(panels.Data, panels.Stride, m*panels.Stride, &left, &right, 0, 0, n, add)
					for i := range want.sum {
						r, j := i/n, i%n
						got := float64(panels.Row(j/NR*m + r)[j%NR])
						limit := (0x1p-15 + float64(3*k+3)*0x1p-24) * want.size[i]
						if d := math.Abs(got - want.sum[i]); !(d <= limit) {
							t.Fatalf("%v %s add %v: element (%d,%d) is %v, want %v ± %v", s, name, add, r, j, got, want.sum[i], limit)
						}
					}
					panels.checkGuards(t, name)
				}
			}
		}
	})
}

// Ranges of a right factor make up the whole.
func TestRangesOfSplitFactors(t *testing.T) {
	const m, n, k = 40, 96, 128
	eachSplits(t, func(t *testing.T, p *Pool) {
		a, b := frame(m, k, 0).noise(1), frame(k, n, 0).noise(2)
		right := splitRight(p, b.Dense)
		whole, parts := make([]float32, m*n), make([]float32, m*n)
		left := splitLeft(p, a.Dense)
		p.MulSplit(whole, n, NR, &left, &right, 0, 0, n, false)
		for k0 := 0; k0 < k; k0 += 64 {
			part := splitLeft(p, Dense{Data: a.Data[k0:], Rows: m, Cols: 64, Stride: a.Stride})
			for j := 0; j < n; j += NR {
				p.MulSplit(parts[j:], n, NR, &part, &right, k0, j, NR, k0 > 0)
			}
		}
		same(t, "parts", View(parts, m, n), View(whole, m, n))
	})
}

// padded returns x with zeros up to whole steps of columns and, where rows is set, rows.
func padded(x Dense, rows int) Dense {
	up := func(n int) int { return (n + tileK - 1) / tileK * tileK }
	out := View(make([]float32, max(rows, x.Rows)*up(x.Cols)), max(rows, x.Rows), up(x.Cols))
	for i := range x.Rows {
		copy(out.Row(i), x.Row(i))
	}
	return out
}

func splitLeft(p *Pool, x Dense) Left {
	l := NewLeft(aligned(LeftSize(x.Rows, x.Cols)), x.Rows, x.Cols)
	p.SplitRows(&l, 0, padded(x, 0))
	return l
}

func splitRight(p *Pool, x Dense) Right {
	r := NewRight(aligned(RightSize(x.Rows, x.Cols)), x.Rows, x.Cols)
	whole := padded(x, (x.Rows+tileK-1)/tileK*tileK)
	for i := range whole.Rows / 2 {
		p.SplitPairs(&r, i, whole.Row(2*i), whole.Row(2*i+1))
	}
	return r
}

func splitRightT(p *Pool, x Dense) Right {
	r := NewRight(aligned(RightSize(x.Cols, x.Rows)), x.Cols, x.Rows)
	whole := padded(x, (x.Rows+NR-1)/NR*NR)
	for panel := range whole.Rows / NR {
		part := Dense{Data: whole.Data[panel*NR*whole.Stride:], Rows: NR, Cols: whole.Cols, Stride: whole.Stride}
		p.SplitColumns(&r, panel, part, make([]uint32, NR*whole.Cols))
	}
	return r
}
