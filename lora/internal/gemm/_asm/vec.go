package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lanes is an instruction set seen by the kernels of package vec.
type lanes struct {
	suffix   string
	width    int // floats in a register
	register func() reg.VecVirtual
	rest     func(n reg.GPVirtual) reg.Register                   // mask of the first n floats
	loadRest func(from Mem, mask reg.Register, to reg.VecVirtual) // missing floats become 0
	saveRest func(from reg.VecVirtual, mask reg.Register, to Mem) //
	round    func(x, to reg.VecVirtual)                           // to the nearest integer
	scale    func(n, x reg.VecVirtual)                            // x *= 2^n
	choose   func(mask reg.Register, yes, no, to reg.VecVirtual)  // yes where the mask is set
}

// constants holds vectors of one value each, by value.
type constants struct {
	table Mem
	size  int
	at    map[uint32]int
}

var pool *constants

// constant returns a memory operand full of v.
func constant(v float64) Mem {
	bits := math.Float32bits(float32(v))
	at, ok := pool.at[bits]
	if !ok {
		panic("asm: constant missing from the table")
	}
	return pool.table.Offset(at)
}

// values lists every constant of the kernels.
var values = []float64{
	1, -1, log2e, -ln2High, -ln2Low, expMax, expMin,
	exp2, exp3, exp4, exp5, exp6, math.Inf(-1),
	1 << 23, 1<<23 - 0.5, 0.5, 1.0 / (1 << 23),
}

// The exponential is 2^n · e^r with n = round(x·log2 e), |r| <= ln(2)/2, and
//
//	e^r = 1 + r + r²(exp2 + exp3·r + … + exp6·r⁴)
//
// whose coefficients minimise the largest relative error, 0.06 · 2^-24 (Remez).
// ln2High has zeros at its end, so that n·ln2High is exact.
const (
	log2e   = 1.44269502
	ln2High = 0.693115234
	ln2Low  = 3.19461833e-05
	expMax  = 89   // e^x is infinite from 88.73 on
	expMin  = -104 // and 0 below -103.98
	exp2    = 0.49999994
	exp3    = 0.166665211
	exp4    = 0.041668389
	exp5    = 0.00836874545
	exp6    = 0.00138145406
)

// vectors emits package vec for one instruction set.
func vectors(l *lanes) {
	pool = &constants{table: GLOBL("constants"+l.suffix, RODATA|NOPTR), at: map[uint32]int{}}
	for _, v := range values {
		bits := math.Float32bits(float32(v))
		pool.at[bits] = pool.size
		for range l.width {
			DATA(pool.size, U32(bits))
			pool.size += 4
		}
	}
	l.sums()
	l.maps()
	l.philox()
	l.rows()
	l.adamW()
	l.sums64()
	l.drop()
}

// reduction describes a kernel that reads vectors and returns one number.
type reduction struct {
	name, doc string
	inputs    []string
	empty     float64 // value of no elements
	step      func(acc reg.VecVirtual, in []reg.VecVirtual)
	merge     func(x, acc reg.VecVirtual) // acc = acc op x
}

func (l *lanes) sums() {
	add := func(x, acc reg.VecVirtual) { VADDPS(x, acc, acc) }
	l.reduce(reduction{"dot", "returns the sum of a[i]*b[i].", []string{"a", "b"}, 0,
		func(acc reg.VecVirtual, in []reg.VecVirtual) { VFMADD231PS(in[0], in[1], acc) }, add})
	l.reduce(reduction{"sum", "returns the sum of a[i].", []string{"a"}, 0,
		func(acc reg.VecVirtual, in []reg.VecVirtual) { VADDPS(in[0], acc, acc) }, add})
	l.reduce(reduction{"sumSquares", "returns the sum of a[i]*a[i].", []string{"a"}, 0,
		func(acc reg.VecVirtual, in []reg.VecVirtual) { VFMADD231PS(in[0], in[0], acc) }, add})
	// The accumulator is the second source: it is kept where the other is NaN.
	larger := func(x, acc reg.VecVirtual) { VMAXPS(acc, x, acc) }
	l.reduce(reduction{"largest", "returns the largest a[i], passing over NaN.", []string{"a"}, math.Inf(-1),
		func(acc reg.VecVirtual, in []reg.VecVirtual) { larger(in[0], acc) }, larger})
}

// signature lists pointers and a length.
func signature(names []string, more string) string {
	s := "func("
	for _, n := range names {
		s += n + " *float32, "
	}
	return s + "n int" + more
}

// text begins a function and loads its pointers.
func (l *lanes) text(name, doc string, pointers []string, more string) (at []reg.GPVirtual, n reg.GPVirtual) {
	TEXT(name+l.suffix, NOSPLIT, signature(pointers, more))
	Pragma("noescape")
	Doc(name + l.suffix + " " + doc)
	for _, p := range pointers {
		at = append(at, argument(p))
	}
	return at, argument("n")
}

// read loads one vector of each input at an offset.
func (l *lanes) read(at []reg.GPVirtual, offset int) []reg.VecVirtual {
	in := make([]reg.VecVirtual, len(at))
	for i := range at {
		in[i] = l.register()
		VMOVUPS(Mem{Base: at[i], Disp: offset}, in[i])
	}
	return in
}

// advance moves pointers by v vectors.
func (l *lanes) advance(at []reg.GPVirtual, v int) {
	for _, p := range at {
		ADDQ(number(4*l.width*v), p)
	}
}

func (l *lanes) reduce(r reduction) {
	at, n := l.text(r.name, r.doc, r.inputs, ") float32")
	var acc [4]reg.VecVirtual
	for i := range acc {
		acc[i] = l.register()
		if r.empty == 0 {
			VXORPS(acc[i], acc[i], acc[i])
		} else {
			VMOVUPS(constant(r.empty), acc[i])
		}
	}
	loop("fours", n, 4*l.width, func() {
		for u := range acc {
			r.step(acc[u], l.read(at, 4*l.width*u))
		}
		l.advance(at, 4)
	})
	loop("ones", n, l.width, func() {
		r.step(acc[0], l.read(at, 0))
		l.advance(at, 1)
	})
	TESTQ(n, n)
	JZ(LabelRef("finish"))
	mask := l.rest(n)
	in := make([]reg.VecVirtual, len(at))
	for i := range at {
		in[i] = l.register()
		l.loadRest(Mem{Base: at[i]}, mask, in[i])
		if r.empty != 0 {
			nothing := l.register()
			VMOVUPS(constant(r.empty), nothing)
			l.choose(mask, in[i], nothing, in[i])
		}
	}
	r.step(acc[0], in)
	Label("finish")
	r.merge(acc[1], acc[0])
	r.merge(acc[3], acc[2])
	r.merge(acc[2], acc[0])
	l.across(acc[0], r.merge)
	Store(acc[0].AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// across merges the floats of a register into its first: halves, then halves of
// halves.
func (l *lanes) across(acc reg.VecVirtual, merge func(x, acc reg.VecVirtual)) {
	half := l.register()
	if l.width == 16 {
		VSHUFF32X4(Imm(0x4e), acc, acc, half)
		merge(half, acc)
		VSHUFF32X4(Imm(0xb1), acc, acc, half)
	} else {
		VPERM2F128(Imm(0x01), acc, acc, half)
	}
	merge(half, acc)
	VPERMILPS(Imm(0x4e), acc, half)
	merge(half, acc)
	VPERMILPS(Imm(0xb1), acc, half)
	merge(half, acc)
}
