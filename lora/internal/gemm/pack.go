package gemm

import (
	"math"
	"unsafe"
)

// pack copies rows [lo, hi) of the part of the left factor, times alpha, to
//
//	packed[block][row][k], rows lda apart
func (j *product) pack(worker, lo, hi int) {
	if j.ends() {
		j.packTail(lo, hi)
	}
	switch {
	case j.integers():
		j.quantizeRows(worker, lo, hi)
		return
	case j.dot:
		j.packPairs(worker, lo, hi)
		return
	}
	for block := range j.blocks() {
		k0 := j.k0 + block*j.step
		k1 := min(k0+j.step, j.k0+j.depth)
		dst := j.pool.packed[(block*j.rows+lo)*j.lda:]
		if j.leftT {
			src := asWords(j.left.Data[k0*j.left.Stride+j.row+lo:])
			transpose(j.pool.kern, asWords(dst), j.lda, src, j.left.Stride, k1-k0, hi-lo)
		}
		for r := lo; r < hi; r++ {
			row := dst[(r-lo)*j.lda:][:k1-k0]
			if !j.leftT {
				copy(row, j.left.Data[(j.row+r)*j.left.Stride+k0:])
			}
			if j.alpha != 1 {
				j.pool.vec.Scale(row, j.alpha, row)
			}
		}
	}
}

// layOut returns the block [k0, k0+k) × panel of the right factor, [k][NR]:
// where it lies, or laid out in the worker's scratch memory.
func (j *product) layOut(worker int, inPlace bool, panel, k0, k int) *byte {
	if inPlace {
		return j.resident(panel, k0)
	}
	w := &j.pool.workers[worker]
	if j.integers() {
		return j.layIntegers(w, panel, k0, k)
	}
	dst := w.scratch
	switch j.source {
	case panelsBF16:
		j.pool.kern.widenPairs(&dst[0], j.resident(panel, k0), (k+1)/2)
	case panelsTransposed:
		j.transposePanels(dst, panel, k0, k)
	case panelsBF16Transposed:
		if j.dot {
			j.pairRows(asWords(dst), panel, k0, k)
			break
		}
		j.transposePairs(dst, w.pairs, panel, k0, k)
	case panelsQuant, panelsQuantTransposed:
		switch {
		case j.dot:
			j.layCodes(asWords(dst), w, panel, k0, k)
		case j.source == panelsQuant:
			j.w.unpack(j.pool.kern, dst, w.scales[:], j.first+panel*NR, k0, k)
		default:
			j.unpackTransposed(dst, w, panel, k0, k)
		}
	case denseRows:
		j.copyRows(dst, panel, k0, k)
	case denseTransposed:
		cols := min(NR, j.n-panel*NR)
		src := asWords(j.b.Data[panel*NR*j.b.Stride+k0:])
		transpose(j.pool.kern, asWords(dst), NR, src, j.b.Stride, cols, k)
	}
	return (*byte)(unsafe.Pointer(&dst[0]))
}

// transposePanels lays out rows [k0, k0+k) of w, columns of one panel width:
//
//	dst[r][c] = w[first+k0+r][panel*NR+c]
func (j *product) transposePanels(dst []float32, panel, k0, k int) {
	out := asWords(dst)
	for r := 0; r < k; r += NR {
		src := asWords(j.w.f32[(j.first+k0+r)*j.w.depth+panel*NR*NR:])
		transpose(j.pool.kern, out[r*NR:], NR, src, NR, NR, NR)
	}
}

// transposePairs is transposePanels for bfloat16: transposed pairs are rows.
func (j *product) transposePairs(dst []float32, rows []uint32, panel, k0, k int) {
	for r := 0; r < k; r += NR {
		src := j.w.bf16[((j.first+k0+r)*j.w.depth+panel*NR*NR)/2:]
		transpose(j.pool.kern, rows, NR/2, src, NR, NR/2, NR)
		j.pool.kern.widen(&dst[r*NR], &rows[0], NR*NR/2)
	}
}

// copyRows lays out a block of a plain matrix; missing columns are left as they
// are, since no kernel stores them.
func (j *product) copyRows(dst []float32, panel, k0, k int) {
	cols := min(NR, j.b.Cols-panel*NR)
	for r := range k {
		src := j.b.Data[(k0+r)*j.b.Stride+panel*NR:]
		copy(dst[r*NR:r*NR+cols], src[:cols])
	}
}

// transpose writes the transpose of src [rows, cols] to dst [cols, rows]:
//
//	dst[c*ds+r] = src[r*ss+c]
//
// in blocks where the variant has a kernel, one by one at the edges.
func transpose(kern *kernels, dst []uint32, ds int, src []uint32, ss, rows, cols int) {
	b := kern.block
	wholeRows, wholeCols := rows/b*b, cols/b*b
	for r := 0; r < wholeRows; r += b {
		for c := 0; c < wholeCols; c += b {
			kern.transpose(&dst[c*ds+r], ds, &src[r*ss+c], ss)
		}
		if wholeCols < cols {
			transposeEdge(dst[r:], ds, src[r*ss:], ss, b, wholeCols, cols)
		}
	}
	if wholeRows < rows && cols > 0 {
		transposeEdge(dst[wholeRows:], ds, src[wholeRows*ss:], ss, rows-wholeRows, 0, cols)
	}
}

// transposeEdge transposes columns [c0, c1) of the first rows.
func transposeEdge(dst []uint32, ds int, src []uint32, ss, rows, c0, c1 int) {
	for r := range rows {
		for c := c0; c < c1; c++ {
			dst[c*ds+r] = src[r*ss+c]
		}
	}
}

// widenGo widens n pairs of bfloat16 in order:
//
//	dst[2*i], dst[2*i+1] = float32(low half of src[i]), float32(high half)
func widenGo(dst *float32, src *uint32, n int) {
	d, s := unsafe.Slice(dst, 2*n), unsafe.Slice(src, n)
	for i, pair := range s {
		d[2*i] = math.Float32frombits(pair << 16)
		d[2*i+1] = math.Float32frombits(pair &^ 0xffff)
	}
}

// widenPairsGo widens rows of NR pairs to two rows of NR each:
//
//	dst[2*i][c], dst[2*i+1][c] = float32(low half of src[i][c]), float32(high half)
func widenPairsGo(dst *float32, src *byte, n int) {
	d := unsafe.Slice(dst, 2*n*NR)
	s := unsafe.Slice((*uint32)(unsafe.Pointer(src)), n*NR)
	for i := range n {
		low, high := d[2*i*NR:][:NR], d[(2*i+1)*NR:][:NR]
		for c, pair := range s[i*NR:][:NR] {
			low[c] = math.Float32frombits(pair << 16)
			high[c] = math.Float32frombits(pair &^ 0xffff)
		}
	}
}

// transposeGo transposes one block of 8 × 8.
func transposeGo(dst *uint32, ds int, src *uint32, ss int) {
	d, s := unsafe.Slice(dst, 7*ds+8), unsafe.Slice(src, 7*ss+8)
	transposeEdge(d, ds, s, ss, 8, 0, 8)
}
