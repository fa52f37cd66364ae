package lora

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// engineNames lists what Open accepts, for error messages.
const engineNames = "cpu, cpu:amxbf16, cpu:avx512, cpu:avx512bf16, cpu:avx2, cpu:generic, float64, cuda:0, cuda:0:f32"

// openers makes engines by family, the part of the name before the colon; the
// argument is the part after it. A file with a build tag replaces an entry from
// its init function.
var openers = map[string]func(variant string) (Engine, error){
	"cpu":     openCPU,
	"float64": openFloat64,
	"cuda":    openWithoutCUDA,
}

// Open makes an engine:
//
//	cpu             float32, the fastest variant that this machine runs
//	cpu:avx512      that variant, or an error that names what the machine runs
//	cpu:avx512bf16  avx512, but what meets a BF16 weight is rounded to bfloat16 first
//	cpu:amxbf16     likewise, in tiles (AMX), and what meets a quantised weight is rounded
//	                to 15 bits, or a gradient to bfloat16
//	cpu:avx2
//	cpu:generic     plain Go, on every machine
//	float64         plain loops in float64, the reference; slow
//	cuda:0          an NVIDIA GPU by number, at work: weights but those of kind F32, and
//	                attention, are multiplied in bfloat16; needs the build tag cuda
//	cuda:0:f32      the same GPU, float32 throughout
//
// The products of avx512bf16 and amxbf16 sum in float32 all the same; weights of other
// kinds are multiplied as by avx512, and so is the rest of the engine. Where a processor
// has tiles and Linux grants them, amxbf16 is the fastest variant and chosen; otherwise it
// is avx512bf16 on processors of AMD that have its instruction.
//
// Any other name is an error that lists these. Engines share nothing: a program may
// open several, one per goroutine for example.
func Open(name string) (Engine, error) {
	family, variant, colon := strings.Cut(name, ":")
	open, known := openers[family]
	if !known || colon && variant == "" {
		return nil, fmt.Errorf("lora: unknown engine %q, allowed are %s", name, engineNames)
	}
	engine, err := open(variant)
	if err != nil {
		return nil, fmt.Errorf("lora: cannot open engine %q: %w", name, err)
	}
	return engine, nil
}

// devices lists the engines that open on devices beside the processor. A file with a
// build tag replaces it from its init function.
var devices = func() []string { return nil }

// Available returns the names of the engines that Open makes here, each variant by its
// own name: those of the CPU, the fastest first, the reference, and those on GPUs, where
// the program was built for them and some open.
func Available() []string {
	var names []string
	for _, variant := range gemm.Variants() {
		names = append(names, "cpu:"+variant)
	}
	return append(append(names, "float64"), devices()...)
}

func openFloat64(variant string) (Engine, error) {
	if variant != "" {
		return nil, errors.New("the float64 engine has no variants, allowed are " + engineNames)
	}
	return newRefEngine(), nil
}

func openWithoutCUDA(variant string) (Engine, error) {
	if _, _, err := cudaVariant(variant); err != nil {
		return nil, err
	}
	return nil, errors.New("built without CUDA: build with CGO_ENABLED=1 and -tags cuda, and name the folder of cuda.h in CGO_CFLAGS, such as CGO_CFLAGS=-I/usr/local/cuda/include")
}

// cudaVariant takes the variant of an engine of the family "cuda" apart: the GPU's number,
// 0 where there is none, and after a colon the precision, f32 or else bfloat16.
func cudaVariant(variant string) (ordinal int, f32 bool, err error) {
	number, precision, _ := strings.Cut(variant, ":")
	if number != "" {
		ordinal, err = strconv.Atoi(number)
	}
	if err != nil || ordinal < 0 || !slices.Contains([]string{"", "bf16", "f32"}, precision) {
		return 0, false, fmt.Errorf("unknown variant %q, allowed are a GPU's number and :bf16 or :f32 after it, such as cuda:0 or cuda:0:f32", variant)
	}
	return ordinal, precision == "f32", nil
}
