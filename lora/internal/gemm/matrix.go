package gemm

// A variant may have tiles: registers of 16 rows of 64 bytes, of which one instruction
// multiplies two and adds to a third (AMX). A tile of the left factor is 16 rows of 32
// numbers in bfloat16, one of the right is 16 pairs along the reduction of 16 columns.
const (
	tileRows = 16
	tileK    = 32  // numbers along the reduction that one instruction takes
	matrixK  = 576 // longest reduction block: one of a panel stays in the nearest cache

	matrixCodesK = 1024 // longest reduction by codes of 8 bits that is one block: these take half the bytes

	matrixRows    = 2 * tileRows // of a kernel's block
	matrixBlocks  = 16           // reduction blocks packed at once
	matrixResting = 512          // rows whose block stays in the second-level cache
	matrixPanels  = 14           // most panels between which the result stays there too
	matrixCoded   = 10           // most panels that few rows of whole numbers meet in one piece
	streamAhead   = 8 << 10      // bytes by which few rows fetch their panels ahead of use
)

// tilesVariant is the name of the variant that has them.
const tilesVariant = "amxbf16"

// matrices is what such a variant has.
type matrices struct {
	// column holds the kernels by the tiles of rows and of columns that they take, less
	// one.
	column [2][2]matrixFunc

	integers integers

	half  [2]unpackHalfFunc // by bits
	zip   func(dst, src *uint32)
	pairs func(dst *uint32, even, odd *float32, n int) // a multiple of 16
}

// matrixFunc adds to blocks of rows, each of one or two tiles, one or two tiles wide, the
// product of steps times tileK numbers of rows and one block of a panel, both in pairs
// of bfloat16:
//
//	for i := range rows {
//		for j := range cols {
//			acc := from[i*ldfrom+j] // 0 if from is nil
//			for s := range steps {
//				acc += the sum of step s, see the package comment
//			}
//			c[i*ldc+j] = acc
//		}
//	}
//
// shape is a tileShape. Of what lies at ahead it asks for some lines in every step.
type matrixFunc func(shape *byte, blocks, steps int, a *float32, lda int, b *byte, from *float32, ldfrom int, c *float32, ldc int, ahead *byte, lines int)

// tileShape says how many rows and bytes a row the tiles of a kernel have (Intel,
// Software Developer's Manual, volume 1, section 18.2).
type tileShape [64]byte

// set makes the shape for blocks of rows × cols, at most two tiles each way.
func (s *tileShape) set(rows, cols int) {
	clear(s[:])
	s[0] = 1 // palette
	for t := range 2 {
		r, c := within(rows, t), within(cols, t)
		for u := range 2 {
			s.tile(2*t+u, r, within(cols, u))
		}
		s.tile(4+t, r, tileRows)
		s.tile(6+t, tileRows, c)
	}
}

// setIntegers makes the shape for sums of so many rows and whole panels, see integerFunc.
func (s *tileShape) setIntegers(rows int) {
	clear(s[:])
	s[0] = 1
	for t := range 8 {
		r := rows
		if t >= 6 {
			r = tileRows
		}
		s.tile(t, r, tileRows)
	}
}

// within returns how much of n lies in tile t.
func within(n, t int) int { return min(max(n-t*tileRows, 0), tileRows) }

// tile sets a tile's rows and words a row. A tile without either stays unused.
func (s *tileShape) tile(t, rows, words int) {
	if rows > 0 && words > 0 {
		s[16+2*t], s[48+t] = byte(4*words), byte(rows)
	}
}

// matrix reports whether tiles compute the product.
func (j *product) matrix() bool { return j.dot && j.pool.kern.dots.matrix != nil }

// matrixColumn is column for tiles.
func (j *product) matrixColumn(worker, r0, r1, block, panel int, right rightBlock, sums []float32) {
	w := &j.pool.workers[worker]
	cols, steps := min(NR, j.n-panel*NR), (2*right.k+tileK-1)/tileK
	for r := r0; r < r1; {
		rows, blocks := min(r1-r, matrixRows), max(1, (r1-r)/matrixRows)
		w.shape.set(rows, cols)
		from, ldfrom, to, ldto := j.sums(block, r, r0, panel, sums)
		ahead, lines := right.linesAhead(blocks * steps)
		kernel := j.pool.kern.dots.matrix.column[btoi(rows > tileRows)][btoi(cols > tileRows)]
		kernel(&w.shape[0], blocks, steps, j.leftRow(block, r), j.lda, right.data, from, ldfrom, to, ldto, ahead, lines)
		r += blocks * rows
	}
}

// linesAhead returns what a kernel of so many steps is to fetch, and how much in a step.
func (b *rightBlock) linesAhead(steps int) (ahead *byte, lines int) {
	const line = 64
	if b.stride != b.k*16 { // it is not in one piece
		return b.data, 0
	}
	return b.next, (b.pieces*b.stride/line + steps - 1) / steps
}
