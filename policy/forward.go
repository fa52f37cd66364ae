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
}

// acts are the activations of one block that its backward pass reads.
type acts struct {
	x             lora.View // input
	n1            lora.View // normalised input
	qRaw, kRaw    lora.View // before the per-head norm, where there is one
	q, k, v       lora.View // as attention reads them
	o, lse        lora.View // attention's output
	oRead         lora.View // the rows of it that go on
	mid           lora.View // after the attention residual
	n2            lora.View // normalised mid
	gate, up, act lora.View
	h             [7]lora.View // low-rank activations, in the order of linears
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
		p.block(i, x, out, &acts{})
		p.n.eng.Reset(mark)
		x, out = out, x
	}
	return x, nil
}

// block computes block i: out = mid + mlp(norm(mid)), mid = x + attention(norm(x)).
func (p *pass) block(i int, x, out lora.View, a *acts) {
	b, cfg, eng := &p.n.blocks[i], p.n.cfg, p.n.eng
	a.x = x
	a.n1 = p.temp(cfg.HiddenSize)
	eng.RMSNorm(a.n1, x, b.attnNorm.w, cfg.RMSNormEps)
	p.project(b, a)
	p.attend(i, a)
	if p.picks(i) && len(p.read) == 0 {
		return // only the keys and values were wanted
	}
	a.oRead = a.o
	if p.picks(i) {
		a.oRead, x = p.pick(a.o), p.pick(x)
	}
	rows := x.Rows
	a.mid = eng.Temp(rows, cfg.HiddenSize)
	p.linear(a.mid, a.oRead, b, 3, a)
	eng.Accumulate(a.mid, x)
	a.n2 = eng.Temp(rows, cfg.HiddenSize)
	eng.RMSNorm(a.n2, a.mid, b.mlpNorm.w, cfg.RMSNormEps)
	a.gate, a.up, a.act = eng.Temp(rows, cfg.IntermediateSize), eng.Temp(rows, cfg.IntermediateSize), eng.Temp(rows, cfg.IntermediateSize)
	p.linear(a.gate, a.n2, b, 4, a)
	p.linear(a.up, a.n2, b, 5, a)
	eng.SwiGLU(a.act, a.gate, a.up)
	p.linear(out, a.act, b, 6, a)
	eng.Accumulate(out, a.mid)
}

// pick returns the rows of x that are read.
func (p *pass) pick(x lora.View) lora.View {
	y := p.n.eng.Temp(len(p.read), x.Cols)
	p.n.eng.Pick(y, x, p.read)
	return y
}

// project computes the rotated queries and keys, and the values.
func (p *pass) project(b *block, a *acts) {
	s := p.n.shape
	a.q, a.k, a.v = p.temp(s.Heads*s.HeadDim), p.temp(s.KVHeads*s.HeadDim), p.temp(s.KVHeads*s.HeadDim)
	p.linear(a.q, a.n1, b, 0, a)
	p.linear(a.k, a.n1, b, 1, a)
	p.linear(a.v, a.n1, b, 2, a)
	a.qRaw, a.q = p.headNorm(a.q, b.qNorm, s.Heads)
	a.kRaw, a.k = p.headNorm(a.k, b.kNorm, s.KVHeads)
	p.n.eng.Rotary(a.q, p.cos, p.sin, s.Heads, false)
	p.n.eng.Rotary(a.k, p.cos, p.sin, s.KVHeads, false)
}

// headNorm normalises each head on its own. Where the model has no such norm it
// returns the zero View and x itself.
func (p *pass) headNorm(x lora.View, g gain, heads int) (raw, y lora.View) {
	if g.w.IsNone() {
		return lora.View{}, x
	}
	y = p.temp(x.Cols)
	p.n.eng.RMSNorm(p.perHead(y, heads), p.perHead(x, heads), g.w, p.n.cfg.RMSNormEps)
	return x, y
}

func (p *pass) perHead(x lora.View, heads int) lora.View {
	return x.Reshape(p.rows*heads, p.n.shape.HeadDim)
}

func (p *pass) attend(i int, a *acts) {
	s, eng := p.n.shape, p.n.eng
	a.o, a.lse = p.temp(s.Heads*s.HeadDim), p.temp(s.Heads)
	k, v := a.k, a.v
	if p.cache != nil {
		k, v = p.cache.put(i, k, v, p.cacheAt)
	}
	eng.Attention(a.o, a.lse, a.q, k, v, p.tree, s)
}

// linear computes the j-th linear layer of a block and keeps its low-rank
// activations.
func (p *pass) linear(y, x lora.View, b *block, j int, a *acts) {
	l := b.linears()[j]
	if !l.A.IsNone() {
		a.h[j] = p.n.eng.Temp(x.Rows, l.A.Rows)
	}
	p.n.eng.Linear(y, x, l, a.h[j])
}

// final normalises the last block's output.
func (p *pass) final(x lora.View) lora.View {
	normed := p.n.eng.Temp(x.Rows, x.Cols)
	p.n.eng.RMSNorm(normed, x, p.n.norm.w, p.n.cfg.RMSNormEps)
	return normed
}
