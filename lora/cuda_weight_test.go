//go:build cuda && cgo

package lora_test

import (
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// What the codes of bitsandbytes stand for is bit by bit what it computes, on a GPU too.
func TestNF4NumbersOnCUDA(t *testing.T) {
	requireGPU(t)
	onNF4Fixtures(t, func(x nf4Fixture, shape []int, prefix string, double bool) {
		stored, want := x.stored(shape, prefix, double), x.floats(prefix+"dequantised")
		for _, engine := range []string{"cuda:0", "cuda:0:f32"} {
			e := openTest(x.T, engine)
			sameBits(x.T, engine, weightNumbers(x.T, e, newWeight(x.T, e, stored, lora.NF4)), want)
		}
	})
}

// A weight that is copied in several pieces holds the numbers that the CPU's holds, of every
// kind, at rows of a length that fills words and of one that does not.
func TestCUDAWeightsInPieces(t *testing.T) {
	requireGPU(t)
	for _, shape := range [][2]int{{5000, 1024}, {9000, 515}} {
		tensor := noiseTensor(lora.DTypeBF16, shape[0], shape[1])
		for _, kind := range lora.Kinds() {
			ids := []int32{0, 31, 32, 1023, 1024, 2047, 2048, 4095, 4096, 4999}
			var rows [2][]float32
			for i, engine := range []string{"cuda:0", "cpu"} {
				e := openTest(t, engine)
				v := e.NewView(len(ids), shape[1])
				e.Gather(v, newWeight(t, e, tensor, kind), ids)
				rows[i] = make([]float32, v.Len())
				if err := e.Read(rows[i], v); err != nil {
					t.Fatal(err)
				}
			}
			sameBits(t, kind.String(), rows[0], rows[1])
		}
	}
}

// A weight that does not fit is an error that names the tensor and the free memory, and
// leaves an engine that works.
func TestCUDAWeightTooLarge(t *testing.T) {
	requireGPU(t)
	e := openTest(t, "cuda:0")
	huge := lora.Tensor{Name: "huge", DType: lora.DTypeF32, Shape: []int{1 << 24, 1 << 20}}
	_, err := e.NewWeight(huge, lora.BF16)
	requireText(t, err, `tensor "huge"`, "out of memory", "free on")
	if got := e.Stats().Weights; got != 0 {
		t.Errorf("%d bytes of weights are left", got)
	}
	w := newWeight(t, e, noiseTensor(lora.DTypeF32, 3, 4), lora.F32)
	weightNumbers(t, e, w)
}

// requireText fails unless err contains every text.
func requireText(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not contain %q", err, text)
		}
	}
}
