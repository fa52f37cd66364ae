package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dot512 emits what the variant with products of bfloat16 adds to AVX-512. Instructions
// that the assembler does not know are written as others and encoded afterwards: see
// standIns.
func dot512() {
	for rows := 1; rows <= 12; rows++ {
		emit512(&tile512{rows: rows, panels: 1, vectors: 2, dot: true})
	}
	for rows, panels := range map512 {
		if panels > 1 {
			emit512(&tile512{rows: rows, panels: panels, vectors: 2, dot: true})
		}
	}
	peakFunc("peakDotAVX512", ZMM, func(x, sum reg.VecVirtual) { VFNMSUB231PS(x, x, sum) })
	halve512()
	pairUp512()
	makerFunc()
}

// makerFunc emits the question who made the processor.
func makerFunc() {
	TEXT("cpuidMaker", NOSPLIT, "func() (b, d, c uint32)")
	Doc("cpuidMaker returns the registers that name who made the processor, in order.")
	XORL(reg.EAX, reg.EAX)
	XORL(reg.ECX, reg.ECX)
	CPUID()
	for i, r := range []reg.Register{reg.EBX, reg.EDX, reg.ECX} {
		Store(r, ReturnIndex(i))
	}
	RET()
}

// multiply emits acc += left · right.
func (t *tile512) multiply(left, right, acc reg.VecVirtual) {
	if t.dot {
		VFNMSUB231PS(left, right, acc)
		return
	}
	VFMADD231PS(left, right, acc)
}

// multiplyAt is multiply by one element in memory.
func (t *tile512) multiplyAt(left Mem, right, acc reg.VecVirtual) {
	if t.dot {
		VFNMSUB231PS_BCST(left, right, acc)
		return
	}
	VFMADD231PS_BCST(left, right, acc)
}

// halve512 emits the rounding of float32 to bfloat16.
func halve512() {
	TEXT("halveAVX512", NOSPLIT, "func(dst *uint32, src *float32, n int)")
	Doc("halveAVX512 is halveGo for a multiple of 32 values.")
	dst, src, n := argument("dst"), argument("src"), argument("n")
	loop("by32", n, 32, func() {
		upper, both := ZMM(), ZMM()
		VMOVUPS(Mem{Base: src, Disp: 64}, upper)
		VFNMADD231PS(Mem{Base: src}, upper, both)
		VMOVDQU32(both, Mem{Base: dst})
		ADDQ(number(128), src)
		ADDQ(Imm(64), dst)
	})
	VZEROUPPER()
	RET()
}

// pairUp512 emits the turning of a block of 32 × 32 bfloat16 whose pairs lie along its
// rows into one whose pairs lie along its columns: two neighbouring words are a square
// of 2 × 2, which is transposed, and so is the matrix of such squares.
func pairUp512() {
	order := GLOBL("pairOrder", RODATA|NOPTR)
	for i := range 8 {
		lane := uint64(0x0808080808080808) * uint64(i%2)
		DATA(8*i, U64(lane+0x0706030205040100))
	}
	TEXT("pairUpAVX512", NOSPLIT, "func(dst *uint32, src *uint32, ahead *uint32)")
	Doc("pairUpAVX512 turns rows of pairs into pairs of rows:", "",
		"	for i := range NR / 2 {",
		"		for j := range NR / 2 {",
		"			a, b := src[j*NR+2*i], src[j*NR+2*i+1]",
		"			dst[i*NR+2*j] = a&0xffff | b<<16",
		"			dst[i*NR+2*j+1] = a>>16 | b&^0xffff",
		"		}",
		"	}", "",
		"It asks for the block at ahead, which is read later.")
	dst, src, ahead := argument("dst"), argument("src"), argument("ahead")
	shuffle := ZMM()
	VMOVDQU32(order, shuffle)
	for quarter := range 4 {
		for line := range 8 {
			PREFETCHT0(Mem{Base: ahead, Disp: 64 * (8*quarter + line)})
		}
		i, j := quarter%2, quarter/2
		squares512(Mem{Base: dst, Disp: 8*i*4*nr + 64*j}, Mem{Base: src, Disp: 8*j*4*nr + 64*i}, shuffle)
	}
	VZEROUPPER()
	RET()
}

// squares512 emits a quarter of pairUp512: 8 × 8 squares.
func squares512(dst, src Mem, shuffle reg.VecVirtual) {
	row := make([]reg.VecVirtual, 8)
	for r := range row {
		row[r] = ZMM()
		VPSHUFB(shuffle, load512(src.Offset(4*nr*r)), row[r])
	}
	row = stage(row, func(i int) (int, int) { return i &^ 1, i | 1 }, func(i int, x, y, to reg.VecVirtual) {
		if i%2 == 0 {
			VPUNPCKLQDQ(y, x, to)
		} else {
			VPUNPCKHQDQ(y, x, to)
		}
	})
	// row[2a+p], lane l: column 2l+p of rows 2a and 2a+1.
	row = stage(row, func(i int) (int, int) { return i&4 + i&1, i&4 + i&1 + 2 }, func(i int, x, y, to reg.VecVirtual) {
		mixLanes(i<<1, x, y, to)
	})
	// row[4h+p]: lanes 0 and 2 of rows 4h to 4h+3; row[4h+2+p]: lanes 1 and 3.
	row = stage(row, func(i int) (int, int) { return i % 4, i%4 + 4 }, mixLanes)
	for r, from := range []int{0, 1, 2, 3, 4, 5, 6, 7} {
		VMOVDQU32(row[from], dst.Offset(4*nr*r))
	}
}

// load512 returns a register with what lies at a place.
func load512(from Mem) reg.VecVirtual {
	z := ZMM()
	VMOVDQU32(from, z)
	return z
}
