package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tile512 describes one AVX-512 kernel: rows × (panels · vectors · 16) columns.
type tile512 struct {
	rows, panels, vectors int
	bf16                  bool
	dot                   bool // pairs of bfloat16 in both factors: words take the place of numbers

	k, a, b, stride, stride3, c, ldc, ahead reg.GPVirtual
	from, ldfrom, load                      reg.GPVirtual      // where the sums begin; load if not 0
	acc                                     [][]reg.VecVirtual // [row][panel*vectors+vector]
	right, raw                              []reg.VecVirtual
	second                                  reg.GPVirtual  // distance of the second line of a pair of rows that is fetched ahead
	high                                    reg.VecVirtual // selects the upper half of a word
	masks                                   []reg.OpmaskVirtual
}

func avx512() {
	pauseFunc()
	peakFunc("peakAVX512", ZMM, fused)
	for rows := 1; rows <= 12; rows++ {
		for _, bf16 := range []bool{false, true} {
			emit512(&tile512{rows: rows, panels: 1, vectors: 2, bf16: bf16})
		}
		emit512(&tile512{rows: rows, panels: 1, vectors: 1})
	}
	for _, bf16 := range []bool{false, true} {
		for rows, panels := range map512 {
			if panels > 1 {
				emit512(&tile512{rows: rows, panels: panels, vectors: 2, bf16: bf16})
			}
		}
	}
	transpose512()
	widen512()
	widenPairs512()
	unpack512()
	codedTiles512()
	scales512()
	nested512()
}

// map512 gives the panels of the wide tile of each height.
var map512 = [...]int{1: 4, 2: 4, 3: 2, 4: 2}

func (t *tile512) name() string {
	kind := "F32"
	switch {
	case t.bf16:
		kind = "BF16"
	case t.dot:
		kind = "Dot"
	}
	return fmt.Sprintf("tile%sx%dx%dAVX512", kind, t.rows, t.panels*t.vectors*16)
}

func emit512(t *tile512) {
	if t.panels > 1 {
		TEXT(t.name(), NOSPLIT, wideSignature)
		Doc(t.name() + " is a wideFunc of that many rows and columns.")
		t.stride = argument("stride")
		if t.panels > 2 {
			t.stride3 = GP64()
			LEAQ(Mem{Base: t.stride, Index: t.stride, Scale: 2}, t.stride3)
		}
	} else {
		TEXT(t.name(), NOSPLIT, tileSignature)
		Doc(t.name() + " is a tileFunc of that many rows and columns.")
		t.setMasks(argument("cols"))
	}
	t.k, t.a, t.b = argument("k"), argument("a"), argument("b")
	t.c, t.ldc = argument("c"), argument("ldc")
	SHLQ(Imm(2), t.ldc)
	if t.panels > 1 {
		t.from, t.ldfrom, t.load = t.c, t.ldc, argument("load")
	} else {
		t.from, t.ldfrom, t.ahead = argument("from"), argument("ldfrom"), argument("ahead")
		SHLQ(Imm(2), t.ldfrom)
		t.load = t.from
	}
	t.begin()
	t.reduce()
	t.store()
	VZEROUPPER()
	RET()
}

// setMasks covers the first cols columns with one mask per vector.
func (t *tile512) setMasks(cols reg.GPVirtual) {
	bits := GP64()
	MOVQ(I64(-1), bits)
	BZHIQ(cols, bits, bits)
	for v := range t.vectors {
		if v > 0 {
			SHRQ(Imm(16), bits)
		}
		m := K()
		KMOVW(bits.As32(), m)
		t.masks = append(t.masks, m)
	}
}

// each visits the tile's accumulators with their place in rows from base on, ld
// bytes apart.
func (t *tile512) each(base, ld reg.GPVirtual, visit func(place Mem, acc reg.VecVirtual, v int)) {
	row := GP64()
	MOVQ(base, row)
	for i := range t.rows {
		if i > 0 {
			ADDQ(ld, row)
		}
		for v, acc := range t.acc[i] {
			visit(Mem{Base: row, Disp: 64 * v}, acc, v)
		}
	}
}

// begin sets the accumulators to 0 or to what lies at from.
func (t *tile512) begin() {
	t.acc = make([][]reg.VecVirtual, t.rows)
	for i := range t.acc {
		for range t.panels * t.vectors {
			z := ZMM()
			VPXORD(z, z, z)
			t.acc[i] = append(t.acc[i], z)
		}
	}
	TESTQ(t.load, t.load)
	JZ(LabelRef("start"))
	t.each(t.from, t.ldfrom, func(place Mem, acc reg.VecVirtual, v int) {
		if t.masks == nil {
			VMOVUPS(place, acc)
		} else {
			VMOVUPS_Z(place, t.masks[v], acc)
		}
	})
	Label("start")
}

func (t *tile512) store() {
	t.each(t.c, t.ldc, func(place Mem, acc reg.VecVirtual, v int) {
		if t.masks == nil {
			VMOVUPS(acc, place)
		} else {
			VMOVUPS(acc, t.masks[v], place)
		}
	})
}

// reduce runs over k.
func (t *tile512) reduce() {
	for range min(t.panels*t.vectors, 2) {
		t.right = append(t.right, ZMM())
	}
	if t.bf16 {
		for range t.right {
			t.raw = append(t.raw, ZMM())
		}
		t.high = ZMM()
		word := GP32()
		MOVL(U32(0xffff0000), word)
		VPBROADCASTD(word, t.high)
		if t.fetchesNext() {
			t.startAhead()
		}
		loop("pairs4", t.k, 4, func() { t.pair(0); t.pair(1); t.advance(4) })
		loop("pairs", t.k, 2, func() { t.pair(0); t.advance(2) })
		TESTQ(t.k, t.k)
		JZ(LabelRef("finish"))
		t.half(0, false)
		Label("finish")
		return
	}
	loop("by4", t.k, 4, func() {
		for u := range 4 {
			t.one(u)
			t.lookAhead(u)
		}
		t.advance(4)
	})
	loop("by1", t.k, 1, func() { t.one(0); t.advance(1) })
}

// advance moves on by k columns of a and rows of b.
func (t *tile512) advance(k int) {
	ADDQ(number(4*k), t.a)
	if t.bf16 {
		ADDQ(number(2*nr*k), t.b)
	} else {
		ADDQ(number(4*nr*k), t.b)
	}
}

// place returns vector v of row u of b.
func (t *tile512) place(u, v int) Mem {
	m := Mem{Base: t.b, Disp: 4*nr*u + 64*(v%t.vectors)}
	switch v / t.vectors {
	case 1:
		m.Index, m.Scale = t.stride, 1
	case 2:
		m.Index, m.Scale = t.stride, 2
	case 3:
		m.Index, m.Scale = t.stride3, 1
	}
	return m
}

// fetch asks for what a kernel that streams the right factor reads some steps
// later.
func (t *tile512) fetch(u, v int) {
	if t.panels > 1 || t.rows > 4 && (t.bf16 || t.rows <= 8) {
		ahead := t.place(u, v)
		ahead.Disp += 4 * nr * 16
		PREFETCHT0(ahead)
	}
}

// fetchesNext reports whether the tile streams bfloat16 and may share that with another.
func (t *tile512) fetchesNext() bool { return t.bf16 && t.panels == 1 && t.rows > 4 }

// startAhead says what such a tile fetches: all of its own block some steps later where
// ahead is b, and otherwise what lies at ahead at half the speed.
func (t *tile512) startAhead() {
	t.second = GP64()
	XORQ(t.second, t.second)
	CMPQ(t.ahead, t.b)
	JNE(LabelRef("shared"))
	MOVQ(U64(64), t.second)
	ADDQ(number(4*nr*16), t.ahead)
	Label("shared")
}

// lookAhead asks, in a tall tile, once in four columns for a line of the next
// block of b.
func (t *tile512) lookAhead(u int) {
	if t.rows < 8 || t.panels > 1 || t.vectors < 2 || u != 0 {
		return
	}
	PREFETCHT1(Mem{Base: t.ahead})
	ADDQ(Imm(64), t.ahead)
}

// one emits column u of the reduction for float32.
func (t *tile512) one(u int) {
	t.step(u, func(v int, to reg.VecVirtual) {
		VMOVUPS(t.place(u, v), to)
		t.fetch(u, v)
	})
}

// pair emits columns 2u and 2u+1 for bfloat16.
func (t *tile512) pair(u int) {
	if t.panels > 1 {
		t.half(u, false)
		t.half(u, true)
		return
	}
	for v, raw := range t.raw[:t.vectors] {
		VMOVUPS(t.place(u, v), raw)
		if !t.fetchesNext() {
			t.fetch(u, v)
		}
	}
	if t.fetchesNext() {
		PREFETCHT0(Mem{Base: t.ahead})
		PREFETCHT0(Mem{Base: t.ahead, Index: t.second, Scale: 1})
		LEAQ(Mem{Base: t.ahead, Index: t.second, Scale: 1, Disp: 64}, t.ahead)
	}
	t.step(2*u, func(v int, to reg.VecVirtual) { VPSLLD(Imm(16), t.raw[v], to) })
	t.step(2*u+1, func(v int, to reg.VecVirtual) { VPANDD(t.high, t.raw[v], to) })
}

// half emits one column of a pair, straight from memory.
func (t *tile512) half(u int, odd bool) {
	t.step(2*u+btoi(odd), func(v int, to reg.VecVirtual) {
		if odd {
			VPANDD(t.place(u, v), t.high, to)
			return
		}
		VPSLLD(Imm(16), t.place(u, v), to)
		t.fetch(u, v)
	})
}

// step emits the products of column x of a; fill sets a register to vector v of
// the matching row of b.
func (t *tile512) step(x int, fill func(v int, to reg.VecVirtual)) {
	if t.panels == 1 {
		for v := range t.vectors {
			fill(v, t.right[v])
		}
		for i := range t.rows {
			t.row(i, x)
		}
		return
	}
	left := make([]reg.VecVirtual, t.rows)
	for i := range left {
		left[i] = ZMM()
		VBROADCASTSS(Mem{Base: t.a, Disp: i*leftStride + 4*x}, left[i])
	}
	for v := range t.panels * t.vectors {
		to := t.right[v%2]
		fill(v, to)
		for i := range left {
			t.multiply(left[i], to, t.acc[i][v])
		}
	}
}

// row emits the products of column x of a in row i. Every other row of a tall tile
// broadcasts within the multiplication: that is an instruction less, and a load more,
// of which there is room for some. The order of the factors is the same everywhere: it
// chooses between two NaNs.
func (t *tile512) row(i, x int) {
	from := Mem{Base: t.a, Disp: i*leftStride + 4*x}
	if t.rows >= 8 && t.vectors > 1 && i%2 == 1 {
		for v := range t.vectors {
			t.multiplyAt(from, t.right[v], t.acc[i][v])
		}
		return
	}
	left := ZMM()
	VBROADCASTSS(from, left)
	for v := range t.vectors {
		t.multiply(left, t.right[v], t.acc[i][v])
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
