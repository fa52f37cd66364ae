package gemm

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
	maxResting = 264         // rows whose block stays in the second-level cache

	maxCoded    = 8            // up to so many rows, codes are expanded in registers
	codedStep   = 128          // reduction block of codes for few rows
	sharedStep  = 128          // reduction block of two tiles that share in fetching
	groupPanels = 4            // most panels between which the result stays in that cache
	noWiden     = 2            // up to so many row tiles, bfloat16 is widened in registers
	perWorker   = 12           // pieces per worker that the scheduler aims at
	smallWork   = 64 * 64 * 64 // multiplications below which one worker is enough
)

// source says where the right factor comes from.
type source int

const (
	panels                source = iota // packed float32, read in place
	panelsBF16                          // packed bfloat16
	panelsTransposed                    // packed float32, reduction over rows
	panelsBF16Transposed                // packed bfloat16, reduction over rows
	panelsQuant                         // packed codes
	panelsQuantTransposed               // packed codes, reduction over rows
	denseRows                           // plain [K, N]
	denseTransposed                     // plain [N, K]
)

// product is one matrix product in progress.
type product struct {
	pool        *Pool
	y           Dense   // [m, n]
	left        Dense   // [m, k], or [k, m] if leftT
	leftT       bool    //
	alpha, beta float32 //
	source      source
	dot         bool      // both factors in pairs of bfloat16
	w           *Packed   // right factor of the packed sources
	first       int       // first row of w, a multiple of NR
	b           Dense     // right factor of the dense sources
	bias        []float32 // instead of y, what the sums begin with; or nil
	tail        tail      // what they end with
	m, n, k     int
	leftCols    int // reduction length according to left

	// The part in progress: rows [row, row+rows), reduction [k0, k0+depth) in
	// blocks of step, and how the work is cut.
	row, rows int
	k0, depth int
	step      int
	load      bool // continue from y rather than from 0
	lda       int  // words between the packed rows
	tall      int  // rows of a band
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
	if j.inReach() {
		p.strided(j)
		return
	}
	j.scale()
	if j.bias != nil && j.k == 0 {
		j.begin(0, j.m, 0, j.panels())
	}
	j.dot = j.ofPairs()
	p.job = j
	g := &p.job
	for g.k0 = 0; g.k0 < g.k; g.k0 += g.depth {
		g.depth = min(g.k-g.k0, g.reach())
		g.step = evenly(g.depth, g.blockLimit(), g.blockUnit())
		g.load = g.k0 > 0 || g.beta != 0 && g.bias == nil
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

// blockLimit returns the longest reduction block: a longer one for pairs, a shorter one
// where codes are expanded in memory for few rows, or two tiles share a block of a panel,
// so that it stays in the nearest cache.
func (j *product) blockLimit() int {
	kern := j.pool.kern
	switch {
	case j.fewRows():
		return j.reach()
	case j.integers() && j.w.quant.form == codes8 && j.k <= matrixCodesK:
		return matrixCodesK
	case j.matrix():
		return matrixK
	case j.dot:
		return pairK
	case j.source == panelsQuant && j.m <= kern.mr && (j.m > maxCoded || kern.coded[0][j.w.quant.form][j.m] == nil):
		return codedStep
	case j.shares(j.m):
		return sharedStep
	}
	return blockK
}

// reach returns the longest reduction whose rows are packed at once.
func (j *product) reach() int {
	if j.matrix() {
		return matrixBlocks * matrixK
	}
	return maxBlocks * max(blockK, j.blockLimit())
}

// blockUnit divides all reduction blocks but the last.
func (j *product) blockUnit() int {
	if j.source == panelsQuant {
		return ScaleBlock
	}
	return NR
}

// ofCodes reports whether the right factor is of codes.
func (j *product) ofCodes() bool { return j.source == panelsQuant || j.source == panelsQuantTransposed }

// blocks returns the number of reduction blocks of the part.
func (j *product) blocks() int { return (j.depth + j.step - 1) / j.step }

// panels returns the number of panels of the result.
func (j *product) panels() int { return (j.n + NR - 1) / NR }

// part packs the rows of the part and runs its tiles.
func (j *product) part() {
	p := j.pool
	j.lda = j.leftStride()
	if need := j.blocks() * j.rows * j.lda; len(p.packed) < need {
		p.packed = aligned(need)
	}
	j.growUnits()
	if need := j.rows * leftStride; j.ends() && len(p.tail) < need {
		p.tail = aligned(need)
	}
	if small := j.rows*j.n*j.depth < smallWork; small || len(p.workers) == 1 {
		high, resting := j.tiling()
		j.tall = evenly(j.rows, max(resting/high*high, high), high)
		p.workers[0].grow(j.groupPanels() * j.tall * NR)
		j.pack(0, 0, j.rows)
		j.units(0, 0, j.panels()*j.bands())
		return
	}
	j.cut()
	for i := range p.workers {
		p.workers[i].grow(j.groupPanels() * j.tall * NR)
	}
	p.For(j.rows, evenly(j.rows, max(j.rows/(4*len(p.workers)), p.kern.mr), 1), p.packRows)
	p.pieces = j.deal(p.pieces[:0])
	p.For(len(p.pieces)-1, 1, p.runTiles)
}

// deal cuts the units into pieces, and appends where each begins, and the end: the first
// are whole groups of panels, the others ever smaller, so that all workers end together.
func (j *product) deal(pieces []int) []int {
	units, workers, most := j.panels()*j.bands(), len(j.pool.workers), j.groupPanels()
	at := 0
	for at < units {
		pieces = append(pieces, at)
		at += min(max((units-at)/(2*workers), 1), most)
	}
	return append(pieces, units)
}

// run computes pieces [lo, hi).
func (j *product) run(worker, lo, hi int) {
	j.units(worker, j.pool.pieces[lo], j.pool.pieces[hi])
}

// leftStride returns the words between packed rows: such that neighbours fall on different
// sets of the cache.
func (j *product) leftStride() int {
	if j.matrix() {
		lines := (j.step/2 + tileRows - 1) / tileRows
		return (lines | 1) * tileRows
	}
	return leftStride
}

// tiling returns the height of a tile, and how many rows rest in the second-level cache.
func (j *product) tiling() (high, resting int) {
	if j.matrix() {
		return matrixRows, matrixResting
	}
	return j.pool.kern.mr, maxResting
}

// groupPanels returns the panels between which the result stays in that cache.
func (j *product) groupPanels() int {
	switch {
	case j.fewRows():
		return matrixCoded
	case j.matrix():
		return matrixPanels
	}
	return groupPanels
}

// cut chooses the rows of a band: as many as rest in the cache, fewer if there
// would not be enough pieces to go round.
func (j *product) cut() {
	high, resting := j.tiling()
	limit := resting / high * high
	for want := perWorker * len(j.pool.workers); limit > 4*high; limit = limit / 2 / high * high {
		if (j.rows+limit-1)/limit*j.panels() >= want {
			break
		}
	}
	j.tall = evenly(j.rows, max(limit, high), high)
}

// bands returns the number of row bands, each tall rows high.
func (j *product) bands() int { return (j.rows + j.tall - 1) / j.tall }
