package main

import (
	"fmt"
	"math"

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
		m.fetch(half)
		if m.codes {
			m.expand(half)
		}
		if half == 0 {
			m.store(3, regWholeBefore)
			m.late(lag)
		} else {
			m.store(1, regWhole)
		}
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
		m.fetch(half)
		if m.codes {
			m.expand(half)
		}
		if half == 0 {
			m.store(1, regWholeBefore)
			m.late(lag)
		} else {
			m.store(0, regWhole)
		}
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

// digitTables holds the digits of the numbers behind codes of 4 bits.
type digitTables struct {
	tables [2]reg.VecVirtual
	low    reg.VecVirtual
}

// load reads the tables of upper and of lower digits, 16 bytes each.
func (d *digitTables) load(at, word reg.GPPhysical) {
	for i := range d.tables {
		d.tables[i] = ZMM()
		VBROADCASTI32X4(Mem{Base: at, Disp: 16 * i}, d.tables[i])
	}
	MOVL(U32(0x0f0f0f0f), word)
	d.low = ZMM()
	VPBROADCASTD(word, d.low)
}

// expandTo writes the digits of half of the columns of a block of codes.
func (d *digitTables) expandTo(codes, to Mem) {
	for g := range tileRows / 2 {
		raw, low, high := load512(codes.Offset(g*tileBytes)), ZMM(), ZMM()
		VPANDD(d.low, raw, low)
		VPSRLW(Imm(4), raw, high)
		VPANDD(d.low, high, high)
		for digit, table := range d.tables {
			for i, x := range []reg.VecVirtual{low, high} {
				out := ZMM()
				VPSHUFB(x, table, out)
				VMOVDQU32(out, to.Offset(digit*codeBlock+(i*tileRows/2+g)*tileBytes))
			}
		}
	}
}

// expand expands half of the columns of a block of codes.
func (m *integerShort) expand(half int) {
	m.expandTo(Mem{Base: regRight, Disp: half * codeBlock / 4}, Mem{Base: regExpanded, Disp: half * codeTile})
}

// expandDigits512 emits the expansion of codes of 4 bits.
func expandDigits512() {
	TEXT("expandDigitsAVX512", NOSPLIT, "func(dst *byte, src *byte, table *byte, blocks int)")
	Doc("expandDigitsAVX512 is expandDigitsGo.")
	d := &digitTables{}
	Load(Param("table"), regCount)
	d.load(regCount, reg.EBX)
	dst, src, blocks := argument("dst"), argument("src"), argument("blocks")
	loop("blocks", blocks, 1, func() {
		for half := range 2 {
			d.expandTo(Mem{Base: src, Disp: half * codeBlock / 4}, Mem{Base: dst, Disp: half * codeTile})
		}
		ADDQ(number(codeBlock/2), src)
		ADDQ(number(2*codeBlock), dst)
	})
	VZEROUPPER()
	RET()
}

// quantize512 emits the rounding of a row to whole numbers, a block at a time.
func quantize512() {
	TEXT("quantizeAVX512", NOSPLIT, "func(dst *byte, unit *float32, src *float32, blocks int, one float32)")
	Doc("quantizeAVX512 is quantizeGo.")
	dst, unit, src, blocks := argument("dst"), argument("unit"), argument("src"), argument("blocks")
	one := Load(Param("one"), XMM()).(reg.VecVirtual)
	word := GP32()
	scalar := func(x float32) reg.VecVirtual {
		v := XMM()
		MOVL(U32(math.Float32bits(x)), word)
		VMOVD(word, v)
		return v
	}
	largest, least := scalar(127*(1<<digitBits)), scalar(0x1p-100)
	size, half := ZMM(), ZMM()
	MOVL(U32(math.MaxInt32), word)
	VPBROADCASTD(word, size)
	MOVL(U32(1<<(digitBits-1)), word)
	VPBROADCASTD(word, half)
	loop("blocks", blocks, 1, func() {
		x := inRegisters(vectors512(src, 4))
		inverse, this := reciprocal(x, size, largest, least, one)
		VMOVSS(this, Mem{Base: unit})
		factor := ZMM()
		VBROADCASTSS(inverse, factor)
		for v, x := range x {
			q, upper := x.(reg.VecVirtual), ZMM()
			VMULPS(factor, q, q)
			VCVTPS2DQ(q, q)
			VPADDD(half, q, upper)
			VPSRAD(Imm(digitBits), upper, upper)
			VPMOVDB(upper, Mem{Base: dst, Disp: 16 * v})
			VPSLLD(Imm(digitBits), upper, upper)
			VPSUBD(upper, q, q)
			VPMOVDB(q, Mem{Base: dst, Disp: scaleBlock + 16*v})
		}
		ADDQ(number(4*scaleBlock), src)
		ADDQ(number(leftStep), dst)
		ADDQ(number(unitStep), unit)
	})
	VZEROUPPER()
	RET()
}

// reciprocal returns by what the numbers of four registers are multiplied to become whole,
// and the unit of these: both 0 where all are less than least.
func reciprocal(x []Op, size, largest, least, one reg.VecVirtual) (inverse, unit reg.VecVirtual) {
	var sizes [4]reg.VecVirtual
	for i := range sizes {
		sizes[i] = ZMM()
		VPANDD(x[i], size, sizes[i])
	}
	VPMAXUD(sizes[0], sizes[1], sizes[1])
	VPMAXUD(sizes[2], sizes[3], sizes[3])
	VPMAXUD(sizes[1], sizes[3], sizes[3])
	most, y, next := sizes[3], YMM(), XMM()
	VEXTRACTI64X4(Imm(1), most, y)
	VPMAXUD(most.AsY(), y, y)
	VEXTRACTI128(Imm(1), y, next)
	top := XMM()
	VPMAXUD(y.AsX(), next, top)
	for _, order := range []uint64{0b1110, 0b01} {
		VPSHUFD(Imm(order), top, next)
		VPMAXUD(next, top, top)
	}
	inverse, unit = XMM(), XMM()
	counts := XMM()
	VCMPSS(Imm(5), least, top, counts) // not less
	VDIVSS(top, largest, inverse)
	VANDPS(counts, inverse, inverse)
	VMULSS(one, top, unit)
	VANDPS(counts, unit, unit)
	return inverse, unit
}
