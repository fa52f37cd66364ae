package gemm

import (
	"math"
	"unsafe"
)

// Codes that lie in tiles are multiplied in whole numbers, which tiles add without
// rounding. A block of ScaleBlock numbers of a row of the left factor is rounded to whole
// numbers of a common unit, and these are written in two digits:
//
//	size := max(abs(x[i])) over the block
//	q[i] = x[i] * (wholes/size)           // to the nearest, ties to even
//	q[i] = digit*upper[i] + lower[i]      // -digit/2 <= lower[i] < digit/2
//	unit = size / wholes
//
// A block whose numbers are all smaller than 2⁻¹⁰⁰ counts as 0; one with a number that is
// not finite has a unit that is not finite. Codes of 8 bits are whole numbers, and
//
//	sum = digit * Σ upper[i]*code[i] + Σ lower[i]*code[i]
//	acc += sum * (unit*scale) // sum and the product of factors rounded, then fused
//
// for one block after another. The table behind codes of 4 bits is rounded to digits as a
// block is; the product of lower digits, at most 2⁻¹⁶ of that of the largest numbers, does
// not count:
//
//	sum = digit * Σ upper[i]*upper[code[i]] + Σ (upper[i]*lower[code[i]] + lower[i]*upper[code[i]])
//	acc += sum * (unit*digit*scale)
const (
	digitBits = 7
	digit     = 1 << digitBits
	wholes    = 127 * digit // largest whole number

	// words: sums, twice whole ones, twice a block in two digits, and a row of a tile
	integerScratch = tileRows*NR + 2*2*tileRows*NR + 2*2*ScaleBlock*NR/4 + tileRows
)

// digits holds the digits of the numbers behind codes of 4 bits.
type digits struct{ upper, lower [16]int8 }

// bytes returns where the digits lie.
func (d *digits) bytes() *byte { return (*byte)(unsafe.Pointer(d)) }

// quantizeFunc rounds blocks of ScaleBlock numbers to whole ones: the upper digits of a
// block and then the lower are written to dst. A whole number is worth unit, tileRows
// apart, times what it is worth for one = 1/wholes.
type quantizeFunc func(dst *byte, unit, src *float32, blocks int, one float32)

// expandDigitsFunc writes the digits behind codes of 4 bits, blocks of a panel in the order
// InTiles: of each block the upper digits as codes of 8 bits would lie, then the lower.
type expandDigitsFunc func(dst, src, table *byte, blocks int)

// integerFunc adds to rows of the result the product of steps blocks of the reduction:
//
//	for i := range rows {
//		for j := range columns { // those whose bit is set
//			acc := from[i*ldfrom+j] // 0 if from is nil
//			for s := range steps {
//				acc += the sum of block s, see above
//			}
//			c[i*ldc+j] = acc
//		}
//	}
//
// The left factor is in digits, a row's blocks one after the other, and rows lda bytes
// apart; unit is [steps][tileRows]. The kernels for tileRows rows compute several blocks of
// them, with units one after the other. Those for fewer rows compute several panels, with
// codes, scales, results and what these continue from one after the other. scratch is
// integerScratch words.
type integerFunc func(shape *byte, rows, blocks, steps int, a *byte, lda int, unit *float32, b *byte, scale *float32, table *byte, from *float32, ldfrom int, c *float32, ldc int, columns uint32, scratch *byte)

// nestedPanelsFunc is a nestedFunc for all blocks of neighbouring panels, one after the
// other. Up to NR codes behind the last may be read, and as many scales written.
type nestedPanelsFunc func(dst *float32, codes *byte, panels, blocks int, numbers, nested *float32, first, row int, offset float32)

// integers is what a variant has for that.
type integers struct {
	quantize quantizeFunc
	expand   expandDigitsFunc
	whole    [2]integerFunc // by digits of the right factor, less one: blocks of tileRows rows
	short    [2]integerFunc // fewer rows
	codes    integerFunc    // fewer rows by codes of 4 bits
	nested   nestedPanelsFunc
	single   [2]integerFunc // one row, its digits in rows of their own, by codes of 8 bits and of 4
}

// integers reports whether the product is one of whole numbers.
func (j *product) integers() bool {
	return j.source == panelsQuant && j.w.quant.order == InTiles && j.matrix()
}

// digitsOf rounds a table to digits of the unit largest/wholes.
func digitsOf(table *[16]float32) (d digits, largest float32) {
	for _, x := range table {
		largest = max(largest, float32(math.Abs(float64(x))))
	}
	for i, x := range table {
		if largest > 0 {
			d.upper[i], d.lower[i] = inDigits(int32(math.RoundToEven(float64(x) / float64(largest) * wholes)))
		}
	}
	return d, largest
}

// inDigits splits a whole number into its digits.
func inDigits(q int32) (upper, lower int8) {
	up := (q + digit/2) >> digitBits
	return int8(up), int8(q - up<<digitBits)
}

// one returns what a unit of the left factor is worth where its largest number is 1: what
// codes of 4 bits are worth is part of it.
func (q *quantized) one() float32 {
	if q.form == codes8 {
		return 1.0 / wholes
	}
	return float32(float64(q.largest) * digit / wholes / wholes)
}

// quantizeRows rounds rows [lo, hi) of the part of the left factor, times alpha.
func (j *product) quantizeRows(worker, lo, hi int) {
	scaled := j.pool.workers[worker].scratch
	quantize, one := j.pool.kern.dots.matrix.integers.quantize, j.w.quant.one()
	for block := range j.blocks() {
		k0, k := j.k0+block*j.step, j.blockDepth(block)
		for r := lo; r < hi; r++ {
			row := j.left.Data[(j.row+r)*j.left.Stride+k0:][:k]
			if j.alpha != 1 {
				j.pool.vec.Scale(scaled[:k], j.alpha, row)
				row = scaled[:k]
			}
			quantize((*byte)(unsafe.Pointer(j.leftRow(block, r))), j.unit(block, r), &row[0], k/ScaleBlock, one)
		}
	}
}

// blockDepth returns the length of a reduction block.
func (j *product) blockDepth(block int) int { return min(j.step, j.depth-block*j.step) }

// growUnits makes room for the units of the part's rows.
func (j *product) growUnits() {
	if need := j.paddedRows() * j.depth / ScaleBlock; j.integers() && len(j.pool.lefts) < need {
		j.pool.lefts = aligned(need)
	}
}

// paddedRows returns the rows of the part, up to a multiple of tileRows.
func (j *product) paddedRows() int { return (j.rows + tileRows - 1) / tileRows * tileRows }

// unit returns where the units of a row of a reduction block begin: they are in the order
// [block][row/tileRows][step][row%tileRows].
func (j *product) unit(block, r int) *float32 {
	before := block * j.step / ScaleBlock * j.paddedRows()
	return &j.pool.lefts[before+r/tileRows*tileRows*j.blockDepth(block)/ScaleBlock+r%tileRows]
}

// integerThin computes the few rows of panels [p0, p1), as many at a time as have columns
// of their own and scales that are at hand.
func (j *product) integerThin(worker, p0, p1 int) {
	w, steps := &j.pool.workers[worker], j.depth/ScaleBlock
	for p0 < p1 {
		panels := min(p1-p0, max(j.n/NR-p0, 1), max(heldScales/NR/steps, 1))
		if j.depth < j.k {
			panels = 1
		}
		codes, scale := j.w.codeAt(j.first+p0*NR, j.k0), j.scalesAt(w, p0, panels, 0)
		for r := 0; r < j.rows; r += tileRows {
			kernel, rows, _ := j.integerKernel(min(tileRows, j.rows-r))
			w.shape.setIntegers(max(rows, 2)) // a single row is two of digits
			from, ldfrom, to, ldto := j.sums(0, r, 0, p0, nil)
			kernel(&w.shape[0], rows, panels, steps, (*byte)(unsafe.Pointer(j.leftRow(0, r))), 4*j.lda, j.unit(0, r),
				codes, scale, j.w.quant.digits.bytes(), from, ldfrom, to, ldto, j.columns(p0), asBytes(w.integers))
		}
		p0 += panels
	}
}

// heldScales is the number of scales that a worker holds: those of a block of the reduction
// of a product of whole numbers, for few rows all of it.
const heldScales = matrixBlocks * matrixK / ScaleBlock * NR

// scalesAt returns the scales of a reduction block of neighbouring panels, where they are
// or copied to the worker. Of several panels the block is all of the reduction.
func (j *product) scalesAt(w *worker, panel, panels, block int) *float32 {
	q, n0, k0, blocks := j.w.quant, j.first+panel*NR, j.k0+block*j.step, j.blockDepth(block)/ScaleBlock
	if q.blocks > 0 && q.scales.Values != nil {
		return &q.scales.Values[n0*q.blocks+k0/ScaleBlock*NR]
	}
	if q.blocks == blocks {
		read, s := j.pool.kern.dots.matrix.integers.nested, &q.scales
		read(&w.scales[0], &s.Codes[n0*blocks], panels, blocks, &s.Map[0], &s.Nested[0], n0*blocks, blocks, s.Offset)
		return &w.scales[0]
	}
	for i := range panels {
		j.w.panelScales(j.pool.kern, w.scales[i*blocks*NR:], n0+i*NR, k0, blocks)
	}
	return &w.scales[0]
}

// columns returns the columns of a panel that there are, a bit each.
func (j *product) columns(panel int) uint32 { return uint32(1)<<min(NR, j.n-panel*NR) - 1 }

// layIntegers returns the block [k0, k0+k) × panel of the right factor in codes of 8 bits
// or in digits.
func (j *product) layIntegers(w *worker, panel, k0, k int) *byte {
	codes := j.w.codeAt(j.first+panel*NR, k0)
	if j.w.quant.form == codes8 {
		return codes
	}
	dst := asBytes(w.scratch)
	j.pool.kern.dots.matrix.integers.expand(dst, codes, j.w.quant.digits.bytes(), k/ScaleBlock)
	return dst
}

// integerColumn is column for whole numbers.
func (j *product) integerColumn(worker, r0, r1, block, panel int, right *byte, sums []float32) {
	w, steps := &j.pool.workers[worker], j.blockDepth(block)/ScaleBlock
	scale := j.scalesAt(w, panel, 1, block)
	for r := r0; r < r1; {
		kernel, rows, blocks := j.integerKernel(r1 - r)
		w.shape.setIntegers(rows)
		from, ldfrom, to, ldto := j.sums(block, r, r0, panel, sums)
		kernel(&w.shape[0], rows, blocks, steps, (*byte)(unsafe.Pointer(j.leftRow(block, r))), 4*j.lda, j.unit(block, r),
			right, scale, j.w.quant.digits.bytes(), from, ldfrom, to, ldto, j.columns(panel), asBytes(w.integers))
		r += rows * blocks
	}
}

// integerKernel returns the kernel for the next of some rows, and how many rows it computes
// in how many blocks.
func (j *product) integerKernel(left int) (kernel integerFunc, rows, blocks int) {
	have, two := &j.pool.kern.dots.matrix.integers, btoi(j.w.quant.form != codes8)
	switch {
	case j.fewRows() && left == 1:
		return have.single[two], 1, 1
	case j.fewRows() && two == 1:
		return have.codes, left, 1
	case j.fewRows() || left < tileRows:
		return have.short[two], left, 1
	}
	return have.whole[two], tileRows, left / tileRows
}

// fewRows reports whether a product of whole numbers reads codes in the order of memory.
func (j *product) fewRows() bool { return j.integers() && j.m <= 2*tileRows }

// quantizeGo is a quantizeFunc in plain Go.
func quantizeGo(dst *byte, unit, src *float32, blocks int, one float32) {
	d := unsafe.Slice((*int8)(unsafe.Pointer(dst)), 2*ScaleBlock*blocks)
	u, s := unsafe.Slice(unit, tileRows*(blocks-1)+1), unsafe.Slice(src, ScaleBlock*blocks)
	for b := range blocks {
		x := s[b*ScaleBlock:][:ScaleBlock]
		var size uint32 // NaN is larger than infinity
		for _, v := range x {
			size = max(size, math.Float32bits(v)&math.MaxInt32)
		}
		most := math.Float32frombits(size)
		inverse := wholes / most
		u[b*tileRows] = most * one
		if most < 0x1p-100 {
			inverse, u[b*tileRows] = 0, 0
		}
		for i, v := range x {
			at := 2*b*ScaleBlock + i
			d[at], d[at+ScaleBlock] = inDigits(toWhole(v * inverse))
		}
	}
}

// toWhole rounds to the nearest whole number, ties to even, and NaN to the smallest.
func toWhole(x float32) int32 {
	if x != x {
		return math.MinInt32
	}
	return int32(math.RoundToEven(float64(x)))
}

// expandDigitsGo is an expandDigitsFunc in plain Go.
func expandDigitsGo(dst, src, table *byte, blocks int) {
	const size = ScaleBlock * NR
	t := (*digits)(unsafe.Pointer(table))
	d, s := unsafe.Slice((*int8)(unsafe.Pointer(dst)), 2*size*blocks), unsafe.Slice(src, size/2*blocks)
	for b := range blocks {
		for i, pair := range s[b*size/2:][:size/2] {
			for half, code := range []byte{pair & 15, pair >> 4} {
				at := 2*b*size + i/(size/4)*size/2 + half*size/4 + i%(size/4)
				d[at], d[at+size] = t.upper[code], t.lower[code]
			}
		}
	}
}
