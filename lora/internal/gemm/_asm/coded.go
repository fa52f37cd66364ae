package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	unpackSignature = "func(dst *float32, src *byte, scale *float32, table *float32, k int)"
	codedSignature  = "func(k int, a *float32, b *byte, stride int, scale *float32, table *float32, c *float32, ldc int, load int)"
)

// codes512 turns codes of one form into numbers, a panel row of 32 at a time.
type codes512 struct {
	bits  int
	round string // "", "BF16", "Tame" (BF16 of tame numbers) or "F16"

	table                 reg.VecVirtual
	bias, unit, one, high reg.VecVirtual // of the rounding to bfloat16
	up, less              reg.VecVirtual // 2¹⁶ and 2¹⁶-1, of that of tame numbers
}

// forms512 lists the forms of codes.
func forms512() []*codes512 {
	return []*codes512{{bits: 4}, {bits: 4, round: "BF16"}, {bits: 4, round: "Tame"}, {bits: 4, round: "F16"}, {bits: 8}}
}

// name returns the form's part of a kernel's name.
func (q *codes512) name() string { return fmt.Sprintf("%d%s", q.bits, q.round) }

// rowBytes returns the bytes of a panel row.
func (q *codes512) rowBytes() int { return nr * q.bits / 8 }

// prepare loads what all rows need.
func (q *codes512) prepare(table reg.Register) {
	if q.bits == 4 {
		q.table = ZMM()
		VMOVUPS(Mem{Base: table}, q.table)
	}
	fill := func(bits uint32) reg.VecVirtual {
		word, z := GP32(), ZMM()
		MOVL(U32(bits), word)
		VPBROADCASTD(word, z)
		return z
	}
	switch q.round {
	case "BF16":
		q.bias, q.unit, q.one, q.high = fill(0x7fff), fill(1<<16), fill(1), fill(0xffff0000)
	case "Tame":
		q.up, q.less = fill(math.Float32bits(1<<16)), fill(math.Float32bits(1<<16-1))
	}
}

// vectors512 returns n vectors in memory.
func vectors512(base reg.Register, n int) (v []Op) {
	for i := range n {
		v = append(v, Mem{Base: base, Disp: 64 * i})
	}
	return v
}

// inRegisters loads vectors.
func inRegisters(vectors []Op) (v []Op) {
	for _, place := range vectors {
		z := ZMM()
		VMOVUPS(place, z)
		v = append(v, z)
	}
	return v
}

// expand sets two registers to the numbers of the 32 codes at a place.
func (q *codes512) expand(at Mem, scale [2]Op, to [2]reg.VecVirtual) {
	if q.bits == 8 {
		for v := range to {
			half := at
			half.Disp += 16 * v
			VPMOVSXBD(half, to[v])
			VCVTDQ2PS(to[v], to[v])
		}
	} else {
		raw := ZMM()
		VPMOVZXBD(at, raw) // the permutation reads the lower four bits of an index
		VPERMPS(q.table, raw, to[0])
		VPSRLD(Imm(4), raw, raw)
		VPERMPS(q.table, raw, to[1])
	}
	for v := range to {
		VMULPS(scale[v], to[v], to[v])
		q.rounded(to[v])
	}
}

// rounded rounds the elements of x, ties to even.
func (q *codes512) rounded(x reg.VecVirtual) {
	switch q.round {
	case "BF16": // x + 0x7fff + (bit 16 of x), without the lower half
		odd := K()
		VPTESTMD(q.unit, x, odd)
		VPADDD(q.bias, x, x)
		VPADDD(q.one, x, odd, x)
		VPANDD(q.high, x, x)
	case "Tame": // x·2¹⁶ - round(x·(2¹⁶-1)), the difference exact: see form tame
		rest := ZMM()
		VMULPS(q.less, x, rest)
		VFMSUB213PS(rest, q.up, x)
	case "F16":
		half := YMM()
		VCVTPS2PH(Imm(0), x, half)
		VCVTPH2PS(half, x)
	}
}

// unpack512 emits the unpackFunc of every form.
func unpack512() {
	for _, q := range forms512() {
		name := "unpack" + q.name() + "AVX512"
		TEXT(name, NOSPLIT, unpackSignature)
		Doc(name + " is an unpackFunc.")
		dst, src, scale, table, k := argument("dst"), argument("src"), argument("scale"), argument("table"), argument("k")
		q.prepare(table)
		scales, out := [2]Op(inRegisters(vectors512(scale, 2))), [2]reg.VecVirtual{ZMM(), ZMM()}
		row := func(u int) {
			q.expand(Mem{Base: src, Disp: u * q.rowBytes()}, scales, out)
			for v := range out {
				VMOVUPS(out[v], Mem{Base: dst, Disp: 4*nr*u + 64*v})
			}
		}
		loop("by2", k, 2, func() {
			row(0)
			row(1)
			ADDQ(number(2*q.rowBytes()), src)
			ADDQ(number(8*nr), dst)
		})
		loop("by1", k, 1, func() {
			row(0)
			ADDQ(number(q.rowBytes()), src)
			ADDQ(number(4*nr), dst)
		})
		VZEROUPPER()
		RET()
	}
}

// coded512 is a wide tile that expands codes in registers.
type coded512 struct {
	*codes512
	rows, panels int
	a, b         reg.GPVirtual
	stride       reg.GPVirtual
	stride3      reg.GPVirtual
	c, ldc       reg.GPVirtual
	acc          [][]reg.VecVirtual // [row][2*panel+vector]
	scale        []Op               // [2*panel+vector]
	right        [2]reg.VecVirtual
}

// maxCoded is the tallest codedFunc.
const maxCoded = 8

// codedTiles512 emits the codedFuncs of one panel and those with the panels of map512.
// Half precision is rare and has none.
func codedTiles512() {
	for _, q := range forms512() {
		if q.round == "F16" {
			continue
		}
		for rows := 1; rows <= maxCoded; rows++ {
			(&coded512{codes512: q, rows: rows, panels: 1}).emit()
			if rows < len(map512) {
				(&coded512{codes512: q, rows: rows, panels: map512[rows]}).emit()
			}
		}
	}
}

func (t *coded512) emit() {
	name := fmt.Sprintf("tileCoded%sx%dx%dAVX512", t.name(), t.rows, t.panels*nr)
	TEXT(name, NOSPLIT, codedSignature)
	Doc(name + " is a codedFunc of that many rows and columns.")
	k, load := argument("k"), argument("load")
	t.a, t.b, t.stride, t.c, t.ldc = argument("a"), argument("b"), argument("stride"), argument("c"), argument("ldc")
	SHLQ(Imm(2), t.ldc)
	if t.panels > 2 {
		t.stride3 = GP64()
		LEAQ(Mem{Base: t.stride, Index: t.stride, Scale: 2}, t.stride3)
	}
	t.prepare(argument("table"))
	t.begin(load)
	t.right = [2]reg.VecVirtual{ZMM(), ZMM()}
	eachBlock(k, argument("scale"), t.panels, func(n, scale reg.GPVirtual) {
		t.scale = vectors512(scale, 2*t.panels)
		if (t.rows+1)*2*t.panels+t.rows <= 20 {
			t.scale = inRegisters(t.scale)
		}
		loop("by4", n, 4, func() {
			for u := range 4 {
				t.step(u)
			}
			t.advance(4)
		})
		loop("by1", n, 1, func() { t.step(0); t.advance(1) })
	})
	t.each(func(place Mem, acc reg.VecVirtual) { VMOVUPS(acc, place) })
	VZEROUPPER()
	RET()
}

// eachBlock emits body for up to scaleBlock of k columns at a time, with the scales of
// a number of panels that belong to them.
func eachBlock(k, scale reg.GPVirtual, panels int, body func(n, scale reg.GPVirtual)) {
	n, most := GP64(), GP64()
	MOVQ(U64(scaleBlock), most)
	Label("block")
	MOVQ(k, n)
	CMPQ(n, most)
	CMOVQGT(most, n)
	SUBQ(n, k)
	body(n, scale)
	ADDQ(number(4*nr*panels), scale)
	TESTQ(k, k)
	JNZ(LabelRef("block"))
}

// begin sets the accumulators to 0 or to c.
func (t *coded512) begin(load reg.GPVirtual) {
	for range t.rows {
		var row []reg.VecVirtual
		for range 2 * t.panels {
			z := ZMM()
			VPXORD(z, z, z)
			row = append(row, z)
		}
		t.acc = append(t.acc, row)
	}
	TESTQ(load, load)
	JZ(LabelRef("start"))
	t.each(func(place Mem, acc reg.VecVirtual) { VMOVUPS(place, acc) })
	Label("start")
}

// each visits the accumulators with their place in memory.
func (t *coded512) each(visit func(place Mem, acc reg.VecVirtual)) {
	row := GP64()
	MOVQ(t.c, row)
	for i := range t.rows {
		if i > 0 {
			ADDQ(t.ldc, row)
		}
		for v, acc := range t.acc[i] {
			visit(Mem{Base: row, Disp: 64 * v}, acc)
		}
	}
}

// place returns row u of a panel.
func (t *coded512) place(panel, u int) Mem {
	m := Mem{Base: t.b, Disp: u * t.rowBytes()}
	switch panel {
	case 1:
		m.Index, m.Scale = t.stride, 1
	case 2:
		m.Index, m.Scale = t.stride, 2
	case 3:
		m.Index, m.Scale = t.stride3, 1
	}
	return m
}

// step emits the products of column u of a.
func (t *coded512) step(u int) {
	left := make([]reg.VecVirtual, t.rows)
	for i := range left {
		if left[i] = ZMM(); t.panels > 1 {
			t.broadcast(i, u, left[i])
		}
	}
	for p := range t.panels {
		t.expand(t.place(p, u), [2]Op(t.scale[2*p:]), t.right)
		for i := range left {
			if t.panels == 1 { // each is needed once
				t.broadcast(i, u, left[i])
			}
			for v, right := range t.right {
				VFMADD231PS(left[i], right, t.acc[i][2*p+v])
			}
		}
	}
}

// broadcast fills a register with element u of row i of a.
func (t *coded512) broadcast(i, u int, to reg.VecVirtual) {
	VBROADCASTSS(Mem{Base: t.a, Disp: i*leftStride + 4*u}, to)
}

// advance moves on by k columns of a and rows of b, and asks for the codes of the
// rows some steps later.
func (t *coded512) advance(k int) {
	for line := 0; line < k*t.rowBytes()/64; line++ {
		for p := range t.panels {
			ahead := t.place(p, 0)
			ahead.Disp += 64*t.rowBytes() + 64*line
			PREFETCHT0(ahead)
		}
	}
	ADDQ(number(4*k), t.a)
	ADDQ(number(k*t.rowBytes()), t.b)
}
