package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// splits emits what products of split numbers need.
func splits(order Mem) {
	splitRows512()
	splitPairs512(order)
	for rows := 1; rows <= 2; rows++ {
		for cols := 1; cols <= 2; cols++ {
			(&splitMatrix{matrixTile{rows, cols}}).emit()
		}
	}
}

// soon is how far behind what is split the next rows of keys and values may lie, which come
// from memory when a reply is decoded.
const soon = 4096

// askSoon fetches 128 bytes of what is split soon.
func askSoon(at reg.GPVirtual) {
	for line := range 2 {
		PREFETCHT0(Mem{Base: at, Disp: soon + 64*line})
	}
}

// halves512 emits the rounding of two vectors: high holds theirs, one after the other, and
// low that of what it leaves.
func halves512(x [2]reg.VecVirtual) (high, low reg.VecVirtual) {
	high, low = ZMM(), ZMM()
	VFNMADD231PS(x[0], x[1], high)
	for v := range x {
		kept, part, finite := ZMM(), YMM(), K()
		if v == 0 {
			part = high.AsY().(reg.VecVirtual)
		} else {
			VEXTRACTI64X4(Imm(1), high, part)
		}
		VPMOVZXWD(part, kept)
		VPSLLD(Imm(16), kept, kept)
		VSUBPS(kept, x[v], x[v])
		VCMPPS(Imm(7), x[v], x[v], finite) // of NaN, as of infinity less itself, nothing is left
		VMOVAPS_Z(x[v], finite, x[v])
	}
	VFNMADD231PS(x[0], x[1], low)
	return high, low
}

func splitRows512() {
	TEXT("splitRowsAVX512", NOSPLIT, "func(high *uint32, low *uint32, src *float32, n int)")
	Doc("splitRowsAVX512 is splitRowsGo for a multiple of 32 numbers.")
	to, rest, src, n := argument("high"), argument("low"), argument("src"), argument("n")
	loop("by32", n, 32, func() {
		x := [2]reg.VecVirtual{ZMM(), ZMM()}
		VMOVUPS(Mem{Base: src}, x[0])
		VMOVUPS(Mem{Base: src, Disp: 64}, x[1])
		askSoon(src)
		high, low := halves512(x)
		VMOVDQU32(high, Mem{Base: to})
		VMOVDQU32(low, Mem{Base: rest})
		ADDQ(number(128), src)
		ADDQ(Imm(64), to)
		ADDQ(Imm(64), rest)
	})
	VZEROUPPER()
	RET()
}

func splitPairs512(order Mem) {
	TEXT("splitPairsAVX512", NOSPLIT, "func(high *uint32, low *uint32, even *float32, odd *float32, n int)")
	Doc("splitPairsAVX512 is splitPairsGo for a multiple of 16 numbers.")
	to, rest, even, odd, n := argument("high"), argument("low"), argument("even"), argument("odd"), argument("n")
	shuffle := load512(order)
	loop("by16", n, 16, func() {
		x := [2]reg.VecVirtual{ZMM(), ZMM()}
		VMOVUPS(Mem{Base: even}, x[0])
		VMOVUPS(Mem{Base: odd}, x[1])
		PREFETCHT0(Mem{Base: even, Disp: soon})
		PREFETCHT0(Mem{Base: odd, Disp: soon})
		high, low := halves512(x)
		VPERMW(high, shuffle, high)
		VPERMW(low, shuffle, low)
		VMOVDQU32(high, Mem{Base: to})
		VMOVDQU32(low, Mem{Base: rest})
		for _, r := range []reg.GPVirtual{even, odd, to, rest} {
			ADDQ(Imm(64), r)
		}
	})
	VZEROUPPER()
	RET()
}

// splitMatrixSignature is that of a splitFunc of package gemm.
const splitMatrixSignature = "func(shape *byte, panels int, blocks int, steps int, ahigh *uint32, alow *uint32, lda int, bhigh *uint32, blow *uint32, bnext int, c *float32, ldc int, cnext int, add int, count int)"

// Registers of a splitMatrix in place of some of a matrixTile.
var (
	regLeftLow, regBelowLow = reg.R13, reg.R15
	regRightLow             = reg.RSI
)

// splitMatrix is a matrixTile of split numbers: in each step, high times high, high times
// low and low times high.
type splitMatrix struct{ matrixTile }

func (m *splitMatrix) emit() {
	name := fmt.Sprintf("matrixSplit%dx%dAMX", m.rows, m.cols)
	TEXT(name, NOSPLIT, splitMatrixSignature)
	Doc(fmt.Sprintf("%s is a splitFunc of blocks of %d × %d tiles.", name, m.rows, m.cols))
	Load(Param("shape"), regCount)
	configureTiles(regCount)
	m.parameters("steps", regSteps, "lda", regLeftStride, "bhigh", regRight, "blow", regRightLow, "ldc", regToStride)
	SHLQ(Imm(2), regLeftStride)
	SHLQ(Imm(2), regToStride)
	MOVQ(U32(4*nr), regRightStride)
	Label("panel")
	m.parameters("blocks", regCount, "ahigh", regLeft, "alow", regLeftLow)
	MOVQ(regCount, lies("count"))
	MOVQ(lies("c"), regTo)
	Label("block")
	m.begin(lies("add"))
	m.reduce()
	m.store()
	DECQ(lies("count"))
	JNZ(LabelRef("block"))
	ADDQ(lies("bnext"), regRight)
	ADDQ(lies("bnext"), regRightLow)
	MOVQ(lies("cnext"), regCount)
	SHLQ(Imm(2), regCount)
	ADDQ(regCount, lies("c"))
	DECQ(lies("panels"))
	JNZ(LabelRef("panel"))
	releaseTiles()
	RET()
}

// begin sets the sums to 0, or to what the result holds where add is not 0.
func (m *splitMatrix) begin(add Mem) {
	CMPQ(add, Imm(0))
	JNE(LabelRef("load"))
	m.each(func(r, c int) { zeroTile(m.sum(r, c)) })
	JMP(LabelRef("start"))
	Label("load")
	MOVQ(regTo, regCount)
	MOVQ(regToStride, regOne)
	SHLQ(Imm(4), regOne)
	for r := range m.rows {
		for c := range m.cols {
			loadTile(regCount, regToStride, tileBytes*c, m.sum(r, c))
		}
		ADDQ(regOne, regCount)
	}
	Label("start")
}

// reduce runs over the reduction, and leaves the left factor at the next block of rows.
func (m *splitMatrix) reduce() {
	m.below()
	MOVQ(regBelow, regBelowLow)
	SUBQ(regLeft, regBelowLow)
	ADDQ(regLeftLow, regBelowLow)
	MOVQ(regSteps, regCount)
	Label("step")
	m.left(regLeft, regBelow)
	m.right(regRight)
	m.products()
	m.right(regRightLow)
	m.products()
	m.right(regRight)
	m.left(regLeftLow, regBelowLow)
	m.products()
	for _, r := range []reg.GPPhysical{regLeft, regBelow, regLeftLow, regBelowLow} {
		ADDQ(Imm(tileBytes), r)
	}
	ADDQ(U32(stepBytes), regRight)
	ADDQ(U32(stepBytes), regRightLow)
	DECQ(regCount)
	JNZ(LabelRef("step"))
	m.rewind()
}

func (m *splitMatrix) left(first, second reg.GPPhysical) {
	for r := range m.rows {
		loadTile([]reg.GPPhysical{first, second}[r], regLeftStride, 0, byte(4+r))
	}
}

func (m *splitMatrix) right(at reg.GPPhysical) {
	for c := range m.cols {
		loadTile(at, regRightStride, tileBytes*c, byte(6+c))
	}
}

func (m *splitMatrix) products() {
	m.each(func(r, c int) { multiplyTiles(byte(6+c), byte(4+r), m.sum(r, c)) })
}

// rewind takes the right factor back to its beginning, and the left to the next block.
func (m *splitMatrix) rewind() {
	MOVQ(regSteps, regCount)
	SHLQ(Imm(6), regCount) // of a row of the left factor
	for _, r := range [][2]reg.GPPhysical{{regBelow, regLeft}, {regBelowLow, regLeftLow}} {
		SUBQ(regCount, r[0])
		MOVQ(r[0], r[1])
		if m.rows == 2 {
			MOVQ(regLeftStride, regOne)
			SHLQ(Imm(4), regOne)
			ADDQ(regOne, r[1])
		}
	}
	SHLQ(Imm(5), regCount)
	SUBQ(regCount, regRight)
	SUBQ(regCount, regRightLow)
}
