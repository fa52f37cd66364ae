package main

import (
	"fmt"
	"iter"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	stridedSignature  = "func(k int, a *float32, rs int, ks int, b *float32, ldb int, c *float32, ldc int, init *float32, ldi int, cols int)"
	partialSignature  = "func(dst *uint32, ds int, src *uint32, ss int, rows int, cols int)"
	transposePartName = "transposePart"

	early = 5
)

// stridedTile describes a kernel whose left factor lies anywhere: rows and columns at
// any distance, so that it serves plain and transposed matrices where they are.
type stridedTile struct {
	rows, vectors int
	width         int // bytes of a vector
	register      func() reg.VecVirtual

	k, rs, ks, b, ldb, c, ldc reg.GPVirtual
	farA, farB                reg.GPVirtual         // distances of what is fetched early
	a                         []reg.GPVirtual       // rows 0, 3, 6, ...
	acc                       [][]reg.VecVirtual    // [row][vector]
	masks                     func() []reg.Register // of the vectors of a row
	load                      func(from Mem, mask reg.Register, to reg.VecVirtual)
	save                      func(from reg.VecVirtual, mask reg.Register, to Mem)
}

func strided512() {
	for rows := 1; rows <= 12; rows++ {
		for vectors := 1; vectors <= 2; vectors++ {
			t := &stridedTile{rows: rows, vectors: vectors, width: 64, register: ZMM,
				load: func(from Mem, mask reg.Register, to reg.VecVirtual) { VMOVUPS_Z(from, mask, to) },
				save: func(from reg.VecVirtual, mask reg.Register, to Mem) { VMOVUPS(from, mask, to) }}
			t.begin(fmt.Sprintf("stridedTile%dx%dAVX512", rows, 16*vectors), fmt.Sprintf("%d rows and %d columns", rows, 16*vectors))
			t.setMasks(argument("cols"))
			t.run()
			VZEROUPPER()
			RET()
		}
	}
	zmm().transposePart(func(row []reg.VecVirtual) iter.Seq2[int, reg.VecVirtual] { return slices.All(columns512(row)) })
}

// setMasks covers the first cols columns with one opmask a vector.
func (t *stridedTile) setMasks(cols reg.GPVirtual) {
	bits := GP64()
	MOVQ(I64(-1), bits)
	BZHIQ(cols, bits, bits)
	var masks []reg.Register
	for v := range t.vectors {
		if v > 0 {
			SHRQ(Imm(16), bits)
		}
		m := K()
		KMOVW(bits.As32(), m)
		masks = append(masks, m)
	}
	t.masks = func() []reg.Register { return masks }
}

// strided2 emits kernels that walk a panel in strips of 16 columns.
func strided2() {
	table := maskTable("maskTableAVX2")
	for rows := 1; rows <= 6; rows++ {
		t := &stridedTile{rows: rows, vectors: 2, width: 32, register: YMM,
			load: func(from Mem, mask reg.Register, to reg.VecVirtual) { VMASKMOVPS(from, mask, to) },
			save: func(from reg.VecVirtual, mask reg.Register, to Mem) { VMASKMOVPS(from, mask, to) }}
		t.begin(fmt.Sprintf("stridedTile%dAVX2", rows), fmt.Sprintf("%d rows", rows))
		Label("strip")
		t.masks = func() []reg.Register {
			cols := argument("cols")
			var masks []reg.Register
			for _, m := range masks2(table, cols) {
				masks = append(masks, m)
			}
			return masks
		}
		t.run()
		cols := argument("cols")
		next := GP64()
		for _, p := range []string{"b", "c", "init"} {
			Load(Param(p), next)
			if p == "init" {
				TESTQ(next, next)
				JZ(LabelRef("fresh"))
			}
			ADDQ(Imm(64), next)
			Store(next, Param(p))
		}
		Label("fresh")
		SUBQ(Imm(16), cols)
		Store(cols, Param("cols"))
		JG(LabelRef("strip"))
		VZEROUPPER()
		RET()
	}
	ymm("partTableAVX2").transposePart(columns2)
}

func (t *stridedTile) begin(name, size string) {
	TEXT(name, NOSPLIT, stridedSignature)
	Doc(name + " is a stridedFunc of " + size + ".")
}

// run emits a whole pass over k for the columns that the masks cover.
func (t *stridedTile) run() {
	t.k, t.rs, t.ks = argument("k"), argument("rs"), argument("ks")
	t.b, t.ldb, t.c, t.ldc = argument("b"), argument("ldb"), argument("c"), argument("ldc")
	for _, stride := range []reg.GPVirtual{t.rs, t.ks, t.ldb, t.ldc} {
		SHLQ(Imm(2), stride)
	}
	t.start()
	t.a = []reg.GPVirtual{argument("a")}
	for i := 3; i < t.rows; i += 3 {
		next := GP64()
		LEAQ(Mem{Base: t.a[len(t.a)-1], Index: t.rs, Scale: 2}, next)
		ADDQ(t.rs, next)
		t.a = append(t.a, next)
	}
	t.farA, t.farB = GP64(), GP64()
	MOVQ(t.ks, t.farA)
	MOVQ(t.ldb, t.farB)
	SHLQ(Imm(early), t.farA)
	SHLQ(Imm(early), t.farB)
	loop("by2", t.k, 2, func() { t.step(); t.step() })
	loop("by1", t.k, 1, t.step)
	t.each(t.c, t.ldc, t.save2)
}

// start sets the accumulators to 0 or to what init holds.
func (t *stridedTile) start() {
	t.acc = make([][]reg.VecVirtual, t.rows)
	for i := range t.acc {
		for range t.vectors {
			z := t.register()
			VXORPS(z.AsY(), z.AsY(), z.AsY())
			t.acc[i] = append(t.acc[i], z)
		}
	}
	init, ldi := argument("init"), argument("ldi")
	SHLQ(Imm(2), ldi)
	TESTQ(init, init)
	JZ(LabelRef("start"))
	t.each(init, ldi, func(place Mem, mask reg.Register, acc reg.VecVirtual) { t.load(place, mask, acc) })
	Label("start")
}

func (t *stridedTile) save2(place Mem, mask reg.Register, acc reg.VecVirtual) {
	t.save(acc, mask, place)
}

// each visits the accumulators with the place in memory that belongs to them.
func (t *stridedTile) each(base, stride reg.GPVirtual, visit func(place Mem, mask reg.Register, acc reg.VecVirtual)) {
	masks := t.masks()
	row := GP64()
	MOVQ(base, row)
	for i := range t.rows {
		if i > 0 {
			ADDQ(stride, row)
		}
		for v, acc := range t.acc[i] {
			visit(Mem{Base: row, Disp: t.width * v}, masks[v], acc)
		}
	}
}

// left returns where the element of row i lies.
func (t *stridedTile) left(i int) Mem {
	m := Mem{Base: t.a[i/3]}
	if i%3 > 0 {
		m.Index, m.Scale = t.rs, uint8(i%3)
	}
	return m
}

// step emits one column of the reduction.
func (t *stridedTile) step() {
	right := make([]reg.VecVirtual, t.vectors)
	for v := range right {
		right[v] = t.register()
		VMOVUPS(Mem{Base: t.b, Disp: t.width * v}, right[v])
	}
	t.fetch()
	for i := range t.rows {
		left := t.register()
		VBROADCASTSS(t.left(i), left)
		for v := range right {
			VFMADD231PS(right[v], left, t.acc[i][v])
		}
	}
	for _, a := range t.a {
		ADDQ(t.ks, a)
	}
	ADDQ(t.ldb, t.b)
}

// fetch asks for what a tall tile reads 2^early steps later: where the factors are
// long and far apart, nothing else would.
func (t *stridedTile) fetch() {
	if t.rows < 6 {
		return
	}
	PREFETCHT0(Mem{Base: t.a[0], Index: t.farA, Scale: 1})
	PREFETCHT0(Mem{Base: t.a[len(t.a)-1], Index: t.farA, Scale: 1})
	PREFETCHT0(Mem{Base: t.b, Index: t.farB, Scale: 1})
	if t.vectors == 2 {
		PREFETCHT0(Mem{Base: t.b, Index: t.farB, Scale: 1, Disp: t.width})
	}
}

// transposePart emits the transposition of the edge of a matrix, of which columns
// gives those of a whole block.
func (l *lanes) transposePart(columns func([]reg.VecVirtual) iter.Seq2[int, reg.VecVirtual]) {
	name := fmt.Sprintf("%s%d%s", transposePartName, l.width, l.suffix)
	TEXT(name, NOSPLIT, partialSignature)
	Doc(fmt.Sprintf("%s is transposePartGo for up to %d rows and columns, and sets %d words of each row of dst.", name, l.width, l.width))
	dst, ds, src, ss := argument("dst"), argument("ds"), argument("src"), argument("ss")
	rows, cols := argument("rows"), argument("cols")
	SHLQ(Imm(2), ds)
	SHLQ(Imm(2), ss)
	mask, last := l.rest(cols), l.width-1
	row := make([]reg.VecVirtual, l.width)
	for i := range row {
		row[i] = l.register()
		VXORPS(row[i], row[i], row[i])
	}
	next := func(i int, pointer, stride, left reg.GPVirtual, done string) {
		if i < last {
			ADDQ(stride, pointer)
			SUBQ(Imm(1), left)
			JZ(LabelRef(done))
		}
	}
	for i := range row {
		l.loadRest(Mem{Base: src}, mask, row[i])
		next(i, src, ss, rows, "loaded")
	}
	Label("loaded")
	for c, column := range columns(row) {
		VMOVUPS(column, Mem{Base: dst})
		next(c, dst, ds, cols, "done")
	}
	Label("done")
	VZEROUPPER()
	RET()
}
