package gemm

import "unsafe"

// rightBlock is one block of a panel of the right factor, and what follows it.
type rightBlock struct {
	k    int   // of numbers, or of pairs if they are multiplied as such
	data *byte // [k][NR], or [k/2][NR][2]
	kind kind

	next           *byte // what will be read next lies in pieces, stride bytes apart
	pieces, stride int
}

// ahead returns what tile i of a column is to fetch: one piece each, as long as
// there are some. A tile fetches a quarter of a line for each k.
func (b *rightBlock) ahead(i int) *byte {
	if i < b.pieces {
		return (*byte)(unsafe.Add(unsafe.Pointer(b.next), i*b.stride))
	}
	return b.data
}

// units computes units [lo, hi); unit i is panel i%panels of band i/panels.
func (j *product) units(worker, lo, hi int) {
	n := j.panels()
	for lo < hi {
		band, panel := lo/n, lo%n
		end := min(n, panel+hi-lo)
		r0 := band * j.tall
		r1 := min(r0+j.tall, j.rows)
		if j.few(r1 - r0) {
			j.begin(r0, r1, panel, end)
			j.thin(worker, r0, r1, panel, end)
		} else if j.fewRows() {
			j.integerThin(worker, panel, end)
			j.finish(worker, r0, r1, panel, end)
		} else if j.source == panelsQuant && !j.dot && r1-r0 <= maxCoded {
			j.begin(r0, r1, panel, end)
			j.thinCoded(worker, r0, r1, panel, end)
		} else {
			j.band(worker, r0, r1, panel, end)
		}
		lo += end - panel
	}
}

// few reports whether panels are read in place and each in full before the next: for one
// tile of rows, and for some more where the kernels of all heights fetch what they read
// later.
func (j *product) few(rows int) bool {
	if j.matrix() {
		return rows <= matrixRows && j.inPlace(rows)
	}
	tiles := 1
	if j.kind(true) == bfloats {
		tiles = noWiden
	}
	return rows <= tiles*j.pool.kern.mr && j.inPlace(rows)
}

// inPlace reports whether the kernels read the right factor where it lies.
func (j *product) inPlace(rows int) bool {
	kern := j.pool.kern
	return j.source == panels ||
		j.source == panelsBF16 && (j.dot || kern.bf16[1] != nil && rows <= noWiden*kern.mr)
}

// kind returns what the kernels find in the right factor: what is there, or what it was
// laid out as.
func (j *product) kind(inPlace bool) kind {
	switch {
	case j.dot:
		return pairs
	case inPlace && j.source == panelsBF16:
		return bfloats
	}
	return floats
}

// words returns how many words k neighbours along the reduction take in the left factor.
func (j *product) words(k int) int {
	if j.dot {
		return (k + 1) / 2
	}
	return k
}

// band computes rows [r0, r1) of panels [p0, p1): one reduction block after
// another, and under each block of a panel all row tiles.
func (j *product) band(worker, r0, r1, p0, p1 int) {
	for most := j.groupPanels(); p0 < p1; p0 += most {
		j.group(worker, r0, r1, p0, min(p0+most, p1))
	}
}

// group is band for so few panels that the result stays in the cache from one
// reduction block to the next.
func (j *product) group(worker, r0, r1, p0, p1 int) {
	inPlace := j.inPlace(r1 - r0)
	sums := j.pool.workers[worker].between
	for block := range j.blocks() {
		k := min(j.step, j.depth-block*j.step)
		for panel := p0; panel < p1; panel++ {
			right := rightBlock{k: j.words(k), data: j.layOut(worker, inPlace, panel, j.k0+block*j.step, k), kind: j.kind(inPlace)}
			if panel+1 < p1 {
				j.comingUp(&right, block, panel+1)
			} else if block+1 < j.blocks() {
				j.comingUp(&right, block+1, p0)
			} else {
				j.comingUp(&right, 0, min(p1, j.panels()-1)) // the next group
			}
			j.column(worker, r0, r1, block, panel, right, sums[(panel-p0)*(r1-r0)*NR:])
		}
	}
	j.finish(worker, r0, r1, p0, p1)
}

// comingUp notes where the block after b lies, so that it can be fetched from
// memory while b is in use.
func (j *product) comingUp(b *rightBlock, block, panel int) {
	k0 := j.k0 + block*j.step
	switch j.source {
	case panels, panelsBF16:
		k := min(j.step, j.depth-block*j.step)
		b.next, b.stride = j.resident(panel, k0), b.k*16
		b.pieces = k * j.panelBytes() / j.w.depth / b.stride
	case panelsTransposed, panelsBF16Transposed:
		b.next, b.stride = j.crossing(panel, k0), j.panelBytes()
		b.pieces = min(j.step, j.depth-block*j.step) / NR
	}
}

// column runs the row tiles [r0, r1) against one block of a panel. Between blocks the
// panel's results are in sums.
func (j *product) column(worker, r0, r1, block, panel int, right rightBlock, sums []float32) {
	kern := j.pool.kern
	switch {
	case j.integers():
		j.integerColumn(worker, r0, r1, block, panel, right.data, sums)
		return
	case j.matrix():
		j.matrixColumn(worker, r0, r1, block, panel, right, sums)
		return
	}
	cols := min(NR, j.n-panel*NR)
	tiles := kern.tiles(right.kind, cols)
	tall := evenly(r1-r0, kern.mr, 1)
	for i, r := 0, r0; r < r1; i, r = i+1, r+tall {
		tile := tiles[min(tall, r1-r)]
		from, ldfrom, to, ldto := j.sums(block, r, r0, panel, sums)
		tile(right.k, j.leftRow(block, r), right.data, from, ldfrom, to, ldto, cols, right.ahead(i))
	}
}

// sums says where the results of the tile of row r begin and end up: both in y, but
// between blocks in the rows of sums, of which the first is row r0. These lie close
// together however far apart the rows of y are.
func (j *product) sums(block, r, r0, panel int, sums []float32) (from *float32, ldfrom int, to *float32, ldto int) {
	to, ldto = j.out(r, panel), j.y.Stride
	if block < j.blocks()-1 {
		to, ldto = &sums[(r-r0)*NR], NR
	}
	switch {
	case block > 0:
		return &sums[(r-r0)*NR], NR, to, ldto
	case j.biased():
		return &j.bias[panel*NR], 0, to, ldto
	case j.load:
		return j.out(r, panel), j.y.Stride, to, ldto
	}
	return nil, 0, to, ldto
}

// thin computes the few rows [r0, r1) of panels [p0, p1), each panel in full
// before the next: the right factor is read once, in the order of memory.
func (j *product) thin(worker, r0, r1, p0, p1 int) {
	kern, rows := j.pool.kern, r1-r0
	wide, group := kern.wideTile(j.kind(true), min(rows, maxMR))
	whole := j.n / NR // panels without missing columns
	for panel := p0; panel < p1; {
		if wide == nil || panel+group > min(p1, whole) {
			j.deep(worker, r0, r1, panel)
			j.finish(worker, r0, r1, panel, panel+1)
			panel++
			continue
		}
		for block := range j.blocks() {
			k0 := block * j.step
			right := j.resident(panel, j.k0+k0)
			wide(j.words(min(j.step, j.depth-k0)), j.leftRow(block, r0), right, j.panelBytes(), j.out(r0, panel), j.y.Stride, btoi(j.takesUp() || block > 0))
		}
		j.finish(worker, r0, r1, panel, panel+group)
		panel += group
	}
}

// thinCoded is thin for codes, which are expanded in registers where the variant has
// a kernel for it.
func (j *product) thinCoded(worker, r0, r1, p0, p1 int) {
	group, whole := max(j.pool.kern.group[r1-r0], 1), min(p1, j.n/NR)
	for p0 < whole {
		if p0+group > whole {
			group = 1
		}
		if coded := j.coded(r1-r0, p0, group); coded != nil {
			j.deepCoded(worker, coded, r0, r1-r0, p0, group)
		} else {
			j.band(worker, r0, r1, p0, p0+group)
		}
		p0 += group
	}
	j.band(worker, r0, r1, p0, p1)
}

// coded returns the kernel for so many rows of a group of panels, or nil.
func (j *product) coded(rows, panel, group int) codedFunc {
	return j.pool.kern.coded[btoi(group > 1)][j.w.quant.formOf(j.first+panel*NR, group)][rows]
}

// deepCoded computes the rows of a kernel, from r0 on, of a group of panels: all
// reduction blocks, and what the product ends with.
func (j *product) deepCoded(worker int, coded codedFunc, r0, rows, panel, group int) {
	q, scale := j.w.quant, j.pool.workers[worker].scales
	n0, stride := j.first+panel*NR, j.w.depth*NR*q.form.bits()/8
	for k0, k := 0, 0; k0 < j.depth; k0 = k {
		block := k0 / j.step
		k = q.readable(j.k0+k0, j.k0+min((block+1)*j.step, j.depth)) - j.k0
		j.w.blockScales(j.pool.kern, scale, n0, group, j.k0+k0, blocksIn(j.k0+k0, j.k0+k))
		left := (*float32)(unsafe.Add(unsafe.Pointer(j.leftRow(block, r0)), 4*(k0-block*j.step)))
		coded(k-k0, left, j.w.codeAt(n0, j.k0+k0), stride, &scale[0], &q.table[0],
			j.out(r0, panel), j.y.Stride, btoi(j.takesUp() || k0 > 0))
	}
	j.finish(worker, r0, r0+rows, panel, panel+group)
}

// deep computes rows [r0, r1) of one panel, all reduction blocks.
func (j *product) deep(worker, r0, r1, panel int) {
	sums := j.pool.workers[worker].between
	for block := range j.blocks() {
		k0 := block * j.step
		right := rightBlock{k: j.words(min(j.step, j.depth-k0)), data: j.resident(panel, j.k0+k0), kind: j.kind(true)}
		switch {
		case j.matrix():
			right.next, right.stride, right.pieces = j.w.after(j.first+panel*NR, j.k0+k0, streamAhead), right.k*16, 8
		case j.shares(r1 - r0):
			j.share(&right, block, panel)
		}
		j.column(worker, r0, r1, block, panel, right, sums)
	}
}

// shares reports whether two tiles of so many rows read bfloat16 where it lies, and fetch
// what follows.
func (j *product) shares(rows int) bool {
	kern := j.pool.kern
	return kern.shares && j.source == panelsBF16 && !j.dot && rows > kern.mr && rows <= noWiden*kern.mr
}

// share has the two tiles of a column each fetch half of the block that follows b, so
// that memory is not idle while the second computes.
func (j *product) share(b *rightBlock, block, panel int) {
	if block++; block == j.blocks() {
		block, panel = 0, panel+1
	}
	if panel < j.panels() {
		k := min(j.step, j.depth-block*j.step)
		b.next, b.pieces, b.stride = j.resident(panel, j.k0+block*j.step), noWiden, k*NR*2/noWiden
	}
}

// leftRow returns the packed row r of a reduction block.
func (j *product) leftRow(block, r int) *float32 {
	return &j.pool.packed[(block*j.rows+r)*j.lda]
}

// out returns the first element of row r of the part in a panel of the result.
func (j *product) out(r, panel int) *float32 {
	return &j.y.Data[(j.row+r)*j.y.Stride+panel*NR]
}

// panelBytes returns the distance of two panels of w in memory.
func (j *product) panelBytes() int {
	if j.w.BF16() {
		return j.w.depth * NR * 2
	}
	return j.w.depth * NR * 4
}

// resident returns where the block of a panel of MulT that begins at k0 lies.
func (j *product) resident(panel, k0 int) *byte {
	return j.w.at(j.first+panel*NR, k0)
}

// crossing returns where the block of a panel of Mul that begins at k0 lies: its
// rows are columns of w.
func (j *product) crossing(panel, k0 int) *byte {
	return j.w.at(j.first+k0, panel*NR)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
