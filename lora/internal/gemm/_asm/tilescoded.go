package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// codedMatrixSignature is that of a codedMatrixFunc of package gemm.
const codedMatrixSignature = "func(shape *byte, blocks int, a *float32, lda int, b *byte, scale *float32, table *float32, scratch *byte, from *float32, ldfrom int, c *float32, ldc int)"

// Registers of a codedMatrix beside those of a matrixTile.
var (
	regScale   = reg.R13
	regScratch = reg.R15
	regBlocks  = reg.RSI
	regInner   = reg.R14
)

// codedMatrix is a matrixTile, two tiles wide, over codes that are expanded on its way,
// one step ahead of their use.
type codedMatrix struct {
	*matrixTile
	*codes512
	scales  [2]Op
	shuffle reg.VecVirtual
}

// codedMatrices emits the codedMatrixFuncs.
func codedMatrices(order Mem) {
	for _, q := range []*codes512{{bits: 4}, {bits: 8}} {
		for rows := 1; rows <= 2; rows++ {
			(&codedMatrix{matrixTile: &matrixTile{rows, 2}, codes512: q}).emit(order)
		}
	}
}

func (m *codedMatrix) emit(order Mem) {
	name := fmt.Sprintf("matrixCoded%dx%dAMX", m.bits, m.rows)
	TEXT(name, NOSPLIT, codedMatrixSignature)
	Doc(fmt.Sprintf("%s is a codedMatrixFunc of %d × 2 tiles.", name, m.rows))
	Load(Param("shape"), regCount)
	configureTiles(regCount)
	m.parameters("a", regLeft, "lda", regLeftStride, "b", regRight, "ldfrom", regFromStride, "c", regTo, "ldc", regToStride,
		"blocks", regBlocks, "scale", regScale, "scratch", regScratch, "table", regCount)
	m.strides()
	m.prepare(regCount)
	m.shuffle = load512(order)
	m.begin(lies("from"))
	m.below()
	XORQ(regSteps, regSteps) // none is there yet
	Label("codes")
	m.scales = [2]Op(inRegisters(vectors512(regScale, 2)))
	for step := range 2 {
		m.expandStep(step)
		if step == 0 {
			TESTQ(regSteps, regSteps)
			JZ(LabelRef("next"))
		}
		m.products(1 - step)
		if step == 0 {
			Label("next")
			INCQ(regSteps)
		}
	}
	ADDQ(number(4*nr), regScale)
	DECQ(regBlocks)
	JNZ(LabelRef("codes"))
	m.products(1)
	m.store()
	releaseTiles()
	VZEROUPPER()
	RET()
}

// expandStep expands the codes of a step to its half of the scratch memory.
func (m *codedMatrix) expandStep(step int) {
	const unroll = 4
	label := fmt.Sprint("expand", step)
	MOVQ(U32(tileRows/unroll), regInner)
	LEAQ(Mem{Base: regScratch, Disp: step * stepBytes}, regCount)
	Label(label)
	for u := range unroll {
		m.pair(Mem{Base: regRight, Disp: 2 * u * m.rowBytes()}, Mem{Base: regCount, Disp: 4 * nr * u}, m.scales, m.shuffle)
	}
	ADDQ(number(2*unroll*m.rowBytes()), regRight)
	ADDQ(number(4*nr*unroll), regCount)
	DECQ(regInner)
	JNZ(LabelRef(label))
}

// products multiplies by the step in a half of the scratch memory.
func (m *codedMatrix) products(half int) {
	for c := range m.cols {
		loadTile(regScratch, regRightStride, half*stepBytes+tileBytes*c, byte(6+c))
	}
	for r := range m.rows {
		passTile([]reg.GPPhysical{regLeft, regBelow}[r], regLeftStride, 0, byte(4+r))
		for c := range m.cols {
			multiplyTiles(byte(6+c), byte(4+r), m.sum(r, c))
		}
	}
	ADDQ(Imm(tileBytes), regLeft)
	ADDQ(Imm(tileBytes), regBelow)
}
