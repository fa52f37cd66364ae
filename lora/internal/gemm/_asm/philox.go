package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const philoxSignature = "func(words *uint32, blocks int, counter uint64, index, step, k0, k1 uint32)"

// philox emits Philox4x32-10 for consecutive counters. A 64-bit lane holds one
// 32-bit word of one counter; what is above it is not looked at by the
// multiplication, so that nothing has to be masked. The counters of a register are
// ordered such that unpacking the four words puts the blocks in order.
func (l *lanes) philox() {
	TEXT("philox"+l.suffix, NOSPLIT, philoxSignature)
	Pragma("noescape")
	Doc("philox" + l.suffix + " writes blocks of four words, a multiple of half a register's floats.")
	words, blocks := argument("words"), argument("blocks")
	table := l.philoxTable()
	row := func(i int) Mem { return table.Offset(4 * l.width * i) }
	m0, m1, w0, w1 := row(0), row(1), row(2), row(3)
	counter := l.broadcast64("counter")
	VPADDQ(row(5), counter, counter)
	index, position := l.broadcast64("index"), l.broadcast64("step")
	first0, first1 := l.broadcast64("k0"), l.broadcast64("k1")
	loop("blocks", blocks, l.width/2, func() {
		x := [4]reg.VecVirtual{l.copyOf(counter), l.register(), l.copyOf(index), l.copyOf(position)}
		VPSRLQ(Imm(32), counter, x[1])
		k0, k1 := l.copyOf(first0), l.copyOf(first1)
		for range 10 {
			l.philoxRound(&x, k0, k1, m0, m1)
			VPADDD(w0, k0, k0)
			VPADDD(w1, k1, k1)
		}
		l.philoxStore(x, words)
		VPADDQ(row(4), counter, counter)
	})
	VZEROUPPER()
	RET()
}

// philoxRound sets x = (hi(m1·x2) ^ x1 ^ k0, lo(m1·x2), hi(m0·x0) ^ x3 ^ k1, lo(m0·x0)).
func (l *lanes) philoxRound(x *[4]reg.VecVirtual, k0, k1 reg.VecVirtual, m0, m1 Mem) {
	p0, p1, h0, h1 := l.register(), l.register(), l.register(), l.register()
	VPMULUDQ(m0, x[0], p0)
	VPMULUDQ(m1, x[2], p1)
	VPSRLQ(Imm(32), p0, h0)
	VPSRLQ(Imm(32), p1, h1)
	l.xor3(x[1], k0, h1)
	l.xor3(x[3], k1, h0)
	*x = [4]reg.VecVirtual{h1, p1, h0, p0}
}

// xor3 sets to ^= a ^ b.
func (l *lanes) xor3(a, b, to reg.VecVirtual) {
	if l.width == 16 {
		VPTERNLOGQ(Imm(0x96), a, b, to)
		return
	}
	VPXOR(a, to, to)
	VPXOR(b, to, to)
}

// philoxStore writes the blocks of one register of counters and moves on.
func (l *lanes) philoxStore(x [4]reg.VecVirtual, words reg.GPVirtual) {
	for i := range 2 {
		low, high := x[2*i], x[2*i+1]
		VPSLLQ(Imm(32), low, low)
		VPSRLQ(Imm(32), low, low)
		VPSLLQ(Imm(32), high, high)
		if l.width == 16 {
			VPORQ(high, low, low)
		} else {
			VPOR(high, low, low)
		}
	}
	first, second := l.register(), l.register()
	VPUNPCKLQDQ(x[2], x[0], first)
	VPUNPCKHQDQ(x[2], x[0], second)
	VMOVUPS(first, Mem{Base: words})
	VMOVUPS(second, Mem{Base: words, Disp: 4 * l.width})
	ADDQ(number(8*l.width), words)
}

// philoxTable holds vectors of 64-bit lanes: both multipliers, both additions to the
// key, the counters that a register takes, and their order in it.
func (l *lanes) philoxTable() Mem {
	table, lanes := GLOBL("philoxTable"+l.suffix, RODATA|NOPTR), l.width/2
	for i, n := range []uint64{0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, uint64(lanes)} {
		for j := range lanes {
			DATA(8*(i*lanes+j), U64(n))
		}
	}
	for j := range lanes {
		DATA(8*(5*lanes+j), U64(j/2+j%2*(lanes/2)))
	}
	return table
}

// copyOf returns v in a new register.
func (l *lanes) copyOf(v reg.VecVirtual) reg.VecVirtual {
	to := l.register()
	VMOVAPS(v, to)
	return to
}

// broadcast64 fills 64-bit lanes with an integer parameter of 32 or 64 bits.
func (l *lanes) broadcast64(name string) reg.VecVirtual {
	word := GP64()
	if name == "counter" {
		Load(Param(name), word)
	} else {
		Load(Param(name), word.As32())
	}
	x, v := XMM(), l.register()
	VMOVQ(word, x)
	VPBROADCASTQ(x, v)
	return v
}
