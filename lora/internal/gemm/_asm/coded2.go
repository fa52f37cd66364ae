package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// codes2 turns codes into numbers with AVX2, eight at a time.
type codes2 struct {
	bits  int
	round string // "", "BF16" or "Tame" (BF16 of tame numbers)

	low, up          reg.VecVirtual // halves of the table
	bias, unit, high reg.VecVirtual // of the rounding to bfloat16
	much, less       reg.VecVirtual // 2¹⁶ and 2¹⁶-1, of that of tame numbers
}

// unpack2 emits the unpackFuncs for AVX2.
func unpack2() {
	(&codes2{bits: 4}).emit("unpack4AVX2")
	(&codes2{bits: 4, round: "BF16"}).emit("unpack4BF16AVX2")
	(&codes2{bits: 4, round: "Tame"}).emit("unpack4TameAVX2")
	(&codes2{bits: 8}).emit("unpack8AVX2")
}

func (q *codes2) emit(name string) {
	TEXT(name, NOSPLIT, unpackSignature)
	Doc(name + " is an unpackFunc.")
	dst, src, scale, table, k := argument("dst"), argument("src"), argument("scale"), argument("table"), argument("k")
	q.prepare(table)
	loop("by1", k, 1, func() {
		put := func(v int, x reg.VecVirtual) {
			VMULPS(Mem{Base: scale, Disp: 32 * v}, x, x)
			q.rounded(x)
			VMOVUPS(x, Mem{Base: dst, Disp: 32 * v})
		}
		for v := range nr / 8 * q.bits / 8 {
			raw := YMM()
			if q.bits == 8 {
				VPMOVSXBD(Mem{Base: src, Disp: 8 * v}, raw)
				VCVTDQ2PS(raw, raw)
				put(v, raw)
				continue
			}
			VPMOVZXBD(Mem{Base: src, Disp: 8 * v}, raw)
			put(v, q.look(raw))
			VPSRLD(Imm(4), raw, raw)
			put(v+2, q.look(raw))
		}
		ADDQ(number(nr*q.bits/8), src)
		ADDQ(number(4*nr), dst)
	})
	VZEROUPPER()
	RET()
}

// prepare loads what all rows need.
func (q *codes2) prepare(table reg.GPVirtual) {
	if q.bits == 4 {
		q.low, q.up = YMM(), YMM()
		VMOVUPS(Mem{Base: table}, q.low)
		VMOVUPS(Mem{Base: table, Disp: 32}, q.up)
	}
	fill := func(bits uint32) reg.VecVirtual {
		word, x, y := GP32(), XMM(), YMM()
		MOVL(U32(bits), word)
		VMOVD(word, x)
		VPBROADCASTD(x, y)
		return y
	}
	switch q.round {
	case "BF16":
		q.bias, q.unit, q.high = fill(0x7fff), fill(1), fill(0xffff0000)
	case "Tame":
		q.much, q.less = fill(math.Float32bits(1<<16)), fill(math.Float32bits(1<<16-1))
	}
}

// look returns the table's numbers for the lower four bits of each index: three
// choose within a half, the fourth the half.
func (q *codes2) look(index reg.VecVirtual) reg.VecVirtual {
	low, up, half := YMM(), YMM(), YMM()
	VPERMPS(q.low, index, low)
	VPERMPS(q.up, index, up)
	VPSLLD(Imm(28), index, half)
	VBLENDVPS(half, up, low, low)
	return low
}

// rounded rounds the elements of x to bfloat16, ties to even.
func (q *codes2) rounded(x reg.VecVirtual) {
	switch rest := YMM(); q.round {
	case "BF16":
		VPSRLD(Imm(16), x, rest)
		VPAND(q.unit, rest, rest)
		VPADDD(q.bias, x, x)
		VPADDD(rest, x, x)
		VPAND(q.high, x, x)
	case "Tame":
		VMULPS(q.less, x, rest)
		VFMSUB213PS(rest, q.much, x)
	}
}
