package gemm

import "unsafe"

// The blocks of a product y[M,N] += left[M,K] · right[K,N].
//
// The reduction is cut into blocks of at most blockK; of a panel of the right
// factor, one block (blockK × NR) is held in the nearest cache while all rows of
// the left factor pass by. The left factor is first copied to rows of constant
// length leftStride, block by block, so that a kernel finds its rows at constant
// distances whatever the caller's stride.
const (
	blockK     = 384         // reduction block: a block of a panel is 48 KiB
	leftStride = blockK + 16 // not a power of two: rows fall on different sets of the cache
	maxBlocks  = 8           // reduction blocks packed at once
	maxRows    = 1024        // rows packed at once
	maxResting = 512         // rows whose block stays in the second-level cache

	noWiden   = 2            // up to so many row tiles, bfloat16 is widened in registers
	perWorker = 12           // pieces per worker that the scheduler aims at
	smallWork = 64 * 64 * 64 // multiplications below which one worker is enough
)

// source says where the right factor comes from.
type source int

const (
	panels               source = iota // packed float32, read in place
	panelsBF16                         // packed bfloat16
	panelsTransposed                   // packed float32, reduction over rows
	panelsBF16Transposed               // packed bfloat16, reduction over rows
	denseRows                          // plain [K, N]
	denseTransposed                    // plain [N, K]
)

// product is one matrix product in progress.
type product struct {
	pool        *Pool
	y           Dense   // [m, n]
	left        Dense   // [m, k], or [k, m] if leftT
	leftT       bool    //
	alpha, beta float32 //
	source      source
	w           *Packed // right factor of the packed sources
	first       int     // first row of w, a multiple of NR
	b           Dense   // right factor of the dense sources
	m, n, k     int
	leftCols    int // reduction length according to left

	// The part in progress: rows [row, row+rows), reduction [k0, k0+depth) in
	// blocks of step, and how the work is cut.
	row, rows int
	k0, depth int
	step      int
	load      bool // continue from y rather than from 0
	tall      int  // rows of a piece
}

// multiply checks and runs a product.
func (p *Pool) multiply(j product) {
	j.y.check()
	j.left.check()
	if j.leftCols != j.k || j.y.Rows != j.m || j.y.Cols != j.n {
		panic("gemm: shapes do not match")
	}
	if j.m == 0 || j.n == 0 {
		return
	}
	j.pool = p
	j.scale()
	p.job = j
	g := &p.job
	for g.k0 = 0; g.k0 < g.k; g.k0 += g.depth {
		g.depth = min(g.k-g.k0, maxBlocks*blockK)
		g.step = evenly(g.depth, blockK, NR)
		g.load = g.k0 > 0 || g.beta != 0
		for g.row = 0; g.row < g.m; g.row += g.rows {
			g.rows = min(g.m-g.row, maxRows)
			g.part()
		}
	}
	p.job = product{pool: p} // let go of the caller's memory
}

// scale prepares y for accumulation: beta other than 0 and 1 is applied here,
// and so is 0 where nothing will be summed.
func (j *product) scale() {
	if j.beta == 1 || j.beta == 0 && j.k > 0 {
		return
	}
	for i := range j.m {
		row := j.y.Row(i)
		if j.beta == 0 {
			clear(row)
			continue
		}
		j.pool.vec.Scale(row, j.beta, row)
	}
}

// evenly cuts n into the fewest blocks of at most limit and returns their common
// size, a multiple of unit (which divides limit).
func evenly(n, limit, unit int) int {
	blocks := (n + limit - 1) / limit
	size := (n + blocks - 1) / blocks
	return (size + unit - 1) / unit * unit
}

// blocks returns the number of reduction blocks of the part.
func (j *product) blocks() int { return (j.depth + j.step - 1) / j.step }

// panels returns the number of panels of the result.
func (j *product) panels() int { return (j.n + NR - 1) / NR }

// part packs the rows of the part and runs its tiles.
func (j *product) part() {
	p := j.pool
	if need := j.blocks() * j.rows * leftStride; len(p.packed) < need {
		p.packed = aligned(need)
	}
	mr := p.kern.mr
	if small := j.rows*j.n*j.depth < smallWork; small || len(p.workers) == 1 {
		j.tall = evenly(j.rows, max(maxResting/mr*mr, mr), mr)
		j.pack(0, 0, j.rows)
		j.run(0, 0, j.panels()*j.bands())
		return
	}
	j.cut(mr)
	p.For(j.rows, evenly(j.rows, max(j.rows/(4*len(p.workers)), mr), 1), p.packRows)
	pieces := j.panels() * j.bands()
	grain := max(pieces/(perWorker*len(p.workers)), 1)
	if j.bands() == 1 && j.rows <= mr {
		grain = (grain + 3) / 4 * 4 // whole groups for the wide kernels
	}
	p.For(pieces, min(grain, 16), p.runTiles)
}

// cut chooses the rows of a piece: as many as rest in the cache, fewer if there
// would not be enough pieces to go round.
func (j *product) cut(mr int) {
	limit := maxResting / mr * mr
	for want := perWorker * len(j.pool.workers); limit > 4*mr; limit = limit / 2 / mr * mr {
		if (j.rows+limit-1)/limit*j.panels() >= want {
			break
		}
	}
	j.tall = evenly(j.rows, max(limit, mr), mr)
}

// bands returns the number of row bands, each tall rows high.
func (j *product) bands() int { return (j.rows + j.tall - 1) / j.tall }

// run computes pieces [lo, hi); piece i is panel i%panels of band i/panels.
func (j *product) run(worker, lo, hi int) {
	n := j.panels()
	for lo < hi {
		band, panel := lo/n, lo%n
		end := min(n, panel+hi-lo)
		r0 := band * j.tall
		r1 := min(r0+j.tall, j.rows)
		if r1-r0 <= j.pool.kern.mr && j.inPlace(r1-r0) {
			j.thin(r0, r1, panel, end)
		} else {
			j.band(worker, r0, r1, panel, end)
		}
		lo += end - panel
	}
}

// inPlace reports whether the kernels read the right factor where it lies.
func (j *product) inPlace(rows int) bool {
	kern := j.pool.kern
	return j.source == panels ||
		j.source == panelsBF16 && kern.bf16[1] != nil && rows <= noWiden*kern.mr
}

// band computes rows [r0, r1) of panels [p0, p1): one reduction block after
// another, and under each block of a panel all row tiles.
func (j *product) band(worker, r0, r1, p0, p1 int) {
	for ; p0 < p1; p0 += groupPanels {
		j.group(worker, r0, r1, p0, min(p0+groupPanels, p1))
	}
}

// group is band for so few panels that the result stays in the cache from one
// reduction block to the next.
func (j *product) group(worker, r0, r1, p0, p1 int) {
	inPlace := j.inPlace(r1 - r0)
	for block := range j.blocks() {
		k := min(j.step, j.depth-block*j.step)
		for panel := p0; panel < p1; panel++ {
			k0 := j.k0 + block*j.step
			right := rightBlock{k: k, data: j.layOut(worker, inPlace, panel, k0, k)}
			right.bf16 = inPlace && j.source == panelsBF16
			j.comingUp(&right, panel+1, k0)
			j.column(r0, r1, block, panel, right)
		}
	}
}

// rightBlock is one block of a panel of the right factor.
type rightBlock struct {
	k     int
	data  *byte // [k][NR], or [k/2][NR][2]
	bf16  bool
	next  *byte // what will be read after it, or nil
	bytes int   // size of next
}

// comingUp notes the block of the following panel, so that it can be fetched
// from memory while this one is in use.
func (j *product) comingUp(b *rightBlock, panel, k0 int) {
	if panel >= j.panels() || j.source != panels && j.source != panelsBF16 {
		return
	}
	b.next, b.bytes = j.resident(panel, k0), b.k*NR*4
	if j.source == panelsBF16 {
		b.bytes /= 2
	}
}

// ahead returns what tile i of a column is to fetch: each tile fetches a quarter
// of a line for each k, as long as there is something to fetch.
func (b *rightBlock) ahead(i int) *byte {
	if at := i * b.k * 16; at < b.bytes {
		return (*byte)(unsafe.Add(unsafe.Pointer(b.next), at))
	}
	return b.data
}

// column runs the row tiles [r0, r1) against one block of a panel.
func (j *product) column(r0, r1, block, panel int, right rightBlock) {
	kern := j.pool.kern
	cols := min(NR, j.n-panel*NR)
	tiles := kern.tiles(right.bf16, cols)
	load := btoi(j.load || block > 0)
	for i, r := 0, r0; r < r1; i, r = i+1, r+kern.mr {
		tile := tiles[min(kern.mr, r1-r)]
		tile(right.k, j.leftRow(block, r), right.data, j.out(r, panel), j.y.Stride, cols, load, right.ahead(i))
	}
}

// thin computes the few rows [r0, r1) of panels [p0, p1), each panel in full
// before the next: the right factor is read once, in the order of memory.
func (j *product) thin(r0, r1, p0, p1 int) {
	kern, rows := j.pool.kern, r1-r0
	wide, group := kern.wideTile(j.source == panelsBF16, rows)
	whole := j.n / NR // panels without missing columns
	for panel := p0; panel < p1; {
		if wide == nil || panel+group > min(p1, whole) {
			j.deep(r0, r1, panel)
			panel++
			continue
		}
		for block := range j.blocks() {
			k0 := block * j.step
			right := j.resident(panel, j.k0+k0)
			wide(min(j.step, j.depth-k0), j.leftRow(block, r0), right, j.panelBytes(), j.out(r0, panel), j.y.Stride, btoi(j.load || block > 0))
		}
		panel += group
	}
}

// deep computes rows [r0, r1) of one panel, all reduction blocks.
func (j *product) deep(r0, r1, panel int) {
	for block := range j.blocks() {
		k0 := block * j.step
		right := rightBlock{k: min(j.step, j.depth-k0), data: j.resident(panel, j.k0+k0), bf16: j.source == panelsBF16}
		j.column(r0, r1, block, panel, right)
	}
}

// leftRow returns the packed row r of a reduction block.
func (j *product) leftRow(block, r int) *float32 {
	return &j.pool.packed[(block*j.rows+r)*leftStride]
}

// out returns the first element of row r of the part in a panel of the result.
func (j *product) out(r, panel int) *float32 {
	return &j.y.Data[(j.row+r)*j.y.Stride+panel*NR]
}

// panelBytes returns the distance of two panels of w in memory.
func (j *product) panelBytes() int {
	if j.source == panelsBF16 {
		return j.w.depth * NR * 2
	}
	return j.w.depth * NR * 4
}

// resident returns where the block of a panel that begins at k0 lies in w.
func (j *product) resident(panel, k0 int) *byte {
	at := (j.first+panel*NR)*j.w.depth + k0*NR
	if j.source == panelsBF16 {
		return (*byte)(unsafe.Pointer(&j.w.bf16[at/2]))
	}
	return (*byte)(unsafe.Pointer(&j.w.f32[at]))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

var groupPanels = 4
