package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// integerShort is the kernel for at most tileRows rows, by any number of panels that lie one
// after the other. Whole numbers are added two steps behind, and codes are expanded two
// steps ahead, so that none of them waits for memory that was just written.
//
// Of a single row, the upper and the lower digits are two rows of a tile, 4, and so are
// their sums, 0 and 1. By the lower digits of the right factor goes tile 5, whose first row
// is 0 and whose second is the upper digits.
type integerShort struct {
	integerTile
	codes  bool // they are of 4 bits, and are expanded here
	single bool // one row
	end8   Mem  // eight times the number of rows
	rest   Mem  // steps of the panel that is added
	digitTables
}

func (m *integerShort) name() string {
	switch {
	case m.single && m.codes:
		return "integers4SingleAMX"
	case m.single:
		return "integers8SingleAMX"
	case m.codes:
		return "integers4ShortAMX"
	case m.digits:
		return "integersDigitsShortAMX"
	}
	return "integers8ShortAMX"
}

func (m *integerShort) emit() {
	m.begin(m.name())
	m.end8 = lies("rows")
	SHLQ(Imm(3), m.end8)
	lag, left := AllocLocal(8), AllocLocal(8)
	m.rest = AllocLocal(8)
	MOVQ(U32(2), lag)
	MOVQ(regSteps, m.rest)
	MOVQ(lies("blocks"), regCount)
	IMULQ(regSteps, regCount)
	MOVQ(regCount, left)
	m.rows(false, m.sums)
	LEAQ(Mem{Base: regScratch, Disp: wholeSums}, regWhole)
	LEAQ(Mem{Base: regScratch, Disp: wholeSums + sumsSize}, regWholeBefore)
	if m.codes {
		Load(Param("table"), regExpanded)
		m.load(regExpanded, reg.R14L)
		LEAQ(Mem{Base: regScratch, Disp: expanded}, regExpanded)
		LEAQ(Mem{Base: regScratch, Disp: expanded + 2*codeBlock}, regExpandedBefore)
		for range 2 {
			m.expand(0)
			m.expand(1)
			m.swap()
		}
	}
	if m.single {
		m.zeros()
	}
	Label("step")
	if m.single {
		m.stepOfOne(lag)
	} else {
		m.step(lag)
	}
	m.advance()
	DECQ(left)
	JNZ(LabelRef("step"))
	if m.single {
		m.store(1, regWholeBefore)
	} else {
		m.store(2, regWholeBefore)
		m.store(3, regWholeBefore)
	}
	DECQ(lag)
	JNS(LabelRef("last"))
	m.all(regWhole)
	Label("last")
	m.all(regWholeBefore)
	m.end()
}

// step multiplies a block of the reduction.
func (m *integerShort) step(lag Mem) {
	for half := range 2 {
		right, sum := byte(6+half), byte(2*half)
		m.right(codeTile*half, right)
		if half == 0 {
			loadTile(regLeft, regLeftStride, 0, 4)
		}
		m.product(4, right, sum)
		if half == 0 {
			m.store(2, regWholeBefore)
			loadTile(regLeft, regLeftStride, scaleBlock, 5)
		} else {
			m.store(0, regWhole)
		}
		m.product(5, right, sum+1)
		if m.digits {
			m.right(codeBlock+codeTile*half, right)
			multiplyIntegers(right, 4, sum+1)
		}
		m.between(half, lag, 3, 1)
	}
}

// between emits what goes on while tiles compute half of a step: codes are fetched and
// expanded, the sums of a tile are stored, of the step before or of this one, and older
// ones are added.
func (m *integerShort) between(half int, lag Mem, before, now byte) {
	m.fetch(half)
	if m.codes {
		m.expand(half)
	}
	if half == 0 {
		m.store(before, regWholeBefore)
		m.late(lag)
	} else {
		m.store(now, regWhole)
	}
}

// late adds the whole numbers of two steps before, if there are any.
func (m *integerShort) late(lag Mem) {
	DECQ(lag)
	JNS(LabelRef("later"))
	m.all(regWhole)
	Label("later")
}

// stepOfOne is step for a single row.
func (m *integerShort) stepOfOne(lag Mem) {
	for half := range 2 {
		m.right(codeTile*half, 6)
		if half == 0 {
			loadTile(regLeft, regRightStride, 0, 4)
		}
		m.product(4, 6, byte(half))
		if m.digits {
			if half == 0 {
				loadTile(regScratch, regUpper, zeroLine, 5)
			}
			m.right(codeBlock+codeTile*half, 7)
			multiplyIntegers(7, 5, byte(half))
		}
		m.between(half, lag, 1, 0)
	}
}

// zeros prepares the first row of tile 5 and its distance from the second.
func (m *integerShort) zeros() {
	zero := ZMM()
	VPXORQ(zero, zero, zero)
	VMOVUPS(zero, Mem{Base: regScratch, Disp: zeroLine})
	m.upper()
}

// upper notes where the upper digits lie.
func (m *integerShort) upper() {
	MOVQ(regLeft, regUpper)
	SUBQ(regScratch, regUpper)
	SUBQ(number(zeroLine), regUpper)
}

// advance goes to the next step.
func (m *integerShort) advance() {
	ADDQ(number(leftStep), regLeft)
	if !m.codes {
		ADDQ(number(m.rightStep()), regRight)
	} else {
		m.swap()
	}
	XCHGQ(regWhole, regWholeBefore)
	DECQ(regSteps)
	JNZ(LabelRef("same"))
	MOVQ(lies("steps"), regSteps)
	MOVQ(lies("a"), regLeft)
	Label("same")
	if m.single {
		m.upper()
	}
}

// right loads a tile of the right factor.
func (m *integerShort) right(disp int, t byte) {
	base := regRight
	if m.codes {
		base = regExpanded
	}
	loadTile(base, regRightStride, disp, t)
}

// store writes the sums of a tile.
func (m *integerShort) store(t byte, to reg.GPPhysical) {
	storeTile(t, to, regRightStride, int(t)*codeTile)
}

// swap goes to the next block of codes.
func (m *integerShort) swap() {
	ADDQ(number(codeBlock/2), regRight)
	XCHGQ(regExpanded, regExpandedBefore)
}

// fetch asks for half of a block of codes that is read later, where they come from memory.
func (m *integerShort) fetch(half int) {
	size := m.rightStep() / 2
	if m.codes {
		size = codeBlock / 4
	} else if m.digits {
		return
	}
	for at := 0; at < size; at += 64 {
		PREFETCHT1(Mem{Base: regRight, Disp: codesAhead + half*size + at})
	}
}

// all adds the whole numbers of a step, and ends the panel with its last.
func (m *integerShort) all(whole reg.GPPhysical) {
	scale := scalesHere()
	MOVQ(regUnit, regRowUnit)
	between, lower := 2*codeTile, codeTile // halves, digits
	if m.single {
		between, lower = codeTile, tileBytes
	}
	m.eachRow(func() {
		for h := range m.columns {
			upper := m.row(whole, between*h)
			add(upper, upper.Offset(lower), Mem{Base: regRowUnit}, scale[h], m.row(regScratch, h*codeTile))
		}
		ADDQ(Imm(4), regRowUnit)
	})
	ADDQ(number(unitStep), regUnit)
	ADDQ(number(4*nr), regScale)
	same := label()
	DECQ(m.rest)
	JNZ(LabelRef(same))
	m.rows(true, m.sums)
	m.nextPanel()
	Label(same)
}

// nextPanel begins the sums of a panel.
func (m *integerShort) nextPanel() {
	ADDQ(number(4*nr), lies("c"))
	zero := label()
	CMPQ(lies("from"), Imm(0))
	JEQ(LabelRef(zero))
	ADDQ(number(4*nr), lies("from"))
	Label(zero)
	MOVQ(lies("steps"), regMoved)
	MOVQ(regMoved, m.rest)
	MOVQ(lies("unit"), regUnit)
	m.rows(false, m.sums)
}

// row is where the row in progress of a tile lies.
func (m *integerShort) row(base reg.GPPhysical, disp int) Mem {
	return Mem{Base: base, Index: regRow, Scale: tileBytes / 8, Disp: disp}
}

// eachRow emits a loop over the rows.
func (m *integerShort) eachRow(body func()) {
	again := label()
	XORQ(regRow, regRow)
	if m.single {
		body()
		return
	}
	Label(again)
	body()
	ADDQ(Imm(8), regRow)
	CMPQ(regRow, m.end8)
	JLT(LabelRef(again))
}

// sums visits the rows.
func (m *integerShort) sums(body func(sums Mem)) {
	m.eachRow(func() { body(m.row(regScratch, 0)) })
}

// expand expands half of the columns of a block of codes.
func (m *integerShort) expand(half int) {
	m.expandTo(Mem{Base: regRight, Disp: half * codeBlock / 4}, Mem{Base: regExpanded, Disp: half * codeTile})
}
