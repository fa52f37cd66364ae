package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

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
