package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// wholeBlock is a block of a row in whole numbers.
type wholeBlock struct {
	q    [ScaleBlock]int32
	unit float32
}

// inWholeNumbers rounds a row as the comment on digitBits says.
func inWholeNumbers(x []float32, one float32) (blocks []wholeBlock) {
	for b := range slices.Chunk(x, ScaleBlock) {
		var block wholeBlock
		size := float32(0)
		for _, v := range b {
			size = max(size, float32(math.Abs(float64(v))))
		}
		if size >= 0x1p-100 {
			block.unit = size * one
			for i, v := range b {
				block.q[i] = int32(math.RoundToEven(float64(v * (wholes / size))))
			}
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// wholeSum returns the sum of a block by the codes of a row of w from column k on.
func (b *wholeBlock) wholeSum(w *Packed, row, k int) (sum int32) {
	for i, q := range b.q {
		upper, lower := inDigits(q)
		code := w.codeInTiles(row, k+i)
		if w.quant.form == codes8 {
			sum += q * int32(int8(code))
			continue
		}
		u, l := int32(w.quant.digits.upper[code]), int32(w.quant.digits.lower[code])
		sum += digit*int32(upper)*u + int32(upper)*l + int32(lower)*u
	}
	return sum
}

// inWholes sets y = alpha * x · w[n0:n1]ᵀ + beta * y in whole numbers.
func inWholes(alpha float32, x Dense, w *Packed, n0 int, beta float32, y Dense) {
	for i := range y.Rows {
		left := make([]float32, x.Cols)
		for k, v := range x.Row(i) {
			left[k] = alpha * v
		}
		blocks := inWholeNumbers(left, w.quant.one())
		for j := range y.Row(i) {
			acc := float32(0)
			if beta != 0 {
				acc = beta * y.Row(i)[j]
			}
			for b := range blocks {
				k := b * ScaleBlock
				acc = fma(float32(blocks[b].wholeSum(w, n0+j, k)), blocks[b].unit*w.scale(n0+j, k), acc)
			}
			y.Row(i)[j] = acc
		}
	}
}

// Products of whole numbers are those of their definition, bit by bit, for any number of
// rows and any range of the matrix.
func TestWholeNumbersMultiplyExactly(t *testing.T) {
	shapes := [][2]int{{1, 64}, {33, 128}, {70, 192}, {40, 640}, {100, 1664}}
	if testing.Short() {
		shapes = shapes[1:4]
	}
	for _, s := range shapes {
		n, k := s[0], s[1]
		for name, c := range codedCases(n, k, InTiles) {
			if c.packed.quant.order != InTiles {
				continue
			}
			const rows = 53
			x := frame(rows, k, 3).noise(1)
			clear(x.Row(2)[:min(k, 2*ScaleBlock)])
			want, part := frame(rows, n, 0).noise(2), frame(rows, max(n-NR, 0), 0).noise(4)
			before, beforePart := clone(want.Dense), clone(part.Dense)
			inWholes(1, x.Dense, c.packed, 0, 0, want.Dense)
			inWholes(-1.5, x.Dense, c.packed, NR, 0.5, part.Dense)
			eachTiles(t, func(t *testing.T, _ *matrices, p *Pool) {
				for _, m := range []int{1, 2, 7, 15, 16, 17, 32, rows} {
					what := fmt.Sprintf("%s %dx%dx%d on %s with %d", name, m, n, k, p.Variant(), p.Workers())
					compareWhole(t, what, x.top(m), before.top(m), want.top(m), func(y, x Dense) { MulT(y, x, c.packed, 1, 0, p) })
					if n > NR {
						compareWhole(t, "range of "+what, x.top(m), beforePart.top(m), part.top(m),
							func(y, x Dense) { MulTRange(y, x, c.packed, NR, n, -1.5, 0.5, p) })
					}
				}
			})
		}
	}
}

// top returns the first m rows.
func (d Dense) top(m int) Dense { return Dense{Data: d.Data, Rows: m, Cols: d.Cols, Stride: d.Stride} }

// compareWhole compares what f makes of a matrix.
func compareWhole(t *testing.T, what string, x, before, want Dense, f func(y, x Dense)) {
	t.Helper()
	got := frame(want.Rows, want.Cols, 5)
	for i := range got.Rows {
		copy(got.Row(i), before.Row(i))
	}
	f(got.Dense, x)
	same(t, what, got.Dense, want)
	got.checkGuards(t, what)
}

// They are as near to the products of the numbers behind codes as the rounding of both
// factors to 15 bits allows, that of sums, and for codes of 4 bits what does not count.
func TestWholeNumbersAreNear(t *testing.T) {
	const m, n, k = 5, 40, 1088
	for name, c := range codedCases(n, k, InTiles) {
		if c.packed.quant.order != InTiles {
			continue
		}
		x := frame(m, k, 0).noise(1)
		x.Row(1)[70] = 500 // a number that leaves few bits to its neighbours
		eachTiles(t, func(t *testing.T, _ *matrices, p *Pool) {
			y := frame(m, n, 0)
			MulT(y.Dense, x.Dense, c.packed, 1, 0, p)
			for i := range m {
				for j := range n {
					sum, bound := 0.0, 0.0
					for b := 0; b < k; b += ScaleBlock {
						s, d := nearBlock(c, x.Row(i)[b:b+ScaleBlock], j, b)
						sum, bound = sum+s, bound+d
					}
					if got := float64(y.Row(i)[j]); !(math.Abs(got-sum) <= bound) {
						t.Fatalf("%s on %s: (%d,%d) is %v, want %v ± %g", name, p.Variant(), i, j, got, sum, bound)
					}
				}
			}
		})
	}
}

// nearBlock returns the product of a block, and by how much it may be missed: in units of
// 1/wholes of the largest numbers, either factor by half, their lower digits by digit²/4,
// and float32 by 2⁻²² of the sum of magnitudes.
func nearBlock(c coded, x []float32, row, k int) (sum, bound float64) {
	q := c.packed.quant
	scale := math.Abs(float64(c.packed.scale(row, k)))
	largestX, largestW, size, sizeX, sizeW := 0.0, float64(q.largest)*scale, 0.0, 0.0, 0.0
	for i, v := range x {
		w := float64(c.packed.scale(row, k)) * float64(q.table[c.packed.codeInTiles(row, k+i)%16])
		if q.form == codes8 {
			w = float64(c.plain.Row(row)[k+i])
		}
		sum += float64(v) * w
		size, sizeX, sizeW = size+math.Abs(float64(v)*w), sizeX+math.Abs(float64(v)), sizeW+math.Abs(w)
		largestX = max(largestX, math.Abs(float64(v)))
	}
	bound = 0.51 / wholes * largestX * sizeW
	if q.form != codes8 {
		bound += 0.51/wholes*largestW*(sizeX+0.51*ScaleBlock*largestX/wholes) + ScaleBlock*digit*digit/4/float64(wholes)/wholes*largestX*largestW
	}
	return sum, bound + 40*0x1p-24*size
}

// The kernels round and expand as the plain loops do, whatever the numbers.
func TestDigitsAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	const blocks = 5
	eachTiles(t, func(t *testing.T, m *matrices, p *Pool) {
		x := frame(1, blocks*ScaleBlock, 0)
		for e := -148; e < 125; e++ {
			for i := range x.Row(0) {
				x.Row(0)[i] = float32(math.Ldexp(r.NormFloat64(), e-i%3*8))
			}
			clear(x.Row(0)[:ScaleBlock])
			switch e % 4 {
			case 0:
				x.Row(0)[100] = float32(math.NaN())
			case 1:
				x.Row(0)[150] = float32(math.Inf(-1))
			}
			got, want := quantized1(m.integers.quantize, x.Row(0), blocks), quantized1(quantizeGo, x.Row(0), blocks)
			same(t, fmt.Sprint("whole numbers at 2^", e), got.Dense, want.Dense)
			got.checkGuards(t, "whole numbers")
		}
		src, table := make([]byte, blocks*ScaleBlock*NR/2), digits{}
		for i := range src {
			src[i] = byte(r.IntN(256))
		}
		for i := range 16 {
			table.upper[i], table.lower[i] = int8(r.IntN(256)-128), int8(r.IntN(digit)-digit/2)
		}
		got, want := frame(blocks, ScaleBlock*NR/2, 0), frame(blocks, ScaleBlock*NR/2, 0)
		m.integers.expand(asBytes(got.Data), &src[0], table.bytes(), blocks)
		expandDigitsGo(asBytes(want.Data), &src[0], table.bytes(), blocks)
		same(t, "digits", got.Dense, want.Dense)
		got.checkGuards(t, "digits")
	})
}

// quantized1 returns the digits of a row, a block to a row, and its unit behind them.
func quantized1(f quantizeFunc, x []float32, blocks int) framed {
	out := frame(blocks, 2*ScaleBlock/4+1, 0)
	bytes, units := make([]byte, 2*ScaleBlock*blocks), make([]float32, tileRows*blocks)
	f(&bytes[0], &units[0], &x[0], blocks, 1.0/wholes)
	words := unsafe.Slice((*float32)(unsafe.Pointer(&bytes[0])), len(bytes)/4)
	for b := range blocks {
		row := out.Row(b)
		copy(row, words[b*2*ScaleBlock/4:][:2*ScaleBlock/4])
		row[len(row)-1] = units[b*tileRows]
	}
	return out
}

// Scales in 8 bits are read as the plain loop does, panel by panel.
func TestNestedScalesOfPanels(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	const panels, most = 3, 21
	codes, nested := make([]byte, panels*most*NR+NR), normal(r, panels*most*NR/nestedBlock+2+nestedSpare)
	numbers := normal(r, 256)
	for i := range codes {
		codes[i] = byte(r.IntN(256))
	}
	eachTiles(t, func(t *testing.T, m *matrices, _ *Pool) {
		for blocks := 1; blocks <= most; blocks++ {
			first := blocks * 5
			got, want := frame(panels, blocks*NR, 0), frame(panels, blocks*NR, 0)
			room := make([]float32, panels*blocks*NR+NR)
			m.integers.nested(&room[0], &codes[0], panels, blocks, &numbers[0], &nested[0], first, blocks, 0.7)
			copy(got.Data, room)
			for p := range panels {
				nestedGo(&want.Row(p)[0], &codes[p*blocks*NR], blocks, NR, &numbers[0], &nested[0], first+p*NR*blocks, blocks, 0.7, 0)
			}
			same(t, fmt.Sprint(blocks, " blocks"), got.Dense, want.Dense)
		}
	})
}

// What is not finite reaches its row of the result, and no other.
func TestWholeNumbersThatAreNotFinite(t *testing.T) {
	const m, n, k = 18, 40, 192
	for name, c := range codedCases(n, k, InTiles) {
		if c.packed.quant.order != InTiles {
			continue
		}
		eachTiles(t, func(t *testing.T, _ *matrices, p *Pool) {
			x, y := frame(m, k, 0).noise(1), frame(m, n, 0)
			x.Row(3)[100], x.Row(16)[0] = float32(math.NaN()), float32(math.Inf(1))
			MulT(y.Dense, x.Dense, c.packed, 1, 0, p)
			for i := range m {
				for j, v := range y.Row(i) {
					if finite := v-v == 0; finite != (i != 3 && i != 16) {
						t.Fatalf("%s on %s: element (%d,%d) is %v", name, p.Variant(), i, j, v)
					}
				}
			}
		})
	}
}
