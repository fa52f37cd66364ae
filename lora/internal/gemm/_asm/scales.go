package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	scalesSignature = "func(dst *float32, src *float32, blocks int, stride int, ahead int)"
	nestedSignature = "func(dst *float32, codes *byte, blocks int, stride int, numbers *float32, nested *float32, first int, row int, offset float32, ahead int)"
)

// scales512 emits the copying of scales.
func scales512() { scales("scalesAVX512", 16, ZMM) }

// scales2 is scales512 for AVX2.
func scales2() { scales("scalesAVX2", 8, YMM) }

func scales(name string, width int, register func() reg.VecVirtual) {
	TEXT(name, NOSPLIT, scalesSignature)
	Doc(name + " is a scalesFunc.")
	dst, src, stride, ahead := argument("dst"), argument("src"), argument("stride"), argument("ahead")
	SHLQ(Imm(2), stride)
	loop("by1", argument("blocks"), 1, func() {
		for v := range nr / width {
			x := register()
			VMOVUPS(Mem{Base: src, Disp: 4 * width * v}, x)
			VMOVUPS(x, Mem{Base: dst, Disp: 4 * width * v})
		}
		for line := range 4 * nr / 64 {
			PREFETCHT0(Mem{Base: src, Index: ahead, Scale: 1, Disp: 64 * line})
		}
		ADDQ(number(4*nr), src)
		ADDQ(stride, dst)
	})
	VZEROUPPER()
	RET()
}

// nested512 emits the reading of scales in 8 bits, 16 at a time: their numbers from a
// table of 256 in registers, and of the scales of scales, of which neighbouring blocks
// of 16 rows have at most 16, those from the first row's on.
func nested512() {
	TEXT("nestedAVX512", NOSPLIT, nestedSignature)
	Doc("nestedAVX512 is a nestedFunc.")
	dst, codes, stride, ahead := argument("dst"), argument("codes"), argument("stride"), argument("ahead")
	outer, first, row := argument("nested"), argument("first"), argument("row")
	SHLQ(Imm(2), stride)
	table := inRegisters(vectors512(argument("numbers"), 16))
	offset, spread := ZMM(), ZMM()
	VBROADCASTSS(NewParamAddr("offset", 64), offset)
	VPBROADCASTD(row.As32(), spread)
	VPMULLD(upTo16(), spread, spread)
	SHLQ(Imm(4), row) // blocks between the halves of the panel
	bit := make([]reg.VecVirtual, 3)
	for i := range bit {
		word := GP32()
		MOVL(U32(32<<i), word)
		bit[i] = ZMM()
		VPBROADCASTD(word, bit[i])
	}
	loop("by1", argument("blocks"), 1, func() {
		for v := range 2 {
			scale, index := nestedScale(first, row, outer, spread, 0, v), ZMM()
			VPMOVZXBD(Mem{Base: codes, Disp: 16 * v}, index)
			VMULPS(lookUp256(table, bit, index), scale, scale)
			VADDPS(offset, scale, scale)
			VMOVUPS(scale, Mem{Base: dst, Disp: 64 * v})
		}
		PREFETCHT0(Mem{Base: codes, Index: ahead, Scale: 1})
		INCQ(first)
		ADDQ(number(nr), codes)
		ADDQ(stride, dst)
	})
	VZEROUPPER()
	RET()
}

// upTo16 returns the numbers from 0 to 15 in memory.
func upTo16() Mem {
	counting := GLOBL("upTo16", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(uint32(i)))
	}
	return counting
}

// lookUp256 returns the numbers that indices select from a table in 16 registers; bit
// holds 32, 64 and 128.
func lookUp256(table []Op, bit []reg.VecVirtual, index reg.VecVirtual) reg.VecVirtual {
	found := make([]reg.VecVirtual, 8)
	for i := range found {
		found[i] = ZMM()
		VMOVDQA64(index, found[i])
		VPERMI2PS(table[2*i+1], table[2*i], found[i])
	}
	for _, b := range bit {
		upper := K()
		VPTESTMD(b, index, upper)
		for i := range len(found) / 2 {
			VBLENDMPS(found[2*i+1], found[2*i], upper, found[2*i])
			found[i] = found[2*i]
		}
		found = found[:len(found)/2]
	}
	return found[0]
}
