package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const unpackPairsSignature = "func(dst *uint32, src *byte, scale *float32, table *float32, pairs int)"

// wordOrder emits the permutation that makes words i and i+16 neighbours.
func wordOrder() Mem {
	order := GLOBL("wordOrder", RODATA|NOPTR)
	for i := range 8 {
		a := uint64(2 * i)
		DATA(8*i, U64(a|(a+16)<<16|(a+1)<<32|(a+17)<<48))
	}
	return order
}

// unpackPairs512 emits the unpackPairsFuncs.
func unpackPairs512(order Mem) {
	for _, q := range []*codes512{{bits: 4}, {bits: 8}} {
		q.emitPairs(order)
	}
}

// emitPairs emits the kernel of a form: numbers of two rows of a panel are rounded into
// the halves of a register, and their words interleaved.
func (q *codes512) emitPairs(order Mem) {
	name := fmt.Sprintf("unpackPairs%dAVX512", q.bits)
	TEXT(name, NOSPLIT, unpackPairsSignature)
	Doc(name + " is an unpackPairsFunc.")
	dst, src, scale, table, pairs := argument("dst"), argument("src"), argument("scale"), argument("table"), argument("pairs")
	q.prepare(table)
	scales, shuffle := [2]Op(inRegisters(vectors512(scale, 2))), load512(order)
	loop("by1", pairs, 1, func() {
		q.pair(Mem{Base: src}, Mem{Base: dst}, scales, shuffle)
		ADDQ(number(2*q.rowBytes()), src)
		ADDQ(number(4*nr), dst)
	})
	VZEROUPPER()
	RET()
}

// pair emits the expansion of two rows of a panel.
func (q *codes512) pair(src, dst Mem, scales [2]Op, shuffle reg.VecVirtual) {
	var rows [2][2]reg.VecVirtual
	for u := range rows {
		rows[u] = [2]reg.VecVirtual{ZMM(), ZMM()}
		q.expand(src.Offset(u*q.rowBytes()), scales, rows[u])
	}
	PREFETCHT0(src.Offset(codesAhead))
	for v := range 2 {
		both := ZMM()
		VFNMADD231PS(rows[0][v], rows[1][v], both)
		VPERMW(both, shuffle, both)
		VMOVDQU32(both, dst.Offset(64*v))
	}
}

// codesAhead is how far codes are fetched ahead of their use.
const codesAhead = 2048
