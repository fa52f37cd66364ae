package policy

import (
	"context"

	"github.com/socialrl/socialrl/lora"
)

// pass is one trip of a batch of rows through the blocks. Everything it allocates
// lies in the engine's arena.
type pass struct {
	n        *net
	rows     int
	read     []int32 // rows of the last block's output that are wanted; nil: all
	tree     lora.Tree
	cos, sin lora.View
	cache    *cache  // keys and values of earlier rows; nil: the batch sees itself only
	cacheAt  []int32 // rows of the cache that receive the batch's keys and values

	up    *tape     // of the segment above, whose path the rows see as well; nil: none
	above int       // keys of that path
	kept  []keyPair // where each block's keys and values go that outlive it; nil: nowhere
}

// keyPair is keys and values, or gradients with respect to them.
type keyPair struct{ k, v lora.View }

// keyPairs makes room for the keys and values of all blocks, or their gradients.
func (p *pass) keyPairs() []keyPair {
	pairs := make([]keyPair, len(p.n.blocks))
	for i := range pairs {
		pairs[i] = p.keyRoom(p.rows)
	}
	return pairs
}

// keyRoom makes room for keys and values.
func (p *pass) keyRoom(rows int) keyPair {
	width := p.n.shape.KVHeads * p.n.shape.HeadDim
	return keyPair{p.n.eng.Temp(rows, width), p.n.eng.Temp(rows, width)}
}

// acts are the activations of one block that its backward pass reads.
type acts struct {
	x          lora.View // input
	qRaw, kRaw lora.View // before the per-head norm, where there is one
	q, k, v    lora.View // as attention reads them
	o, lse     lora.View // attention's output
	oRead      lora.View // the rows of it that go on
	mid        lora.View // after the attention residual
	gate, up   lora.View
	h          [7]lora.View // low-rank activations, in the order of linears

	n1, n2, act lora.View // normalised input, normalised mid, gated activation: see between
}

// newPass prepares a pass over rows at the given positions, of which the given rows
// are read at the end. After its attention the last block computes those only.
func newPass(n *net, positions []int32, tree lora.Tree, read []int32) *pass {
	p := &pass{n: n, rows: len(positions), tree: tree, read: read}
	if isIdentity(read, p.rows) {
		p.read = nil
	}
	half := n.shape.HeadDim / 2
	p.cos, p.sin = p.temp(half), p.temp(half)
	n.eng.RotaryTable(p.cos, p.sin, positions, n.freq)
	return p
}

// isIdentity reports whether rows are 0, 1, … n-1.
func isIdentity(rows []int32, n int) bool {
	for i, r := range rows {
		if int(r) != i {
			return false
		}
	}
	return len(rows) == n
}

// temp makes a matrix with a row for each row of the pass.
func (p *pass) temp(cols int) lora.View { return p.n.eng.Temp(p.rows, cols) }

// embed returns the embeddings of tokens.
func (p *pass) embed(tokens []int32) lora.View {
	x := p.temp(p.n.cfg.HiddenSize)
	p.n.eng.Gather(x, p.n.embed, tokens)
	return x
}

// picks reports whether block i goes on with the rows that are read only.
func (p *pass) picks(i int) bool { return p.read != nil && i == len(p.n.blocks)-1 }

// silent reports whether nothing is read of block i but its keys and values.
func (p *pass) silent(i int) bool { return p.picks(i) && len(p.read) == 0 }

// output makes room for block i's output.
func (p *pass) output(i int) lora.View {
	if p.picks(i) {
		return p.n.eng.Temp(len(p.read), p.n.cfg.HiddenSize)
	}
	return p.temp(p.n.cfg.HiddenSize)
}

// infer runs all blocks, keeping nothing, and returns the last block's output: the
// rows that are read.
func (p *pass) infer(ctx context.Context, tokens []int32) (lora.View, error) {
	x, out := p.embed(tokens), p.temp(p.n.cfg.HiddenSize)
	for i := range p.n.blocks {
		if err := ctx.Err(); err != nil {
			return lora.View{}, err
		}
		if p.picks(i) {
			out = p.output(i)
		}
		mark := p.n.eng.Mark()
		a := acts{x: x}
		p.room(i, &a)
		p.block(i, out, &a)
		p.n.eng.Reset(mark)
		x, out = out, x
	}
	return x, nil
}

// room makes room for what a backward pass reads of block i and cannot compute again
// but by products.
func (p *pass) room(i int, a *acts) {
	s, cfg, b := p.n.shape, p.n.cfg, &p.n.blocks[i]
	var pair keyPair
	if p.kept != nil {
		pair = p.kept[i]
	} else {
		pair = p.keyRoom(p.rows)
	}
	a.q, a.k, a.v = p.temp(s.Heads*s.HeadDim), pair.k, pair.v
	a.qRaw, a.kRaw = p.normRoom(a.q, b.qNorm), p.normRoom(a.k, b.kNorm)
	a.o, a.lse = p.temp(s.Heads*s.HeadDim), p.temp(s.Heads)
	rows := p.rows
	a.oRead = a.o
	if p.picks(i) {
		rows = len(p.read)
		a.oRead = p.n.eng.Temp(rows, a.o.Cols)
	}
	a.mid = p.n.eng.Temp(rows, cfg.HiddenSize)
	a.gate, a.up = p.n.eng.Temp(rows, cfg.IntermediateSize), p.n.eng.Temp(rows, cfg.IntermediateSize)
	for j, l := range b.linears() {
		if l.A.IsNone() {
			continue
		}
		if a.h[j] = p.n.eng.Temp(rows, l.A.Rows); j < 3 {
			a.h[j] = p.temp(l.A.Rows)
		}
	}
}

// normRoom makes room for what becomes y when its heads are normalised. Where the model
// has no such norm it returns the zero View.
func (p *pass) normRoom(y lora.View, g gain) lora.View {
	if g.w.IsNone() {
		return lora.View{}
	}
	return p.temp(y.Cols)
}

// between makes room for what can be computed again at little cost: the normalised
// inputs and the gated activation.
func (p *pass) between(a *acts) {
	cfg, eng := p.n.cfg, p.n.eng
	a.n1, a.n2 = p.temp(cfg.HiddenSize), eng.Temp(a.mid.Rows, cfg.HiddenSize)
	a.act = eng.Temp(a.mid.Rows, cfg.IntermediateSize)
}

// block computes block i: out = mid + mlp(norm(mid)), mid = x + attention(norm(x)).
func (p *pass) block(i int, out lora.View, a *acts) {
	p.inside(i, a)
	if !p.silent(i) {
		p.n.eng.Linear(out, a.act, &p.n.blocks[i].down, a.h[6])
		p.n.eng.Accumulate(out, a.mid)
	}
}

// inside computes block i up to the input of its last layer.
func (p *pass) inside(i int, a *acts) {
	b, cfg, eng := &p.n.blocks[i], p.n.cfg, p.n.eng
	p.between(a)
	eng.RMSNorm(a.n1, a.x, b.attnNorm.w, cfg.RMSNormEps)
	p.project(b, a)
	p.attend(i, a)
	if p.silent(i) {
		return // only the keys and values were wanted
	}
	x := a.x
	if p.picks(i) {
		eng.Pick(a.oRead, a.o, p.read)
		x = p.pick(x)
	}
	eng.Linear(a.mid, a.oRead, &b.o, a.h[3])
	eng.Accumulate(a.mid, x)
	eng.RMSNorm(a.n2, a.mid, b.mlpNorm.w, cfg.RMSNormEps)
	eng.Linear(a.gate, a.n2, &b.gate, a.h[4])
	eng.Linear(a.up, a.n2, &b.up, a.h[5])
	eng.SwiGLU(a.act, a.gate, a.up)
}

// pick returns the rows of x that are read.
func (p *pass) pick(x lora.View) lora.View {
	y := p.n.eng.Temp(len(p.read), x.Cols)
	p.n.eng.Pick(y, x, p.read)
	return y
}

// project computes the rotated queries and keys, and the values.
func (p *pass) project(b *block, a *acts) {
	s, eng := p.n.shape, p.n.eng
	q, k := a.q, a.k
	if !a.qRaw.IsNone() {
		q = a.qRaw
	}
	if !a.kRaw.IsNone() {
		k = a.kRaw
	}
	eng.Linear(q, a.n1, &b.q, a.h[0])
	eng.Linear(k, a.n1, &b.k, a.h[1])
	eng.Linear(a.v, a.n1, &b.v, a.h[2])
	p.headNorm(a.q, a.qRaw, b.qNorm, s.Heads)
	p.headNorm(a.k, a.kRaw, b.kNorm, s.KVHeads)
	eng.Rotary(a.q, p.cos, p.sin, s.Heads, false)
	eng.Rotary(a.k, p.cos, p.sin, s.KVHeads, false)
}

// headNorm normalises each head of raw on its own, where there is such a norm.
func (p *pass) headNorm(y, raw lora.View, g gain, heads int) {
	if !raw.IsNone() {
		p.n.eng.RMSNorm(p.perHead(y, heads), p.perHead(raw, heads), g.w, p.n.cfg.RMSNormEps)
	}
}

func (p *pass) perHead(x lora.View, heads int) lora.View {
	return x.Reshape(p.rows*heads, p.n.shape.HeadDim)
}

func (p *pass) attend(i int, a *acts) {
	s, eng := p.n.shape, p.n.eng
	k, v := a.k, a.v
	if p.cache != nil {
		k, v = p.cache.put(i, k, v, p.cacheAt)
	}
	mark := eng.Mark()
	if p.up != nil {
		k, v = p.path(i, a)
	}
	eng.Attention(a.o, a.lse, a.q, k, v, p.tree, s)
	eng.Reset(mark)
}

// path returns block i's keys and values of the whole path: of the segments above and of
// the pass itself.
func (p *pass) path(i int, a *acts) (k, v lora.View) {
	eng, pair := p.n.eng, p.keyRoom(p.above+p.rows)
	eng.Copy(pair.k.RowRange(p.above, pair.k.Rows), a.k)
	eng.Copy(pair.v.RowRange(p.above, pair.v.Rows), a.v)
	for u := p.up; u != nil; u = u.up {
		eng.Copy(pair.k.RowRange(u.above, u.above+u.rows), u.kept[i].k)
		eng.Copy(pair.v.RowRange(u.above, u.above+u.rows), u.kept[i].v)
	}
	return pair.k, pair.v
}

// final normalises the last block's output.
func (p *pass) final(x lora.View) lora.View {
	normed := p.n.eng.Temp(x.Rows, x.Cols)
	p.n.eng.RMSNorm(normed, x, p.n.norm.w, p.n.cfg.RMSNormEps)
	return normed
}
