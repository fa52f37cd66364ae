package main

import (
	"fmt"
	"iter"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile2 describes one AVX2 kernel. A tile walks its panel in strips of 16
// columns; a wide tile takes the 32 columns of a panel at once.
type tile2 struct {
	rows int
	wide bool
	bf16 bool

	k, a, b, c, ldc    reg.GPVirtual
	from, ldfrom, load reg.GPVirtual // where the sums begin; load if not 0
	acc                [][]reg.VecVirtual
}

func avx2() {
	peakFunc("peakAVX2", YMM, fused)
	table := maskTable("maskTableAVX2")
	for rows := 1; rows <= 6; rows++ {
		emit2(&tile2{rows: rows}, table)
	}
	for rows := 1; rows <= 2; rows++ {
		emit2(&tile2{rows: rows, wide: true}, table)
	}
	for rows := 1; rows <= 6; rows++ {
		emit2(&tile2{rows: rows, bf16: true}, table)
	}
	for rows := 1; rows <= 2; rows++ {
		emit2(&tile2{rows: rows, wide: true, bf16: true}, table)
	}
	transpose8()
	widen2()
	widenPairs2()
	unpack2()
	scales2()
}

func (t *tile2) vectors() int {
	if t.wide {
		return 4
	}
	return 2
}

func emit2(t *tile2, table Mem) {
	kind, signature, role := "F32", tileSignature, "tileFunc of that many rows"
	if t.bf16 {
		kind = "BF16"
	}
	width := ""
	if t.wide {
		width, signature, role = "x32", wideSignature, "wideFunc of that many rows and one panel"
	}
	name := fmt.Sprintf("tile%sx%d%sAVX2", kind, t.rows, width)
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is a " + role + ".")
	t.c, t.ldc, t.b = argument("c"), argument("ldc"), argument("b")
	SHLQ(Imm(2), t.ldc)
	t.from, t.ldfrom = t.c, t.ldc
	if t.wide {
		t.load = argument("load")
		t.strip(nil)
	} else {
		t.from, t.ldfrom = argument("from"), argument("ldfrom")
		SHLQ(Imm(2), t.ldfrom)
		t.load = t.from
		t.strips(table)
	}
	VZEROUPPER()
	RET()
}

// strips repeats the strip for the columns that there are.
func (t *tile2) strips(table Mem) {
	cols, first := argument("cols"), t.b
	Label("strip")
	t.b = GP64()
	MOVQ(first, t.b)
	t.strip(func() []reg.VecVirtual { return masks2(table, cols) })
	ADDQ(Imm(64), first)
	ADDQ(Imm(64), t.c)
	skip := GP64()
	LEAQ(Mem{Base: t.from, Disp: 64}, skip)
	TESTQ(t.from, t.from)
	CMOVQNE(skip, t.from)
	SUBQ(Imm(16), cols)
	JG(LabelRef("strip"))
}

// masks2 covers the first cols columns of a strip.
func masks2(table Mem, cols reg.GPVirtual) []reg.VecVirtual {
	var masks []reg.VecVirtual
	base, zero, eight := GP64(), GP64(), GP64()
	LEAQ(table, base)
	XORQ(zero, zero)
	MOVQ(U64(8), eight)
	for v := range 2 {
		skip := GP64()
		MOVQ(U64(uint64(8*v+8)), skip)
		SUBQ(cols, skip) // columns of the vector that are missing
		CMOVQLT(zero, skip)
		CMPQ(skip, eight)
		CMOVQGT(eight, skip)
		m := YMM()
		VMOVUPS(Mem{Base: base, Index: skip, Scale: 4}, m)
		masks = append(masks, m)
	}
	return masks
}

// strip emits one pass over k.
func (t *tile2) strip(masks func() []reg.VecVirtual) {
	t.k, t.a = argument("k"), argument("a")
	t.acc = make([][]reg.VecVirtual, t.rows)
	for i := range t.acc {
		for range t.vectors() {
			y := YMM()
			VXORPS(y, y, y)
			t.acc[i] = append(t.acc[i], y)
		}
	}
	TESTQ(t.load, t.load)
	JZ(LabelRef("start"))
	t.each(t.from, t.ldfrom, masks, func(place Mem, acc, mask reg.VecVirtual) {
		if mask == nil {
			VMOVUPS(place, acc)
		} else {
			VMASKMOVPS(place, mask, acc)
		}
	})
	Label("start")
	t.reduce()
	t.each(t.c, t.ldc, masks, func(place Mem, acc, mask reg.VecVirtual) {
		if mask == nil {
			VMOVUPS(acc, place)
		} else {
			VMASKMOVPS(acc, mask, place)
		}
	})
}

// each visits the accumulators with their mask and their place in rows from base on,
// ld bytes apart.
func (t *tile2) each(base, ld reg.GPVirtual, masks func() []reg.VecVirtual, visit func(place Mem, acc, mask reg.VecVirtual)) {
	mask := make([]reg.VecVirtual, t.vectors())
	if masks != nil {
		mask = masks()
	}
	row := GP64()
	MOVQ(base, row)
	for i := range t.rows {
		if i > 0 {
			ADDQ(ld, row)
		}
		for v, acc := range t.acc[i] {
			visit(Mem{Base: row, Disp: 32 * v}, acc, mask[v])
		}
	}
}

func (t *tile2) reduce() {
	if !t.bf16 {
		loop("by4", t.k, 4, func() {
			for u := range 4 {
				t.one(u)
			}
			t.advance(4)
		})
		loop("by1", t.k, 1, func() { t.one(0); t.advance(1) })
		return
	}
	high := YMM()
	word, x := GP32(), XMM()
	MOVL(U32(0xffff0000), word)
	VMOVD(word, x)
	VPBROADCASTD(x, high)
	loop("pairs4", t.k, 4, func() { t.pair(0, high); t.pair(1, high); t.advance(4) })
	loop("pairs", t.k, 2, func() { t.pair(0, high); t.advance(2) })
	TESTQ(t.k, t.k)
	JZ(LabelRef("finish"))
	t.half(0, nil)
	Label("finish")
}

func (t *tile2) advance(k int) {
	ADDQ(number(4*k), t.a)
	if t.bf16 {
		ADDQ(number(2*nr*k), t.b)
	} else {
		ADDQ(number(4*nr*k), t.b)
	}
}

func (t *tile2) place(u, v int) Mem { return Mem{Base: t.b, Disp: 4*nr*u + 32*v} }

func (t *tile2) one(u int) {
	t.step(u, func(v int, to reg.VecVirtual) { VMOVUPS(t.place(u, v), to) })
}

func (t *tile2) pair(u int, high reg.VecVirtual) {
	t.half(u, nil)
	t.half(u, high)
}

// half emits the lower column of a pair, or the upper one, which high selects.
func (t *tile2) half(u int, high reg.VecVirtual) {
	t.step(2*u+btoi(high != nil), func(v int, to reg.VecVirtual) {
		if high != nil {
			VPAND(t.place(u, v), high, to)
			return
		}
		VMOVDQU(t.place(u, v), to)
		VPSLLD(Imm(16), to, to)
	})
}

// step emits the products of column x of a, two vectors of b at a time.
func (t *tile2) step(x int, fill func(v int, to reg.VecVirtual)) {
	for v0 := 0; v0 < t.vectors(); v0 += 2 {
		right := []reg.VecVirtual{YMM(), YMM()}
		fill(v0, right[0])
		fill(v0+1, right[1])
		for i := range t.rows {
			left := YMM()
			VBROADCASTSS(Mem{Base: t.a, Disp: i*leftStride + 4*x}, left)
			VFMADD231PS(right[0], left, t.acc[i][v0])
			VFMADD231PS(right[1], left, t.acc[i][v0+1])
		}
	}
}

// transpose8 emits the transposition of one 8 × 8 block of words.
func transpose8() {
	TEXT("transpose8AVX2", NOSPLIT, "func(dst *uint32, ds int, src *uint32, ss int)")
	Doc("transpose8AVX2 transposes a block of 8 × 8.")
	dst, ds, src, ss := argument("dst"), argument("ds"), argument("src"), argument("ss")
	SHLQ(Imm(2), ds)
	SHLQ(Imm(2), ss)
	row := make([]reg.VecVirtual, 8)
	for i := range row {
		row[i] = YMM()
		VMOVUPS(Mem{Base: src}, row[i])
		ADDQ(ss, src)
	}
	for _, column := range columns2(row) {
		VMOVUPS(column, Mem{Base: dst})
		ADDQ(ds, dst)
	}
	VZEROUPPER()
	RET()
}

// columns2 emits the transposition of 8 rows of words, one column after another.
func columns2(row []reg.VecVirtual) iter.Seq2[int, reg.VecVirtual] {
	two := make([]reg.VecVirtual, 8) // two[4g+{0,1,2,3}]: rows 4g, 4g+1 low, high; rows 4g+2, 4g+3 low, high
	for i := 0; i < 8; i += 2 {
		two[i], two[i+1] = YMM(), YMM()
		VUNPCKLPS(row[i+1], row[i], two[i])
		VUNPCKHPS(row[i+1], row[i], two[i+1])
	}
	four := make([]reg.VecVirtual, 8) // four[4g+c]: columns c and 4+c of rows 4g..4g+3
	for g := 0; g < 8; g += 4 {
		for c := range 4 {
			four[g+c] = YMM()
			VSHUFPS(Imm([]uint64{0x44, 0xee}[c%2]), two[g+2+c/2], two[g+c/2], four[g+c])
		}
	}
	return func(yield func(int, reg.VecVirtual) bool) {
		for c := range 8 {
			out := YMM()
			VPERM2F128(Imm([]uint64{0x20, 0x31}[c/4]), four[4+c%4], four[c%4], out)
			if !yield(c, out) {
				return
			}
		}
	}
}

func widen2() {
	TEXT("widenAVX2", NOSPLIT, "func(dst *float32, src *uint32, n int)")
	Doc("widenAVX2 is widenGo for a multiple of 16 pairs.")
	dst, src, n := argument("dst"), argument("src"), argument("n")
	loop("by16", n, 16, func() {
		for v := range 4 {
			y := YMM()
			VPMOVZXWD(Mem{Base: src, Disp: 16 * v}, y)
			VPSLLD(Imm(16), y, y)
			VMOVDQU(y, Mem{Base: dst, Disp: 32 * v})
		}
		ADDQ(Imm(64), src)
		ADDQ(number(128), dst)
	})
	VZEROUPPER()
	RET()
}

func widenPairs2() {
	TEXT("widenPairsAVX2", NOSPLIT, "func(dst *float32, src *byte, n int)")
	Doc("widenPairsAVX2 is widenPairsGo.")
	dst, src, n := argument("dst"), argument("src"), argument("n")
	high, word, x := YMM(), GP32(), XMM()
	MOVL(U32(0xffff0000), word)
	VMOVD(word, x)
	VPBROADCASTD(x, high)
	loop("by1", n, 1, func() {
		for v := range 4 {
			y, odd := YMM(), YMM()
			VMOVDQU(Mem{Base: src, Disp: 32 * v}, y)
			VPAND(high, y, odd)
			VPSLLD(Imm(16), y, y)
			VMOVDQU(y, Mem{Base: dst, Disp: 32 * v})
			VMOVDQU(odd, Mem{Base: dst, Disp: 32*v + 4*nr})
		}
		ADDQ(number(4*nr), src)
		ADDQ(number(8*nr), dst)
	})
	VZEROUPPER()
	RET()
}
