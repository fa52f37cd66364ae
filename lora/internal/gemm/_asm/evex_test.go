package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// standIn is an instruction that the assembler knows.
const standIn = "VFNMSUB231PS"

// A stand-in is encoded as the assembler does it, for every kind of operand.
func TestEncodingIsTheAssemblers(t *testing.T) {
	var operands [][]string
	for _, z := range []string{"Z0", "Z7", "Z8", "Z15", "Z16", "Z23", "Z24", "Z31"} {
		operands = append(operands, []string{z, "Z1", "Z2"}, []string{"Z3", z, "Z2"}, []string{"Z3", "Z1", z}, []string{"(AX)", z, z})
	}
	for _, base := range pointers {
		if base == "SP" {
			continue // the assembler adds to displacements from it
		}
		for _, disp := range []string{"", "4", "64", "-128", "508", "512", "8128", "8192", "6", "-8193"} {
			operands = append(operands, []string{disp + "(" + base + ")", "Z17", "Z9"})
		}
	}
	byName, byBytes := "TEXT ·f(SB), 4, $0\n", "TEXT ·f(SB), 4, $0\n"
	for _, ops := range operands {
		for _, suffix := range []string{"", ".BCST"} {
			if suffix != "" && !strings.Contains(ops[0], "(") {
				continue
			}
			code, err := opcode{standIn, 1, 0xbe}.encode(ops, suffix != "")
			if err != nil {
				t.Fatal(err)
			}
			byName += "\t" + standIn + suffix + " " + strings.Join(ops, ", ") + "\n"
			byBytes += "\t" + directives(code) + "\n"
		}
	}
	want, got := strings.Fields(assembled(t, byName)), strings.Fields(assembled(t, byBytes))
	if len(want) != len(got) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("bytes differ from %d on: %s, want %s", i, got[i:i+16], want[i:i+16])
		}
	}
}

// assembled returns the code that the assembler makes of a text, in hexadecimal.
func assembled(t *testing.T, text string) string {
	dir := t.TempDir()
	source, object := filepath.Join(dir, "f.s"), filepath.Join(dir, "f.o")
	if err := os.WriteFile(source, []byte(text+"\tRET\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "GOARCH=amd64", "GOOS=linux")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	run("go", "tool", "asm", "-p", "f", "-o", object, source)
	var code strings.Builder
	for _, l := range strings.Split(run("go", "tool", "asm", "-S", "-p", "f", "-o", object, source), "\n") {
		if fields := strings.Fields(l); len(fields) > 17 && strings.HasPrefix(l, "\t0x") && len(fields[1]) == 2 {
			for _, b := range fields[1:17] {
				if len(b) == 2 {
					fmt.Fprint(&code, b, " ")
				}
			}
		}
	}
	if code.Len() < 100 {
		t.Fatal("the assembler shows no code")
	}
	return code.String()
}
