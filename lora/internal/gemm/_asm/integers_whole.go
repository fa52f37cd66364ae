package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// integerWhole is the kernel for any number of blocks of tileRows rows, without a pause
// between them.
type integerWhole struct{ integerTile }

func (m *integerWhole) emit() {
	name := "integers8AMX"
	if m.digits {
		name = "integersDigitsAMX"
	}
	m.begin(name)
	left, rest := AllocLocal(8), AllocLocal(8) // steps of all blocks, of the block that is added
	MOVQ(regSteps, rest)
	MOVQ(lies("blocks"), regCount)
	IMULQ(regSteps, regCount)
	MOVQ(regCount, left)
	m.rows(false, m.eachRow)
	m.step(false)
	DECQ(left)
	JZ(LabelRef("last"))
	Label("step")
	m.step(true)
	ADDQ(number(unitStep), regUnit)
	ADDQ(number(4*nr), regScale)
	DECQ(rest)
	JNZ(LabelRef("same"))
	m.rows(true, m.eachRow)
	m.nextRows()
	m.rows(false, m.eachRow)
	MOVQ(lies("steps"), regCount)
	MOVQ(regCount, rest)
	MOVQ(lies("scale"), regScale)
	Label("same")
	DECQ(left)
	JNZ(LabelRef("step"))
	Label("last")
	m.store(2)
	m.store(3)
	scale := scalesHere()
	for part := range 4 {
		m.some(scale, part/2, part%2)
	}
	m.rows(true, m.eachRow)
	m.end()
}

// step multiplies a block of the reduction, and adds the whole numbers of the one before.
func (m *integerWhole) step(before bool) {
	store, some := func(byte) {}, func(half, part int) {}
	if before {
		scale := scalesHere()
		store, some = m.store, func(half, part int) { m.some(scale, half, part) }
	}
	for half := range 2 {
		right, sum := byte(6+half), byte(2*half)
		loadTile(regRight, regRightStride, codeTile*half, right)
		if half == 0 {
			loadTile(regLeft, regLeftStride, 0, 4)
		}
		m.product(4, right, sum)
		if half == 0 {
			store(2)
			loadTile(regLeft, regLeftStride, scaleBlock, 5)
		} else {
			m.store(0)
		}
		some(half, 0)
		m.product(5, right, sum+1)
		if m.digits {
			loadTile(regRight, regRightStride, codeBlock+codeTile*half, right)
			multiplyIntegers(right, 4, sum+1)
		}
		if half == 0 {
			store(3)
		} else {
			m.store(1)
		}
		some(half, 1)
	}
	m.advance(before)
}

// advance goes to the next block of the reduction, or of rows.
func (m *integerWhole) advance(again bool) {
	next := "advanced"
	if again {
		next = "advancedAgain"
	}
	ADDQ(number(leftStep), regLeft)
	ADDQ(number(m.rightStep()), regRight)
	DECQ(regSteps)
	JNZ(LabelRef(next))
	MOVQ(lies("steps"), regSteps)
	MOVQ(lies("b"), regRight)
	MOVQ(regLeftStride, regLeft)
	SHLQ(Imm(4), regLeft)
	ADDQ(lies("a"), regLeft)
	MOVQ(regLeft, lies("a"))
	Label(next)
}

// store writes the sums of a tile.
func (m *integerWhole) store(t byte) {
	storeTile(t, regScratch, regRightStride, wholeSums+int(t)*codeTile)
}

// some adds the whole numbers of half of the rows and columns.
func (m *integerWhole) some(scale [2]reg.VecVirtual, half, part int) {
	for r := part * tileRows / 2; r < (part+1)*tileRows/2; r++ {
		whole := Mem{Base: regScratch, Disp: wholeSums + 2*half*codeTile + r*tileBytes}
		add(whole, whole.Offset(codeTile), Mem{Base: regUnit, Disp: 4 * r}, scale[half], Mem{Base: regScratch, Disp: codeTile*half + r*tileBytes})
	}
}

// eachRow visits the rows.
func (m *integerWhole) eachRow(body func(sums Mem)) {
	for r := range tileRows {
		body(Mem{Base: regScratch, Disp: r * tileBytes})
	}
}

// nextRows goes to the next block of rows of the result.
func (m *integerWhole) nextRows() {
	for _, p := range [][2]string{{"c", "ldc"}, {"from", "ldfrom"}} {
		MOVQ(lies(p[1]), regCount)
		SHLQ(Imm(4), regCount)
		ADDQ(regCount, lies(p[0]))
	}
}
