//go:build cuda && cgo

package lora

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// openCUDATest opens an engine on the first GPU, and skips the test loudly where there is
// none.
func openCUDATest(t *testing.T, name string) *cudaEngine {
	t.Helper()
	eng, err := Open(name)
	switch {
	case err == nil:
		t.Cleanup(func() { _ = eng.Close() })
		return eng.(*cudaEngine)
	case strings.Contains(err.Error(), "no NVIDIA driver"), strings.Contains(err.Error(), "finds no NVIDIA GPU"):
		t.Skipf("SKIPPED, NOT TESTED ON A GPU: %v", err)
	default:
		t.Fatal(err)
	}
	return nil
}

// What is counted without a device of weights and views is what the engine holds.
func TestCUDAOpenDryCountsWhatTheEngineHolds(t *testing.T) {
	for _, name := range []string{"cuda:0", "cuda:0:f32"} {
		e := openCUDATest(t, name)
		d, err := OpenDry(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range Kinds() {
			for _, s := range [][2]int{{1, 1}, {3, 5}, {64, 64}, {33, 65}, {128, 320}, {1, 200}} {
				values := make([]float32, s[0]*s[1])
				for i := range values {
					values[i] = rand.Float32()
				}
				tensor := NewF32("w", s[:], values)
				if _, err := e.NewWeight(tensor, kind); err != nil {
					t.Fatal(err)
				}
				tensor.Data = nil
				if _, err := d.NewWeight(tensor, kind); err != nil {
					t.Fatal(err)
				}
				e.NewView(s[0], s[1])
				d.NewView(s[0], s[1])
				got, want := d.Stats(), e.Stats()
				want.Arena, want.ArenaPeak = 0, 0
				if got != want {
					t.Fatalf("%s, %v %v: counted %+v, want %+v", name, kind, s, got, want)
				}
			}
		}
	}
}

// What the engine keeps for itself of the device is what Staging says.
func TestCUDAStaging(t *testing.T) {
	first := openCUDATest(t, "cuda:0")
	if !strings.Contains(first.Name(), "Emulated") {
		t.Skip("SKIPPED: on a real GPU contexts and other programs take memory too")
	}
	before, _ := first.dev.Memory()
	e := openCUDATest(t, "cuda:0")
	v, w := e.NewView(3, 5).ColRange(0, 4), e.ViewWeight(e.NewView(3, 4))
	out := make([]float32, v.Len())
	for range 2 {
		e.Record(1, func() {
			for range 8 {
				e.Gather(v, w, []int32{0, 1, 2})
			}
		})
		if err := e.Read(out, v); err != nil { // rows with gaps leave by the outbox
			t.Fatal(err)
		}
	}
	after, _ := first.dev.Memory()
	const rest = 1 << 20 // the views, and what the driver rounds up
	if took := before - after; took > cudaStaging+rest || took < cudaStaging-4<<20 {
		t.Errorf("the engine took %s, Staging is %s", fmt.Sprint(took), fmt.Sprint(e.Stats().Staging))
	}
}
