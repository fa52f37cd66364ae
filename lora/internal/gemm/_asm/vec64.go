package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Kernels that compute in float64: a vector of floats is two of doubles.

// widen returns the lower and upper half of x as doubles.
func (l *lanes) widen(x reg.VecVirtual) (low, high reg.VecVirtual) {
	low, high = l.register(), l.register()
	if l.width == 16 {
		VEXTRACTF64X4(Imm(1), x, high.AsY())
		VCVTPS2PD(x.AsY(), low)
		VCVTPS2PD(high.AsY(), high)
	} else {
		VEXTRACTF128(Imm(1), x, high.AsX())
		VCVTPS2PD(x.AsX(), low)
		VCVTPS2PD(high.AsX(), high)
	}
	return low, high
}

// narrow rounds two vectors of doubles to one of floats.
func (l *lanes) narrow(low, high reg.VecVirtual) reg.VecVirtual {
	out, upper := l.register(), l.register()
	if l.width == 16 {
		VCVTPD2PS(low, out.AsY())
		VCVTPD2PS(high, upper.AsY())
		VINSERTF64X4(Imm(1), upper.AsY(), out, out)
	} else {
		VCVTPD2PSY(low, out.AsX())
		VCVTPD2PSY(high, upper.AsX())
		VINSERTF128(Imm(1), upper.AsX(), out, out)
	}
	return out
}

// Places of the constants of adamW.
const (
	adamScale = 8 * iota // of the gradient
	adamBeta1
	adamRest1 // 1 - beta1
	adamBeta2
	adamRest2
	adamUnbias1 // 1 / (1 - beta1^t)
	adamUnbias2
	adamRate
	adamKeep // 1 - rate·decay
	adamEps
)

// adamW emits the optimiser's update. Every operation rounds as in the loop.
func (l *lanes) adamW() {
	TEXT("adamW"+l.suffix, NOSPLIT, "func(p *float32, m *float32, v *float32, grad *float32, n int, c *float64)")
	Pragma("noescape")
	Doc("adamW" + l.suffix + " is adamWGo.")
	at := []reg.GPVirtual{argument("p"), argument("m"), argument("v"), argument("grad")}
	n, constants := argument("n"), argument("c")
	c := func(which int) reg.VecVirtual {
		x := l.register()
		VBROADCASTSD(Mem{Base: constants, Disp: which}, x)
		return x
	}
	body := func(load func(Mem, reg.VecVirtual), save func(reg.VecVirtual, Mem)) {
		half := func(upper bool) []reg.VecVirtual {
			in := make([]reg.VecVirtual, 4)
			for i := range in {
				x := l.register()
				load(Mem{Base: at[i]}, x)
				in[i] = l.widenHalf(x, upper)
			}
			return l.adamWHalf(in, c)
		}
		low, high := half(false), half(true)
		for i := range low {
			save(l.narrow(low[i], high[i]), Mem{Base: at[i]})
		}
	}
	loop("ones", n, l.width, func() {
		body(func(from Mem, to reg.VecVirtual) { VMOVUPS(from, to) }, func(from reg.VecVirtual, to Mem) { VMOVUPS(from, to) })
		l.advance(at, 1)
	})
	TESTQ(n, n)
	JZ(LabelRef("finish"))
	mask := l.rest(n)
	body(func(from Mem, to reg.VecVirtual) { l.loadRest(from, mask, to) }, func(from reg.VecVirtual, to Mem) { l.saveRest(from, mask, to) })
	Label("finish")
	VZEROUPPER()
	RET()
}

// widenHalf returns one half of x as doubles, in x.
func (l *lanes) widenHalf(x reg.VecVirtual, upper bool) reg.VecVirtual {
	if l.width == 16 {
		if upper {
			VEXTRACTF64X4(Imm(1), x, x.AsY())
		}
		VCVTPS2PD(x.AsY(), x)
		return x
	}
	if upper {
		VEXTRACTF128(Imm(1), x, x.AsX())
	}
	VCVTPS2PD(x.AsX(), x)
	return x
}

// adamWHalf returns the new p, m and v.
func (l *lanes) adamWHalf(in []reg.VecVirtual, c func(int) reg.VecVirtual) []reg.VecVirtual {
	p, m, v, g := in[0], in[1], in[2], in[3]
	VMULPD(c(adamScale), g, g)
	VMULPD(c(adamBeta1), m, m)
	t := c(adamRest1)
	VMULPD(g, t, t)
	VADDPD(t, m, m)
	VMULPD(c(adamBeta2), v, v)
	t = c(adamRest2)
	VMULPD(g, t, t)
	VMULPD(g, t, t)
	VADDPD(t, v, v)
	VMULPD(c(adamKeep), p, p)
	t = c(adamRate)
	VMULPD(m, t, t)
	VMULPD(c(adamUnbias1), t, t)
	d := c(adamUnbias2)
	VMULPD(v, d, d)
	VSQRTPD(d, d)
	VADDPD(c(adamEps), d, d)
	VDIVPD(d, t, t)
	VSUBPD(t, p, p)
	return []reg.VecVirtual{p, m, v}
}

// sums64 emits sums in float64 of products, which are exact there.
func (l *lanes) sums64() {
	l.dot64("sumSquares64", "returns the sum of a[i]*a[i] in float64.", []string{"a"})
	l.dot64("dot64", "returns the sum of a[i]*b[i] in float64.", []string{"a", "b"})
}

func (l *lanes) dot64(name, doc string, inputs []string) {
	at, n := l.text(name, doc, inputs, ") float64")
	var acc [4]reg.VecVirtual
	for i := range acc {
		acc[i] = l.register()
		VXORPD(acc[i].AsY(), acc[i].AsY(), acc[i].AsY())
	}
	step := func(to []reg.VecVirtual, in []reg.VecVirtual) {
		low, high := l.widen(in[0])
		lowB, highB := low, high
		if len(in) == 2 {
			lowB, highB = l.widen(in[1])
		}
		VFMADD231PD(low, lowB, to[0])
		VFMADD231PD(high, highB, to[1])
	}
	loop("twos", n, 2*l.width, func() {
		for u := range 2 {
			step(acc[2*u:], l.read(at, 4*l.width*u))
		}
		l.advance(at, 2)
	})
	loop("ones", n, l.width, func() {
		step(acc[:], l.read(at, 0))
		l.advance(at, 1)
	})
	TESTQ(n, n)
	JZ(LabelRef("finish"))
	mask := l.rest(n)
	in := make([]reg.VecVirtual, len(at))
	for i := range at {
		in[i] = l.register()
		l.loadRest(Mem{Base: at[i]}, mask, in[i])
	}
	step(acc[2:], in)
	Label("finish")
	VADDPD(acc[1], acc[0], acc[0])
	VADDPD(acc[3], acc[2], acc[2])
	VADDPD(acc[2], acc[0], acc[0])
	if l.width == 16 {
		VEXTRACTF64X4(Imm(1), acc[0], acc[1].AsY())
		VADDPD(acc[1].AsY(), acc[0].AsY(), acc[0].AsY())
	}
	VEXTRACTF128(Imm(1), acc[0].AsY(), acc[1].AsX())
	VADDPD(acc[1].AsX(), acc[0].AsX(), acc[0].AsX())
	VPERMILPD(Imm(1), acc[0].AsX(), acc[1].AsX())
	VADDSD(acc[1].AsX(), acc[0].AsX(), acc[0].AsX())
	Store(acc[0].AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
