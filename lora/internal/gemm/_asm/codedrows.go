package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowCodes expands codes in the order of rows to bfloat16: half of scaleBlock neighbours of
// a row at a time.
type rowCodes struct {
	*codes512
	shift reg.VecVirtual      // of 4-bit codes
	turns [4][]reg.VecVirtual // registers that rows take in turn
	row   int
}

// registers returns n registers. The same ones come round again four rows later: what
// stand-ins seem to read would otherwise keep every register busy from the beginning.
func (q *rowCodes) registers(n int) []reg.VecVirtual {
	turn := &q.turns[q.row%len(q.turns)]
	for q.row++; len(*turn) < n; {
		*turn = append(*turn, ZMM())
	}
	return *turn
}

// expandRow returns the numbers behind half of a row's block.
func (q *rowCodes) expandRow(src, scale Mem) reg.VecVirtual {
	if q.bits == 8 {
		r := q.registers(4)
		factor, x, out := r[0], r[1:3], r[3]
		VBROADCASTSS(scale, factor)
		for v := range x {
			VPMOVSXBD(src.Offset(16*v), x[v])
			VCVTDQ2PS(x[v], x[v])
			VMULPS(factor, x[v], x[v])
		}
		VFNMADD231PS(x[0], x[1], out)
		return out
	}
	r := q.registers(3)
	numbers, raw, out := r[0], r[1], r[2]
	VMULPS_BCST(scale, q.table, numbers)
	VFNMADD231PS(numbers, numbers, numbers) // twice side by side: the fifth bit of an index does not count
	VPMOVZXBW(src, raw)
	VPSRLW(q.shift.AsX(), raw, raw)
	VPERMW(numbers, raw, out)
	return out
}

// codedRows emits what codes in the order of rows need.
func codedRows(order Mem) {
	emitHalf(4)
	emitHalf(8)
	zipRows512()
	pairs512(order)
}

// emitHalf emits the expansion of one half of a block of all rows of a panel.
func emitHalf(bits int) {
	q := &rowCodes{codes512: &codes512{bits: bits}}
	name := fmt.Sprintf("unpackHalf%dAVX512", bits)
	TEXT(name, NOSPLIT, "func(dst *uint32, src *byte, scale *float32, table *float32, half int)")
	Doc(name + " is an unpackHalfFunc.")
	dst, src, scale, half := argument("dst"), argument("src"), argument("scale"), argument("half")
	q.prepare(argument("table"))
	if bits == 4 {
		q.shift = XMM()
		SHLQ(Imm(2), half)
		VMOVQ(half, q.shift)
	} else {
		SHLQ(Imm(5), half)
		ADDQ(half, src)
	}
	rows := GP64()
	MOVQ(U64(nr), rows)
	loop("rows", rows, 2, func() {
		for u := range 2 {
			out := q.expandRow(Mem{Base: src, Disp: u * tileBytes}, Mem{Base: scale, Disp: 4 * u})
			VMOVDQU32(out, Mem{Base: dst, Disp: tileBytes * u})
		}
		ADDQ(number(2*tileBytes), src)
		ADDQ(Imm(8), scale)
		ADDQ(number(2*tileBytes), dst)
	})
	VZEROUPPER()
	RET()
}

// zipRows512 emits the pairing of neighbouring rows.
func zipRows512() {
	order := GLOBL("zipOrder", RODATA|NOPTR)
	for i, q := range []int{0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15} {
		DATA(8*i, U64(q))
	}
	TEXT("zipRowsAVX512", NOSPLIT, "func(dst *uint32, src *uint32)")
	Doc("zipRowsAVX512 is zipRowsGo.")
	dst, src, pairs := argument("dst"), argument("src"), GP64()
	lower, upper := load512(order), load512(order.Offset(64))
	MOVQ(U64(nr/2), pairs)
	loop("pairs", pairs, 1, func() {
		even, odd := load512(Mem{Base: src}), load512(Mem{Base: src, Disp: tileBytes})
		low, high, out := ZMM(), ZMM(), ZMM()
		VPUNPCKLWD(odd, even, low)
		VPUNPCKHWD(odd, even, high)
		VMOVDQU64(low, out)
		VPERMT2Q(high, lower, out)
		VPERMT2Q(high, upper, low)
		VMOVDQU32(out, Mem{Base: dst})
		VMOVDQU32(low, Mem{Base: dst, Disp: 64})
		ADDQ(number(2*tileBytes), src)
		ADDQ(number(4*nr), dst)
	})
	VZEROUPPER()
	RET()
}

// wordOrder emits the permutation that makes words i and i+16 neighbours.
func wordOrder() Mem {
	order := GLOBL("wordOrder", RODATA|NOPTR)
	for i := range 8 {
		a := uint64(2 * i)
		DATA(8*i, U64(a|(a+16)<<16|(a+1)<<32|(a+17)<<48))
	}
	return order
}

// pairs512 emits the rounding of two rows to pairs.
func pairs512(order Mem) {
	TEXT("pairsAVX512", NOSPLIT, "func(dst *uint32, even *float32, odd *float32, n int)")
	Doc("pairsAVX512 is pairsGo for a multiple of 16 numbers.")
	dst, even, odd, n := argument("dst"), argument("even"), argument("odd"), argument("n")
	shuffle := load512(order)
	loop("by16", n, 16, func() {
		upper, both := ZMM(), ZMM()
		VMOVUPS(Mem{Base: odd}, upper)
		VFNMADD231PS(Mem{Base: even}, upper, both)
		VPERMW(both, shuffle, both)
		VMOVDQU32(both, Mem{Base: dst})
		for _, r := range []reg.GPVirtual{dst, even, odd} {
			ADDQ(Imm(64), r)
		}
	})
	VZEROUPPER()
	RET()
}
