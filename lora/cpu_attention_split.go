package lora

import "github.com/socialrl/socialrl/lora/internal/gemm"

// Attention by split factors, where the processor has tiles and the shape is relaxed.
// Scores are products of rows of queries and columns of keys. The values that a row sums
// up in an interval of depths are laid out by their depth, from whatever nodes they come,
// so that a product's steps are the same however the path is cut; rows whose paths go
// through the interval in the same way share them.

// attendSplit is a worker's memory for split factors of a piece.
type attendSplit struct {
	q, p       []float32 // left factors: queries, probabilities
	k, v       []float32 // right factors: keys of a block, values of an interval
	tile, zero []float32 // [splitBlock, width]; [width]
	words      []uint32
	queries    gemm.Left
	rows       [keysPerBlock][]float32 // of values, by depth in the interval
}

// reserveAttendSplit makes room for pieces of a number of packed rows on every worker, so
// that it does not matter which of them gets a piece first.
func (e *cpuEngine) reserveAttendSplit(rows, dim int) {
	width := wholeSteps(dim)
	e.reserve(rows, width)
	if rows <= e.reservedAttend[0] && width <= e.reservedAttend[1] {
		return
	}
	rows, width = max(rows, e.reservedAttend[0]), max(width, e.reservedAttend[1])
	e.reservedAttend = [2]int{rows, width}
	for i := range e.workers {
		s := &e.workers[i].attend.split
		s.q, s.p = grow(s.q, gemm.LeftSize(rows, width)), grow(s.p, gemm.LeftSize(rows, keysPerBlock))
		s.k, s.v = grow(s.k, gemm.RightSize(width, keysPerBlock)), grow(s.v, gemm.RightSize(keysPerBlock, width))
		s.tile, s.zero, s.words = grow(s.tile, splitBlock*width), grow(s.zero, width), grow(s.words, splitBlock*width)
	}
}

// packedCount returns the number of the piece's packed rows.
func (p *attendPiece) packedCount() int { return (p.r1 - p.r0) * p.group }

// splitQueries lays out the piece's packed queries.
func (p *attendPiece) splitQueries() {
	a := &p.w.attend
	a.split.queries = gemm.NewLeft(a.split.q, p.packedCount(), p.width)
	p.w.gemm.SplitRows(&a.split.queries, 0, gemm.View(a.q[:p.packedCount()*p.width], p.packedCount(), p.width))
}

// splitScore computes the scores of the first keys of a block for rows [lo, hi).
func (p *attendPiece) splitScore(b keyBlock, lo, hi, depth, keys int) {
	s := &p.w.attend.split
	right, from := gemm.NewRight(s.k, p.width, keys), p.keys(p.args.v[3], b, keys)
	for at := 0; at < keys; at += splitBlock {
		p.w.gemm.SplitColumns(&right, at/splitBlock, p.padded(from, at), s.words)
	}
	first, n := (lo-p.r0)*p.group, (hi-lo)*p.group
	queries := s.queries.Part(first, n, p.width)
	to := p.columns(b, lo, hi, depth, keys)
	p.w.gemm.MulSplit(to.Data, to.Stride, splitBlock, &queries, &right, 0, 0, keys, false)
}

// padded returns splitBlock rows of x from a row on, width numbers each: where they lie, or
// in the worker's memory with zeros for what is missing.
func (p *attendPiece) padded(x gemm.Dense, at int) gemm.Dense {
	if at+splitBlock <= x.Rows && x.Cols == p.width {
		return gemm.Dense{Data: x.Data[at*x.Stride:], Rows: splitBlock, Cols: x.Cols, Stride: x.Stride}
	}
	tile := gemm.View(p.w.attend.split.tile[:splitBlock*p.width], splitBlock, p.width)
	clear(tile.Data)
	for i := range min(splitBlock, x.Rows-at) {
		copy(tile.Row(i), x.Row(at+i))
	}
	return tile
}

// splitGather adds the values of the interval that begins at a depth, weighted, to the
// rows that see them.
func (p *attendPiece) splitGather(depth int) {
	a := &p.w.attend
	n := p.packedCount()
	weights := gemm.NewLeft(a.split.p, n, keysPerBlock)
	p.w.gemm.SplitRows(&weights, 0, gemm.View(a.p[:n*keysPerBlock], n, keysPerBlock))
	for node, t := range p.args.tree {
		start, stop := int(p.e.layout.depth[node]), int(p.e.layout.depth[node]+t.Len)
		if start >= depth+keysPerBlock || stop <= depth {
			continue
		}
		lo, hi := p.rowsOf(node)
		if stop < depth+keysPerBlock { // the rows below have values of their own
			lo, hi = max(p.r0, int(t.Q)), min(p.r1, int(t.Q+t.Rows))
		}
		if lo < hi {
			p.splitValues(&weights, node, lo, hi, depth)
		}
	}
	clear(a.split.rows[:]) // what holds them may be given up
}

// splitValues adds the values that rows [lo, hi), whose paths go through a node at the end
// of the interval, see in it.
func (p *attendPiece) splitValues(weights *gemm.Left, node, lo, hi, depth int) {
	most, least := 0, keysPerBlock
	for r := lo; r < hi; r++ {
		seen := p.seenFrom(r, depth)
		most, least = max(most, seen), min(least, seen)
	}
	if most == 0 {
		return
	}
	p.valueRows(node, depth, most)
	if p.finiteFrom(least, most) {
		p.addValues(weights, lo, hi, most)
		return
	}
	// A zero probability times an infinite value is not zero: row by row.
	for r := lo; r < hi; r++ {
		p.addValues(weights, r, r+1, p.seenFrom(r, depth))
	}
}

// valueRows finds the first n values of the interval on the path through a node.
func (p *attendPiece) valueRows(node, depth, n int) {
	for at := n; at > 0; node = int(p.args.tree[node].Parent) {
		start := int(p.e.layout.depth[node]) - depth
		for ; at > max(start, 0); at-- {
			r := int(p.args.tree[node].KV) + at - 1 - start
			p.w.attend.split.rows[at-1] = row(p.args.v[4], r)[p.head*p.dim:][:p.dim]
		}
	}
}

// finiteFrom reports whether values [lo, hi) of the interval hold neither NaN nor Inf.
func (p *attendPiece) finiteFrom(lo, hi int) bool {
	for _, x := range p.w.attend.split.rows[lo:max(lo, hi)] {
		if !finite(gemm.View(x, 1, len(x))) {
			return false
		}
	}
	return true
}

// addValues adds the first n values of the interval, weighted, to rows [lo, hi).
func (p *attendPiece) addValues(weights *gemm.Left, lo, hi, n int) {
	a := &p.w.attend
	s := &a.split
	right := gemm.NewRight(s.v, keysPerBlock, p.width)
	for i := range wholeSteps(n) / 2 {
		p.w.gemm.SplitPairs(&right, i, p.value(2*i, n), p.value(2*i+1, n))
	}
	first, rows := (lo-p.r0)*p.group, (hi-lo)*p.group
	part := weights.Part(first, rows, n)
	p.w.gemm.MulSplit(a.o[first*p.width:], p.width, splitBlock, &part, &right, 0, 0, p.width, true)
}

// value returns value i of the first n of the interval, zeros behind them. Where it is
// copied, neighbours lie in different places.
func (p *attendPiece) value(i, n int) []float32 {
	s := &p.w.attend.split
	switch {
	case i >= n:
		return s.zero[:p.width]
	case p.width == p.dim:
		return s.rows[i]
	}
	to := s.tile[i%2*p.width:][:p.width]
	clear(to[copy(to, s.rows[i]):])
	return to
}
