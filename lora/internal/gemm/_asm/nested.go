package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// nestedPanelsSignature is that of a nestedPanelsFunc of package gemm.
const nestedPanelsSignature = "func(dst *float32, codes *byte, panels int, blocks int, numbers *float32, nested *float32, first int, row int, offset float32)"

// bytePlanes is a table of 256 numbers by their bytes: of each of the four, 64 numbers to a
// register.
type bytePlanes [4][4]reg.VecVirtual

// load reads the table.
func (p *bytePlanes) load(numbers reg.Register) {
	pick := GLOBL("everyFourth", RODATA|NOPTR)
	for i := range 8 {
		b := uint64(32 * i % 128)
		DATA(8*i, U64(b|(b+4)<<8|(b+8)<<16|(b+12)<<24|(b+16)<<32|(b+20)<<40|(b+24)<<48|(b+28)<<56))
	}
	ones, word := ZMM(), GP32()
	MOVL(U32(0x01010101), word)
	VPBROADCASTD(word, ones)
	for quarter := range 4 {
		var x [4]reg.VecVirtual
		for i := range x {
			x[i] = load512(Mem{Base: numbers, Disp: 256*quarter + 64*i})
		}
		index := load512(pick)
		for plane := range p {
			if plane > 0 {
				VPADDB(ones, index, index)
			}
			low, high := ZMM(), ZMM()
			VMOVDQA64(index, low)
			VPERMI2B(x[1], x[0], low)
			VMOVDQA64(index, high)
			VPERMI2B(x[3], x[2], high)
			p[plane][quarter] = ZMM()
			VINSERTI64X4(Imm(1), high.AsY(), low, p[plane][quarter])
		}
	}
}

// lookUp returns the numbers behind 64 codes, whose words have been transposed as a matrix
// of 4 × 4.
func (p *bytePlanes) lookUp(codes, top reg.VecVirtual) (numbers [4]reg.VecVirtual) {
	upper := K()
	VPTESTMB(top, codes, upper)
	var planes [4]reg.VecVirtual
	for i, table := range p {
		low, high := ZMM(), ZMM()
		VMOVDQA64(codes, low)
		VPERMI2B(table[1], table[0], low)
		VMOVDQA64(codes, high)
		VPERMI2B(table[3], table[2], high)
		planes[i] = ZMM()
		VPBLENDMB(high, low, upper, planes[i])
	}
	for half := range 2 {
		unpackBytes, words := VPUNPCKLBW, [2]reg.VecVirtual{ZMM(), ZMM()}
		if half > 0 {
			unpackBytes = VPUNPCKHBW
		}
		for i := range words {
			unpackBytes(planes[2*i+1], planes[2*i], words[i])
		}
		numbers[2*half], numbers[2*half+1] = ZMM(), ZMM()
		VPUNPCKLWD(words[1], words[0], numbers[2*half])
		VPUNPCKHWD(words[1], words[0], numbers[2*half+1])
	}
	return numbers
}

// nestedPanels512 emits the reading of the scales in 8 bits of whole panels, of two blocks
// at a time.
func nestedPanels512() {
	TEXT("nestedPanelsAVX512", NOSPLIT, nestedPanelsSignature)
	Doc("nestedPanelsAVX512 is a nestedPanelsFunc.")
	var table bytePlanes
	table.load(argument("numbers"))
	turn := GLOBL("turnWords", RODATA|NOPTR)
	for i := range 8 {
		DATA(8*i, U64(uint64(2*i%4*4+i/2)|uint64((2*i+1)%4*4+i/2)<<32))
	}
	order, offset, spread, top := load512(turn), ZMM(), ZMM(), ZMM()
	VBROADCASTSS(NewParamAddr("offset", 64), offset)
	word := GP32()
	MOVL(U32(0x80808080), word)
	VPBROADCASTD(word, top)
	dst, codes, outer, first, row := argument("dst"), argument("codes"), argument("nested"), argument("first"), argument("row")
	VPBROADCASTD(row.As32(), spread)
	VPMULLD(upTo16(), spread, spread)
	SHLQ(Imm(4), row) // blocks between the halves of the panel
	loop("panels", argument("panels"), 1, func() {
		blocks, begin := argument("blocks"), GP64()
		MOVQ(first, begin)
		Label("blocks")
		words := ZMM()
		VPERMD(Mem{Base: codes}, order, words)
		for i, number := range table.lookUp(words, top) {
			scale := nestedScale(first, row, outer, spread, i/2, i%2)
			VMULPS(number, scale, scale)
			VADDPS(offset, scale, scale)
			VMOVUPS(scale, Mem{Base: dst, Disp: 64 * i})
		}
		ADDQ(Imm(2), first)
		ADDQ(number(2*nr), codes)
		ADDQ(number(2*4*nr), dst)
		SUBQ(Imm(2), blocks)
		JG(LabelRef("blocks"))
		JZ(LabelRef("even"))
		SUBQ(number(nr), codes)
		SUBQ(number(4*nr), dst)
		Label("even")
		LEAQ(Mem{Base: begin, Index: row, Scale: 2}, first)
	})
	VZEROUPPER()
	RET()
}

// nestedScale returns the scales of the scales of 16 rows of a panel, a block behind first.
func nestedScale(first, row, outer reg.GPVirtual, spread reg.VecVirtual, block, half int) reg.VecVirtual {
	at, within, scale, index := GP64(), GP64(), ZMM(), ZMM()
	LEAQ(Mem{Base: first, Disp: block}, at)
	if half > 0 {
		ADDQ(row, at)
	}
	MOVBQZX(at.As8(), within)
	SHRQ(Imm(8), at)
	VPBROADCASTD(within.As32(), index)
	VPADDD(spread, index, index)
	VPSRLD(Imm(8), index, index)
	VPERMPS(Mem{Base: outer, Index: at, Scale: 4}, index, scale)
	return scale
}
