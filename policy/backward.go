package policy

import (
	"context"

	"github.com/socialrl/socialrl/lora"
)

// tape is a pass that can be walked back. What it keeps lies in the arena block after
// block, and is given back block after block.
type tape struct {
	*pass
	tokens []int32
	again  int          // the lowest so many blocks keep their input only and are computed again
	d      [2]lora.View // gradients with respect to a block's input and output, in turn
	saved  []acts       // one a block
	marks  []lora.Mark  // where the arena ended before each block

	section *section
	x       lora.View // the last block's output
	sums    []keyPair // gradients with respect to kept that the parts below gave so far
}

// newTape prepares a part of a forest, below the tape of the segment above.
func newTape(n *net, f *Forest, p *section, up *tape, again int) *tape {
	t := &tape{pass: newPass(n, f.positions[p.lo:p.hi], p.tree, p.read), tokens: f.tokens[p.lo:p.hi], again: again, section: p}
	t.up, t.above = up, p.above
	t.d[0], t.d[1] = t.temp(n.cfg.HiddenSize), t.temp(n.cfg.HiddenSize)
	t.saved, t.marks = make([]acts, len(n.blocks)), make([]lora.Mark, len(n.blocks))
	if len(p.below) > 0 {
		t.kept, t.sums = t.keyPairs(), t.keyPairs()
		for _, s := range t.sums {
			n.eng.Zero(s.k)
			n.eng.Zero(s.v)
		}
	}
	if up != nil || len(p.below) > 0 {
		n.eng.Zero(t.top())
	}
	return t
}

// record runs all blocks and keeps what the backward pass needs.
func (t *tape) record(ctx context.Context) (lora.View, error) {
	eng, x := t.n.eng, t.embed(t.tokens)
	for i := range t.n.blocks {
		if err := ctx.Err(); err != nil {
			return lora.View{}, err
		}
		t.marks[i] = eng.Mark()
		out, a := t.output(i), &t.saved[i]
		a.x = x
		mark := eng.Mark()
		t.room(i, a)
		if i >= t.again {
			mark = eng.Mark()
		}
		t.block(i, out, a)
		eng.Reset(mark)
		x = out
	}
	return x, nil
}

// top returns room for the gradient with respect to the last block's output.
func (t *tape) top() lora.View {
	if t.read == nil {
		return t.d[0]
	}
	return t.d[0].RowRange(0, len(t.read))
}

// back walks all blocks from the last to the first. dx holds the gradient with
// respect to the last block's output, the rows that are read, and is overwritten.
func (t *tape) back(ctx context.Context, dx lora.View) error {
	eng := t.n.eng
	for i := len(t.n.blocks) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.recall(i)
		t.blockBack(i, t.d[1], dx, &t.saved[i])
		eng.Reset(t.marks[i])
		t.d[0], t.d[1] = t.d[1], t.d[0]
		dx = t.d[0]
	}
	if !t.n.dEmbed.IsNone() {
		eng.ScatterAdd(t.n.dEmbed, dx, t.tokens)
	}
	return nil
}

// recall computes again what was not kept of block i. The numbers are those of the
// forward pass, bit for bit.
func (t *tape) recall(i int) {
	a, b, eng := &t.saved[i], &t.n.blocks[i], t.n.eng
	if i < t.again {
		t.room(i, a)
		if b.down.A.IsNone() {
			t.inside(i, a) // the output itself is not needed
		} else {
			t.block(i, t.output(i), a)
		}
		return
	}
	t.between(a)
	if readsInput(&b.q) || readsInput(&b.k) || readsInput(&b.v) {
		eng.RMSNorm(a.n1, a.x, b.attnNorm.w, t.n.cfg.RMSNormEps)
	}
	if t.silent(i) {
		return
	}
	if readsInput(&b.gate) || readsInput(&b.up) {
		eng.RMSNorm(a.n2, a.mid, b.mlpNorm.w, t.n.cfg.RMSNormEps)
	}
	if readsInput(&b.down) {
		eng.SwiGLU(a.act, a.gate, a.up)
	}
}

// readsInput reports whether the backward pass of a layer reads the layer's input:
// that of a frozen one does not.
func readsInput(l *lora.Linear) bool { return !l.DA.IsNone() || !l.DW.IsNone() }

// blockBack sets dx from dout, the gradient with respect to block i's output. The
// activations are used up. The lowest block's input needs no gradient unless the
// embeddings are trained.
func (t *tape) blockBack(i int, dx, dout lora.View, a *acts) {
	b, eng := &t.n.blocks[i], t.n.eng
	var dmid, do lora.View
	if t.silent(i) {
		do = t.temp(a.o.Cols)
		eng.Zero(do)
	} else {
		dmid = t.mlpBack(b, dout, a)
		do = t.outputBack(i, dmid, a)
	}
	dn1 := t.temp(dx.Cols)
	if i == 0 && t.n.dEmbed.IsNone() && b.attnNorm.dw.IsNone() {
		t.attentionBack(i, lora.View{}, do, a)
		return
	}
	t.attentionBack(i, dn1, do, a)
	eng.RMSNormBack(dx, dn1, a.x, b.attnNorm.w, b.attnNorm.dw, t.n.cfg.RMSNormEps)
	switch {
	case t.silent(i):
	case t.picks(i):
		eng.ScatterAdd(dx, dmid, t.read)
	default:
		eng.Accumulate(dx, dmid)
	}
}

// outputBack returns the gradient with respect to attention's output from dmid.
func (t *tape) outputBack(i int, dmid lora.View, a *acts) lora.View {
	eng := t.n.eng
	do := eng.Temp(dmid.Rows, a.o.Cols)
	t.linearBack(do, dmid, a.oRead, &t.n.blocks[i], 3, a, false)
	if !t.picks(i) {
		return do
	}
	all := t.temp(a.o.Cols)
	eng.Zero(all)
	eng.Put(all, do, t.read)
	return all
}

// mlpBack returns the gradient with respect to mid.
func (t *tape) mlpBack(b *block, dout lora.View, a *acts) lora.View {
	eng := t.n.eng
	rows := dout.Rows
	dact, dn2, dmid := eng.Temp(rows, a.act.Cols), eng.Temp(rows, dout.Cols), eng.Temp(rows, dout.Cols)
	t.linearBack(dact, dout, a.act, b, 6, a, false)
	eng.SwiGLUBack(a.gate, a.up, dact, a.gate, a.up)
	t.linearBack(dn2, a.gate, a.n2, b, 4, a, false)
	t.linearBack(dn2, a.up, a.n2, b, 5, a, true)
	eng.RMSNormBack(dmid, dn2, a.mid, b.mlpNorm.w, b.mlpNorm.dw, t.n.cfg.RMSNormEps)
	eng.Accumulate(dmid, dout)
	return dmid
}

// attentionBack sets dn1, the gradient with respect to the normalised input, from
// that with respect to attention's output; the zero View where only parameters need
// theirs.
func (t *tape) attentionBack(i int, dn1, do lora.View, a *acts) {
	eng, s, b := t.n.eng, t.n.shape, &t.n.blocks[i]
	dq := t.temp(a.q.Cols)
	dk, dv := t.keysBack(i, dq, do, a)
	eng.Rotary(dq, t.cos, t.sin, s.Heads, true)
	eng.Rotary(dk, t.cos, t.sin, s.KVHeads, true)
	dq = t.headNormBack(dq, a.qRaw, b.qNorm, s.Heads)
	dk = t.headNormBack(dk, a.kRaw, b.kNorm, s.KVHeads)
	t.linearBack(dn1, dq, a.n1, b, 0, a, false)
	t.linearBack(dn1, dk, a.n1, b, 1, a, true)
	t.linearBack(dn1, dv, a.n1, b, 2, a, true)
}

// keysBack sets dq and returns the gradients with respect to the pass's own keys and
// values: what its queries give, and what those of the parts below gave. Its part of the
// gradients of the segments above is added to their sums.
func (t *tape) keysBack(i int, dq, do lora.View, a *acts) (dk, dv lora.View) {
	eng := t.n.eng
	d, k, v := t.keyRoom(t.above+t.rows), a.k, a.v
	mark := eng.Mark()
	if t.up != nil {
		k, v = t.path(i, a)
	}
	eng.AttentionBack(dq, d.k, d.v, do, a.o, a.lse, a.q, k, v, t.tree, t.n.shape)
	eng.Reset(mark)
	for u := t.up; u != nil; u = u.up {
		eng.Accumulate(u.sums[i].k, d.k.RowRange(u.above, u.above+u.rows))
		eng.Accumulate(u.sums[i].v, d.v.RowRange(u.above, u.above+u.rows))
	}
	dk, dv = d.k.RowRange(t.above, d.k.Rows), d.v.RowRange(t.above, d.v.Rows)
	if t.sums != nil {
		eng.Accumulate(dk, t.sums[i].k)
		eng.Accumulate(dv, t.sums[i].v)
	}
	return dk, dv
}

func (t *tape) headNormBack(dy, raw lora.View, g gain, heads int) lora.View {
	if g.w.IsNone() {
		return dy
	}
	dx := t.temp(dy.Cols)
	t.n.eng.RMSNormBack(t.perHead(dx, heads), t.perHead(dy, heads), t.perHead(raw, heads), g.w, g.dw, t.n.cfg.RMSNormEps)
	return dx
}

func (t *tape) linearBack(dx, dy, x lora.View, b *block, j int, a *acts, add bool) {
	t.n.eng.LinearBack(dx, dy, x, b.linears()[j], a.h[j], add)
}
