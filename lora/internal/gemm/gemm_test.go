package gemm

import (
	"fmt"
	"math"
	"testing"
)

// Sizes around the edges of tiles (1..12 rows), panels (32 columns, halves of
// 16, groups of 2 and 4), unrolled steps (4) and pairs (2).
var (
	heights = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 24, 25, 37, 70}
	widths  = []int{0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 70, 128, 130, 161}
	depths  = []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 64, 65, 70}
)

// scales are pairs of alpha and beta.
var scales = [][2]float32{{1, 0}, {1, 1}, {-0.7, 0}, {0.3, 1}, {2, -0.5}}

// sizes calls f for every height and width with some depths in turn, then for
// reductions longer than one block and than one round of blocks, each with some
// scales in turn.
func sizes(f func(m, n, k int, alpha, beta float32)) {
	i := 0
	next := func(m, n, k int) {
		f(m, n, k, scales[i%len(scales)][0], scales[i%len(scales)][1])
		i++
	}
	for _, m := range heights {
		for _, n := range widths {
			next(m, n, depths[i%len(depths)])
			next(m, n, depths[i%len(depths)])
		}
	}
	for _, k := range []int{blockK - 1, blockK, blockK + 1, 2*blockK + 33, maxBlocks*blockK + 5} {
		for _, m := range []int{1, 2, 4, 13, 30} {
			next(m, 70, k)
		}
	}
}

func TestMulTEqualsTheTripleLoop(t *testing.T) {
	pools := everyPool(t)
	sizes(func(m, n, k int, alpha, beta float32) {
		what := fmt.Sprintf("%dx%dx%d alpha %v beta %v", m, n, k, alpha, beta)
		x, w, y := frame(m, k, 3).noise(1), frame(n, k, 1).noise(2), frame(m, n, 0).noise(3)
		bits, wide := toBF16(w.Dense)
		f32, bf16 := PackF32(w.Dense), PackBF16(bits, n, k)
		product64(alpha, x.Dense, w.Dense, beta, y.Dense).checkAll(t, "f32 "+what, pools, y, func(y Dense, p *Pool) {
			MulT(y, x.Dense, f32, alpha, beta, p)
		})
		product64(alpha, x.Dense, wide, beta, y.Dense).bf16().checkAll(t, "bf16 "+what, pools, y, func(y Dense, p *Pool) {
			MulT(y, x.Dense, bf16, alpha, beta, p)
		})
	})
}

func TestMulEqualsTheTripleLoop(t *testing.T) {
	pools := everyPool(t)
	sizes(func(m, k, n int, alpha, beta float32) {
		what := fmt.Sprintf("%dx%dx%d alpha %v beta %v", m, n, k, alpha, beta)
		dy, w, dx := frame(m, n, 3).noise(1), frame(n, k, 1).noise(2), frame(m, k, 0).noise(3)
		bits, wide := toBF16(w.Dense)
		f32, bf16 := PackF32(w.Dense), PackBF16(bits, n, k)
		product64(alpha, dy.Dense, transposed(w.Dense), beta, dx.Dense).checkAll(t, "f32 "+what, pools, dx, func(dx Dense, p *Pool) {
			Mul(dx, dy.Dense, f32, alpha, beta, p)
		})
		product64(alpha, dy.Dense, transposed(wide), beta, dx.Dense).bf16().checkAll(t, "bf16 "+what, pools, dx, func(dx Dense, p *Pool) {
			Mul(dx, dy.Dense, bf16, alpha, beta, p)
		})
	})
}

func TestGemmEqualsTheTripleLoopForAllTransposes(t *testing.T) {
	pools := everyPool(t)
	i := 0
	sizes(func(m, n, k int, alpha, beta float32) {
		transA, transB := i&1 != 0, i&2 != 0
		i++
		a, b, c := frame(m, k, 3).noise(1), frame(n, k, 1).noise(2), frame(m, n, 0).noise(3)
		want := product64(alpha, a.Dense, b.Dense, beta, c.Dense)
		if transA {
			a.Dense = transposed(a.Dense)
		}
		if !transB {
			b.Dense = transposed(b.Dense)
		}
		what := fmt.Sprintf("%dx%dx%d %v %v alpha %v beta %v", m, n, k, transA, transB, alpha, beta)
		want.checkAll(t, what, pools, c, func(c Dense, p *Pool) {
			Gemm(transA, transB, alpha, a.Dense, b.Dense, beta, c, p)
		})
	})
}

// The order of summation of the package comment, element by element: the
// portable variant rounds each product, the others fuse.
func TestOrderOfSummationIsTheOneDocumented(t *testing.T) {
	const m, n, k, alpha, beta = 14, 70, 1000, float32(0.3), float32(-1.5)
	x, w, y0 := frame(m, k, 0).noise(1), frame(n, k, 0).noise(2), frame(m, n, 0).noise(3)
	eachVariant(t, func(t *testing.T, p *Pool) {
		y := clone(y0.Dense)
		MulT(y, x.Dense, PackF32(w.Dense), alpha, beta, p)
		want := clone(y0.Dense)
		for i := range m {
			for j := range n {
				acc := beta * want.Row(i)[j]
				for r, v := range x.Row(i) {
					if p.Variant() == "generic" {
						acc += float32(float32(alpha*v) * w.Row(j)[r])
					} else {
						acc = fma(alpha*v, w.Row(j)[r], acc)
					}
				}
				want.Row(i)[j] = acc
			}
		}
		same(t, "product", y, want)
	})
}

// fma is x*y+z rounded once. The product is exact in float64; the sum is
// rounded to odd there, so that the second rounding cannot go astray (Boldo and
// Melquiond, Emulation of FMA and correctly rounded sums, 2008).
func fma(x, y, z float32) float32 {
	p, q := float64(x)*float64(y), float64(z)
	s := p + q
	b := s - p
	if e := (p - (s - b)) + (q - b); e != 0 && math.Float64bits(s)&1 == 0 {
		if (e > 0) == (s > 0) {
			s = math.Float64frombits(math.Float64bits(s) | 1)
		} else {
			s = math.Float64frombits(math.Float64bits(s) - 1)
		}
	}
	return float32(s)
}

// A row's result is the same alone, among others, with any number of workers,
// and taken in ranges of columns or of the reduction.
func TestARowDependsOnNothingElse(t *testing.T) {
	const n, k = 32*9 + 5, 2*blockK + 70
	w := frame(n, k, 0).noise(2)
	bits, _ := toBF16(w.Dense)
	for _, variant := range Variants() {
		for name, packed := range map[string]*Packed{"f32": PackF32(w.Dense), "bf16": PackBF16(bits, n, k)} {
			t.Run(variant+"/"+name, func(t *testing.T) {
				one := open2(t, 1, variant)
				for _, m := range []int{2, 3, 4, 8, 13, 37, 200} {
					checkRows(t, m, packed, one, open2(t, 2, variant))
				}
			})
		}
	}
}

func checkRows(t *testing.T, m int, w *Packed, one, two *Pool) {
	x, dy := frame(m, w.Cols(), 1).noise(1), frame(m, w.Rows(), 2).noise(4)
	y, dx := frame(m, w.Rows(), 0).noise(3), frame(m, w.Cols(), 0).noise(5)
	y0, dx0 := clone(y.Dense), clone(dx.Dense)
	MulT(y.Dense, x.Dense, w, 0.5, 1, two)
	Mul(dx.Dense, dy.Dense, w, 0.5, 1, two)

	again, dagain := clone(y0), clone(dx0)
	MulT(again, x.Dense, w, 0.5, 1, one)
	Mul(dagain, dy.Dense, w, 0.5, 1, one)
	same(t, fmt.Sprint("one worker, forward, rows ", m), again, y.Dense)
	same(t, fmt.Sprint("one worker, backward, rows ", m), dagain, dx.Dense)

	for i := range m {
		single := func(d Dense) Dense { return View(d.Row(i), 1, d.Cols) }
		MulT(single(y0), single(x.Dense), w, 0.5, 1, two)
		Mul(single(dx0), single(dy.Dense), w, 0.5, 1, two)
	}
	same(t, fmt.Sprint("row by row, forward, rows ", m), y0, y.Dense)
	same(t, fmt.Sprint("row by row, backward, rows ", m), dx0, dx.Dense)
}

func TestRangesMakeUpTheWhole(t *testing.T) {
	const n, k = 32*9 + 5, 700
	w := frame(n, k, 0).noise(2)
	bits, _ := toBF16(w.Dense)
	eachVariant(t, func(t *testing.T, p *Pool) {
		for _, w := range []*Packed{PackF32(w.Dense), PackBF16(bits, n, k)} {
			for _, m := range []int{1, 8, 37} {
				x, dy := frame(m, k, 1).noise(1), frame(m, n, 2).noise(4)
				y, dx := frame(m, n, 0), frame(m, k, 0)
				MulT(y.Dense, x.Dense, w, 1, 0, p)
				Mul(dx.Dense, dy.Dense, w, 0.3, 0, p)
				parts, dparts := frame(m, n, 7), frame(m, k, 3)
				for n0, beta := 0, float32(0); n0 < n; n0, beta = n0+96, 1 {
					n1 := min(n0+96, n)
					cut := func(d Dense) Dense { return Dense{d.Data[n0:], m, n1 - n0, d.Stride} }
					MulTRange(cut(parts.Dense), x.Dense, w, n0, n1, 1, 0, p)
					MulRange(dparts.Dense, cut(dy.Dense), w, n0, n1, 0.3, beta, p)
				}
				same(t, "columns", parts.Dense, y.Dense)
				same(t, "reduction", dparts.Dense, dx.Dense)
				parts.checkGuards(t, "columns")
			}
		}
	})
}

func TestBetaZeroDoesNotReadTheOutput(t *testing.T) {
	nan := float32(math.NaN())
	eachVariant(t, func(t *testing.T, p *Pool) {
		for _, k := range []int{0, 1, 900} {
			x, w := frame(5, k, 0).noise(1), frame(40, k, 0).noise(2)
			y := frame(5, 40, 1).with(nan)
			MulT(y.Dense, x.Dense, PackF32(w.Dense), 1, 0, p)
			product64(1, x.Dense, w.Dense, 0, y.Dense).check(t, fmt.Sprint("k ", k), y.Dense, p)
		}
	})
}

// NaN and Inf reach exactly the elements whose sums contain them, as in the
// plain loop; also where the other factor or alpha is 0.
func TestNaNAndInfPropagate(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachVariant(t, func(t *testing.T, p *Pool) {
		for _, m := range []int{1, 2, 3, 13, 30} {
			x, w := frame(m, 40, 0).with(0), frame(70, 40, 0).noise(2)
			x.Row(m - 1)[39] = inf
			w.Row(69)[5] = nan
			bits, _ := toBF16(w.Dense)
			for _, packed := range []*Packed{PackF32(w.Dense), PackBF16(bits, 70, 40)} {
				y := frame(m, 70, 0)
				MulT(y.Dense, x.Dense, packed, 1, 0, p)
				for i := range m {
					for j, v := range y.Row(i) {
						switch want := inf * w.Row(j)[39]; {
						case j == 69 && v == v:
							t.Errorf("rows %d: (%d,%d) is %v, want NaN", m, i, j, v)
						case j < 69 && i == m-1 && v != want:
							t.Errorf("rows %d: (%d,%d) is %v, want %v", m, i, j, v, want)
						case j < 69 && i < m-1 && v != 0:
							t.Errorf("rows %d: (%d,%d) is %v, want 0", m, i, j, v)
						}
					}
				}
			}
		}
	})
}

func TestWrongShapesPanic(t *testing.T) {
	p := open2(t, 1, "")
	w := PackF32(frame(64, 8, 0).Dense)
	d := func(rows, cols int) Dense { return frame(rows, cols, 0).Dense }
	for name, f := range map[string]func(){
		"input width":   func() { MulT(d(2, 64), d(2, 7), w, 1, 0, p) },
		"output width":  func() { MulT(d(2, 63), d(2, 8), w, 1, 0, p) },
		"rows":          func() { MulT(d(3, 64), d(2, 8), w, 1, 0, p) },
		"range start":   func() { MulTRange(d(2, 10), d(2, 8), w, 10, 20, 1, 0, p) },
		"range end":     func() { MulTRange(d(2, 65), d(2, 8), w, 0, 65, 1, 0, p) },
		"short data":    func() { Gemm(false, false, 1, Dense{nil, 1, 1, 1}, d(1, 1), 0, d(1, 1), p) },
		"stride":        func() { Gemm(false, false, 1, Dense{make([]float32, 9), 2, 2, 1}, d(2, 1), 0, d(2, 1), p) },
		"inner sizes":   func() { Gemm(true, false, 1, d(3, 2), d(2, 4), 0, d(2, 4), p) },
		"bfloat16 data": func() { PackBF16(make([]uint16, 5), 2, 3) },
		"row":           func() { w.Row(64, make([]float32, 8)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	w := frame(200, 900, 0).noise(1)
	bits, _ := toBF16(w.Dense)
	f32, bf16 := PackF32(w.Dense), PackBF16(bits, 200, 900)
	for _, v := range Variants() {
		p := open2(t, 2, v)
		for _, m := range []int{1, 40} {
			x, y := frame(m, 900, 0).noise(1).Dense, frame(m, 200, 0).Dense
			run := func() {
				for _, w := range []*Packed{f32, bf16} {
					MulT(y, x, w, 1, 0, p)
					Mul(x, y, w, 1e-3, 0, p)
				}
				Gemm(true, false, 1, y, x, 0, w.Dense, p)
			}
			run()
			if n := testing.AllocsPerRun(5, run); n != 0 {
				t.Errorf("%s, %d rows: %v allocations", v, m, n)
			}
		}
	}
}
