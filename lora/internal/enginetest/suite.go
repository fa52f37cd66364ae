// Package enginetest holds the tests that every [lora.Engine] has to pass. They
// compare each operation with the float64 engine, within bounds that follow from
// float32 arithmetic, and the float64 engine itself with formulas and central
// differences.
//
//	func TestCPU(t *testing.T) {
//		enginetest.Run(t, func() (lora.Engine, error) { return lora.Open("cpu") })
//	}
//
// Every operand is a view into a larger buffer, with an odd stride and guard words
// around it that no operation may touch; every output holds NaN before the call.
package enginetest

import (
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// eps is twice the unit roundoff of float32: the relative error of one operation
// stays below half of it, which leaves room for terms of second order.
const eps = 1.0 / (1 << 23)

// roundingBF16 is the unit roundoff of bfloat16.
const roundingBF16 = 1.0 / (1 << 8)

// guard is what stands around operands.
const guard = -1.25e30

// Run holds an engine to the float64 engine. open is called several times, some of
// them with another GOMAXPROCS; the engines are closed when the test ends.
func Run(t *testing.T, open func() (lora.Engine, error)) {
	tests := []struct {
		name string
		run  func(*suite)
	}{
		{"memory", testMemory},
		{"weights", testWeights},
		{"moves", testMoves},
		{"arithmetic", testArithmetic},
		{"norm", testRMSNorm},
		{"rotary", testRotary},
		{"swiglu", testSwiGLU},
		{"linear", testLinear},
		{"linear dropout", testDropout},
		{"linear special values", testLinearSpecial},
		{"attention", testAttention},
		{"attention sees no hidden key", testAttentionHidden},
		{"head", testHead},
		{"sample", testSample},
		{"sample errors", testSampleErrors},
		{"sample distribution", testSampleDistribution},
		{"adamw", testAdamW},
		{"rows alone", testRowsAlone},
		{"kinds of weights", testKinds},
		{"panics", testPanics},
		{"tensor", testTensor},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(newSuite(t, open)) })
	}
	t.Run("workers", func(t *testing.T) { testWorkers(t, open) })
	if s := newSuite(t, open); s.got.Name() != s.ref.Name() { // which trades allocations for readability
		t.Run("allocations", func(t *testing.T) { testAllocations(newSuite(t, open)) })
	}
}

// suite is one test: the engine, the reference, and random numbers.
type suite struct {
	*testing.T
	ref, got lora.Engine
	rng      *rand.Rand
}

// rounding returns the relative error at which the engine takes a product of a number with
// a frozen weight, apart from that of float32: on the engines whose names end in bf16, that
// of the number rounded to bfloat16 where the weight is of that kind, and on those of CUDA
// and in tiles that of both factors rounded where its numbers are codes with scales. (Tiles
// round so on the way back only. Forward they round 64 neighbours to multiples of 1/16256 of
// the largest, which is far less as long as none is much larger than the others.)
func (s *suite) rounding(kind lora.Kind) float64 {
	switch {
	case !strings.HasSuffix(s.got.Name(), "bf16"):
		return 0
	case kind == lora.BF16:
		return roundingBF16
	case kind.Quantized() && (s.onCUDA() || s.got.Name() == "cpu amxbf16"):
		return roundingBF16 * (2 + roundingBF16)
	}
	return 0
}

// onCUDA reports whether the engine is one of CUDA. Those choose among kernels by the
// number of rows, and give a row computed alone other bits than in a batch.
func (s *suite) onCUDA() bool { return strings.HasPrefix(s.got.Name(), "cuda ") }

func newSuite(t *testing.T, open func() (lora.Engine, error)) *suite {
	t.Helper()
	ref, err := lora.Open("float64")
	if err != nil {
		t.Fatal(err)
	}
	return &suite{T: t, ref: ref, got: mustOpen(t, open), rng: rand.New(rand.NewPCG(1, 2))}
}

// mustOpen opens an engine that is closed when the test ends.
func mustOpen(t *testing.T, open func() (lora.Engine, error)) lora.Engine {
	t.Helper()
	e, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// withProcs opens an engine under a number of processors.
func withProcs(t *testing.T, procs int, open func() (lora.Engine, error)) lora.Engine {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	return mustOpen(t, open)
}

// operand is one matrix on both engines.
type operand struct {
	data     []float32 // what was written
	ref, got lora.View
	outer    lora.View // got and its guards
}

// values returns n normal numbers.
func (s *suite) values(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(s.rng.NormFloat64())
	}
	return v
}

// random makes a matrix of normal numbers.
func (s *suite) random(rows, cols int) operand {
	return s.operand(rows, cols, s.values(rows*cols))
}

// output makes a matrix of NaN.
func (s *suite) output(rows, cols int) operand {
	v := make([]float32, rows*cols)
	for i := range v {
		v[i] = float32(math.NaN())
	}
	return s.operand(rows, cols, v)
}

// operand makes a matrix with the given contents.
func (s *suite) operand(rows, cols int, data []float32) operand {
	o := operand{data: data, ref: s.ref.NewView(rows, cols)}
	o.outer, o.got = guarded(s.got, rows, cols, data)
	s.ref.Write(o.ref, data)
	return o
}

// guarded makes a matrix with the given contents inside a larger one.
func guarded(e lora.Engine, rows, cols int, data []float32) (outer, inner lora.View) {
	outer = e.NewView(rows+2, cols+5)
	words := make([]float32, outer.Len())
	for i := range words {
		words[i] = guard
	}
	e.Write(outer, words)
	inner = outer.RowRange(1, rows+1).ColRange(3, cols+3)
	e.Write(inner, data)
	return outer, inner
}

// read returns a view's numbers.
func (s *suite) read(e lora.Engine, v lora.View) []float32 {
	s.Helper()
	out := make([]float32, v.Len())
	if err := e.Read(out, v); err != nil {
		s.Fatalf("Read: %v", err)
	}
	return out
}

// exact compares an output that is not rounded.
func (s *suite) exact(what string, o operand) {
	s.Helper()
	s.within(what, o, func(int, float64) float64 { return 0 })
}

// relative compares an output within a number of roundings of each element.
func (s *suite) relative(what string, o operand, roundings float64) {
	s.Helper()
	s.within(what, o, func(_ int, want float64) float64 { return roundings * eps * math.Abs(want) })
}

// bounded compares an output within bounds by element.
func (s *suite) bounded(what string, o operand, bound []float64) {
	s.Helper()
	s.within(what, o, func(i int, want float64) float64 { return bound[i] + eps*math.Abs(want) })
}

// within compares an output, and checks its guards. The bound is that of the error
// of element i; NaN and Inf have to be the same.
func (s *suite) within(what string, o operand, bound func(i int, want float64) float64) {
	s.Helper()
	want, got := s.read(s.ref, o.ref), s.read(s.got, o.got)
	for i := range want {
		w, g := float64(want[i]), float64(got[i])
		if math.IsNaN(w) && math.IsNaN(g) || w == g {
			continue
		}
		if b := bound(i, w) + math.SmallestNonzeroFloat32; !(math.Abs(w-g) <= b) || math.IsInf(w, 0) {
			s.Fatalf("%s: element (%d, %d) of %d × %d is %v, want %v ± %.3g",
				what, i/o.got.Cols, i%o.got.Cols, o.got.Rows, o.got.Cols, g, w, b)
		}
	}
	s.guards(what, o)
}

// guards checks that nothing was written around an operand.
func (s *suite) guards(what string, o operand) {
	s.Helper()
	words := s.read(s.got, o.outer)
	for i, x := range words {
		r, c := i/o.outer.Cols-1, i%o.outer.Cols-3
		inside := r >= 0 && r < o.got.Rows && c >= 0 && c < o.got.Cols
		if !inside && x != guard {
			s.Fatalf("%s: wrote outside its output, at (%d, %d)", what, r, c)
		}
	}
}

// unchanged checks that an input still holds what was written.
func (s *suite) unchanged(what string, inputs ...operand) {
	s.Helper()
	for n, o := range inputs {
		for i, x := range s.read(s.got, o.got) {
			if x != o.data[i] && !(x != x && o.data[i] != o.data[i]) {
				s.Fatalf("%s: changed element %d of input %d", what, i, n)
			}
		}
	}
}

// on runs f once for each engine; pick chooses an operand's view there.
func (s *suite) on(f func(e lora.Engine, pick func(operand) lora.View)) {
	f(s.ref, func(o operand) lora.View { return o.ref })
	f(s.got, func(o operand) lora.View { return o.got })
}

// absolute returns the operand's data without signs.
func absolute(data []float32) []float32 {
	out := make([]float32, len(data))
	for i, x := range data {
		out[i] = float32(math.Abs(float64(x)))
	}
	return out
}

// sizes are row counts around the edges of vectors, tiles and panels.
var sizes = []int{0, 1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33, 47, 63, 64, 65, 70}
