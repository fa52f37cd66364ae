package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// Attention on the CPU goes through the keys in blocks and keeps, for each query row
// and head, the maximum and the sum of a running soft-max (Milakov and Gimelshein,
// 2018; Dao et al., 2022). A piece of work is a range of query rows for one key head:
// the heads that share it stand below one another in a matrix [rows · group, HeadDim],
// so that each block of keys is read once for all of them, and once for all branches
// of the tree that see it.
//
// A block is an interval of depths: keysPerBlock consecutive keys of a path, from
// whatever nodes they come. What a row adds up, and in which order, follows from the
// keys on its path alone, however the path is cut into nodes.

// keysPerBlock is the number of keys in a block.
const keysPerBlock = 128

// packedRows is the number of packed query rows (rows · group) that a piece aims at.
const packedRows = 192

// splitPackedRows is that of split factors, for which each piece lays out all keys anew.
const splitPackedRows = 384

// attendScratch is a worker's memory for one piece.
type attendScratch struct {
	q, o []float32 // [rows·group, HeadDim]: queries / sqrt(HeadDim), and what is summed
	p    []float32 // [rows·group, keysPerBlock]
	top  []float32 // of each packed row: the maximum so far
	sum  []float64 // and the sum
	seen []int     // of each row: the keys of the block, or of the interval, that it sees

	split attendSplit
}

// grow makes room for a number of packed rows.
func (a *attendScratch) grow(rows, dim int) {
	a.q, a.o, a.p = grow(a.q, rows*dim), grow(a.o, rows*dim), grow(a.p, rows*keysPerBlock)
	a.top, a.sum, a.seen = grow(a.top, rows), grow(a.sum, rows), grow(a.seen, rows)
}

// reserve makes room for pieces of a number of packed rows on every worker, so that
// it does not matter which of them gets a piece first. A product of as many rows does
// it for the memory of the products.
func (e *cpuEngine) reserve(rows, dim int) {
	if rows <= e.reserved[0] && dim <= e.reserved[1] {
		return
	}
	rows, dim = max(rows, e.reserved[0], keysPerBlock), max(dim, e.reserved[1])
	e.reserved = [2]int{rows, dim}
	for i := range e.workers {
		w := &e.workers[i]
		w.attend.grow(rows, dim)
		column := gemm.View(w.attend.o[:rows], rows, 1)
		gemm.Gemm(false, false, 1, column, gemm.View(w.attend.top[:1], 1, 1), 0, gemm.View(w.attend.p[:rows], rows, 1), w.gemm)
	}
}

// keyBlock is up to keysPerBlock keys of one node.
type keyBlock struct {
	node   int
	k0, k1 int // in the node
}

// attendPiece is one piece of work in progress: rows [r0, r1) for one key head.
type attendPiece struct {
	e      *cpuEngine
	args   *cpuArgs
	w      *cpuWorker
	head   int // key head
	group  int // query heads that share it
	dim    int
	width  int // of a packed row: dim, or more
	r0, r1 int
	split  bool // by split factors
}

// Attention over the keys that the tree shows to each row.
func (e *cpuEngine) Attention(o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttention(o, lse, q, k, v, t, s)
	e.layout.set(t, q.Rows)
	e.args.v = [10]View{o, lse, q, k, v}
	e.args.tree, e.args.shape = t, s
	e.args.n = e.pieceRows(q.Rows, s)
	if rows := e.args.n * s.Heads / s.KVHeads; e.splits(s) {
		e.reserveAttendSplit(rows, s.HeadDim)
	} else {
		e.reserve(rows, s.HeadDim)
	}
	pieces := (q.Rows + e.args.n - 1) / e.args.n
	e.each(pieces*s.KVHeads, pieceSize, attendForward)
}

// pieceRows chooses the query rows of a piece: enough for the matrix products, and
// few enough that every worker has several pieces. The choice shows in no result.
func (e *cpuEngine) pieceRows(rows int, s HeadShape) int {
	group, workers := s.Heads/s.KVHeads, e.pool.Workers()
	if e.splits(s) {
		pieces := (rows*group + splitPackedRows - 1) / splitPackedRows
		pieces = max(pieces, (workers+s.KVHeads-1)/s.KVHeads)
		return max(1, (rows+pieces-1)/pieces)
	}
	most := max(1, packedRows/group)
	least := max(1, packedRows/4/group)
	fair := rows * s.KVHeads / (4 * workers)
	return min(most, max(least, fair))
}

// attendForward computes pieces [lo, hi).
func attendForward(e *cpuEngine, worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		p := e.piece(worker, i)
		p.packQueries()
		p.start()
		if p.split {
			p.splitQueries()
		}
		for depth := 0; depth < p.deepest(); depth += keysPerBlock {
			p.interval(depth)
		}
		p.finish()
	}
}

// piece describes piece i of the operation: its key head varies slowest.
func (e *cpuEngine) piece(worker, i int) attendPiece {
	a := &e.args
	s, rows := a.shape, a.v[2].Rows
	pieces := (rows + a.n - 1) / a.n
	p := attendPiece{
		e: e, args: a, w: &e.workers[worker],
		head: i / pieces, group: s.Heads / s.KVHeads, dim: s.HeadDim,
		width: s.HeadDim, split: e.splits(s),
		r0: i % pieces * a.n,
	}
	if p.split {
		p.width = wholeSteps(s.HeadDim)
	}
	p.r1 = min(p.r0+a.n, rows)
	return p
}

// heads returns the group's columns of row r.
func (p *attendPiece) heads(v View, r int) []float32 {
	n := p.group * p.dim
	return row(v, r)[p.head*n:][:n]
}

// packQueries copies the piece's queries, divided by sqrt(HeadDim).
func (p *attendPiece) packQueries() {
	factor := float32(1 / math.Sqrt(float64(p.dim)))
	n := p.group * p.width
	for r := p.r0; r < p.r1; r++ {
		to, from := p.w.attend.q[(r-p.r0)*n:][:n], p.heads(p.args.v[2], r)
		if p.width == p.dim {
			p.e.vec.Scale(to, factor, from)
			continue
		}
		clear(to)
		for g := range p.group {
			p.e.vec.Scale(to[g*p.width:][:p.dim], factor, from[g*p.dim:])
		}
	}
}

// start begins the running soft-max of every packed row.
func (p *attendPiece) start() {
	a := &p.w.attend
	n := (p.r1 - p.r0) * p.group
	clear(a.o[:n*p.width])
	clear(a.sum[:n])
	for i := range a.top[:n] {
		a.top[i] = float32(math.Inf(-1))
	}
}

// rowsOf returns the piece's rows in a node's subtree.
func (p *attendPiece) rowsOf(node int) (lo, hi int) {
	l := &p.e.layout
	if l.rows[node] == 0 {
		return 0, 0
	}
	return max(p.r0, int(l.first[node])), min(p.r1, int(l.end[node]))
}

// deepest returns the length of the longest path that ends in the piece.
func (p *attendPiece) deepest() int {
	most := 0
	for i, n := range p.args.tree {
		if lo, hi := p.rowsOf(i); lo < hi {
			most = max(most, int(p.e.layout.depth[i]+n.Len))
		}
	}
	return most
}

// overlap returns the keys of a node whose depth is in the interval that begins at a
// depth, with the rows that see them.
func (p *attendPiece) overlap(node, depth int) (b keyBlock, lo, hi int) {
	lo, hi = p.rowsOf(node)
	from := depth - int(p.e.layout.depth[node])
	b = keyBlock{node, max(0, from), min(int(p.args.tree[node].Len), from+keysPerBlock)}
	if b.k0 >= b.k1 {
		return b, 0, 0
	}
	return b, lo, hi
}

// interval takes the keys from a depth on, keysPerBlock of each path, into the rows.
func (p *attendPiece) interval(depth int) {
	for n := range p.args.tree {
		if b, lo, hi := p.overlap(n, depth); lo < hi {
			p.score(b, lo, hi, depth)
		}
	}
	for r := p.r0; r < p.r1; r++ {
		seen := p.seenFrom(r, depth)
		for g := range p.group {
			p.soften((r-p.r0)*p.group+g, seen)
		}
	}
	if p.split {
		p.splitGather(depth)
		return
	}
	for n := range p.args.tree {
		if b, lo, hi := p.overlap(n, depth); lo < hi {
			p.gather(b, lo, hi, depth)
		}
	}
}

// seenFrom returns the number of keys that row r sees in the interval that begins at
// a depth.
func (p *attendPiece) seenFrom(r, depth int) int {
	i := p.e.layout.owner[r]
	if i < 0 {
		return 0
	}
	n := p.args.tree[i]
	own := int(p.e.layout.depth[i]+n.Len-n.Rows) + r - int(n.Q)
	return max(0, min(keysPerBlock, own+1-depth))
}

// countSeen sets the number of the block's keys that each row sees, and returns the
// most and the least.
func (p *attendPiece) countSeen(b keyBlock, lo, hi int) (most, least int) {
	n, all := p.args.tree[b.node], b.k1-b.k0
	least = all
	for r := lo; r < hi; r++ {
		seen := all
		if int(p.e.layout.owner[r]) == b.node {
			seen = max(0, min(all, int(n.Len-n.Rows)+r-int(n.Q)+1-b.k0))
		}
		p.w.attend.seen[r-p.r0] = seen
		most, least = max(most, seen), min(least, seen)
	}
	return most, least
}

// keys returns n rows of k or v from the block's first on, the piece's head.
func (p *attendPiece) keys(v View, b keyBlock, n int) gemm.Dense {
	first := int(p.args.tree[b.node].KV) + b.k0
	return dense(v.RowRange(first, first+n).ColRange(p.head*p.dim, (p.head+1)*p.dim))
}

// packed returns packed rows [lo, hi) (of query rows) of a scratch matrix.
func (p *attendPiece) packed(data []float32, lo, hi, cols, stride int) gemm.Dense {
	from, n := (lo-p.r0)*p.group, (hi-lo)*p.group
	return gemm.Dense{Data: data[from*stride:][:n*stride], Rows: n, Cols: cols, Stride: stride}
}

// columns returns the part of the piece's scores that belongs to n keys of a block.
func (p *attendPiece) columns(b keyBlock, lo, hi, depth, n int) gemm.Dense {
	at := int(p.e.layout.depth[b.node]) + b.k0 - depth
	m := p.packed(p.w.attend.p, lo, hi, n, keysPerBlock)
	m.Data = m.Data[at:]
	return m
}

// score computes the scores of one block of keys for rows [lo, hi).
func (p *attendPiece) score(b keyBlock, lo, hi, depth int) {
	most, _ := p.countSeen(b, lo, hi)
	switch {
	case most == 0:
	case p.split:
		p.splitScore(b, lo, hi, depth, most)
	default:
		gemm.Gemm(false, true, 1, p.packed(p.w.attend.q, lo, hi, p.dim, p.dim), p.keys(p.args.v[3], b, most), 0,
			p.columns(b, lo, hi, depth, most), p.w.gemm)
	}
}

// gather adds the block's values, weighted, to rows [lo, hi).
func (p *attendPiece) gather(b keyBlock, lo, hi, depth int) {
	most, least := p.countSeen(b, lo, hi)
	if most == 0 {
		return
	}
	a := &p.w.attend
	values := p.keys(p.args.v[4], b, most)
	if least == most || finite(values) {
		gemm.Gemm(false, false, 1, p.columns(b, lo, hi, depth, most), values, 1, p.packed(a.o, lo, hi, p.dim, p.dim), p.w.gemm)
		return
	}
	// A zero probability times an infinite value is not zero: row by row.
	for r := lo; r < hi; r++ {
		n := a.seen[r-p.r0]
		gemm.Gemm(false, false, 1, p.columns(b, r, r+1, depth, n), p.keys(p.args.v[4], b, n), 1,
			p.packed(a.o, r, r+1, p.dim, p.dim), p.w.gemm)
	}
}

// soften turns the scores of packed row i into probabilities relative to the running
// maximum, and rescales what the row has summed so far. Keys from seen on get 0.
func (p *attendPiece) soften(i, seen int) {
	a := &p.w.attend
	s := a.p[i*keysPerBlock:][:keysPerBlock]
	clear(s[seen:])
	s = s[:seen]
	if seen == 0 {
		return
	}
	if top := p.e.vec.Max(s); top > a.top[i] {
		c := math.Exp(float64(a.top[i]) - float64(top))
		a.sum[i] *= c
		o := a.o[i*p.width:][:p.dim]
		p.e.vec.Scale(o, float32(c), o)
		a.top[i] = top
	}
	a.sum[i] += float64(p.e.vec.ExpSum(s, s, a.top[i]))
}

// finish divides by the denominators and writes the rows that nodes claim.
func (p *attendPiece) finish() {
	a := &p.w.attend
	for r := p.r0; r < p.r1; r++ {
		if p.e.layout.owner[r] < 0 {
			continue
		}
		out, lse := p.heads(p.args.v[0], r), row(p.args.v[1], r)[p.head*p.group:]
		for g := range p.group {
			i := (r-p.r0)*p.group + g
			lse[g] = float32(float64(a.top[i]) + math.Log(a.sum[i]))
			p.e.vec.Scale(out[g*p.dim:][:p.dim], float32(1/a.sum[i]), a.o[i*p.width:])
		}
	}
}

// finite reports whether m holds neither NaN nor Inf.
func finite(m gemm.Dense) bool {
	const exponent = 0x7f800000
	for i := range m.Rows {
		for _, x := range m.Row(i) {
			if math.Float32bits(x)&exponent == exponent {
				return false
			}
		}
	}
	return true
}
