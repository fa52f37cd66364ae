package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// integerSignature is that of an integerFunc of package gemm.
const integerSignature = "func(shape *byte, rows int, blocks int, steps int, a *byte, lda int, unit *float32, b *byte, scale *float32, table *byte, from *float32, ldfrom int, c *float32, ldc int, columns uint32, scratch *byte)"

const (
	digitBits = 7 // of the lower digit of a whole number
	codeTile  = tileRows * tileBytes
	codeBlock = 2 * codeTile   // bytes of a block of a panel in codes of 8 bits, or of one digit
	leftStep  = 2 * scaleBlock // bytes of a block of a row: its upper digits, its lower
	unitStep  = 4 * tileRows   // bytes of the units of a block of rows

	// The scratch memory holds the sums of rows so far, twice those of a block in whole
	// numbers by tile, and twice an expanded block.
	wholeSums = 4 * tileRows * nr
	sumsSize  = 4 * codeTile
	expanded  = wholeSums + 2*sumsSize
	zeroLine  = expanded + 4*codeBlock
)

// codesAhead is how far codes are fetched ahead of their use.
const codesAhead = 8192

// Registers of an integer kernel in place of some of a matrixTile. One stride serves the
// right factor and whole numbers.
var (
	regUnit    = reg.R13
	regScale   = reg.R11
	regScratch = reg.R15
	regRow     = reg.R14 // eight times the row
	regRowUnit = reg.RSI
	regMoved   = reg.RSI // a row of the result

	// Of the kernels for few rows.
	regUpper                       = regLeftStride    // of a single row, where its upper digits lie
	regWhole, regWholeBefore       = reg.R10, reg.RCX // whole numbers of a step, and of the one before
	regExpanded, regExpandedBefore = reg.RAX, reg.RDX // expanded codes, likewise
)

// integers emits what products of codes in whole numbers need.
func integers() {
	quantize512()
	expandDigits512()
	for _, digits := range []bool{false, true} {
		(&integerWhole{integerTile{digits: digits}}).emit()
		(&integerShort{integerTile: integerTile{digits: digits}}).emit()
	}
	(&integerShort{integerTile: integerTile{digits: true}, codes: true}).emit()
	(&integerShort{single: true}).emit()
	(&integerShort{integerTile: integerTile{digits: true}, codes: true, single: true}).emit()
}

// integerTile is a kernel of up to tileRows rows by a panel of codes. Tiles 0 and 1 hold the
// sums of the first half of the columns, of upper digits and of lower ones, 2 and 3 those
// of the second; 4 and 5 the upper and the lower digits of the left factor; 6 and 7 the
// right. Sums go through scratch memory, while tiles compute the next.
type integerTile struct {
	digits  bool // of the right factor there are two
	columns [2]reg.OpmaskVirtual
}

// begin emits what kernels begin with.
func (m *integerTile) begin(name string) {
	TEXT(name, NOSPLIT, integerSignature)
	Doc(name + " is an integerFunc.")
	Load(Param("shape"), regCount)
	configureTiles(regCount)
	bits := GP32()
	Load(Param("columns"), bits)
	for h := range m.columns {
		m.columns[h] = K()
		KMOVW(bits, m.columns[h])
		SHRL(Imm(16), bits)
	}
	(&matrixTile{}).parameters("a", regLeft, "lda", regLeftStride, "unit", regUnit, "b", regRight, "scale", regScale,
		"scratch", regScratch, "steps", regSteps)
	SHLQ(Imm(2), lies("ldfrom"))
	SHLQ(Imm(2), lies("ldc"))
	MOVQ(U32(tileBytes), regRightStride)
}

// end emits what they end with.
func (m *integerTile) end() {
	releaseTiles()
	VZEROUPPER()
	RET()
}

// product sets sums to a product.
func (m *integerTile) product(left, right, sum byte) {
	zeroTile(sum)
	multiplyIntegers(right, left, sum)
}

// rightStep returns the bytes of a block of the right factor.
func (m *integerTile) rightStep() int {
	if m.digits {
		return 2 * codeBlock
	}
	return codeBlock
}

// scalesHere loads the scales of a block.
func scalesHere() (v [2]reg.VecVirtual) {
	for h := range v {
		v[h] = load512(Mem{Base: regScale, Disp: 64 * h})
	}
	return v
}

// add adds whole numbers, those of upper and those of lower digits, to sums of half of a
// row.
func add(whole, lower, unit Mem, scale reg.VecVirtual, sums Mem) {
	x, factor := ZMM(), ZMM()
	VPSLLD(Imm(digitBits), whole, x)
	VPADDD(lower, x, x)
	VCVTDQ2PS(x, x)
	VMULPS_BCST(unit, scale, factor)
	VFMADD213PS(sums, factor, x)
	VMOVUPS(x, sums)
}

// clear sets the sums of a row to 0.
func (m *integerTile) clear(sums Mem, zero reg.VecVirtual) {
	for h := range m.columns {
		VMOVUPS(zero, sums.Offset(codeTile*h))
	}
}

// rows moves the sums of all rows, which each visits, to the result, or from where they
// are continued, if anywhere.
func (m *integerTile) rows(out bool, each func(func(sums Mem))) {
	name, stride := "from", "ldfrom"
	if out {
		name, stride = "c", "ldc"
	}
	MOVQ(lies(name), regMoved)
	moved := label()
	if !out {
		some := label()
		TESTQ(regMoved, regMoved)
		JNZ(LabelRef(some))
		zero := ZMM()
		VPXORQ(zero, zero, zero)
		each(func(sums Mem) { m.clear(sums, zero) })
		JMP(LabelRef(moved))
		Label(some)
	}
	each(func(sums Mem) {
		m.move(sums, regMoved, out)
		ADDQ(lies(stride), regMoved)
	})
	Label(moved)
}

// label returns a label that no other has.
func label() string {
	labels++
	return fmt.Sprintf("label%d", labels)
}

// labels counts the labels that have been made.
var labels int

// move copies the sums of a row from where they are continued, or to the result.
func (m *integerTile) move(sums Mem, there reg.GPPhysical, out bool) {
	for h, columns := range m.columns {
		x, at := ZMM(), Mem{Base: there, Disp: 64 * h}
		if here := sums.Offset(codeTile * h); out {
			VMOVUPS(here, x)
			VMOVUPS(x, columns, at)
		} else {
			VMOVUPS_Z(at, columns, x)
			VMOVUPS(x, here)
		}
	}
}
