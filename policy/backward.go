package policy

import (
	"context"

	"github.com/socialrl/socialrl/lora"
)

// tape is a pass that can be walked back.
type tape struct {
	*pass
	tokens []int32
	saved  []acts // one a block; only the input where activations are recomputed
	again  bool   // recompute a block's activations in the backward pass
}

// record runs all blocks and keeps what the backward pass needs.
func (t *tape) record(ctx context.Context) (lora.View, error) {
	x := t.embed(t.tokens)
	t.saved = make([]acts, len(t.n.blocks))
	for i := range t.n.blocks {
		if err := ctx.Err(); err != nil {
			return lora.View{}, err
		}
		out := t.output(i)
		mark := t.n.eng.Mark()
		t.block(i, x, out, &t.saved[i])
		if t.again {
			t.saved[i] = acts{x: x}
			t.n.eng.Reset(mark)
		}
		x = out
	}
	return x, nil
}

// back walks all blocks from the last to the first. dx holds the gradient with
// respect to the last block's output, the rows that are read, and is overwritten.
func (t *tape) back(ctx context.Context, dx lora.View) error {
	eng := t.n.eng
	other, spare := t.temp(dx.Cols), dx
	if spare.Rows != t.rows {
		spare = t.temp(dx.Cols)
	}
	for i := len(t.n.blocks) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		mark := eng.Mark()
		a := &t.saved[i]
		if t.again {
			t.block(i, a.x, t.output(i), a)
		}
		t.blockBack(i, other, dx, a)
		eng.Reset(mark)
		dx, other, spare = other, spare, other
	}
	if !t.n.dEmbed.IsNone() {
		eng.ScatterAdd(t.n.dEmbed, dx, t.tokens)
	}
	return nil
}

// blockBack sets dx from dout, the gradient with respect to block i's output. The
// activations are used up. The lowest block's input needs no gradient unless the
// embeddings are trained.
func (t *tape) blockBack(i int, dx, dout lora.View, a *acts) {
	b, eng := &t.n.blocks[i], t.n.eng
	dmid := t.mlpBack(b, dout, a)
	do := t.outputBack(i, dmid, a)
	dn1 := t.temp(dx.Cols)
	if i == 0 && t.n.dEmbed.IsNone() && b.attnNorm.dw.IsNone() {
		t.attentionBack(b, lora.View{}, do, a)
		return
	}
	t.attentionBack(b, dn1, do, a)
	eng.RMSNormBack(dx, dn1, a.x, b.attnNorm.w, b.attnNorm.dw, t.n.cfg.RMSNormEps)
	if t.picks(i) {
		eng.ScatterAdd(dx, dmid, t.read)
		return
	}
	eng.Accumulate(dx, dmid)
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
func (t *tape) attentionBack(b *block, dn1, do lora.View, a *acts) {
	eng, s := t.n.eng, t.n.shape
	dq, dk, dv := t.temp(a.q.Cols), t.temp(a.k.Cols), t.temp(a.v.Cols)
	eng.AttentionBack(dq, dk, dv, do, a.o, a.lse, a.q, a.k, a.v, t.tree, s)
	eng.Rotary(dq, t.cos, t.sin, s.Heads, true)
	eng.Rotary(dk, t.cos, t.sin, s.KVHeads, true)
	dq = t.headNormBack(dq, a.qRaw, b.qNorm, s.Heads)
	dk = t.headNormBack(dk, a.kRaw, b.kNorm, s.KVHeads)
	t.linearBack(dn1, dq, a.n1, b, 0, a, false)
	t.linearBack(dn1, dk, a.n1, b, 1, a, true)
	t.linearBack(dn1, dv, a.n1, b, 2, a, true)
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
