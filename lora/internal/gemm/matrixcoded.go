package gemm

// codedMatrixFunc is a [matrixFunc] two tiles wide over codes, which it expands as
// unpackPairs does, through scratch memory of two steps. scale holds NR scales for each of
// some blocks of ScaleBlock codes.
type codedMatrixFunc func(shape *byte, blocks int, a *float32, lda int, b *byte, scale, table *float32, scratch *byte, from *float32, ldfrom int, c *float32, ldc int)

// matrixCodedK is the longest reduction whose scales a worker holds.
const matrixCodedK = maxScales / NR * ScaleBlock

// fused reports whether codes are multiplied as they are expanded: for few rows, where
// every row is of whole blocks of scales.
func (j *product) fused() bool {
	return j.source == panelsQuant && j.matrix() && j.m <= matrixRows && j.w.quant.blocks > 0 && j.w.k%ScaleBlock == 0 &&
		j.pool.kern.dots.matrix.coded[j.w.quant.form][0] != nil
}

// thinFused computes the few rows [r0, r1) of panels [p0, p1), each panel in full before
// the next.
func (j *product) thinFused(worker, r0, r1, p0, p1 int) {
	w, rows := &j.pool.workers[worker], r1-r0
	w.shape.set(rows, NR)
	for panel := p0; panel < p1; panel++ {
		j.begin(r0, r1, panel, panel+1)
		to, ldto := j.out(r0, panel), j.y.Stride
		part := j.n - panel*NR // of a panel that is not whole
		if part < NR {
			j.copyOut(w.between, r0, rows, panel, part, false)
			to, ldto = &w.between[0], NR
		}
		for block := range j.blocks() {
			k0 := block * j.step
			j.fuse(w, block, r0, rows, panel, j.k0+k0, min(j.step, j.depth-k0), to, ldto)
		}
		if part < NR {
			j.copyOut(w.between, r0, rows, panel, part, true)
		}
	}
	j.finish(worker, r0, r1, p0, p1)
}

// fuse adds a block of the reduction to rows of a panel.
func (j *product) fuse(w *worker, block, r0, rows, panel, k0, k int, to *float32, ldto int) {
	q, n0 := j.w.quant, j.first+panel*NR
	blocks := k / ScaleBlock
	j.w.blockScales(j.pool.kern, w.scales, n0, 1, k0, blocks)
	from := to
	if !j.takesUp() && block == 0 {
		from = nil
	}
	kernel := j.pool.kern.dots.matrix.coded[q.form][btoi(rows > tileRows)]
	kernel(&w.shape[0], blocks, j.leftRow(block, r0), j.lda, j.w.codeAt(n0, k0), &w.scales[0], &q.table[0], asBytes(w.scratch),
		from, ldto, to, ldto)
}

// copyOut copies the columns of a panel that is not whole between the result and rows NR
// apart: to the result, or from it.
func (j *product) copyOut(between []float32, r0, rows, panel, cols int, out bool) {
	for r := range rows {
		there, here := j.y.Row(j.row + r0 + r)[panel*NR:][:cols], between[r*NR:][:cols]
		if out {
			copy(there, here)
		} else {
			copy(here, there)
		}
	}
}
