// Command asm writes the amd64 kernels of packages gemm and vec.
//
//	go run . -set gemm512 -out ../kernels_avx512_amd64.s -stubs ../kernels_avx512_amd64.go -pkg gemm
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	// These mirror package gemm.
	nr         = 32             // columns of a panel
	leftStride = 4 * (384 + 16) // bytes between packed rows
	scaleBlock = 64             // columns that share their scales

	tileSignature = "func(k int, a *float32, b *byte, from *float32, ldfrom int, c *float32, ldc int, cols int, ahead *byte)"
	wideSignature = "func(k int, a *float32, b *byte, stride int, c *float32, ldc int, load int)"
)

func main() {
	set := flag.String("set", "", "kernels: gemm512, gemmdot, gemmtiles, gemm2, strided512, strided2, vec512 or vec2")
	encode := flag.String("encode", "", "file of assembly in which to encode stand-ins; nothing else is done")
	flag.Parse()
	if *encode != "" {
		if err := encodeFile(*encode); err != nil {
			log.Fatalf("asm: %v", err)
		}
		return
	}
	ConstraintExpr("amd64,!purego")
	switch *set {
	case "gemm512":
		avx512()
	case "gemmdot":
		dot512()
	case "gemmtiles":
		tilesAMX()
	case "gemm2":
		avx2()
	case "strided512":
		strided512()
	case "strided2":
		strided2()
	case "vec512":
		vectors(zmm())
	case "vec2":
		vectors(ymm("maskTableAVX2"))
	default:
		log.Fatalf("asm: unknown set of kernels %q", *set)
	}
	Generate()
}

// number is an immediate of the width that arithmetic instructions take.
func number(n int) Op {
	if n < 128 {
		return U8(n)
	}
	return U32(n)
}

// argument loads a parameter into a register.
func argument(name string) reg.GPVirtual {
	return Load(Param(name), GP64()).(reg.GPVirtual)
}

// loop emits body while counter >= step, which body consumes; prefix makes the
// labels unique within the function.
func loop(prefix string, counter reg.GPVirtual, step int, body func()) {
	CMPQ(counter, Imm(uint64(step)))
	JLT(LabelRef(prefix + "_done"))
	Label(prefix)
	body()
	SUBQ(Imm(uint64(step)), counter)
	CMPQ(counter, Imm(uint64(step)))
	JGE(LabelRef(prefix))
	Label(prefix + "_done")
}

// pauseFunc emits the hint for loops that spin.
func pauseFunc() {
	TEXT("pause", NOSPLIT, "func()")
	Doc("pause tells the processor that the caller spins.")
	PAUSE()
	RET()
}
