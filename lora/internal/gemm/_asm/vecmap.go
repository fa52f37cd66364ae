package main

import (
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// mapping describes a kernel that works element by element: body turns one
// vector of each input into one of each output.
type mapping struct {
	name, doc string
	outputs   []string // written; those also in inputs are read first
	inputs    []string
	scalars   []string
	sum       bool // returns the sum of the first output
	body      func(in, scalars []reg.VecVirtual) []reg.VecVirtual
}

func (l *lanes) maps() {
	l.emit(mapping{name: "axpy", doc: "sets y[i] += alpha*x[i].", outputs: []string{"y"}, inputs: []string{"y", "x"}, scalars: []string{"alpha"},
		body: func(in, s []reg.VecVirtual) []reg.VecVirtual { VFMADD231PS(in[1], s[0], in[0]); return in[:1] }})
	l.emit(mapping{name: "scale", doc: "sets y[i] = alpha*x[i].", outputs: []string{"y"}, inputs: []string{"x"}, scalars: []string{"alpha"},
		body: func(in, s []reg.VecVirtual) []reg.VecVirtual { VMULPS(in[0], s[0], in[0]); return in }})
	l.emit(mapping{name: "add", doc: "sets y[i] = a[i]+b[i].", outputs: []string{"y"}, inputs: []string{"a", "b"},
		body: func(in, _ []reg.VecVirtual) []reg.VecVirtual { VADDPS(in[1], in[0], in[0]); return in[:1] }})
	l.emit(mapping{name: "mul", doc: "sets y[i] = a[i]*b[i].", outputs: []string{"y"}, inputs: []string{"a", "b"},
		body: func(in, _ []reg.VecVirtual) []reg.VecVirtual { VMULPS(in[1], in[0], in[0]); return in[:1] }})
	l.emit(mapping{name: "scaleMul", doc: "sets y[i] = alpha*a[i]*b[i].", outputs: []string{"y"}, inputs: []string{"a", "b"}, scalars: []string{"alpha"},
		body: func(in, s []reg.VecVirtual) []reg.VecVirtual {
			VMULPS(s[0], in[0], in[0])
			VMULPS(in[1], in[0], in[0])
			return in[:1]
		}})
	l.emit(mapping{name: "exp", doc: "sets y[i] = exp(x[i]-shift) and returns the sum.", outputs: []string{"y"}, inputs: []string{"x"}, scalars: []string{"shift"}, sum: true,
		body: func(in, s []reg.VecVirtual) []reg.VecVirtual {
			VSUBPS(s[0], in[0], in[0])
			return []reg.VecVirtual{l.exp(in[0])}
		}})
	l.emit(mapping{name: "siluMul", doc: "sets y[i] = gate[i]/(1+exp(-gate[i])) * up[i].", outputs: []string{"y"}, inputs: []string{"gate", "up"},
		body: func(in, _ []reg.VecVirtual) []reg.VecVirtual {
			d := l.denominator(in[0])
			VDIVPS(d, in[0], in[0])
			VMULPS(in[1], in[0], in[0])
			return in[:1]
		}})
	l.emit(mapping{name: "siluMulBack", doc: "sets dg and du to the derivatives of siluMul times dy.",
		outputs: []string{"dgate", "dup"}, inputs: []string{"gate", "up", "dy"}, body: l.siluMulBack})
	l.emit(mapping{name: "race", doc: "sets y[i] = exp(x[i]-shift) / (1-u[i]) with u[i] = (words[i]>>9 + 0.5) / 2^23.",
		outputs: []string{"y"}, inputs: []string{"x", "words"}, scalars: []string{"shift"},
		body: func(in, s []reg.VecVirtual) []reg.VecVirtual {
			x, w, tail := in[0], in[1], l.register()
			VSUBPS(s[0], x, x)
			e := l.exp(x)
			VPSRLD(Imm(9), w, w)
			VCVTDQ2PS(w, w)
			VMOVUPS(constant(1<<23-0.5), tail)
			VSUBPS(w, tail, tail)
			VMULPS(constant(1<<23), e, e)
			VDIVPS(tail, e, e)
			return []reg.VecVirtual{e}
		}})
	l.emit(mapping{name: "softmaxBack", doc: "sets p[i] = exp(p[i]-lse[i]) and dp[i] = p[i]*(dp[i]-d[i]).",
		outputs: []string{"p", "dp"}, inputs: []string{"p", "dp", "lse", "d"},
		body: func(in, _ []reg.VecVirtual) []reg.VecVirtual {
			p, dp, lse, d := in[0], in[1], in[2], in[3]
			VSUBPS(lse, p, p)
			p = l.exp(p)
			VSUBPS(d, dp, dp)
			VMULPS(p, dp, dp)
			return []reg.VecVirtual{p, dp}
		}})
}

// siluMulBack: with s = 1/(1+exp(-g)),
//
//	du = dy*g*s
//	dg = dy*u*s*(1+g*(1-s))
func (l *lanes) siluMulBack(in, _ []reg.VecVirtual) []reg.VecVirtual {
	g, u, dy := in[0], in[1], in[2]
	d, s, dg := l.denominator(g), l.register(), l.register()
	VMOVUPS(constant(1), s)
	VDIVPS(d, s, s)
	VMOVUPS(constant(1), d)
	VSUBPS(s, d, dg)
	VFMADD213PS(d, g, dg) // 1 + g(1-s)
	VMULPS(s, dy, dy)
	VMULPS(dy, dg, dg)
	VMULPS(u, dg, dg)
	VMULPS(g, dy, dy)
	return []reg.VecVirtual{dg, dy}
}

// denominator returns 1+exp(-g) in a new register.
func (l *lanes) denominator(g reg.VecVirtual) reg.VecVirtual {
	x := l.register()
	VMULPS(constant(-1), g, x)
	e := l.exp(x)
	VADDPS(constant(1), e, e)
	return e
}

// exp returns e^x in a new register; x is clobbered. In minima and maxima x is
// the second source, so that NaN stays.
func (l *lanes) exp(x reg.VecVirtual) reg.VecVirtual {
	n, e, bound := l.register(), l.register(), l.register()
	VMOVUPS(constant(expMax), bound)
	VMINPS(x, bound, x)
	VMOVUPS(constant(expMin), bound)
	VMAXPS(x, bound, x)
	VMULPS(constant(log2e), x, n)
	l.round(n, n)
	VFMADD231PS(constant(-ln2High), n, x)
	VFMADD231PS(constant(-ln2Low), n, x)
	VMOVUPS(constant(exp6), e)
	for _, c := range []float64{exp5, exp4, exp3, exp2, 1, 1} {
		VFMADD213PS(constant(c), x, e)
	}
	l.scale(n, e)
	return e
}

// broadcast fills a register with a scalar parameter.
func (l *lanes) broadcast(name string) reg.VecVirtual {
	x, v := XMM(), l.register()
	Load(Param(name), x)
	VBROADCASTSS(x, v)
	return v
}

// pointers returns the parameters of m: outputs, then inputs that are not
// outputs.
func (m *mapping) pointers() []string {
	names := append([]string{}, m.outputs...)
	for _, in := range m.inputs {
		if !slices.Contains(m.outputs, in) {
			names = append(names, in)
		}
	}
	return names
}

func (l *lanes) emit(m mapping) {
	more := ""
	for _, s := range m.scalars {
		more += ", " + s + " float32"
	}
	more += ")"
	if m.sum {
		more += " float32"
	}
	names := m.pointers()
	at, n := l.text(m.name, m.doc, names, more)
	place := map[string]reg.GPVirtual{}
	for i, name := range names {
		place[name] = at[i]
	}
	var scalars []reg.VecVirtual
	for _, s := range m.scalars {
		scalars = append(scalars, l.broadcast(s))
	}
	total := l.register()
	if m.sum {
		VXORPS(total, total, total)
	}
	loop("ones", n, l.width, func() {
		var in []reg.VecVirtual
		for _, name := range m.inputs {
			in = append(in, l.read([]reg.GPVirtual{place[name]}, 0)...)
		}
		for i, out := range m.body(in, scalars) {
			if m.sum {
				VADDPS(out, total, total)
			}
			VMOVUPS(out, Mem{Base: place[m.outputs[i]]})
		}
		l.advance(at, 1)
	})
	TESTQ(n, n)
	JZ(LabelRef("finish"))
	l.emitRest(m, place, n, scalars, total)
	Label("finish")
	if m.sum {
		l.across(total, func(x, acc reg.VecVirtual) { VADDPS(x, acc, acc) })
		Store(total.AsX(), ReturnIndex(0))
	}
	VZEROUPPER()
	RET()
}

// emitRest emits the last, incomplete vector.
func (l *lanes) emitRest(m mapping, place map[string]reg.GPVirtual, n reg.GPVirtual, scalars []reg.VecVirtual, total reg.VecVirtual) {
	mask := l.rest(n)
	var in []reg.VecVirtual
	for _, name := range m.inputs {
		v := l.register()
		l.loadRest(Mem{Base: place[name]}, mask, v)
		in = append(in, v)
	}
	for i, out := range m.body(in, scalars) {
		l.saveRest(out, mask, Mem{Base: place[m.outputs[i]]})
		if m.sum {
			zero := l.register()
			VXORPS(zero, zero, zero)
			l.choose(mask, out, zero, zero)
			VADDPS(zero, total, total)
		}
	}
}
