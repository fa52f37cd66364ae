package lora_test

import (
	"runtime"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// A weight is made without a second copy: what is allocated on the way is what the
// weight keeps and a few rows for each processor.
func TestNewWeightAllocatesLittleMoreThanTheWeight(t *testing.T) {
	e, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const out, in = 1024, 896
	slack := uint64(runtime.GOMAXPROCS(0)*32*in*4 + out*in/8) // a band each, scales before they are quantised
	for _, source := range []lora.DType{lora.DTypeBF16, lora.DTypeF32} {
		tensor := noiseTensor(source, out, in)
		for _, kind := range lora.Kinds() {
			before := allocated()
			w, err := e.NewWeight(tensor, kind)
			got := allocated() - before
			if err != nil {
				t.Fatal(err)
			}
			if most := uint64(w.Bytes()) + slack; got > most {
				t.Errorf("%v from %v: %d bytes allocated for a weight of %d, want at most %d", kind, source, got, w.Bytes(), most)
			}
			w.Release()
		}
	}
}

// allocated returns the bytes that the process has allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
