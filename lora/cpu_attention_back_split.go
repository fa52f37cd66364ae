package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// Where the processor has tiles, the five products of attention's gradient are those of
// split factors, nearly as exact as float32's. What all tiles of scores read of queries
// and of the gradients of outputs is laid out once, in the order of trees: a tree's packed
// rows (rows and the heads that share a key head) begin at a multiple of splitBlock
// positions. Sums over rows go on in steps of that many positions of a tree, sums over keys
// in steps of as many keys of a node, so that neither the cut into tasks nor what else is
// in the batch shows in a bit.

// splitBlock is the number of positions that are laid out together.
const splitBlock = gemm.NR

// splitSpan is a tree's place among the positions.
type splitSpan struct {
	first, end int // query rows
	at         int // first position
}

// splitViews are the factors of a call, for each key head: queries and the gradients of
// outputs by columns (positions are columns) and in pairs of rows (positions are the
// reduction), and the gradient of the queries, [positions/splitBlock][dim][splitBlock].
type splitViews struct {
	qColumns, qPairs, doColumns, doPairs, dq View
	lse, d                                   View // [KVHeads, positions]
	positions, dim                           int  // dim is rounded up to whole steps
}

// wholeSteps rounds up to a multiple of splitBlock.
func wholeSteps(n int) int { return (n + splitBlock - 1) / splitBlock * splitBlock }

// splitRoom makes room for the factors in an arena.
func splitRoom(m arena, positions int, s HeadShape) splitViews {
	v := splitViews{positions: positions, dim: wholeSteps(s.HeadDim)}
	matrix := func() View { return m.Temp(s.KVHeads*positions, v.dim) }
	vector := func() View { return m.Temp(s.KVHeads, positions) }
	v.qColumns, v.qPairs, v.doColumns, v.doPairs, v.dq = matrix(), matrix(), matrix(), matrix(), matrix()
	v.lse, v.d = vector(), vector()
	return v
}

// splitPositions returns the positions that a layout's trees take, and their places where
// spans is not nil: by root.
func splitPositions(t Tree, l *treeLayout, group int, spans []splitSpan) int {
	at := 0
	for i, n := range t {
		if n.Parent >= 0 || l.rows[i] == 0 {
			continue
		}
		if spans != nil {
			spans[i] = splitSpan{int(l.first[i]), int(l.end[i]), at}
		}
		at += wholeSteps(int(l.end[i]-l.first[i]) * group)
	}
	return at
}

// columns returns a factor of a head whose columns are positions.
func (v *splitViews) columns(of View, head int) gemm.Right {
	return gemm.NewRight(v.head(of, head), v.dim, v.positions)
}

// pairs returns a factor of a head whose reduction is over positions.
func (v *splitViews) pairs(of View, head int) gemm.Right {
	return gemm.NewRight(v.head(of, head), v.positions, v.dim)
}

// head returns the memory of a head.
func (v *splitViews) head(of View, head int) []float32 {
	return elements[float32](of.RowRange(head*v.positions, (head+1)*v.positions))
}

// splitScratch is a worker's memory for tiles of split factors.
type splitScratch struct {
	rows, turned  []float32 // [splitBlock, dim] and what comes of it; [dim, keysPerBlock]
	words         []uint32  // on their way to columns
	k, v, kT      []float32 // left factors of a block of keys
	p, dp, dpPair []float32 // factors of a tile
	zero          []float32 // [packedBack]
}

func (s *splitScratch) grow(dim int) {
	dim = wholeSteps(dim)
	s.rows, s.words, s.turned = grow(s.rows, splitBlock*dim), grow(s.words, splitBlock*dim), grow(s.turned, max(dim, splitBlock)*keysPerBlock)
	s.k, s.v = grow(s.k, gemm.LeftSize(keysPerBlock, dim)), grow(s.v, gemm.LeftSize(keysPerBlock, dim))
	s.kT = grow(s.kT, gemm.LeftSize(dim, keysPerBlock))
	s.p, s.dp = grow(s.p, gemm.LeftSize(keysPerBlock, packedBack)), grow(s.dp, gemm.LeftSize(keysPerBlock, packedBack))
	s.dpPair = grow(s.dpPair, gemm.RightSize(keysPerBlock, packedBack))
	s.zero = grow(s.zero, packedBack)
}

// reserveSplit makes room for split tiles on every worker, so that it does not matter
// which of them gets a task first.
func (e *cpuEngine) reserveSplit(s HeadShape) {
	e.reserveBack(wholeSteps(s.HeadDim), s.Heads)
	if s.HeadDim > e.reservedSplit {
		e.reservedSplit = s.HeadDim
		for i := range e.workers {
			e.workers[i].split.grow(s.HeadDim)
		}
	}
}

// splits reports whether attention goes by split factors.
func (e *cpuEngine) splits(s HeadShape) bool { return s.Relaxed && e.pool.Splits() }

// splitBack is AttentionBack by split factors.
func (e *cpuEngine) splitBack(args cpuArgs) {
	t, s := args.tree, args.shape
	e.reserveSplit(s)
	e.spans = grow(e.spans, len(t))
	positions := splitPositions(t, &e.layout, s.Heads/s.KVHeads, e.spans)
	args.back.split = splitRoom(e, positions, s)
	args.back.lse, args.back.d = args.back.split.lse, args.back.split.d
	places := positions / splitBlock * s.KVHeads
	e.backTrees(t)
	e.args = args
	e.each(places, pieceSize, splitPrepare)
	e.backTasks(args, (positions+packedBack-1)/packedBack, t, s)
	e.backTrees(t)
	e.args = args
	e.each(places, pieceSize, splitFinish)
}

// splitPlace is a block of positions of a head.
type splitPlace struct {
	span      splitSpan
	head, at  int // key head, first position
	rows, dim int // positions of the tree from the first on, at most splitBlock; HeadDim
	group     int
}

// splitPlaceOf returns place i of a call; the key head varies fastest.
func (e *cpuEngine) splitPlaceOf(i int) splitPlace {
	s := e.args.shape
	p := splitPlace{head: i % s.KVHeads, at: i / s.KVHeads * splitBlock, dim: s.HeadDim, group: s.Heads / s.KVHeads}
	for _, u := range e.units { // trees, in order
		if span := e.spans[u.node]; span.at <= p.at {
			p.span = span
		}
	}
	p.rows = min(splitBlock, (p.span.end-p.span.first)*p.group-(p.at-p.span.at))
	return p
}

// row returns the query row and the head of a position of the place.
func (p *splitPlace) row(i int) (row, head int) {
	n := p.at - p.span.at + i
	return p.span.first + n/p.group, p.head*p.group + n%p.group
}

// splitPrepare lays out places [lo, hi).
func splitPrepare(e *cpuEngine, worker, lo, hi int) {
	a := &e.args
	v, w := &a.back.split, &e.workers[worker]
	factor := float32(1 / math.Sqrt(float64(a.shape.HeadDim)))
	tile := gemm.View(w.split.rows[:splitBlock*v.dim], splitBlock, v.dim)
	for n := lo; n < hi; n++ {
		p := e.splitPlaceOf(n)
		lse, d := row(v.lse, p.head)[p.at:][:splitBlock], row(v.d, p.head)[p.at:][:splitBlock]
		clear(lse)
		clear(d)
		for _, f := range []struct {
			from, columns, pairs View
			factor               float32
		}{{a.v[4], v.qColumns, v.qPairs, factor}, {a.v[1], v.doColumns, v.doPairs, 1}} {
			clear(tile.Data)
			for i := range p.rows {
				r, h := p.row(i)
				e.vec.Scale(tile.Row(i)[:p.dim], f.factor, row(f.from, r)[h*p.dim:])
			}
			columns, pairs := v.columns(f.columns, p.head), v.pairs(f.pairs, p.head)
			w.gemm.SplitColumns(&columns, p.at/splitBlock, tile, w.split.words)
			for i := range splitBlock / 2 {
				w.gemm.SplitPairs(&pairs, p.at/2+i, tile.Row(2*i), tile.Row(2*i+1))
			}
		}
		for i := range p.rows {
			r, h := p.row(i)
			do, o := row(a.v[1], r)[h*p.dim:][:p.dim], row(a.v[2], r)[h*p.dim:]
			var sum [1]float64
			e.vec.DotsOfRows(sum[:], do, p.dim, o, p.dim, p.dim)
			lse[i], d[i] = row(a.v[3], r)[h], float32(sum[0])
		}
		clear(v.panel(p.head, p.at))
	}
}

// panel returns the gradient of the queries of splitBlock positions, on its side:
// [dim][splitBlock].
func (v *splitViews) panel(head, at int) []float32 {
	return v.head(v.dq, head)[at*v.dim:][:splitBlock*v.dim]
}

// splitFinish writes dq of the rows of places [lo, hi) that nodes claim.
func splitFinish(e *cpuEngine, worker, lo, hi int) {
	a := &e.args
	v, w := &a.back.split, &e.workers[worker]
	factor := float32(1 / math.Sqrt(float64(a.shape.HeadDim)))
	tile := gemm.View(w.split.rows[:splitBlock*v.dim], splitBlock, v.dim)
	for n := lo; n < hi; n++ {
		p := e.splitPlaceOf(n)
		w.gemm.Transpose(tile, gemm.View(v.panel(p.head, p.at), v.dim, splitBlock))
		for i := range p.rows {
			if r, h := p.row(i); e.layout.owner[r] >= 0 {
				e.vec.Scale(row(a.v[0], r)[h*p.dim:][:p.dim], factor, tile.Row(i))
			}
		}
	}
}

// splitKeys lays out a block of keys and their values as left factors: as rows, and the
// keys on their side too where the gradient of queries is wanted.
func (b *backTask) splitKeys(unit keyBlock, queries bool) {
	s, n, dim := &b.w.split, unit.k1-unit.k0, b.back.split.dim
	b.splitK, b.splitV = gemm.NewLeft(s.k, n, dim), gemm.NewLeft(s.v, n, dim)
	b.splitRows(&b.splitV, b.keysOf(b.back.v, unit, n))
	keys := b.keysOf(b.back.k, unit, n)
	b.splitRows(&b.splitK, keys)
	if !queries {
		return
	}
	b.splitKT = gemm.NewLeft(s.kT, dim, n)
	turned := gemm.View(s.turned[:dim*wholeSteps(n)], dim, wholeSteps(n))
	clear(turned.Data)
	b.w.gemm.Transpose(gemm.Dense{Data: turned.Data, Rows: b.dim, Cols: n, Stride: turned.Stride}, keys)
	b.w.gemm.SplitRows(&b.splitKT, 0, turned)
}

// splitRows lays out rows of dim numbers, in whole steps.
func (b *backTask) splitRows(to *gemm.Left, x gemm.Dense) {
	if x.Cols%splitBlock == 0 {
		b.w.gemm.SplitRows(to, 0, x)
		return
	}
	padded := gemm.View(b.w.split.rows[:b.back.split.dim], 1, b.back.split.dim)
	clear(padded.Data)
	for i := range x.Rows {
		copy(padded.Data, x.Row(i))
		b.w.gemm.SplitRows(to, i, padded)
	}
}

// splitGradients computes dk and dv of one block of keys, see keyGradients.
func (b *backTask) splitGradients(unit keyBlock, dk, dv gemm.Dense, queries bool) {
	b.splitKeys(unit, queries)
	lo, end := b.seenBy(unit)
	for ; lo < end; lo += packedBack {
		t := b.splitTile(unit, lo, min(lo+packedBack, end))
		t.keys(dk, dv)
		if queries {
			t.queries()
		}
	}
}

// splitQueries adds the part of a block of keys to dq of positions [lo, hi).
func (b *backTask) splitQueries(unit keyBlock, lo, hi int) {
	b.splitKeys(unit, true)
	t := b.splitTile(unit, lo, hi)
	t.queries()
}

// splitTile is a block of keys by a range of positions, whole blocks of them.
type splitTile struct {
	*backTask
	n, lo, cols int
	p, dp       gemm.Left
}

// splitTile computes the probabilities and the gradients of the scores, see tile.
func (b *backTask) splitTile(unit keyBlock, lo, hi int) splitTile {
	v, s := &b.back.split, &b.w.tile
	node := b.tree[unit.node]
	seen := func(k int) int { return b.position(unit.node, b.e.layout.firstSeer(node, unit.node, k)) }
	n := unit.k1 - unit.k0
	for seen(unit.k0+n-1) >= hi {
		n--
	}
	t := splitTile{backTask: b, n: n, lo: lo, cols: wholeSteps(hi - lo)}
	q, do := v.columns(v.qColumns, b.head), v.columns(v.doColumns, b.head)
	keys, values := b.splitK.Part(0, n, v.dim), b.splitV.Part(0, n, v.dim)
	b.w.gemm.MulSplit(s.p, packedBack, splitBlock, &keys, &q, 0, lo, t.cols, false)
	b.w.gemm.MulSplit(s.dp, packedBack, splitBlock, &values, &do, 0, lo, t.cols, false)
	lse, d := row(v.lse, b.head)[lo:hi], row(v.d, b.head)[lo:hi]
	for j := range n {
		p, dp := s.p[j*packedBack:][:t.cols], s.dp[j*packedBack:][:t.cols]
		blind := min(max(0, seen(unit.k0+j)-lo), hi-lo)
		for _, x := range [][]float32{p, dp} {
			clear(x[:blind])
			clear(x[hi-lo:])
		}
		b.e.vec.SoftmaxBack(p[blind:hi-lo], dp[blind:hi-lo], lse[blind:], d[blind:])
	}
	t.factors()
	return t
}

// factors lays the tile out as left factors.
func (t *splitTile) factors() {
	s := &t.w.split
	t.p, t.dp = gemm.NewLeft(s.p, t.n, packedBack), gemm.NewLeft(s.dp, t.n, packedBack)
	t.w.gemm.SplitRows(&t.p, 0, gemm.Dense{Data: t.w.tile.p, Rows: t.n, Cols: t.cols, Stride: packedBack})
	t.w.gemm.SplitRows(&t.dp, 0, gemm.Dense{Data: t.w.tile.dp, Rows: t.n, Cols: t.cols, Stride: packedBack})
}

// keys adds the tile's part of dk and dv.
func (t *splitTile) keys(dk, dv gemm.Dense) {
	v := &t.back.split
	q, do := v.pairs(v.qPairs, t.head), v.pairs(v.doPairs, t.head)
	p, dp := t.p.Part(0, t.n, t.cols), t.dp.Part(0, t.n, t.cols)
	t.w.gemm.MulSplit(dk.Data, dk.Stride, splitBlock, &dp, &q, t.lo, 0, v.dim, true)
	t.w.gemm.MulSplit(dv.Data, dv.Stride, splitBlock, &p, &do, t.lo, 0, v.dim, true)
}

// queries adds the tile's part of dq.
func (t *splitTile) queries() {
	v, s := &t.back.split, &t.w.split
	pairs := gemm.NewRight(s.dpPair, keysPerBlock, packedBack)
	row := func(j int) []float32 {
		if j < t.n {
			return t.w.tile.dp[j*packedBack:][:t.cols]
		}
		return s.zero[:t.cols]
	}
	for i := range wholeSteps(t.n) / 2 {
		t.w.gemm.SplitPairs(&pairs, i, row(2*i), row(2*i+1))
	}
	keys := t.splitKT.Part(0, v.dim, t.n)
	t.w.gemm.MulSplit(v.head(v.dq, t.head)[t.lo*v.dim:], splitBlock, splitBlock*v.dim, &keys, &pairs, 0, 0, t.cols, true)
}
