package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// matrixSignature is that of a matrixFunc of package gemm.
const matrixSignature = "func(shape *byte, blocks int, steps int, a *float32, lda int, b *byte, from *float32, ldfrom int, c *float32, ldc int, ahead *byte, lines int)"

const (
	tileRows  = 16 // of a tile
	tileBytes = 64 // of a tile's row
	stepBytes = tileRows * 4 * nr
)

// Registers of a matrixTile, all of them chosen here.
var (
	regSteps                   = reg.RBX
	regLeft, regLeftStride     = reg.R8, reg.RDI
	regBelow                   = reg.R11 // the second tile of rows
	regRight, regRightStride   = reg.R9, reg.R12
	regFrom, regFromStride     = reg.RAX, reg.RDX
	regTo, regToStride         = reg.R10, reg.RCX
	regSoon                    = reg.RSI // a row of the result that is going to be written
	regAhead, regLines, regOne = reg.R13, reg.R15, reg.R14
	regCount                   = reg.RAX
)

// matrixTile is a kernel of rows × cols tiles of sums: tiles 0 to 3, row by row. Tiles 4
// and 5 hold rows of the left factor, 6 and 7 columns of the right.
type matrixTile struct{ rows, cols int }

// tilesAMX emits what the variant with tiles has of its own.
func tilesAMX() {
	for rows := 1; rows <= 2; rows++ {
		for cols := 1; cols <= 2; cols++ {
			(&matrixTile{rows, cols}).emit()
		}
	}
	peakTiles()
	order := wordOrder()
	codedRows(order)
	integers()
	nestedPanels512()
	splits(order)
}

func (m *matrixTile) emit() {
	name := fmt.Sprintf("matrix%dx%dAMX", m.rows, m.cols)
	TEXT(name, NOSPLIT, matrixSignature)
	Doc(fmt.Sprintf("%s is a matrixFunc of blocks of %d × %d tiles.", name, m.rows, m.cols))
	Load(Param("shape"), regCount)
	configureTiles(regCount)
	m.parameters("steps", regSteps, "a", regLeft, "lda", regLeftStride, "b", regRight, "ldfrom", regFromStride,
		"c", regTo, "ldc", regToStride, "ahead", regAhead, "lines", regLines)
	m.strides()
	blocks, from := lies("blocks"), lies("from")
	Label("block")
	m.begin(from)
	m.reduce()
	m.store()
	DECQ(blocks)
	JNZ(LabelRef("block"))
	releaseTiles()
	RET()
}

// parameters loads parameters, given by name and register in turn.
func (m *matrixTile) parameters(list ...any) {
	for i := 0; i < len(list); i += 2 {
		Load(Param(list[i].(string)), list[i+1].(reg.GPPhysical))
	}
}

// strides turns distances of rows into bytes.
func (m *matrixTile) strides() {
	SHLQ(Imm(2), regFromStride)
	SHLQ(Imm(2), regToStride)
	SHLQ(Imm(2), regLeftStride)
	MOVQ(U32(4*nr), regRightStride)
}

// below points at the second tile of rows of the left factor.
func (m *matrixTile) below() {
	MOVQ(regLeftStride, regBelow)
	SHLQ(Imm(4), regBelow)
	ADDQ(regLeft, regBelow)
}

// lies returns where a parameter lies.
func lies(parameter string) Mem {
	p, err := Param(parameter).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// sum is the tile of sums in a row and column of tiles.
func (m *matrixTile) sum(r, c int) byte { return byte(2*r + c) }

// begin sets the sums to 0 or to what lies at from, which it moves on by a block.
func (m *matrixTile) begin(from Mem) {
	MOVQ(from, regFrom)
	TESTQ(regFrom, regFrom)
	JNZ(LabelRef("load"))
	m.each(func(r, c int) { zeroTile(m.sum(r, c)) })
	JMP(LabelRef("start"))
	Label("load")
	MOVQ(regFromStride, regOne)
	SHLQ(Imm(4), regOne)
	for r := range m.rows {
		for c := range m.cols {
			loadTile(regFrom, regFromStride, tileBytes*c, m.sum(r, c))
		}
		ADDQ(regOne, regFrom)
	}
	MOVQ(regFrom, from)
	Label("start")
}

// store writes the sums, and moves on by a block.
func (m *matrixTile) store() {
	MOVQ(regToStride, regCount)
	SHLQ(Imm(4), regCount)
	for r := range m.rows {
		for c := range m.cols {
			storeTile(m.sum(r, c), regTo, regToStride, tileBytes*c)
		}
		ADDQ(regCount, regTo)
	}
}

func (m *matrixTile) each(f func(r, c int)) {
	for r := range m.rows {
		for c := range m.cols {
			f(r, c)
		}
	}
}

// reduce runs over the reduction, and leaves the left factor at the next block of rows.
func (m *matrixTile) reduce() {
	m.below()
	MOVQ(regSteps, regCount)
	MOVQ(regTo, regSoon)
	Label("step")
	loadTile(regRight, regRightStride, 0, 6)
	for r := range m.rows {
		passTile([]reg.GPPhysical{regLeft, regBelow}[r], regLeftStride, 0, byte(4+r))
		for c := range m.cols {
			if r == 0 && c == 1 {
				loadTile(regRight, regRightStride, tileBytes, 7)
			}
			multiplyTiles(byte(6+c), byte(4+r), m.sum(r, c))
		}
	}
	if m.rows == 2 {
		m.claim()
	}
	m.lookAhead()
	ADDQ(Imm(tileBytes), regLeft)
	ADDQ(Imm(tileBytes), regBelow)
	ADDQ(U32(stepBytes), regRight)
	DECQ(regCount)
	JNZ(LabelRef("step"))
	m.rewind()
}

// rewind takes the right factor back to its beginning, and the left to the next block.
func (m *matrixTile) rewind() {
	MOVQ(regSteps, regCount)
	SHLQ(Imm(6), regCount) // of a row of the left factor
	SUBQ(regCount, regBelow)
	MOVQ(regBelow, regLeft)
	if m.rows == 2 {
		MOVQ(regLeftStride, regOne)
		SHLQ(Imm(4), regOne)
		ADDQ(regOne, regLeft)
	}
	SHLQ(Imm(5), regCount)
	SUBQ(regCount, regRight)
}

// claim asks for two rows of the result, to write them.
func (m *matrixTile) claim() {
	for range 2 {
		for c := range m.cols {
			prefetchWrite(regSoon, byte(tileBytes*c))
		}
		ADDQ(regToStride, regSoon)
	}
}

// lookAhead asks for some lines of what is read later.
func (m *matrixTile) lookAhead() {
	MOVQ(regLines, regOne)
	TESTQ(regOne, regOne)
	JZ(LabelRef("asked"))
	Label("ask")
	PREFETCHT1(Mem{Base: regAhead})
	ADDQ(Imm(64), regAhead)
	DECQ(regOne)
	JNZ(LabelRef("ask"))
	Label("asked")
}

// peakTiles emits the measure of the limit: products of tiles that are there.
func peakTiles() {
	TEXT("peakAMX", NOSPLIT, "func(shape *byte, n int)")
	Doc("peakAMX multiplies n times four pairs of tiles.")
	Load(Param("shape"), regCount)
	configureTiles(regCount)
	Load(Param("n"), regCount)
	for t := range byte(8) {
		zeroTile(t)
	}
	Label("round")
	for sum := range byte(4) {
		multiplyTiles(6+sum%2, 4+sum/2, sum)
	}
	DECQ(regCount)
	JNZ(LabelRef("round"))
	releaseTiles()
	RET()
}
