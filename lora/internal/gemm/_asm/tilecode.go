package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/reg"
)

// Instructions on tiles (AMX), which neither avo nor the assembler knows: their bytes
// are laid down. Addresses are sums of registers that the caller has chosen, since avo
// sees nothing of them (Intel, Software Developer's Manual, volume 2, section 2.3).

// vex is what tells the instructions apart: their mandatory prefix as VEX has it (0 for
// none, 1 for 66, 2 for F3, 3 for F2) and their byte. All are in map 0F38, 128 bits, W 0.
type vex struct{ prefix, code byte }

var (
	ldtilecfg = vex{0, 0x49}
	tilezero  = vex{3, 0x49}
	tileload  = vex{3, 0x4b}
	tilepass  = vex{1, 0x4b}
	tilestore = vex{2, 0x4b}
	tdpbf16ps = vex{2, 0x5c}
	tdpbssd   = vex{3, 0x5e}
)

// bytes puts the prefix before the operand; x and b are the high bits of an address's
// index and base, second is a register.
func (v vex) bytes(x, b, second byte, operand ...byte) []byte {
	return append([]byte{0xc4, 0x80 | (^x&1)<<6 | (^b&1)<<5 | 2, ^second&15<<3&0x78 | v.prefix, v.code}, operand...)
}

// at encodes an instruction on a register and the rows at base+disp, index apart.
func (v vex) at(register byte, base, index reg.GPPhysical, disp int) []byte {
	b, x := numberOf(base), numberOf(index)
	return v.bytes(x>>3, b>>3, 0, 0x80|register<<3|4, x&7<<3|b&7, byte(disp), byte(disp>>8), byte(disp>>16), byte(disp>>24))
}

// numberOf returns the number of a register for addresses.
func numberOf(r reg.GPPhysical) byte { return byte(r.PhysicalIndex()) }

// lay emits the bytes of an instruction, and its text as a comment.
func lay(code []byte, text string, args ...any) {
	Instruction(&ir.Instruction{Opcode: directives(code) + " // " + fmt.Sprintf(text, args...)})
}

// configureTiles takes the shapes of all tiles from the 64 bytes at a register.
func configureTiles(at reg.GPPhysical) {
	b := numberOf(at)
	lay(ldtilecfg.bytes(0, b>>3, 0, 0x80|b&7, 0, 0, 0, 0), "LDTILECFG (%s)", at.Asm())
}

// releaseTiles gives the tiles back.
func releaseTiles() { lay(ldtilecfg.bytes(0, 0, 0, 0xc0), "TILERELEASE") }

// prefetchWrite emits the request for a line that is going to be written, which the
// assembler does not know either. The register is one of the first eight, no stack pointer.
func prefetchWrite(base reg.GPPhysical, disp byte) {
	lay([]byte{0x0f, 0x0d, 0x48 | numberOf(base), disp}, "PREFETCHW %d(%s)", disp, base.Asm())
}

// zeroTile sets a tile to 0.
func zeroTile(t byte) { lay(tilezero.bytes(0, 0, 0, 0xc0|t<<3), "TILEZERO T%d", t) }

// loadTile reads a tile's rows.
func loadTile(base, index reg.GPPhysical, disp int, t byte) {
	lay(tileload.at(t, base, index, disp), "TILELOADD %d(%s)(%s*1), T%d", disp, base.Asm(), index.Asm(), t)
}

// passTile is loadTile for rows that are not read again soon, which leave the nearest
// cache to others.
func passTile(base, index reg.GPPhysical, disp int, t byte) {
	lay(tilepass.at(t, base, index, disp), "TILELOADDT1 %d(%s)(%s*1), T%d", disp, base.Asm(), index.Asm(), t)
}

// storeTile writes a tile's rows.
func storeTile(t byte, base, index reg.GPPhysical, disp int) {
	lay(tilestore.at(t, base, index, disp), "TILESTORED T%d, %d(%s)(%s*1)", t, disp, base.Asm(), index.Asm())
}

// multiplyTiles emits sum += left · right, of pairs of bfloat16.
func multiplyTiles(right, left, sum byte) {
	lay(tdpbf16ps.bytes(0, 0, right, 0xc0|sum<<3|left), "TDPBF16PS T%d, T%d, T%d", right, left, sum)
}

// multiplyIntegers emits sum += left · right, of signed bytes in groups of four.
func multiplyIntegers(right, left, sum byte) {
	lay(tdpbssd.bytes(0, 0, right, 0xc0|sum<<3|left), "TDPBSSD T%d, T%d, T%d", right, left, sum)
}
