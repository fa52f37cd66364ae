package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// standIns are written in place of instructions that neither avo nor the assembler knows.
// They have the same operands, and no kernel means them.
var standIns = map[string]opcode{
	"VFNMSUB231PS": {"VDPBF16PS", 2, 0x52},
	"VFNMADD231PS": {"VCVTNE2PS2BF16", 3, 0x72},
}

// opcode is an instruction on three registers of 512 bits, the map 0F38 and no
// extension of the width: its name, its mandatory prefix as EVEX has it (1 for 66, 2 for
// F3, 3 for F2) and its byte.
type opcode struct {
	name         string
	prefix, code byte
}

var line = regexp.MustCompile(`^\t(VFNMSUB231PS|VFNMADD231PS)(\.BCST)?\s+(.*)$`)

// encodeFile replaces stand-ins in a file of assembly by the bytes of what they stand for.
func encodeFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		meant := standIns[m[1]]
		code, err := meant.encode(strings.Split(m[3], ", "), m[2] != "")
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		lines[i] = fmt.Sprintf("\t%s // %s%s %s", directives(code), meant.name, m[2], m[3])
	}
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644)
}

// directives lays bytes down.
func directives(code []byte) string {
	var b bytes.Buffer
	for i, c := range code {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "BYTE $0x%02x", c)
	}
	return b.String()
}

// encode returns the bytes of the instruction: its operands are the second factor (a
// register or memory), the first factor and the result, as the assembler writes them
// (Intel, Software Developer's Manual, volume 2, section 2.7).
func (o opcode) encode(operands []string, broadcast bool) ([]byte, error) {
	if len(operands) != 3 {
		return nil, fmt.Errorf("%d operands", len(operands))
	}
	first, err := vector(operands[1])
	if err != nil {
		return nil, err
	}
	result, err := vector(operands[2])
	if err != nil {
		return nil, err
	}
	e := evex{opcode: o, result: result, first: first, broadcast: broadcast}
	if strings.HasPrefix(operands[0], "Z") && !broadcast {
		second, err := vector(operands[0])
		return e.bytes(second>>4, second>>3, []byte{0xc0 | byte(result&7<<3) | byte(second&7)}), err
	}
	scale := 64
	if broadcast {
		scale = 4
	}
	base, rest, err := place(operands[0], result, scale)
	return e.bytes(0, base>>3, rest), err
}

// evex is an instruction but for its last operand.
type evex struct {
	opcode
	result, first int
	broadcast     bool
}

// bytes puts the prefix before the operand; x and b are its high bits.
func (e evex) bytes(x, b int, operand []byte) []byte {
	bit := func(v, at int) byte { return byte(^v&1) << at }
	out := []byte{
		0x62,
		bit(e.result>>3, 7) | bit(x, 6) | bit(b, 5) | bit(e.result>>4, 4) | 2,
		byte(^e.first&15)<<3 | 4 | e.prefix,
		2<<5 | bit(e.first>>4, 3),
		e.code,
	}
	if e.broadcast {
		out[3] |= 1 << 4
	}
	return append(out, operand...)
}

// vector returns the number of a register.
func vector(name string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "Z"))
	if err != nil || n < 0 || n > 31 {
		return 0, fmt.Errorf("operand %q is no register of 512 bits", name)
	}
	return n, nil
}

// pointers are the registers for addresses in the order of their numbers.
var pointers = []string{"AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}

var address = regexp.MustCompile(`^(-?\d*)\((\w+)\)$`)

// place returns the number of the base of an address "disp(BASE)" and the bytes that
// stand for it: ModRM, SIB where the base needs it, and the displacement, in units of
// scale where that fits a byte.
func place(text string, result, scale int) (base int, code []byte, err error) {
	m := address.FindStringSubmatch(text)
	if m == nil {
		return 0, nil, fmt.Errorf("operand %q is no base with a displacement", text)
	}
	for base < len(pointers) && pointers[base] != m[2] {
		base++
	}
	if base == len(pointers) {
		return 0, nil, fmt.Errorf("operand %q: unknown base", text)
	}
	disp := 0
	if m[1] != "" {
		if disp, err = strconv.Atoi(m[1]); err != nil {
			return 0, nil, err
		}
	}
	modrm := byte(result&7<<3) | byte(base&7)
	var sib []byte
	if base&7 == 4 {
		sib = []byte{0x24} // no index
	}
	switch short := disp / scale; {
	case disp == 0 && base&7 != 5:
		return base, append([]byte{modrm}, sib...), nil
	case short*scale == disp && short == int(int8(short)):
		return base, append(append([]byte{modrm | 0x40}, sib...), byte(short)), nil
	}
	code = append([]byte{modrm | 0x80}, sib...)
	return base, append(code, byte(disp), byte(disp>>8), byte(disp>>16), byte(disp>>24)), nil
}
