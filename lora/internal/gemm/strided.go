package gemm

import "unsafe"

// Products of plain matrices that fit into the second-level cache are computed where
// the matrices lie. The kernels take the left factor at any distances of rows and
// columns, so that nothing of it is copied, transposed or not; a right factor [K, N]
// is read in place too, apart from its last columns where they do not fill a panel,
// and one [N, K] is laid out in panels once a product.
const (
	stridedDepth = 256     // reduction block: one of both factors stays in the cache
	stridedWidth = 2048    // most columns of a factor whose blocks are read in place
	stridedRight = 1 << 18 // most numbers of a right factor that passes by many rows: 1 MiB
	stridedFew   = 64      // rows that a larger one, read in place, still passes by
	stridedRows  = 4       // row tiles that pass under a panel together
	stridedWork  = 1 << 20 // multiplications below which one worker is enough
)

// stridedFunc computes a tile of fixed height (the index in its table), cols columns
// wide, of a product of factors with any strides:
//
//	for i := range rows {
//		for j := range cols {
//			acc := 0                        // init[i*ldi+j] unless init is nil
//			for r := range k {
//				acc += a[i*rs+r*ks] * b[r*ldb+j]
//			}
//			c[i*ldc+j] = acc
//		}
//	}
//
// k >= 1, 1 <= cols <= NR; b may be read up to the end of a panel, or to its middle
// by a narrow kernel.
type stridedFunc func(k int, a *float32, rs, ks int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi int, cols int)

// stridedKernels is one variant of what products in place need.
type stridedKernels struct {
	tiles  [maxMR + 1]stridedFunc // by height
	narrow [maxMR + 1]stridedFunc // at most NR/2 columns, or nil
	part   func(dst *uint32, ds int, src *uint32, ss, rows, cols int)
}

// table returns the kernels for a number of columns.
func (k *stridedKernels) table(cols int) *[maxMR + 1]stridedFunc {
	if cols <= NR/2 && k.narrow[1] != nil {
		return &k.narrow
	}
	return &k.tiles
}

// inReach reports whether the product is computed in place.
func (j *product) inReach() bool {
	if j.alpha != 1 || j.k == 0 || j.leftT && j.m > stridedWidth {
		return false
	}
	switch j.source {
	case denseRows:
		return j.n <= stridedWidth && (j.n*j.k <= stridedRight || j.m <= stridedFew)
	case denseTransposed:
		return j.panels()*NR*j.k <= stridedRight
	}
	return false
}

// strided runs the product in place.
func (p *Pool) strided(j product) {
	j.scale()
	j.load = j.beta != 0 && j.bias == nil
	j.layPanels()
	mr := p.kern.mr
	workers := len(p.workers)
	if j.m*j.n*j.k < stridedWork {
		workers = 1
	}
	if workers == 1 {
		j.inPlaceRows(0, 0, j.m)
		return
	}
	p.job = j
	p.For(j.m, j.stridedPiece(mr), p.runStrided)
	p.job = product{pool: p}
}

// stridedPiece returns the rows of a piece: few where the left factor's rows are read,
// many where its columns are, since every piece then reads all of the right factor.
func (j *product) stridedPiece(mr int) int {
	workers := len(j.pool.workers)
	if j.leftT {
		return max(mr, (j.m+2*workers-1)/(2*workers))
	}
	return max(1, (j.m+mr-1)/mr/(perWorker*workers)) * mr
}

// layPanels lays out what the kernels cannot read in place: all of a transposed right
// factor, and the columns of a plain one that do not fill a panel.
func (j *product) layPanels() {
	p := j.pool
	first := 0
	if j.source == denseRows {
		first = j.n / NR
	}
	need := (j.panels() - first) * NR * j.k
	if len(p.right) < need {
		p.right = aligned(need)
	}
	for panel := first; panel < j.panels(); panel++ {
		dst := p.right[(panel-first)*NR*j.k:][:NR*j.k]
		if j.source == denseRows {
			j.copyRows(dst, panel, 0, j.k)
			continue
		}
		j.transposePanel(dst, panel)
	}
}

// transposePanel lays out one panel of a transposed right factor.
func (j *product) transposePanel(dst []float32, panel int) {
	kern := j.pool.kern
	b, rows := kern.block, min(NR, j.n-panel*NR)
	out, src, ss := asWords(dst), asWords(j.b.Data[panel*NR*j.b.Stride:]), j.b.Stride
	for r := 0; r < rows; r += b {
		for c := 0; c < j.k; c += b {
			if r+b <= rows && c+b <= j.k {
				kern.transpose(&out[c*NR+r], NR, &src[r*ss+c], ss)
			} else {
				kern.strided.part(&out[c*NR+r], NR, &src[r*ss+c], ss, min(b, rows-r), min(b, j.k-c))
			}
		}
	}
}

// rightPanel returns where a row of a panel of the right factor lies, and the
// distance to the next.
func (j *product) rightPanel(panel, k0 int) (b *float32, ldb int) {
	if j.source == denseTransposed {
		return &j.pool.right[(panel*j.k+k0)*NR], NR
	}
	if panel == j.n/NR {
		return &j.pool.right[k0*NR], NR
	}
	return &j.b.Data[k0*j.b.Stride+panel*NR], j.b.Stride
}

// inPlaceRows computes rows [lo, hi): block by block of the reduction, few tiles of
// rows at a time, panel by panel.
func (j *product) inPlaceRows(_, lo, hi int) {
	mr := j.pool.kern.mr
	height := evenly(hi-lo, mr, 1)
	step := j.k
	if j.leftT {
		step = stridedDepth
	}
	for k0 := 0; k0 < j.k; k0 += step {
		for r := lo; r < hi; r += stridedRows * height {
			end := min(r+stridedRows*height, hi)
			for panel := range j.panels() {
				j.inPlaceColumn(panel, r, end, height, k0, min(step, j.k-k0))
			}
		}
	}
}

// inPlaceColumn computes rows [lo, hi) of one panel, the reduction [k0, k0+k).
func (j *product) inPlaceColumn(panel, lo, hi, height, k0, k int) {
	cols := min(NR, j.n-panel*NR)
	tiles := j.pool.kern.strided.table(cols)
	b, ldb := j.rightPanel(panel, k0)
	rs, ks := j.left.Stride, 1
	if j.leftT {
		rs, ks = ks, rs
	}
	a, c, ldc := &j.left.Data[lo*rs+k0*ks], &j.y.Data[lo*j.y.Stride+panel*NR], j.y.Stride
	init, ldi := (*float32)(nil), ldc
	load := j.load || k0 > 0
	if !load && j.bias != nil {
		init, ldi = &j.bias[panel*NR], 0
	}
	for tile := tiles[min(height, hi-lo)]; ; {
		if load {
			init = c
		}
		tile(k, a, rs, ks, b, ldb, c, ldc, init, ldi, cols)
		if lo += height; lo >= hi {
			return
		}
		if lo+height > hi {
			tile = tiles[hi-lo]
		}
		a = (*float32)(unsafe.Add(unsafe.Pointer(a), 4*height*rs))
		c = (*float32)(unsafe.Add(unsafe.Pointer(c), 4*height*ldc))
	}
}

// stridedGo is a stridedFunc in plain Go. The conversion keeps compilers from fusing.
func stridedGo(rows, k int, a *float32, rs, ks int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi, cols int) {
	as := unsafe.Slice(a, (rows-1)*rs+(k-1)*ks+1)
	bs := unsafe.Slice(b, (k-1)*ldb+cols)
	cs := unsafe.Slice(c, (rows-1)*ldc+cols)
	for i := range rows {
		out := cs[i*ldc:][:cols]
		var acc [NR]float32
		if init != nil {
			copy(acc[:], unsafe.Slice(init, (rows-1)*ldi+cols)[i*ldi:][:cols])
		}
		for r := range k {
			x := as[i*rs+r*ks]
			for q, w := range bs[r*ldb:][:cols] {
				acc[q] += float32(x * w)
			}
		}
		copy(out, acc[:])
	}
}

func stridedGo1(k int, a *float32, rs, ks int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi, cols int) {
	stridedGo(1, k, a, rs, ks, b, ldb, c, ldc, init, ldi, cols)
}

func stridedGo2(k int, a *float32, rs, ks int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi, cols int) {
	stridedGo(2, k, a, rs, ks, b, ldb, c, ldc, init, ldi, cols)
}

func stridedGo3(k int, a *float32, rs, ks int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi, cols int) {
	stridedGo(3, k, a, rs, ks, b, ldb, c, ldc, init, ldi, cols)
}

func stridedGo4(k int, a *float32, rs, ks int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi, cols int) {
	stridedGo(4, k, a, rs, ks, b, ldb, c, ldc, init, ldi, cols)
}

// transposePartGo transposes some rows and columns of a block:
//
//	dst[c*ds+r] = src[r*ss+c]
func transposePartGo(dst *uint32, ds int, src *uint32, ss, rows, cols int) {
	transposeEdge(unsafe.Slice(dst, (cols-1)*ds+rows), ds, unsafe.Slice(src, (rows-1)*ss+cols), ss, rows, 0, cols)
}

// stridedGeneric is the variant in plain Go.
var stridedGeneric = stridedKernels{
	tiles: [maxMR + 1]stridedFunc{1: stridedGo1, 2: stridedGo2, 3: stridedGo3, 4: stridedGo4},
	part:  transposePartGo,
}
