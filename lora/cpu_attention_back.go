package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// The gradient of attention works on tiles of scores that stand on their side: a
// block of keys by a range of packed query rows (rows and the heads that share a key
// head, as in the forward pass). On its side a tile is, without being turned, the
// left factor of the products that give dk and dv, and the soft-max of each row is a
// column, so that one vector pass turns scores into gradients. Probabilities are
// computed again from lse.
//
// All sums run over keys, or over rows, in their order along the tree, one by one:
// how the work is cut into tiles and tasks shows in no bit.

// packedBack is the number of packed query rows of a tile.
const packedBack = 256

// backViews are the arguments of AttentionBack, and copies in the arena that give
// each key head a matrix of its own: [KVHeads · rows · group, HeadDim] and, for
// numbers of which each row and head has one, [KVHeads, rows · group].
type backViews struct {
	k, v, dk, dv View
	q, do, dq    View // q and dq without their factor 1/sqrt(HeadDim)
	lse, d       View // d[row, head] = Σ_j do[j]·o[j]

	split splitViews // of engines with split factors, in place of the two lines before
}

// AttentionBack is the gradient of Attention. Where there are enough trees and key
// heads to go round, a task is a tree and a head, and each tile is computed once, in
// five products; otherwise one pass over blocks of keys gives dk and dv and another
// over query rows dq.
func (e *cpuEngine) AttentionBack(dq, dk, dv, do, o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttentionBack(dq, dk, dv, do, o, lse, q, k, v, t, s)
	e.layout.set(t, q.Rows)
	mark := e.Mark()
	args := cpuArgs{v: [10]View{dq, do, o, lse, q}, tree: t, shape: s}
	if e.splits(s) {
		args.back = backViews{k: k, v: v, dk: dk, dv: dv}
		e.splitBack(args)
	} else {
		args.back = e.backViews(q.Rows, s)
		args.back.k, args.back.v, args.back.dk, args.back.dv = k, v, dk, dv
		e.plainBack(args, q)
	}
	e.Reset(mark)
}

// plainBack is AttentionBack by products of float32.
func (e *cpuEngine) plainBack(args cpuArgs, q View) {
	t, s := args.tree, args.shape
	e.reserveBack(s.HeadDim, s.Heads)
	e.args = args
	e.each(q.Rows, q.Cols, attendBackPrepare)
	e.backTasks(args, backPieces(q.Rows, s), t, s)
	e.args = args
	e.each(q.Rows, q.Cols, attendBackFinish)
}

// backTasks computes all gradients once what tasks read is laid out; pieces is the number
// of ranges of packed rows.
func (e *cpuEngine) backTasks(args cpuArgs, pieces int, t Tree, s HeadShape) {
	e.args = args
	if trees := len(e.backTrees(t)); e.worthWhole(trees * s.KVHeads) {
		e.each(trees*s.KVHeads, pieceSize, attendBackTrees)
		return
	}
	e.backBlocks(t)
	e.each(len(e.units)*s.KVHeads, pieceSize, attendBackKeys)
	e.args = args
	e.each(pieces*s.KVHeads, pieceSize, attendBackQueries)
}

// backViews makes room in the arena.
func (e *cpuEngine) backViews(rows int, s HeadShape) backViews { return backRoom(e, rows, s) }

// backRoom makes room for backViews in an arena.
func backRoom(m arena, rows int, s HeadShape) backViews {
	n := rows * s.Heads / s.KVHeads
	matrix := func() View { return m.Temp(s.KVHeads*n, s.HeadDim) }
	vector := func() View { return m.Temp(s.KVHeads, n) }
	return backViews{q: matrix(), do: matrix(), dq: matrix(), lse: vector(), d: vector()}
}

// tileScratch is a worker's memory for tiles.
type tileScratch struct {
	p, dp  []float32 // [keysPerBlock, packedBack]
	dk, dv []float32 // [keysPerBlock, HeadDim]
	sums   []float64 // of each head of a row
}

// reserveBack makes room for tiles on every worker, so that it does not matter which
// of them gets a task first. A product of the largest size does it for the memory of
// the products.
func (e *cpuEngine) reserveBack(dim, heads int) {
	if dim <= e.reservedBack[0] && heads <= e.reservedBack[1] {
		return
	}
	dim, heads = max(dim, e.reservedBack[0]), max(heads, e.reservedBack[1])
	e.reservedBack = [2]int{dim, heads}
	for i := range e.workers {
		w := &e.workers[i]
		a := &w.tile
		a.p, a.dp = grow(a.p, keysPerBlock*packedBack), grow(a.dp, keysPerBlock*packedBack)
		a.dk, a.dv = grow(a.dk, keysPerBlock*dim), grow(a.dv, keysPerBlock*dim)
		a.sums = grow(a.sums, heads)
		column := gemm.View(a.p[:packedBack], packedBack, 1)
		gemm.Gemm(false, false, 1, column, gemm.View(a.dk[:1], 1, 1), 0, gemm.View(a.dp[:packedBack], packedBack, 1), w.gemm)
	}
}

// backTrees lists the roots of the trees that have rows, as units of which only the
// node counts.
func (e *cpuEngine) backTrees(t Tree) []keyBlock {
	e.units = e.units[:0]
	for i, n := range t {
		if n.Parent < 0 && e.layout.rows[i] > 0 {
			e.units = append(e.units, keyBlock{node: i})
		}
	}
	return e.units
}

// backBlocks lists all blocks of keys that any row sees.
func (e *cpuEngine) backBlocks(t Tree) {
	e.units = e.units[:0]
	for i, n := range t {
		if e.layout.rows[i] == 0 {
			continue
		}
		for k0 := 0; k0 < int(n.Len); k0 += keysPerBlock {
			e.units = append(e.units, keyBlock{i, k0, min(k0+keysPerBlock, int(n.Len))})
		}
	}
}

// worthWhole reports whether a number of tasks of five products each takes the
// workers less time than seven products that are shared evenly.
func (e *cpuEngine) worthWhole(tasks int) bool {
	workers := e.pool.Workers()
	return 5*workers*((tasks+workers-1)/workers) <= 7*tasks
}

// backPieces returns the number of pieces of packedBack packed rows.
func backPieces(rows int, s HeadShape) int {
	return (rows*s.Heads/s.KVHeads + packedBack - 1) / packedBack
}

// attendBackPrepare fills the copies for rows [lo, hi).
func attendBackPrepare(e *cpuEngine, worker, lo, hi int) {
	a, s := &e.args, e.args.shape
	b, group, dim := &a.back, s.Heads/s.KVHeads, s.HeadDim
	factor := float32(1 / math.Sqrt(float64(dim)))
	sums := e.workers[worker].tile.sums[:s.Heads]
	for r := lo; r < hi; r++ {
		do, o, lse, q := row(a.v[1], r), row(a.v[2], r), row(a.v[3], r), row(a.v[4], r)
		e.vec.DotsOfRows(sums, do, dim, o, dim, dim)
		for h := range s.Heads {
			head, g := h/group, h%group
			at := r*group + g
			to := head*b.lse.Cols + at
			e.vec.Scale(row(b.q, to), factor, q[h*dim:])
			copy(row(b.do, to), do[h*dim:])
			clear(row(b.dq, to))
			row(b.lse, head)[at] = lse[h]
			row(b.d, head)[at] = float32(sums[h])
		}
	}
}

// attendBackFinish writes dq of the rows in [lo, hi) that nodes claim.
func attendBackFinish(e *cpuEngine, _, lo, hi int) {
	a, s := &e.args, e.args.shape
	group, dim := s.Heads/s.KVHeads, s.HeadDim
	factor := float32(1 / math.Sqrt(float64(dim)))
	for r := lo; r < hi; r++ {
		if e.layout.owner[r] < 0 {
			continue
		}
		for h := range s.Heads {
			from := row(a.back.dq, h/group*a.back.lse.Cols+r*group+h%group)
			e.vec.Scale(row(a.v[0], r)[h*dim:][:dim], factor, from)
		}
	}
}

// backTask is what a worker does for one key head.
type backTask struct {
	e     *cpuEngine
	w     *cpuWorker
	tree  Tree
	back  *backViews
	head  int // key head
	group int // query heads that share it
	dim   int
	rows  int // packed rows of the head

	split                   bool      // by split factors
	splitK, splitV, splitKT gemm.Left // of the block of keys in progress
}

// task sets a worker's task to number i of a list whose key head varies fastest, and
// returns it with its place in the list.
func (e *cpuEngine) task(worker, i int) (b *backTask, at int) {
	a, s, w := &e.args, e.args.shape, &e.workers[worker]
	w.task = backTask{e: e, w: w, tree: a.tree, back: &a.back, head: i % s.KVHeads,
		group: s.Heads / s.KVHeads, dim: s.HeadDim, rows: a.back.lse.Cols, split: e.splits(s)}
	return &w.task, i / s.KVHeads
}

// attendBackTrees computes all gradients of tasks [lo, hi): a tree and a key head each.
func attendBackTrees(e *cpuEngine, worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		b, at := e.task(worker, i)
		root := e.units[at].node
		for n := root; n < len(b.tree); n++ {
			if int(e.layout.root[n]) == root && e.layout.rows[n] > 0 {
				b.nodeGradients(n)
			}
		}
	}
}

// nodeGradients computes dk and dv of a node's keys, and their part of dq.
func (b *backTask) nodeGradients(n int) {
	for k0 := 0; k0 < int(b.tree[n].Len); k0 += keysPerBlock {
		b.keyGradients(keyBlock{n, k0, min(k0+keysPerBlock, int(b.tree[n].Len))}, true)
	}
}

// attendBackKeys computes dk and dv of tasks [lo, hi): a block of keys and a key head
// each.
func attendBackKeys(e *cpuEngine, worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		b, at := e.task(worker, i)
		b.keyGradients(e.units[at], false)
	}
}

// attendBackQueries computes dq of tasks [lo, hi): packedBack packed rows and a key
// head each.
func attendBackQueries(e *cpuEngine, worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		b, at := e.task(worker, i)
		first, end := at*packedBack, min((at+1)*packedBack, b.rows)
		for _, unit := range e.units {
			r0, r1 := b.seenBy(unit)
			if r0, r1 = max(r0, first), min(r1, end); r0 < r1 {
				b.queries(unit, r0, r1)
			}
		}
	}
}

// seenBy returns the packed rows of which at least one head's row may see the first
// key of a block, from the beginning of a block of positions on where there are such.
func (b *backTask) seenBy(unit keyBlock) (lo, hi int) {
	first := b.e.layout.firstSeer(b.tree[unit.node], unit.node, unit.k0)
	lo, hi = b.position(unit.node, first), b.position(unit.node, int(b.e.layout.end[unit.node]))
	if b.split {
		lo -= lo % splitBlock
	}
	return lo, hi
}

// position returns the first packed row of a query row in a node's tree.
func (b *backTask) position(node, row int) int {
	if !b.split {
		return row * b.group
	}
	span := b.e.spans[b.e.layout.root[node]]
	return span.at + (row-span.first)*b.group
}

// queries adds the part of a block of keys to dq of packed rows [lo, hi).
func (b *backTask) queries(unit keyBlock, lo, hi int) {
	if b.split {
		b.splitQueries(unit, lo, hi)
		return
	}
	t := b.tile(unit, lo, hi)
	t.queries()
}

// keyGradients computes dk and dv of one block of keys: the packed rows that see it
// pass by in order, and receive their part of dq where that is wanted.
func (b *backTask) keyGradients(unit keyBlock, queries bool) {
	s, n, stride := &b.w.tile, unit.k1-unit.k0, b.dim
	if b.split {
		stride = wholeSteps(b.dim)
	}
	dk, dv := gemm.View(s.dk[:n*stride], n, stride), gemm.View(s.dv[:n*stride], n, stride)
	clear(dk.Data)
	clear(dv.Data)
	if b.split {
		b.splitGradients(unit, dk, dv, queries)
	} else {
		b.blockGradients(unit, dk, dv, queries)
	}
	first := int(b.tree[unit.node].KV) + unit.k0
	for j := range n {
		copy(row(b.back.dk, first+j)[b.head*b.dim:][:b.dim], dk.Row(j))
		copy(row(b.back.dv, first+j)[b.head*b.dim:][:b.dim], dv.Row(j))
	}
}

// blockGradients adds to dk and dv, and to dq, what the packed rows that see a block of
// keys give, in order.
func (b *backTask) blockGradients(unit keyBlock, dk, dv gemm.Dense, queries bool) {
	lo, end := b.seenBy(unit)
	for ; lo < end; lo += packedBack {
		t := b.tile(unit, lo, min(lo+packedBack, end))
		t.keys(dk, dv)
		if queries {
			t.queries()
		}
	}
}

// backTile is a block of keys by a range of packed rows.
type backTile struct {
	*backTask
	lo, hi int        // packed rows
	k      gemm.Dense // the keys that any of the rows sees
	p, dp  gemm.Dense // [keys, rows]: probabilities, and gradients of scores
}

// tile computes the probabilities and the gradients of the scores,
//
//	p = exp(q·k − lse),  dp = p·(do·v − d),
//
// 0 where a row does not see a key.
func (b *backTask) tile(unit keyBlock, lo, hi int) backTile {
	n := unit.k1 - unit.k0
	for b.e.layout.firstSeer(b.tree[unit.node], unit.node, unit.k0+n-1) > (hi-1)/b.group {
		n--
	}
	t := backTile{backTask: b, lo: lo, hi: hi, k: b.keysOf(b.back.k, unit, n)}
	s := &b.w.tile
	t.p = gemm.Dense{Data: s.p, Rows: n, Cols: hi - lo, Stride: packedBack}
	t.dp = gemm.Dense{Data: s.dp, Rows: n, Cols: hi - lo, Stride: packedBack}
	gemm.Gemm(false, true, 1, t.k, t.packed(b.back.q), 0, t.p, b.w.gemm)
	gemm.Gemm(false, true, 1, b.keysOf(b.back.v, unit, n), t.packed(b.back.do), 0, t.dp, b.w.gemm)
	lse, d := row(b.back.lse, b.head)[lo:hi], row(b.back.d, b.head)[lo:hi]
	for j := range n {
		blind := min(max(0, b.e.layout.firstSeer(b.tree[unit.node], unit.node, unit.k0+j)*b.group-lo), hi-lo)
		p, dp := t.p.Row(j), t.dp.Row(j)
		clear(p[:blind])
		clear(dp[:blind])
		b.e.vec.SoftmaxBack(p[blind:], dp[blind:], lse[blind:], d[blind:])
	}
	return t
}

// keysOf returns n rows of keys or values from a block's first on, the task's head.
func (b *backTask) keysOf(v View, unit keyBlock, n int) gemm.Dense {
	first := int(b.tree[unit.node].KV) + unit.k0
	return dense(v.RowRange(first, first+n).ColRange(b.head*b.dim, (b.head+1)*b.dim))
}

// packed returns the tile's rows of a matrix of packed rows.
func (t *backTile) packed(v View) gemm.Dense {
	first := t.head * t.rows
	return dense(v.RowRange(first+t.lo, first+t.hi))
}

// keys adds the tile's part of dk and dv.
func (t *backTile) keys(dk, dv gemm.Dense) {
	dk.Rows, dv.Rows = t.p.Rows, t.p.Rows
	gemm.Gemm(false, false, 1, t.dp, t.packed(t.back.q), 1, dk, t.w.gemm)
	gemm.Gemm(false, false, 1, t.p, t.packed(t.back.do), 1, dv, t.w.gemm)
}

// queries adds the tile's part of dq.
func (t *backTile) queries() {
	gemm.Gemm(true, false, 1, t.dp, t.k, 1, t.packed(t.back.dq), t.w.gemm)
}
