package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowCodes expands codes in the order of rows to bfloat16: scaleBlock neighbours of a row
// at a time, of which the first half and the second fill a register each.
type rowCodes struct {
	*codes512
	shift reg.VecVirtual      // of 4-bit codes of one half; nil where both are wanted
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

// rowBlock is the number of bytes that a row's block of codes takes.
func (q *rowCodes) rowBlock() int { return scaleBlock * q.bits / 8 }

// expandRow sets a register for each half that is wanted of a row's block.
func (q *rowCodes) expandRow(src, scale Mem, halves int) []reg.VecVirtual {
	if q.bits == 8 {
		r := q.registers(3 + halves)
		factor, x, out := r[0], r[1:3], r[3:]
		VBROADCASTSS(scale, factor)
		for h := range halves {
			for v := range x {
				VPMOVSXBD(src.Offset(32*h+16*v), x[v])
				VCVTDQ2PS(x[v], x[v])
				VMULPS(factor, x[v], x[v])
			}
			VFNMADD231PS(x[0], x[1], out[h])
		}
		return out
	}
	r := q.registers(2 + halves)
	numbers, raw, out := r[0], r[1], r[2:]
	VMULPS_BCST(scale, q.table, numbers)
	VFNMADD231PS(numbers, numbers, numbers) // twice side by side: the fifth bit of an index does not count
	VPMOVZXBW(src, raw)
	if q.shift != nil {
		VPSRLW(q.shift.AsX(), raw, raw)
	}
	VPERMW(numbers, raw, out[0])
	if halves == 2 {
		VPSRLW(Imm(4), raw, raw)
		VPERMW(numbers, raw, out[1])
	}
	return out
}

// codesAhead is how far codes are fetched ahead of their use.
const codesAhead = 2048

// codedRows emits what codes in the order of rows need.
func codedRows(order Mem) {
	for _, bits := range []int{4, 8} {
		emitHalf(bits)
		for cols := 1; cols <= 2; cols++ {
			(&rowMatrix{matrixTile: &matrixTile{2, cols}, rowCodes: &rowCodes{codes512: &codes512{bits: bits}}}).emit()
		}
	}
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
			out := q.expandRow(Mem{Base: src, Disp: u * q.rowBlock()}, Mem{Base: scale, Disp: 4 * u}, 1)
			VMOVDQU32(out[0], Mem{Base: dst, Disp: tileBytes * u})
		}
		ADDQ(number(2*q.rowBlock()), src)
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

// rowMatrixSignature is that of a rowMatrixFunc of package gemm.
const rowMatrixSignature = "func(shape *byte, blocks int, x *uint32, ldx int, b *byte, scale *float32, table *float32, scratch *byte, from *float32, c *float32)"

// Registers of a rowMatrix in place of some of a matrixTile.
var (
	regScale   = reg.R13
	regScratch = reg.R15
	regBlocks  = reg.RSI
	regFilled  = reg.RAX // the half of the scratch memory that is being filled
	regUsed    = reg.R14 // the other
	regLeap    = reg.R11 // bytes of a step of x
)

// rowMatrix multiplies the codes of a panel, which are the left factor here, by a few
// columns. They are expanded one block ahead of their use.
type rowMatrix struct {
	*matrixTile
	*rowCodes
}

// blockBytes is what a block of a panel takes when it is expanded: two halves of nr rows.
const blockBytes = 2 * nr * tileBytes

func (m *rowMatrix) emit() {
	name := fmt.Sprintf("matrixRows%dx%dAMX", m.bits, m.cols)
	TEXT(name, NOSPLIT, rowMatrixSignature)
	Doc(fmt.Sprintf("%s is a rowMatrixFunc of %d tiles of columns.", name, m.cols))
	Load(Param("shape"), regCount)
	configureTiles(regCount)
	m.parameters("x", regRight, "ldx", regRightStride, "b", regLeft, "c", regTo, "blocks", regBlocks,
		"scale", regScale, "scratch", regScratch, "table", regCount)
	SHLQ(Imm(2), regRightStride)
	MOVQ(regRightStride, regLeap)
	SHLQ(Imm(4), regLeap)
	MOVQ(U32(4*nr), regToStride)
	MOVQ(regToStride, regFromStride)
	MOVQ(U32(tileBytes), regLeftStride)
	m.prepare(regCount)
	m.begin(lies("from"))
	MOVQ(regScratch, regFilled)
	LEAQ(Mem{Base: regScratch, Disp: blockBytes}, regUsed)
	m.expandBlock(nil)
	DECQ(regBlocks)
	JZ(LabelRef("last"))
	Label("blocks")
	XCHGQ(regFilled, regUsed)
	m.expandBlock(m.products())
	DECQ(regBlocks)
	JNZ(LabelRef("blocks"))
	Label("last")
	XCHGQ(regFilled, regUsed)
	for _, emit := range m.products() {
		emit()
	}
	m.store()
	releaseTiles()
	VZEROUPPER()
	RET()
}

// expandBlock expands a block of all rows, and emits other operations on the way: these
// have units of the processor to themselves.
func (m *rowMatrix) expandBlock(among []func()) {
	for r := range nr {
		out := m.expandRow(Mem{Base: regLeft, Disp: r * m.rowBlock()}, Mem{Base: regScale, Disp: 4 * r}, 2)
		for h, x := range out {
			VMOVDQU32(x, Mem{Base: regFilled, Disp: h*blockBytes/2 + tileBytes*r})
		}
		if r*m.rowBlock()%64 == 0 {
			PREFETCHT0(Mem{Base: regLeft, Disp: codesAhead + r*m.rowBlock()})
		}
		for len(among) > 0 && r >= nr-3*len(among) {
			among[0]()
			among = among[1:]
		}
	}
	ADDQ(number(nr*m.rowBlock()), regLeft)
	ADDQ(number(4*nr), regScale)
}

// products lists the operations that multiply by the block before.
func (m *rowMatrix) products() (list []func()) {
	do := func(f func()) { list = append(list, f) }
	for step := range 2 {
		for c := range m.cols {
			do(func() { loadTile(regRight, regRightStride, tileBytes*c, byte(6+c)) })
		}
		for r := range m.rows {
			do(func() {
				loadTile(regUsed, regLeftStride, step*blockBytes/2+r*tileRows*tileBytes, byte(4+r))
			})
			for c := range m.cols {
				do(func() { multiplyTiles(byte(6+c), byte(4+r), m.sum(r, c)) })
			}
		}
		do(func() { ADDQ(regLeap, regRight) })
	}
	return list
}
