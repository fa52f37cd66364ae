package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// coded is a quantised matrix and its numbers, written out by the definition.
type coded struct {
	packed *Packed
	plain  Dense
}

// codedCases makes n × k in every form that there is, in an order of codes.
func codedCases(n, k int, order CodeOrder) map[string]coded {
	r := rand.New(rand.NewPCG(uint64(n), uint64(k)))
	cases := map[string]coded{"int8": codedInt8(r, n, k, order)}
	for round, name := range []string{RoundNone: "nf4", RoundBF16: "nf4 bf16", RoundF16: "nf4 f16"} {
		cases[name] = codedNF4(r, n, k, Rounding(round), false, order)
		cases[name+" double"] = codedNF4(r, n, k, Rounding(round), true, order)
	}
	cases["nf4 bf16 wild"] = codedNF4(r, n, k, RoundBF16, false, order, 0, -1, 0x1p-130)
	cases["nf4 bf16 wild double"] = codedNF4(r, n, k, RoundBF16, true, order, 0)
	return cases
}

// ordersOf returns the orders of codes that pools multiply, with those that multiply each.
func ordersOf(pools []*Pool) map[CodeOrder][]*Pool {
	orders := map[CodeOrder][]*Pool{}
	for _, p := range pools {
		orders[p.Order()] = append(orders[p.Order()], p)
	}
	return orders
}

// rounded returns the numbers rounded to bfloat16.
func (c coded) rounded() *Packed {
	bits := make([]uint16, len(c.plain.Data))
	for i, x := range c.plain.Data {
		bits[i] = uint16(roundBF16(x))
	}
	return PackBF16(bits, c.plain.Rows, c.plain.Cols)
}

func codedInt8(r *rand.Rand, n, k int, order CodeOrder) coded {
	blocks := (k + 63) / 64
	codes, scales, plain := make([]int8, n*k), normal(r, n*blocks), View(make([]float32, n*k), n, k)
	for i := range codes {
		codes[i] = int8(r.IntN(256) - 128)
		plain.Data[i] = float32(codes[i]) * scales[i/k*blocks+i%k/64]
	}
	return coded{PackInt8(codes, n, k, scales, order), plain}
}

// codedNF4 makes a matrix whose scales are positive, but for the first few, or, double
// quantised, for many where some are given.
func codedNF4(r *rand.Rand, n, k int, round Rounding, double bool, order CodeOrder, first ...float32) coded {
	codes, table := make([]byte, (n*k+1)/2), [16]float32(normal(r, 16))
	table[7] = 0 // as that of NF4
	s := Scales{Values: normal(r, (n*k+63)/64)}
	for b, x := range s.Values {
		s.Values[b] = float32(math.Abs(float64(x)))
	}
	copy(s.Values, first)
	if double {
		s = Scales{Codes: make([]byte, (n*k+63)/64), Map: (*[256]float32)(normal(r, 256)), Offset: 10}
		if len(first) > 0 {
			s.Offset = 0.3 // less than most products, so that scales have both signs
		}
		s.Nested = normal(r, (len(s.Codes)+255)/256)
		for b := range s.Codes {
			s.Codes[b] = byte(r.IntN(256))
		}
	}
	plain := View(make([]float32, n*k), n, k)
	for i := range plain.Data {
		code := r.IntN(16)
		if i%2 == 0 {
			codes[i/2] |= byte(code << 4) // the first of two stands in the upper half
		} else {
			codes[i/2] |= byte(code)
		}
		scale := float32(0)
		if b := i / 64; double {
			product := s.Map[s.Codes[b]] * s.Nested[b/256]
			scale = float32(product) + s.Offset
		} else {
			scale = s.Values[b]
		}
		plain.Data[i] = round.Round(table[code] * scale)
	}
	return coded{PackNF4(codes, n, k, &table, s, round, order), plain}
}

func normal(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// Products with codes are those with the numbers behind them, bit by bit, on every
// variant, for any number of rows and any range of the matrix; where tiles multiply, with
// these numbers rounded to bfloat16, but for those that are of whole numbers.
func TestCodesMultiplyAsTheirNumbers(t *testing.T) {
	shapes := [][2]int{
		{1, 1}, {3, 64}, {32, 32}, // one panel
		{33, 65},             // scales change in the middle of a row, at another place in each
		{70, 96},             // scales common to 32 columns
		{40, 500}, {520, 64}, // several blocks of the reduction, forward and backward
		{300, 64},             // more than 256 scales
		{34, 128}, {20, 1664}, // whole blocks, in one part of the reduction and in two
	}
	for order, pools := range ordersOf(everyPool(t)) {
		for _, s := range shapes {
			for name, c := range codedCases(s[0], s[1], order) {
				compareCodedCase(t, name, c, pools)
			}
		}
	}
}

// compareCodedCase compares products of a matrix of codes with those of its numbers, by
// different numbers of rows.
func compareCodedCase(t *testing.T, name string, c coded, pools []*Pool) {
	t.Helper()
	n, k := c.plain.Rows, c.plain.Cols
	plain, rounded := PackF32(c.plain), c.rounded()
	heights := []int{1, 2, 3, 4, 5, 6, 7, 8, 13, 17, 40}
	if testing.Short() {
		heights = []int{1, 3, 17, 40}
	}
	for _, m := range heights {
		if m > 8 && m != 17 && n*k > 5000 {
			continue
		}
		for _, p := range pools {
			what := fmt.Sprintf("%s %dx%dx%d on %s with %d", name, m, n, k, p.Variant(), p.Workers())
			numbers := plain
			if p.kern.dots != nil && p.kern.dots.matrix != nil {
				numbers = rounded
			}
			compareCoded(t, what, c.packed, numbers, m, p)
		}
	}
}

func compareCoded(t *testing.T, what string, codes, plain *Packed, m int, p *Pool) {
	t.Helper()
	n, k := plain.Rows(), plain.Cols()
	x, dy := frame(m, k, 3).noise(1), frame(m, n, 2).noise(2)
	compare := func(what string, cols int, f func(y Dense, w *Packed)) {
		t.Helper()
		got, want := frame(m, cols, 5).with(0.5), frame(m, cols, 5).with(0.5)
		f(got.Dense, codes)
		f(want.Dense, plain)
		same(t, what, got.Dense, want.Dense)
		got.checkGuards(t, what)
	}
	whole := codes.quant.order == InTiles
	if !whole {
		compare("MulT "+what, n, func(y Dense, w *Packed) { MulT(y, x.Dense, w, 1, 0, p) })
	}
	compare("Mul "+what, k, func(dx Dense, w *Packed) { Mul(dx, dy.Dense, w, 1.5, 1, p) })
	if n <= NR {
		return
	}
	tail := Dense{Data: dy.Data[NR:], Rows: m, Cols: n - NR, Stride: dy.Stride}
	if !whole {
		compare("MulTRange "+what, n-NR, func(y Dense, w *Packed) { MulTRange(y, x.Dense, w, NR, n, -1, 1, p) })
	}
	compare("MulRange "+what, k, func(dx Dense, w *Packed) { MulRange(dx, tail, w, NR, n, 1, 1, p) })
}

func TestRowOfCodes(t *testing.T) {
	for _, s := range [][2]int{{1, 1}, {33, 65}, {70, 96}, {40, 192}} {
		for _, order := range []CodeOrder{ByColumn, InTiles} {
			for name, c := range codedCases(s[0], s[1], order) {
				got := frame(s[0], s[1], 1)
				for i := range s[0] {
					c.packed.Row(i, got.Row(i))
				}
				same(t, name, got.Dense, c.plain)
				got.checkGuards(t, name)
			}
		}
	}
}

func TestBytesOfCodes(t *testing.T) {
	const n, k = 64, 256
	for name, want := range map[string]int64{
		"int8":       n*k + n*k/64*4,
		"nf4":        n*k/2 + n*k/64*4,
		"nf4 double": n*k/2 + n*k/64 + n*k/64/256*4 + 256*4,
	} {
		c := codedCases(n, k, ByColumn)[name].packed
		if got := c.Bytes(); got != want || !c.Quantized() {
			t.Errorf("%s: %d bytes, want %d", name, got, want)
		}
	}
}

// Rounding to nearest, ties to even, against the distances to both neighbours.
func TestRounding(t *testing.T) {
	for _, c := range []struct {
		round   Rounding
		x, want float32
		why     string
	}{
		{RoundNone, 1.0000001, 1.0000001, "as it is"},
		{RoundBF16, 1 + 0x1p-8, 1, "a tie goes to the even neighbour below"},
		{RoundBF16, 1 + 3*0x1p-8, 1 + 0x1p-6, "and above"},
		{RoundBF16, -1 - 0x1.8p-8, -1 - 0x1p-7, "the nearer one, with the sign"},
		{RoundF16, 1 + 0x1p-11, 1, "a tie goes to the even neighbour below"},
		{RoundF16, 1 + 3*0x1p-11, 1 + 0x1p-9, "and above"},
		{RoundF16, -0.1, -0.0999755859375, "the nearer one"},
		{RoundF16, 65519, 65504, "the largest number"},
		{RoundF16, -65520, float32(math.Inf(-1)), "beyond it"},
		{RoundF16, 3*0x1p-25 + 0x1p-40, 0x1p-23, "subnormal"},
		{RoundF16, 0x1p-25, 0, "half of the smallest"},
		{RoundF16, float32(math.Copysign(0x1p-26, -1)), float32(math.Copysign(0, -1)), "keeps its sign"},
	} {
		if got := c.round.Round(c.x); math.Float32bits(got) != math.Float32bits(c.want) {
			t.Errorf("%s: %v rounds to %v, want %v", c.why, c.x, got, c.want)
		}
	}
}

// All forms of codes, every scale from tiny to huge, are expanded by every variant
// as by the plain loops.
func TestUnpackingIsExact(t *testing.T) {
	const k = 7
	r := rand.New(rand.NewPCG(5, 5))
	src, scale := make([]byte, k*NR), normal(r, NR)
	table := [16]float32(normal(r, 16))
	for i := range src {
		src[i] = byte(r.IntN(256))
	}
	for e := -45; e < 40; e++ {
		for c := range scale {
			scale[c] = float32(math.Ldexp(r.NormFloat64(), e))
		}
		for _, kern := range available {
			for i, expand := range kern.unpack {
				want, got := frame(k, NR, 0), frame(k, NR, 0)
				generic.unpack[i](&want.Data[0], &src[0], &scale[0], &table[0], k)
				expand(&got.Data[0], &src[0], &scale[0], &table[0], k)
				what := fmt.Sprintf("%s, form %d, scale 2^%d", kern.name, i, e)
				same(t, what, got.Dense, want.Dense)
				got.checkGuards(t, what)
			}
		}
	}
}

// eachTiles runs f with the kernels of variants that have tiles.
func eachTiles(t *testing.T, f func(t *testing.T, m *matrices, p *Pool)) {
	t.Helper()
	if !slices.Contains(Variants(), tilesVariant) {
		t.Skip("this machine or build has no tiles")
	}
	eachDots(t, func(t *testing.T, p *Pool) {
		if m := p.kern.dots.matrix; m != nil {
			f(t, m, p)
		}
	})
}

// The kernels of variants with tiles expand, pair and round as the plain loops do.
func TestRowsOfCodesAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	src, scale, numbers := make([]byte, NR*ScaleBlock), normal(r, NR), normal(r, 2*NR)
	table := [16]float32(normal(r, 16))
	for i := range src {
		src[i] = byte(r.IntN(256))
	}
	eachTiles(t, func(t *testing.T, m *matrices, p *Pool) {
		v := p.Variant()
		compare := func(what string, got, want framed) {
			t.Helper()
			same(t, v+": "+what, got.Dense, want.Dense)
			got.checkGuards(t, what)
		}
		for e := -140; e < 40; e++ {
			for c := range scale {
				scale[c] = float32(math.Ldexp(r.NormFloat64(), e))
			}
			for half := range 2 {
				for i, f := range []form{0, codes8} {
					got, want := frame(NR, NR/2, 0), frame(NR, NR/2, 0)
					m.half[i](&asWords(got.Data)[0], &src[0], &scale[0], &table[0], half)
					unpackHalfGo(f, &asWords(want.Data)[0], &src[0], &scale[0], &table[0], half)
					compare(fmt.Sprintf("half %d of %d bits, scale 2^%d", half, f.bits(), e), got, want)
				}
			}
		}
		rows, got, want := frame(NR, NR/2, 0).noise(1), frame(NR/2, NR, 0), frame(NR/2, NR, 0)
		m.zip(&asWords(got.Data)[0], &asWords(rows.Data)[0])
		zipRowsGo(&asWords(want.Data)[0], &asWords(rows.Data)[0])
		compare("pairs of rows", got, want)
		got, want = frame(1, NR, 0), frame(1, NR, 0)
		m.pairs(&asWords(got.Data)[0], &numbers[0], &numbers[NR], NR)
		pairsGo(&asWords(want.Data)[0], &numbers[0], &numbers[NR], NR)
		compare("rounded pairs", got, want)
	})
}

// Once a pool has grown to a product's size, codes are multiplied without allocation.
func TestCodesAllocateNothing(t *testing.T) {
	const n, k = 160, 128
	for order, pools := range ordersOf(everyPool(t)) { // once: a worker that parks for the first time allocates
		for name, c := range codedCases(n, k, order) {
			for _, p := range pools {
				for _, m := range []int{1, 6, 20} {
					x, y := frame(m, k, 0).noise(1), frame(m, n, 0)
					run := func() {
						MulT(y.Dense, x.Dense, c.packed, 1, 0, p)
						Mul(x.Dense, y.Dense, c.packed, 1, 0, p)
					}
					if allocs := testing.AllocsPerRun(5, run); allocs > 0 {
						t.Errorf("%s, %d rows on %s with %d: %v allocations", name, m, p.Variant(), p.Workers(), allocs)
					}
				}
			}
		}
	}
}
