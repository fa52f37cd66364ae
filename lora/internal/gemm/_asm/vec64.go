package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Kernels that compute in float64: a vector of floats is two of doubles.

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

// sums64 emits sums in float64 of products, which are exact there: four interleaved
// sums a row, as in the loop, and four rows at a time.
func (l *lanes) sums64() {
	l.dots64("squares64", "is squares64Go.", []string{"a"})
	l.dots64("dots64", "is dots64Go.", []string{"a", "b"})
}

func (l *lanes) dots64(name, doc string, inputs []string) {
	signature := "func(sums *float64, "
	for _, in := range inputs {
		signature += in + " *float32, s" + in + " int, "
	}
	TEXT(name+l.suffix, NOSPLIT, signature+"n int, rows int)")
	Pragma("noescape")
	Doc(name + l.suffix + " " + doc)
	sums, rows := argument("sums"), argument("rows")
	var at, strides []reg.GPVirtual
	for _, in := range inputs {
		at = append(at, argument(in))
		stride := argument("s" + in)
		SHLQ(Imm(2), stride)
		strides = append(strides, stride)
	}
	for _, d := range []dots{{"fours", 4}, {"ones", 1}} {
		loop(d.label, rows, d.rows, func() { d.emit(sums, at, strides) })
	}
	VZEROUPPER()
	RET()
}

// dots computes the sums of a number of rows together.
type dots struct {
	label string
	rows  int
}

// emit leaves the sums in memory and moves the pointers on.
func (d dots) emit(sums reg.GPVirtual, at, strides []reg.GPVirtual) {
	acc, tails := make([]reg.VecVirtual, d.rows), make([]reg.VecVirtual, d.rows)
	for r := range acc {
		acc[r] = YMM()
		VXORPD(acc[r], acc[r], acc[r])
	}
	n, column, triple := argument("n"), GP64(), make([]reg.GPVirtual, len(at))
	XORQ(column, column)
	for i := range at {
		if d.rows > 1 {
			triple[i] = GP64()
			LEAQ(Mem{Base: strides[i], Index: strides[i], Scale: 2}, triple[i])
		}
	}
	// The pointers move along the rows and back.
	each := func(step int, term func(r int, place []Mem)) {
		for r := range d.rows {
			place := make([]Mem, len(at))
			for i := range at {
				place[i] = Mem{Base: at[i]}
				switch r {
				case 1, 2:
					place[i].Index, place[i].Scale = strides[i], uint8(r)
				case 3:
					place[i].Index, place[i].Scale = triple[i], 1
				}
			}
			term(r, place)
		}
		for i := range at {
			ADDQ(number(4*step), at[i])
		}
		ADDQ(number(4*step), column)
	}
	loop(d.label+"_columns", n, 4, func() {
		each(4, func(r int, place []Mem) {
			in := make([]reg.VecVirtual, len(place))
			for i, m := range place {
				in[i] = YMM()
				VCVTPS2PD(m, in[i])
			}
			VFMADD231PD(in[0], in[len(in)-1], acc[r])
		})
	})
	for r := range acc {
		tails[r] = XMM()
		VEXTRACTF128(Imm(1), acc[r], tails[r])
	}
	loop(d.label+"_rest", n, 1, func() {
		each(1, func(r int, place []Mem) {
			in := make([]reg.VecVirtual, len(place))
			for i, m := range place {
				in[i] = XMM()
				VXORPD(in[i], in[i], in[i])
				VCVTSS2SD(m, in[i], in[i])
			}
			VFMADD231SD(in[0], in[len(in)-1], acc[r].AsX())
		})
	})
	for r := range acc {
		VHADDPD(acc[r].AsX(), acc[r].AsX(), acc[r].AsX())
		VHADDPD(tails[r], tails[r], tails[r])
		VADDSD(tails[r], acc[r].AsX(), acc[r].AsX())
		VMOVSD(acc[r].AsX(), Mem{Base: sums, Disp: 8 * r})
	}
	for i := range at {
		SUBQ(column, at[i])
		if d.rows > 1 {
			LEAQ(Mem{Base: at[i], Index: strides[i], Scale: 4}, at[i])
		} else {
			ADDQ(strides[i], at[i])
		}
	}
	ADDQ(number(8*d.rows), sums)
}
