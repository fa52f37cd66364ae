package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// AttentionBack is the gradient of Attention. Probabilities are computed again from
// lse. One pass over query rows gives dq, another over blocks of keys dk and dv, so
// that every sum has one owner and one order.
func (e *cpuEngine) AttentionBack(dq, dk, dv, do, o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttentionBack(dq, dk, dv, do, o, lse, q, k, v, t, s)
	e.layout.set(t, q.Rows)
	mark := e.Mark()
	d := e.Temp(q.Rows, s.Heads)
	e.args.v = [10]View{d, do, o}
	e.args.shape = s
	e.each(q.Rows, q.Cols, attendProducts)

	args := cpuArgs{v: [10]View{dq, lse, q, k, v, do, d, dk, dv}, tree: t, shape: s}
	args.n = e.pieceRows(q.Rows, s)
	e.reserve(max(args.n, packedRows/(s.Heads/s.KVHeads), 1)*s.Heads/s.KVHeads, s.HeadDim)
	e.args = args
	e.each((q.Rows+args.n-1)/args.n*s.KVHeads, pieceSize, attendBackQueries)

	e.units = e.units[:0]
	for i, n := range t {
		for k0 := 0; k0 < int(n.Len); k0 += keysPerBlock {
			e.units = append(e.units, keyBlock{i, k0, min(k0+keysPerBlock, int(n.Len))})
		}
	}
	args.n = max(1, packedRows/(s.Heads/s.KVHeads))
	e.args = args
	e.each(len(e.units)*s.KVHeads, pieceSize, attendBackKeys)
	e.Reset(mark)
}

// attendProducts sets D[row, head] = Σ_j do[j]·o[j].
func attendProducts(e *cpuEngine, _, lo, hi int) {
	n := e.args.shape.HeadDim
	for r := lo; r < hi; r++ {
		do, o := row(e.args.v[1], r), row(e.args.v[2], r)
		for h := range row(e.args.v[0], r) {
			row(e.args.v[0], r)[h] = float32(dot64(do[h*n:][:n], o[h*n:][:n]))
		}
	}
}

// attendBackQueries computes dq for pieces [lo, hi).
func attendBackQueries(e *cpuEngine, worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		p := e.piece(worker, i)
		p.packGradients()
		a := &p.w.attend
		clear(a.dq[:(p.r1-p.r0)*p.group*p.dim])
		for n := range p.args.tree {
			lo, hi := p.rowsOf(n)
			for k0 := 0; lo < hi && k0 < int(p.args.tree[n].Len); k0 += keysPerBlock {
				b := keyBlock{n, k0, min(k0+keysPerBlock, int(p.args.tree[n].Len))}
				if most := p.scoreGradients(b, lo, hi); most > 0 {
					gemm.Gemm(false, false, 1, p.packed(a.dp, lo, hi, most, keysPerBlock), p.keys(p.args.v[3], b, most), 1,
						p.packed(a.dq, lo, hi, p.dim, p.dim), p.w.gemm)
				}
			}
		}
		p.writeQueries()
	}
}

// packGradients copies the piece's queries, output gradients, lse and D.
func (p *attendPiece) packGradients() {
	p.packQueries()
	a, n := &p.w.attend, p.group*p.dim
	for r := p.r0; r < p.r1; r++ {
		copy(a.do[(r-p.r0)*n:][:n], p.heads(p.args.v[5], r))
		for g := range p.group {
			i, h := (r-p.r0)*p.group+g, p.head*p.group+g
			a.top[i] = row(p.args.v[1], r)[h]
			a.sum[i] = float64(row(p.args.v[6], r)[h])
		}
	}
}

// scoreGradients computes, for rows [lo, hi) and one block of keys, the probabilities
// p and the gradients of the scores, dp = p·(do·v − D), of as many keys as any row
// sees, which it returns.
func (p *attendPiece) scoreGradients(b keyBlock, lo, hi int) int {
	most, _ := p.countSeen(b, lo, hi)
	if most == 0 {
		return 0
	}
	a := &p.w.attend
	gemm.Gemm(false, true, 1, p.packed(a.q, lo, hi, p.dim, p.dim), p.keys(p.args.v[3], b, most), 0,
		p.packed(a.p, lo, hi, most, keysPerBlock), p.w.gemm)
	gemm.Gemm(false, true, 1, p.packed(a.do, lo, hi, p.dim, p.dim), p.keys(p.args.v[4], b, most), 0,
		p.packed(a.dp, lo, hi, most, keysPerBlock), p.w.gemm)
	for i := (lo - p.r0) * p.group; i < (hi-p.r0)*p.group; i++ {
		seen := a.seen[i/p.group]
		prob, dp := a.p[i*keysPerBlock:][:most], a.dp[i*keysPerBlock:][:most]
		clear(prob[seen:])
		clear(dp[seen:])
		p.e.vec.ExpSum(prob[:seen], prob[:seen], a.top[i])
		d := float32(a.sum[i])
		for j, x := range prob[:seen] {
			dp[j] = x * (dp[j] - d)
		}
	}
	return most
}

// writeQueries writes dq of the rows that nodes claim.
func (p *attendPiece) writeQueries() {
	factor := float32(1 / math.Sqrt(float64(p.dim)))
	n := p.group * p.dim
	for r := p.r0; r < p.r1; r++ {
		if p.e.layout.owner[r] < 0 {
			continue
		}
		p.e.vec.Scale(p.heads(p.args.v[0], r), factor, p.w.attend.dq[(r-p.r0)*n:])
	}
}

// attendBackKeys computes dk and dv for units [lo, hi): a block of keys and a key
// head each. The query rows that see the block pass by in order.
func attendBackKeys(e *cpuEngine, worker, lo, hi int) {
	a := &e.args
	for i := lo; i < hi; i++ {
		b := e.units[i/a.shape.KVHeads]
		p := attendPiece{
			e: e, args: a, w: &e.workers[worker],
			head: i % a.shape.KVHeads, group: a.shape.Heads / a.shape.KVHeads, dim: a.shape.HeadDim,
		}
		p.keyGradients(b)
	}
}

// keyGradients computes dk and dv of one block.
func (p *attendPiece) keyGradients(b keyBlock) {
	s, n := &p.w.attend, b.k1-b.k0
	dk, dv := gemm.View(s.dk[:n*p.dim], n, p.dim), gemm.View(s.dv[:n*p.dim], n, p.dim)
	clear(dk.Data)
	clear(dv.Data)
	end := int(p.e.layout.end[b.node])
	for r := int(p.args.tree[b.node].Q) + b.k0; r < end; r = p.r1 {
		p.r0, p.r1 = r, min(r+p.args.n, end)
		p.packGradients()
		most := p.scoreGradients(b, p.r0, p.r1)
		if most == 0 {
			continue
		}
		dk.Rows, dv.Rows = most, most
		prob := p.packed(s.p, p.r0, p.r1, most, keysPerBlock)
		dp := p.packed(s.dp, p.r0, p.r1, most, keysPerBlock)
		gemm.Gemm(true, false, 1, dp, p.packed(s.q, p.r0, p.r1, p.dim, p.dim), 1, dk, p.w.gemm)
		gemm.Gemm(true, false, 1, prob, p.packed(s.do, p.r0, p.r1, p.dim, p.dim), 1, dv, p.w.gemm)
	}
	first := int(p.args.tree[b.node].KV) + b.k0
	for j := range n {
		copy(row(p.args.v[7], first+j)[p.head*p.dim:][:p.dim], s.dk[j*p.dim:])
		copy(row(p.args.v[8], first+j)[p.head*p.dim:][:p.dim], s.dv[j*p.dim:])
	}
}
