package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// zmm is AVX-512.
func zmm() *lanes {
	return &lanes{
		suffix: "AVX512", width: 16, register: ZMM,
		rest: func(n reg.GPVirtual) reg.Register {
			bits, mask := GP64(), K()
			MOVQ(I64(-1), bits)
			BZHIQ(n, bits, bits)
			KMOVW(bits.As32(), mask)
			return mask
		},
		loadRest: func(from Mem, mask reg.Register, to reg.VecVirtual) { VMOVUPS_Z(from, mask, to) },
		saveRest: func(from reg.VecVirtual, mask reg.Register, to Mem) { VMOVUPS(from, mask, to) },
		round:    func(x, to reg.VecVirtual) { VRNDSCALEPS(Imm(0), x, to) },
		scale:    func(n, x reg.VecVirtual) { VSCALEFPS(n, x, x) },
		choose:   func(mask reg.Register, yes, no, to reg.VecVirtual) { VBLENDMPS(yes, no, mask, to) },
	}
}

// ymm is AVX2 with FMA; its masks lie in a table of that name.
func ymm(tableName string) *lanes {
	table := maskTable(tableName)
	return &lanes{
		suffix: "AVX2", width: 8, register: YMM,
		rest: func(n reg.GPVirtual) reg.Register {
			base, skip, mask := GP64(), GP64(), YMM()
			LEAQ(table, base)
			MOVQ(U64(8), skip)
			SUBQ(n, skip)
			VMOVUPS(Mem{Base: base, Index: skip, Scale: 4}, mask)
			return mask
		},
		loadRest: func(from Mem, mask reg.Register, to reg.VecVirtual) { VMASKMOVPS(from, mask, to) },
		saveRest: func(from reg.VecVirtual, mask reg.Register, to Mem) { VMASKMOVPS(from, mask, to) },
		round:    func(x, to reg.VecVirtual) { VROUNDPS(Imm(0), x, to) },
		scale:    scaleYMM,
		choose:   func(mask reg.Register, yes, no, to reg.VecVirtual) { VBLENDVPS(mask, yes, no, to) },
	}
}

// scaleYMM multiplies x by 2^n in two steps, each within the range of exponents.
func scaleYMM(n, x reg.VecVirtual) {
	whole, half := YMM(), YMM()
	VCVTPS2DQ(n, whole)
	VPSRAD(Imm(1), whole, half)
	VPSUBD(half, whole, whole)
	for _, exponent := range []reg.VecVirtual{half, whole} {
		VPSLLD(Imm(23), exponent, exponent)
		VPADDD(constant(1), exponent, exponent) // the exponent field of 1 is the bias
		VMULPS(exponent, x, x)
	}
}

// maskTable emits eight words of ones, then eight of zeros.
func maskTable(name string) Mem {
	table := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		word := uint32(0)
		if i < 8 {
			word = 0xffffffff
		}
		DATA(4*i, U32(word))
	}
	return table
}
