package policy

import (
	"github.com/socialrl/socialrl/lora"
)

// net is a base model seen through an adapter: every weight, branch and gradient
// that the passes use, resolved once.
type net struct {
	eng    lora.Engine
	cfg    *Config
	shape  lora.HeadShape
	freq   []float32 // rotary inverse frequencies
	embed  lora.Weight
	dEmbed lora.View
	blocks []block
	norm   gain
	head   lora.Weight // output matrix; nil where the model only scores
	dHead  lora.View
	score  lora.Linear // scalar head; score.W is nil where there is none
}

// gain is the weight of an RMSNorm and its gradient.
type gain struct{ w, dw lora.View }

// block is one transformer layer.
type block struct {
	attnNorm, mlpNorm gain
	qNorm, kNorm      gain // per head (Qwen3); zero where absent
	q, k, v, o        lora.Linear
	gate, up, down    lora.Linear
}

// linears lists the block's linear layers in the order of their computation.
func (b *block) linears() []*lora.Linear {
	return []*lora.Linear{&b.q, &b.k, &b.v, &b.o, &b.gate, &b.up, &b.down}
}

// newNet resolves base and adapter; a nil adapter gives the bare base.
func newNet(b *Base, a *lora.Adapter) *net {
	r := resolver{base: b, adapter: a}
	n := &net{eng: b.eng, cfg: &b.cfg, freq: b.freq,
		shape: lora.HeadShape{Heads: b.cfg.Heads, KVHeads: b.cfg.KVHeads, HeadDim: b.cfg.HeadDim}}
	n.embed, n.dEmbed = r.weight(embedName, b.embed)
	n.norm = r.gain(finalNormName, b.norm)
	switch {
	case b.head != nil:
		n.head, n.dHead = r.weight(headName, b.head)
	case !b.cfg.Classifier:
		n.head, n.dHead = n.embed, n.dEmbed
	}
	n.score = r.score()
	for i := range b.layers {
		n.blocks = append(n.blocks, r.block(i, &b.layers[i]))
	}
	n.shape.Relaxed = n.blocks[0].q.W.Kind() != lora.F32
	return n
}

// setDropout gives every branch its dropout for one pass, whose rows count from row0 in
// the step, and those that are read, which the end of the last block sees alone, from
// read0.
func (n *net) setDropout(p float64, seed uint64, step uint32, row0, read0 uint64) {
	for i := range n.blocks {
		for j, l := range n.blocks[i].linears() {
			index, first := uint32(i*7+j), row0
			if i == len(n.blocks)-1 && j >= 3 {
				first = read0
			}
			l.Drop = lora.Dropout{P: p, Row0: first, Key: lora.Key{Seed: seed, Purpose: lora.ForDropout, Index: index, Step: step}}
		}
	}
}

// resolver looks names up: first among the adapter's parameters, then in the base.
type resolver struct {
	base    *Base
	adapter *lora.Adapter
}

func (r *resolver) param(name string) *lora.Param {
	if r.adapter == nil {
		return nil
	}
	return r.adapter.Param(name)
}

func (r *resolver) weight(name string, frozen lora.Weight) (lora.Weight, lora.View) {
	if p := r.param(name); p != nil {
		return r.base.eng.ViewWeight(p.Value), p.Grad
	}
	return frozen, lora.View{}
}

func (r *resolver) gain(name string, frozen lora.View) gain {
	if p := r.param(name); p != nil {
		return gain{p.Value, p.Grad}
	}
	return gain{w: frozen}
}

func (r *resolver) linear(module string, l baseLinear) lora.Linear {
	var out lora.Linear
	out.W, out.DW = r.weight(module+".weight", l.w)
	bias := r.gain(module+".bias", l.bias)
	out.Bias, out.DBias = bias.w, bias.dw
	a, b := r.param(lora.AdapterName(module, lora.PartA)), r.param(lora.AdapterName(module, lora.PartB))
	if a != nil && b != nil {
		out.A, out.DA, out.B, out.DB = a.Value, a.Grad, b.Value, b.Grad
		out.Scale = r.adapter.Config.Scale()
	}
	return out
}

// score finds the scalar head: the adapter's, or the base's own.
func (r *resolver) score() lora.Linear {
	for _, name := range []string{lora.AdapterName(lora.HeadModule, lora.PartWhole), scoreName} {
		if p := r.param(name); p != nil {
			return lora.Linear{W: r.base.eng.ViewWeight(p.Value), DW: p.Grad}
		}
	}
	return lora.Linear{W: r.base.score}
}

func (r *resolver) block(i int, l *baseLayer) block {
	at := layerPrefix(i)
	out := block{
		attnNorm: r.gain(at+attnNormName, l.attnNorm), mlpNorm: r.gain(at+mlpNormName, l.mlpNorm),
		qNorm: r.gain(at+qNormName, l.qNorm), kNorm: r.gain(at+kNormName, l.kNorm),
	}
	frozen := l.linears()
	for j, into := range out.linears() {
		*into = r.linear(lora.LinearModule(i, linearNames[j]), *frozen[j])
	}
	return out
}
