package lora_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/lora"
)

// nf4Fixture is a set of matrices that bitsandbytes quantised.
type nf4Fixture struct {
	*testing.T
	set *lora.Safetensors
}

// onNF4Fixtures runs f for each matrix, with its scales in float32 and in 8 bits.
func onNF4Fixtures(t *testing.T, f func(x nf4Fixture, shape []int, prefix string, double bool)) {
	dir := fixtures.PathOr(t, "nf4")
	text, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Index int
		Shape []int
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	set, err := lora.OpenSafetensors(filepath.Join(dir, "tensors.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for _, c := range cases {
		for name, double := range map[string]bool{"single": false, "double": true} {
			prefix := fmt.Sprintf("%d.%s.", c.Index, name)
			t.Run(prefix, func(t *testing.T) { f(nf4Fixture{t, set}, c.Shape, prefix, double) })
		}
	}
}

func (x nf4Fixture) tensor(name string) lora.Tensor {
	x.Helper()
	t, ok := x.set.Tensor(name)
	if !ok {
		x.Fatalf("no tensor %s", name)
	}
	return t
}

func (x nf4Fixture) floats(name string) []float32 {
	x.Helper()
	v, err := x.tensor(name).Floats()
	if err != nil {
		x.Fatal(err)
	}
	return v
}

// weight is the matrix before it was quantised.
func (x nf4Fixture) weight(prefix string) lora.Tensor {
	return x.tensor(prefix[:strings.Index(prefix, ".")] + ".weight")
}

// stored is the matrix as bitsandbytes quantised it.
func (x nf4Fixture) stored(shape []int, prefix string, double bool) lora.Tensor {
	q, err := lora.QuantizeNF4(x.weight(prefix), false)
	if err != nil {
		x.Fatal(err)
	}
	s := &lora.NF4State{Map: q.NF4.Map, Round: lora.DTypeF32}
	if double {
		s.AbsmaxCodes, s.NestedAbsmax = x.tensor(prefix+"absmax").Data, x.floats(prefix+"nested_absmax")
		copy(s.NestedMap[:], x.floats(prefix+"nested_code"))
		s.Offset = x.floats(prefix + "offset")[0]
	} else {
		s.Absmax = x.floats(prefix + "absmax")
	}
	return lora.Tensor{Name: prefix, DType: lora.DTypeU8, Shape: shape, Data: x.tensor(prefix + "packed").Data, NF4: s}
}

// Codes of 4 bits and scales in float32 are exactly those of bitsandbytes. A scale in
// 8 bits may be one code off where it lies within 2e-5 of the middle of two.
func TestQuantizeNF4EqualsTheReference(t *testing.T) {
	onNF4Fixtures(t, func(x nf4Fixture, shape []int, prefix string, double bool) {
		q, err := lora.QuantizeNF4(x.weight(prefix), double)
		if err != nil {
			x.Fatal(err)
		}
		if !slices.Equal(q.Data, x.tensor(prefix+"packed").Data) {
			x.Error("codes differ")
		}
		if !slices.Equal(q.Shape, shape) || q.NF4.Double() != double {
			x.Errorf("shape %v, double %v", q.Shape, q.NF4.Double())
		}
		if !double {
			if !slices.Equal(q.NF4.Absmax, x.floats(prefix+"absmax")) {
				x.Error("scales differ")
			}
			return
		}
		single, err := lora.QuantizeNF4(x.weight(prefix), false)
		if err != nil {
			x.Fatal(err)
		}
		x.compareNested(q.NF4, single.NF4.Absmax, prefix)
	})
}

// compareNested compares scales in 8 bits.
func (x nf4Fixture) compareNested(s *lora.NF4State, scales []float32, prefix string) {
	const unit = 1.0 / (1 << 23)
	if want := x.floats(prefix + "offset")[0]; math.Abs(float64(s.Offset-want)) > unit*float64(want) {
		x.Errorf("offset %v, want %v", s.Offset, want)
	}
	for i, want := range x.floats(prefix + "nested_code") {
		if math.Abs(float64(s.NestedMap[i]-want)) > unit*math.Abs(float64(want)) {
			x.Errorf("number %d of the map is %v, want %v", i, s.NestedMap[i], want)
		}
	}
	for i, want := range x.floats(prefix + "nested_absmax") {
		if math.Abs(float64(s.NestedAbsmax[i]-want)) > 2*unit*float64(want) {
			x.Errorf("scale %d of the scales is %v, want %v", i, s.NestedAbsmax[i], want)
		}
	}
	for b, want := range x.tensor(prefix + "absmax").Data {
		got := s.AbsmaxCodes[b]
		if got == want {
			continue
		}
		place := float64(scales[b]-s.Offset) / float64(s.NestedAbsmax[b/256])
		middle := (float64(s.NestedMap[got]) + float64(s.NestedMap[want])) / 2
		if got-want != 1 && want-got != 1 || math.Abs(place-middle) > 2e-5 {
			x.Errorf("code of scale %d is %d, want %d", b, got, want)
		}
	}
}

// What the codes of bitsandbytes stand for is bit by bit what it computes, whole and
// in parts, on every engine.
func TestNF4NumbersEqualTheReference(t *testing.T) {
	onNF4Fixtures(t, func(x nf4Fixture, shape []int, prefix string, double bool) {
		stored, want := x.stored(shape, prefix, double), x.floats(prefix+"dequantised")
		got, err := stored.Floats()
		if err != nil {
			x.Fatal(err)
		}
		sameBits(x.T, "Floats", got, want)
		part := make([]float32, 70)
		if err := stored.ReadFloats(part, 61); err != nil {
			x.Fatal(err)
		}
		sameBits(x.T, "ReadFloats", part, want[61:131])
		for _, engine := range []string{"float64", "cpu", "cpu:generic"} {
			e := openTest(x.T, engine)
			w := newWeight(x.T, e, stored, lora.NF4)
			if kind := map[bool]lora.Kind{false: lora.NF4Single, true: lora.NF4}[double]; w.Kind() != kind {
				x.Errorf("%s: kind %v, want %v", engine, w.Kind(), kind)
			}
			sameBits(x.T, engine, weightNumbers(x.T, e, w), want)
		}
	})
}

func openTest(t *testing.T, name string) lora.Engine {
	t.Helper()
	e, err := lora.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// weightNumbers gathers all rows of a weight.
func weightNumbers(t *testing.T, e lora.Engine, w lora.Weight) []float32 {
	t.Helper()
	ids := make([]int32, w.Out())
	for i := range ids {
		ids[i] = int32(i)
	}
	v := e.NewView(w.Out(), w.In())
	e.Gather(v, w, ids)
	out := make([]float32, v.Len())
	if err := e.Read(out, v); err != nil {
		t.Fatal(err)
	}
	return out
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if math.Float32bits(got[i]) != math.Float32bits(w) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// A weight of any kind multiplies, forward and backward, as a float32 weight of the
// same numbers, bit by bit, on the variants that round nothing. (What the others round is
// held to bounds by the conformance suite, and to bits by package gemm.)
func TestQuantizedWeightsComputeAsTheirNumbers(t *testing.T) {
	for _, engine := range lora.Available() {
		if !strings.HasPrefix(engine, "cpu:") || strings.HasSuffix(engine, "bf16") {
			continue
		}
		e := openTest(t, engine)
		for _, shape := range [][2]int{{33, 65}, {64, 192}, {96, 160}} {
			for _, kind := range lora.Kinds() {
				for _, dtype := range []lora.DType{lora.DTypeF32, lora.DTypeBF16} {
					source := noiseTensor(dtype, shape[0], shape[1])
					w := newWeight(t, e, source, kind)
					plain := newWeight(t, e, lora.NewF32("plain", source.Shape, weightNumbers(t, e, w)), lora.F32)
					got, want := throughWeight(t, e, w), throughWeight(t, e, plain)
					sameBits(t, fmt.Sprintf("%s: %v of %v %v", engine, kind, dtype, shape), got, want)
				}
			}
		}
	}
}

func newWeight(t *testing.T, e lora.Engine, source lora.Tensor, kind lora.Kind) lora.Weight {
	t.Helper()
	w, err := e.NewWeight(source, kind)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func noiseTensor(dtype lora.DType, rows, cols int) lora.Tensor {
	v := make([]float32, rows*cols)
	for i := range v {
		v[i] = float32(lora.Key{Seed: 3}.Normal(uint64(i)))
	}
	if dtype == lora.DTypeBF16 {
		return lora.NewBF16("w", []int{rows, cols}, v)
	}
	return lora.NewF32("w", []int{rows, cols}, v)
}

// throughWeight returns the products with w of 1 and of 20 rows, and their gradients.
func throughWeight(t *testing.T, e lora.Engine, w lora.Weight) []float32 {
	t.Helper()
	var all []float32
	l := &lora.Linear{W: w}
	for _, rows := range []int{1, 20} {
		x, y, dx := randomView(e, rows, w.In()), e.NewView(rows, w.Out()), e.NewView(rows, w.In())
		e.Linear(y, x, l, lora.View{})
		e.LinearBack(dx, y, x, l, lora.View{}, false)
		for _, v := range []lora.View{y, dx} {
			out := make([]float32, v.Len())
			if err := e.Read(out, v); err != nil {
				t.Fatal(err)
			}
			all = append(all, out...)
		}
	}
	return all
}

// Of each block of 64 the error is at most half the widest gap of the codes times
// the scale: 0.152 for NF4 and 1/254 for 8 bits.
func TestQuantizationError(t *testing.T) {
	source := noiseTensor(lora.DTypeF32, 16, 128)
	values, err := source.Floats()
	if err != nil {
		t.Fatal(err)
	}
	for kind, bound := range map[lora.Kind]float64{lora.NF4Single: 0.1520, lora.Int8: 1.0001 / 254} {
		e := openTest(t, "float64")
		w := newWeight(t, e, source, kind)
		got := weightNumbers(t, e, w)
		for lo := 0; lo < len(got); lo += 64 {
			top := 0.0
			for _, x := range values[lo : lo+64] {
				top = max(top, math.Abs(float64(x)))
			}
			for i := lo; i < lo+64; i++ {
				if d := math.Abs(float64(got[i] - values[i])); d > bound*top {
					t.Fatalf("%v: element %d is %v, was %v", kind, i, got[i], values[i])
				}
			}
		}
	}
}

// The memory of a weight on the CPU: codes, scales, and a map of 1 KiB where scales
// are in 8 bits.
func TestBytesOfQuantizedWeights(t *testing.T) {
	const out, in = 64, 1024
	e := openTest(t, "cpu")
	for kind, want := range map[lora.Kind]int64{
		lora.NF4:       out*in/2 + out*in/64 + out*in/64/256*4 + 1024,
		lora.NF4Single: out*in/2 + out*in/64*4,
		lora.Int8:      out*in + out*in/64*4,
	} {
		before := e.Stats().Weights
		w := newWeight(t, e, noiseTensor(lora.DTypeF32, out, in), kind)
		if w.Bytes() != want || e.Stats().Weights-before != want {
			t.Errorf("%v takes %d bytes, the engine counts %d, want %d", kind, w.Bytes(), e.Stats().Weights-before, want)
		}
		w.Release()
		if e.Stats().Weights != before {
			t.Errorf("%v: Release leaves %d bytes", kind, e.Stats().Weights-before)
		}
	}
}

func TestQuantizeRefusesWhatIsNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		source := lora.NewF32("proj", []int{1, 3}, []float32{1, 2, float32(bad)})
		for _, kind := range []lora.Kind{lora.NF4, lora.NF4Single, lora.Int8} {
			for _, engine := range []string{"float64", "cpu"} {
				_, err := openTest(t, engine).NewWeight(source, kind)
				if err == nil || !strings.Contains(err.Error(), `"proj": element 2 is`) {
					t.Errorf("%s, %v of %v: %v", engine, kind, bad, err)
				}
			}
		}
	}
}

func TestQuantizeZeros(t *testing.T) {
	source := lora.NewF32("zeros", []int{2, 40}, make([]float32, 80))
	for _, kind := range []lora.Kind{lora.NF4, lora.NF4Single, lora.Int8} {
		e := openTest(t, "cpu")
		w := newWeight(t, e, source, kind)
		for i, x := range weightNumbers(t, e, w) {
			if x != 0 {
				t.Errorf("%v: element %d is %v", kind, i, x)
			}
		}
	}
}
