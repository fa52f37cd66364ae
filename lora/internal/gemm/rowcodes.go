package gemm

import "unsafe"

// CodeOrder is the order in which a matrix holds its codes.
type CodeOrder int

const (
	// ByColumn is the order of all variants but those with tiles: a panel is [K][NR].
	ByColumn CodeOrder = iota
	// ByRow is the order of variants with tiles: a panel is [K/ScaleBlock][NR][ScaleBlock],
	// each row's block with a scale of its own. Of 4-bit codes, byte i of a block holds
	// number i in its lower half and number i+ScaleBlock/2 in its upper half. Matrices whose
	// rows are not whole blocks, and those of half precision, are in the other order all the
	// same.
	ByRow
)

// Order returns the order of codes that the pool's variant multiplies.
func (p *Pool) Order() CodeOrder {
	if p.kern.dots != nil && p.kern.dots.matrix != nil {
		return ByRow
	}
	return ByColumn
}

// unpackHalfFunc expands one half (0 or 1) of a block of codes by row to bfloat16, in the
// order of memory:
//
//	for r := range NR {
//		for i := range ScaleBlock / 2 {
//			dst[r][i] = bf16(table[code(r, half*ScaleBlock/2 + i)] * scale[r])
//		}
//	}
//
// For codes of 8 bits the table is not read: the code itself stands in its place.
type unpackHalfFunc func(dst *uint32, src *byte, scale, table *float32, half int)

// rowMatrixFunc multiplies some blocks of codes of a panel by a few columns, which lie in
// pairs along the reduction, ldx apart:
//
//	for i := range NR {
//		for j := range cols {
//			acc := from[i*NR+j] // 0 if from is nil
//			for s := range 2 * blocks {
//				acc += the sum of step s, see the package comment
//			}
//			c[i*NR+j] = acc
//		}
//	}
//
// shape is a tileShape of NR rows. scratch is two blocks of bfloat16.
type rowMatrixFunc func(shape *byte, blocks int, x *uint32, ldx int, b *byte, scale, table *float32, scratch *byte, from, c *float32)

// byRow puts the codes of a band into a panel in the order of rows.
func (q *quantized) byRow(dst, band []byte, rows, k int) {
	const half = ScaleBlock / 2
	size := ScaleBlock * q.form.bits() / 8
	for r := range rows {
		for b := range k / ScaleBlock {
			codes, to := band[r*k+b*ScaleBlock:][:ScaleBlock], dst[(b*NR+r)*size:][:size]
			if q.form == codes8 {
				copy(to, codes)
				continue
			}
			for i, code := range codes[:half] {
				to[i] = code | codes[half+i]<<4
			}
		}
	}
}

// codeByRow returns code (i, k) of a matrix in the order of rows.
func (p *Packed) codeByRow(i, k int) byte {
	const half = ScaleBlock / 2
	q := p.quant
	row := q.codes[(i/NR*NR*p.depth+k/ScaleBlock*ScaleBlock*NR)*q.form.bits()/8+i%NR*ScaleBlock*q.form.bits()/8:]
	if k %= ScaleBlock; q.form == codes8 {
		return row[k]
	}
	return row[k%half] >> (k / half * 4) & 15
}

// layRowCodes lays out rows [k0, k0+k) of a panel of codes by row in pairs [k/2][NR]: each
// half of a block is a matrix of 32 rows of pairs, which is transposed.
func (j *product) layRowCodes(dst []uint32, w *worker, panel, k0, k int) {
	kern, n0 := j.pool.kern, j.first+panel*NR
	for r := 0; r < k; r += NR {
		if r%ScaleBlock == 0 {
			j.w.blockScales(kern, w.scales, n0, 1, k0+r, 1)
		}
		j.expandHalf(w, n0, k0+r)
		for g := range NR / tileRows {
			kern.transpose(&dst[r/2*NR+g*tileRows], NR, &w.turned[g*tileRows*tileRows], tileRows)
		}
	}
}

// zipRowCodes lays out rows [k0, k0+k) of w, codes by row, columns of one panel width, as
// pairs of rows.
func (j *product) zipRowCodes(dst []uint32, w *worker, panel, k0, k int) {
	for r := 0; r < k; r += NR {
		n0 := j.first + k0 + r
		j.w.blockScales(j.pool.kern, w.scales, n0, 1, panel*NR, 1)
		j.expandHalf(w, n0, panel*NR)
		j.pool.kern.dots.matrix.zip(&dst[r/2*NR], &w.turned[0])
	}
}

// expandHalf expands the half block of a panel that begins with row n0 and column k.
func (j *product) expandHalf(w *worker, n0, k int) {
	q := j.w.quant
	block, half := k/ScaleBlock*ScaleBlock, k%ScaleBlock/NR
	j.pool.kern.dots.matrix.half[q.wide()](&w.turned[0], j.w.codeAt(n0, block), &w.scales[0], &q.table[0], half)
}

// wide returns 1 for codes of 8 bits.
func (q *quantized) wide() int { return btoi(q.form == codes8) }

// fewRows reports whether a few rows are multiplied by codes as these are expanded.
func (j *product) fewRows() bool {
	return j.source == panelsQuant && j.dot && j.m <= matrixRows && j.w.quant.order == ByRow
}

// turnLeft lays the packed rows out as columns, in pairs along the reduction.
func (j *product) turnLeft() {
	p := j.pool
	if need := j.blocks() * j.step / 2 * j.rows; len(p.right) < need {
		p.right = aligned(need)
	}
	for block := range j.blocks() {
		words := min(j.step, j.depth-block*j.step) / 2
		dst := asWords(p.right[block*j.step/2*j.rows:])
		if j.rows == 1 {
			copy(dst, asWords(p.packed[block*j.lda:][:words]))
			continue
		}
		transpose(p.kern, dst, j.rows, asWords(p.packed[block*j.rows*j.lda:]), j.lda, j.rows, words)
	}
}

// thinRows computes all rows of panels [p0, p1) of codes by row, each panel in full before
// the next. The result of a panel is on its side.
func (j *product) thinRows(worker, p0, p1 int) {
	w := &j.pool.workers[worker]
	w.shape.set(NR, j.rows)
	for panel := p0; panel < p1; panel++ {
		j.begin(0, j.rows, panel, panel+1)
		if j.takesUp() {
			j.turn(w.between, panel, false)
		}
		for block := range j.blocks() {
			j.rowBlock(w, block, panel)
		}
		j.turn(w.between, panel, true)
	}
	j.finish(worker, 0, j.rows, p0, p1)
}

// rowBlock adds a reduction block to the result of a panel.
func (j *product) rowBlock(w *worker, block, panel int) {
	q, n0, k0 := j.w.quant, j.first+panel*NR, j.k0+block*j.step
	blocks := min(j.step, j.depth-block*j.step) / ScaleBlock
	j.w.panelScales(j.pool.kern, w.scales, n0, k0, blocks)
	c := &w.between[0]
	from := c
	if block == 0 && !j.takesUp() {
		from = nil
	}
	x := (*uint32)(unsafe.Pointer(&j.pool.right[block*j.step/2*j.rows]))
	kernel := j.pool.kern.dots.matrix.few[q.wide()][btoi(j.rows > tileRows)]
	kernel(&w.shape[0], blocks, x, j.rows, j.w.codeAt(n0, k0), &w.scales[0], &q.table[0], asBytes(w.scratch), from, c)
}

// turn copies a panel of the result from its side, or back to it.
func (j *product) turn(side []float32, panel int, out bool) {
	cols := min(NR, j.n-panel*NR)
	for i := 0; i < cols; i += tileRows {
		for r := 0; r < j.rows; r += tileRows {
			here, there := asWords(side[i*NR+r:]), asWords(j.y.Data[(j.row+r)*j.y.Stride+panel*NR+i:])
			wide, high := min(tileRows, cols-i), min(tileRows, j.rows-r)
			switch part := j.pool.kern.strided.part; {
			case !out:
				part(&here[0], NR, &there[0], j.y.Stride, high, wide)
			case wide == tileRows:
				part(&there[0], j.y.Stride, &here[0], NR, wide, high)
			default: // the kernel writes whole rows
				transposeEdge(there, j.y.Stride, here, NR, wide, 0, high)
			}
		}
	}
}

// unpackPairs expands rows [k0, k0+k) of a panel of codes by column, which begins with row
// n0 of W, to pairs of bfloat16 [k/2][NR], by way of float32. Behind an odd k, the last
// pair is completed by 0.
func (j *product) unpackPairs(dst []uint32, w *worker, n0, k0, k int) {
	numbers := asFloats(w.pairs)
	for r := 0; r < k; r += NR {
		rows := min(NR, k-r)
		clear(numbers[rows*NR:])
		j.w.unpack(j.pool.kern, numbers, w.scales, n0, k0+r, rows)
		for i := range (rows + 1) / 2 {
			j.pool.kern.dots.matrix.pairs(&dst[(r/2+i)*NR], &numbers[2*i*NR], &numbers[(2*i+1)*NR], NR)
		}
	}
}

// unpackPairRows lays out rows [k0, k0+k) of w, codes by column, columns of one panel
// width, as pairs of rows, see pairRows.
func (j *product) unpackPairRows(dst []uint32, w *worker, panel, k0, k int) {
	cols := min(NR, j.w.k-panel*NR)
	for r := 0; r < k; r += NR {
		j.unpackPairs(w.turned, w, j.first+k0+r, panel*NR, cols)
		j.pool.kern.dots.pairUp(&dst[r/2*NR], &w.turned[0], &w.turned[0])
	}
}

// layCodes lays out rows [k0, k0+k) of a panel of the right factor in pairs, codes of any
// order.
func (j *product) layCodes(dst []uint32, w *worker, panel, k0, k int) {
	switch turned := j.source == panelsQuantTransposed; {
	case j.w.quant.order == ByRow && turned:
		j.zipRowCodes(dst, w, panel, k0, k)
	case j.w.quant.order == ByRow:
		j.layRowCodes(dst, w, panel, k0, k)
	case turned:
		j.unpackPairRows(dst, w, panel, k0, k)
	default:
		j.unpackPairs(dst, w, j.first+panel*NR, k0, k)
	}
	j.endPairs(dst, k)
}

// unpackHalfGo is the unpackHalfFunc of a form in plain Go.
func unpackHalfGo(f form, dst *uint32, src *byte, scale, table *float32, half int) {
	const n = ScaleBlock / 2
	d := unsafe.Slice((*uint16)(unsafe.Pointer(dst)), NR*n)
	codes, factors := unsafe.Slice(src, NR*ScaleBlock*f.bits()/8), unsafe.Slice(scale, NR)
	for r := range NR {
		for i := range n {
			code := codes[r*n*f.bits()/4+half*n*btoi(f == codes8)+i]
			if f != codes8 {
				code = code >> (4 * half) & 15
			}
			d[r*n+i] = uint16(roundBF16(f.number(code, (*[16]float32)(unsafe.Pointer(table)), factors[r])))
		}
	}
}

// zipRowsGo pairs neighbouring rows of 32 numbers in bfloat16:
//
//	for i := range NR / 2 {
//		for k := range NR {
//			dst[i*NR+k] = src[2*i][k] | src[2*i+1][k]<<16
//		}
//	}
func zipRowsGo(dst, src *uint32) {
	d, s := unsafe.Slice(dst, NR*NR/2), unsafe.Slice((*uint16)(unsafe.Pointer(src)), NR*NR)
	for i := range NR / 2 {
		for k := range NR {
			d[i*NR+k] = uint32(s[2*i*NR+k]) | uint32(s[(2*i+1)*NR+k])<<16
		}
	}
}

// pairsGo rounds two rows of n numbers to pairs of bfloat16.
func pairsGo(dst *uint32, even, odd *float32, n int) {
	d, e, o := unsafe.Slice(dst, n), unsafe.Slice(even, n), unsafe.Slice(odd, n)
	for i := range d {
		d[i] = roundBF16(e[i]) | roundBF16(o[i])<<16
	}
}
