package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose512 emits the transposition of one 16 × 16 block of words: rows of
// pairs, of fours, then of whole lanes are interleaved.
func transpose512() {
	TEXT("transpose16AVX512", NOSPLIT, "func(dst *uint32, ds int, src *uint32, ss int)")
	Doc("transpose16AVX512 transposes a block of 16 × 16.")
	dst, ds, src, ss := argument("dst"), argument("ds"), argument("src"), argument("ss")
	SHLQ(Imm(2), ds)
	SHLQ(Imm(2), ss)
	row := make([]reg.VecVirtual, 16)
	for i := range row {
		row[i] = ZMM()
		VMOVDQU32(Mem{Base: src}, row[i])
		if i < 15 {
			ADDQ(ss, src)
		}
	}
	row = columns512(row)
	for i := range row {
		VMOVDQU32(row[i], Mem{Base: dst})
		if i < 15 {
			ADDQ(ds, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// columns512 emits the transposition of 16 rows of words.
func columns512(row []reg.VecVirtual) []reg.VecVirtual {
	row = stage(row, func(i int) (int, int) { return i &^ 1, i | 1 }, func(i int, x, y, to reg.VecVirtual) {
		if i%2 == 0 {
			VPUNPCKLDQ(y, x, to)
		} else {
			VPUNPCKHDQ(y, x, to)
		}
	})
	// Within each lane, row 4g+{0,1} and 4g+2+{0,1} now hold pairs of columns.
	row = stage(row, func(i int) (int, int) { return i&^3 + i%4/2, i&^3 + i%4/2 + 2 }, func(i int, x, y, to reg.VecVirtual) {
		if i%2 == 0 {
			VPUNPCKLQDQ(y, x, to)
		} else {
			VPUNPCKHQDQ(y, x, to)
		}
	})
	// row[4g+c], lane l: column 4l+c of rows 4g..4g+3.
	row = stage(row, func(i int) (int, int) { return i/8*8 + i%4, i/8*8 + i%4 + 4 }, mixLanes)
	// row[8h+c]: lanes 0 and 2 of groups 2h and 2h+1; row[8h+4+c]: lanes 1 and 3.
	row = stage(row, func(i int) (int, int) { return i % 8, i%8 + 8 }, func(i int, x, y, to reg.VecVirtual) {
		mixLanes(i/8*4, x, y, to)
	})
	// row[c], row[4+c], row[8+c], row[12+c]: columns c, 4+c, 8+c, 12+c.
	return row
}

// mixLanes takes the even lanes of x and y where bit 2 of i is clear, else the odd.
func mixLanes(i int, x, y, to reg.VecVirtual) {
	if i&4 == 0 {
		VSHUFI32X4(Imm(0x88), y, x, to)
	} else {
		VSHUFI32X4(Imm(0xdd), y, x, to)
	}
}

// stage makes new row i from the two rows that from names.
func stage(row []reg.VecVirtual, from func(int) (int, int), mix func(i int, x, y, to reg.VecVirtual)) []reg.VecVirtual {
	out := make([]reg.VecVirtual, len(row))
	done := make([]bool, len(row))
	for i := range row {
		if done[i] {
			continue
		}
		x, y := from(i)
		for j := i; j < len(row); j++ { // both users of a pair together
			if a, b := from(j); a == x && b == y {
				out[j] = ZMM()
				mix(j, row[x], row[y], out[j])
				done[j] = true
			}
		}
	}
	return out
}

func widen512() {
	TEXT("widenAVX512", NOSPLIT, "func(dst *float32, src *uint32, n int)")
	Doc("widenAVX512 is widenGo for a multiple of 16 pairs.")
	dst, src, n := argument("dst"), argument("src"), argument("n")
	loop("by16", n, 16, func() {
		for v := range 2 {
			z := ZMM()
			VPMOVZXWD(Mem{Base: src, Disp: 32 * v}, z)
			VPSLLD(Imm(16), z, z)
			VMOVDQU32(z, Mem{Base: dst, Disp: 64 * v})
		}
		ADDQ(Imm(64), src)
		ADDQ(number(128), dst)
	})
	VZEROUPPER()
	RET()
}

func widenPairs512() {
	TEXT("widenPairsAVX512", NOSPLIT, "func(dst *float32, src *byte, n int)")
	Doc("widenPairsAVX512 is widenPairsGo.")
	dst, src, n := argument("dst"), argument("src"), argument("n")
	high, word := ZMM(), GP32()
	MOVL(U32(0xffff0000), word)
	VPBROADCASTD(word, high)
	loop("by1", n, 1, func() {
		for v := range 2 {
			z, odd := ZMM(), ZMM()
			VMOVDQU32(Mem{Base: src, Disp: 64 * v}, z)
			VPANDD(high, z, odd)
			VPSLLD(Imm(16), z, z)
			VMOVDQU32(z, Mem{Base: dst, Disp: 64 * v})
			VMOVDQU32(odd, Mem{Base: dst, Disp: 64*v + 4*nr})
		}
		ADDQ(number(4*nr), src)
		ADDQ(number(8*nr), dst)
	})
	VZEROUPPER()
	RET()
}
