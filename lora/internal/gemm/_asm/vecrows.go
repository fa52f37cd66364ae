package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rows emits the kernels that work on several rows at a time.
func (l *lanes) rows() {
	l.columns("addRows", "adds to y[j] the numbers x[r*stride+j] of all rows, in order.", []string{"x"},
		func(acc reg.VecVirtual, in []reg.VecVirtual, _ reg.VecVirtual) { VADDPS(in[0], acc, acc) })
	l.columns("addProducts", "adds to y[j] the products a[r*stride+j]*b[r*stride+j]*s[r] of all rows, in order.", []string{"a", "b"},
		func(acc reg.VecVirtual, in []reg.VecVirtual, s reg.VecVirtual) {
			VMULPS(in[1], in[0], in[0])
			VMULPS(s, in[0], in[0])
			VADDPS(in[0], acc, acc)
		})
	l.rotate()
}

// columns emits a kernel that keeps the sums of some columns in registers while all
// rows pass by. With two inputs, each row has a factor.
func (l *lanes) columns(name, doc string, inputs []string, step func(acc reg.VecVirtual, in []reg.VecVirtual, factor reg.VecVirtual)) {
	signature := "func(y *float32, "
	for _, in := range inputs {
		signature += in + " *float32, s" + in + " int, "
	}
	if len(inputs) == 2 {
		signature += "s *float32, "
	}
	TEXT(name+l.suffix, NOSPLIT, signature+"n int, rows int)")
	Pragma("noescape")
	Doc(name + l.suffix + " " + doc)
	y, n := argument("y"), argument("n")
	var at, strides []reg.GPVirtual
	for _, in := range inputs {
		at = append(at, argument(in))
		stride := argument("s" + in)
		SHLQ(Imm(2), stride)
		strides = append(strides, stride)
	}
	strip := func(label string, vectors int, load func(Mem, reg.VecVirtual), save func(reg.VecVirtual, Mem)) {
		acc := make([]reg.VecVirtual, vectors)
		for v := range acc {
			acc[v] = l.register()
			load(Mem{Base: y, Disp: 4 * l.width * v}, acc[v])
		}
		var row []reg.GPVirtual
		for _, p := range at {
			r := GP64()
			MOVQ(p, r)
			row = append(row, r)
		}
		factors, factor := GP64(), l.register()
		if len(inputs) == 2 {
			Load(Param("s"), factors)
		}
		rows := argument("rows")
		loop(label+"_rows", rows, 1, func() {
			if len(inputs) == 2 {
				VBROADCASTSS(Mem{Base: factors}, factor)
				ADDQ(Imm(4), factors)
			}
			for v := range acc {
				in := make([]reg.VecVirtual, len(at))
				for i := range in {
					in[i] = l.register()
					load(Mem{Base: row[i], Disp: 4 * l.width * v}, in[i])
				}
				step(acc[v], in, factor)
			}
			for i := range row {
				ADDQ(strides[i], row[i])
			}
		})
		for v := range acc {
			save(acc[v], Mem{Base: y, Disp: 4 * l.width * v})
		}
		l.advance(append([]reg.GPVirtual{y}, at...), vectors)
	}
	load := func(from Mem, to reg.VecVirtual) { VMOVUPS(from, to) }
	save := func(from reg.VecVirtual, to Mem) { VMOVUPS(from, to) }
	loop("fours", n, 4*l.width, func() { strip("fours", 4, load, save) })
	loop("ones", n, l.width, func() { strip("ones", 1, load, save) })
	TESTQ(n, n)
	JZ(LabelRef("finish"))
	mask := l.rest(n)
	strip("rest", 1, func(from Mem, to reg.VecVirtual) { l.loadRest(from, mask, to) },
		func(from reg.VecVirtual, to Mem) { l.saveRest(from, mask, to) })
	Label("finish")
	VZEROUPPER()
	RET()
}

// rotate emits the rotation of the pairs of all heads of a row. Products are rounded
// before they are added, as in the loop.
func (l *lanes) rotate() {
	TEXT("rotate"+l.suffix, NOSPLIT, "func(x *float32, cos *float32, sin *float32, n int, heads int, sign float32)")
	Pragma("noescape")
	Doc("rotate" + l.suffix + " turns the pairs x[2*h*n+i], x[(2*h+1)*n+i] of every head h by cos[i] and sign*sin[i].")
	x, cos, sin, n := argument("x"), argument("cos"), argument("sin"), argument("n")
	half, sign := GP64(), l.broadcast("sign")
	MOVQ(n, half)
	SHLQ(Imm(2), half)
	vector := func(label string, load func(Mem, reg.VecVirtual), save func(reg.VecVirtual, Mem)) {
		c, s, at, heads := l.register(), l.register(), GP64(), argument("heads")
		load(Mem{Base: cos}, c)
		load(Mem{Base: sin}, s)
		VMULPS(sign, s, s)
		MOVQ(x, at)
		loop(label+"_heads", heads, 1, func() {
			a, b, t, u := l.register(), l.register(), l.register(), l.register()
			load(Mem{Base: at}, a)
			load(Mem{Base: at, Index: half, Scale: 1}, b)
			VMULPS(c, a, t)
			VMULPS(s, b, u)
			VSUBPS(u, t, t)
			save(t, Mem{Base: at})
			VMULPS(c, b, b)
			VMULPS(s, a, a)
			VADDPS(a, b, b)
			save(b, Mem{Base: at, Index: half, Scale: 1})
			LEAQ(Mem{Base: at, Index: half, Scale: 2}, at)
		})
		l.advance([]reg.GPVirtual{x, cos, sin}, 1)
	}
	loop("ones", n, l.width, func() {
		vector("ones", func(from Mem, to reg.VecVirtual) { VMOVUPS(from, to) }, func(from reg.VecVirtual, to Mem) { VMOVUPS(from, to) })
	})
	TESTQ(n, n)
	JZ(LabelRef("finish"))
	mask := l.rest(n)
	vector("rest", func(from Mem, to reg.VecVirtual) { l.loadRest(from, mask, to) },
		func(from reg.VecVirtual, to Mem) { l.saveRest(from, mask, to) })
	Label("finish")
	VZEROUPPER()
	RET()
}

// drop emits dropout by words of random bits, (w>>9 + ½)·2⁻²³ as numbers.
func (l *lanes) drop() {
	l.emit(mapping{name: "drop", doc: "sets y[i] = x[i]*keep, or 0 where (words[i]>>9 + 0.5) / 2^23 is below p.",
		outputs: []string{"y"}, inputs: []string{"x", "words"}, scalars: []string{"p", "keep"},
		body: func(in, s []reg.VecVirtual) []reg.VecVirtual {
			x, u := in[0], in[1]
			VPSRLD(Imm(9), u, u)
			VCVTDQ2PS(u, u)
			VADDPS(constant(0.5), u, u)
			VMULPS(constant(1.0/(1<<23)), u, u)
			VMULPS(s[1], x, x)
			const notLess = 13
			if l.width == 16 {
				m := K()
				VCMPPS(Imm(notLess), s[0], u, m)
				VMOVUPS_Z(x, m, x)
			} else {
				VCMPPS(Imm(notLess), s[0], u, u)
				VANDPS(u, x, x)
			}
			return []reg.VecVirtual{x}
		}})
}
