package lora_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// What a dry engine counts of weights and views is what the engine holds, for every
// kind and for shapes that fill panels and blocks and that do not.
func TestOpenDryCountsWhatAnEngineHolds(t *testing.T) {
	for _, name := range []string{"cpu", "cpu:generic", "float64"} {
		for _, kind := range lora.Kinds() {
			for _, s := range [][2]int{{1, 1}, {3, 5}, {64, 64}, {33, 65}, {70, 96}, {128, 320}, {1, 200}} {
				t.Run(fmt.Sprintf("%s %v %v", name, kind, s), func(t *testing.T) {
					e, dry := openTest(t, name), openDry(t, name)
					w := newWeight(t, e, noiseTensor(lora.DTypeF32, s[0], s[1]), kind)
					counted, err := dry.NewWeight(lora.Tensor{Name: "w", DType: lora.DTypeF32, Shape: s[:]}, kind)
					if err != nil {
						t.Fatal(err)
					}
					v, v2 := e.NewView(s[0], s[1]), dry.NewView(s[0], s[1])
					if got, want := dry.Stats(), e.Stats(); got != want || counted.Bytes() != w.Bytes() {
						t.Errorf("counted %+v and a weight of %d bytes, want %+v and %d", got, counted.Bytes(), want, w.Bytes())
					}
					if counted.Out() != w.Out() || counted.In() != w.In() || counted.Kind() != w.Kind() {
						t.Errorf("weight %d x %d of kind %v, want %d x %d of kind %v", counted.Out(), counted.In(), counted.Kind(), w.Out(), w.In(), w.Kind())
					}
					for _, e := range []lora.Engine{e, dry} {
						e.FreeView(v)
						v = v2
					}
					counted.Release()
					if got := dry.Stats(); got != (lora.MemoryStats{}) {
						t.Errorf("%+v is left after everything was given back", got)
					}
				})
			}
		}
	}
}

func openDry(t testing.TB, name string) lora.Engine {
	t.Helper()
	e, err := lora.OpenDry(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A checkpoint in 4 bits keeps the form of its scales, whichever of the two is asked
// for; under the other kinds it is what they make of it.
func TestOpenDryKeepsTheFormOfScales(t *testing.T) {
	source := noiseTensor(lora.DTypeF32, 64, 128)
	for _, double := range []bool{false, true} {
		stored, err := lora.QuantizeNF4(source, double)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range lora.Kinds() {
			e, dry := openTest(t, "cpu"), openDry(t, "cpu")
			w := newWeight(t, e, stored, kind)
			stripped := stored
			stripped.Data = nil
			counted, err := dry.NewWeight(stripped, kind)
			if err != nil {
				t.Fatal(err)
			}
			if counted.Kind() != w.Kind() || counted.Bytes() != w.Bytes() {
				t.Errorf("double %v as %v: %v of %d bytes, want %v of %d", double, kind, counted.Kind(), counted.Bytes(), w.Kind(), w.Bytes())
			}
		}
	}
}

func TestOpenDryRefusesUnknownNames(t *testing.T) {
	if _, err := lora.OpenDry("gpu"); err == nil {
		t.Error("an engine of no known family was opened")
	}
}

// Names are checked as those of engines are, on machines that cannot open them too.
func TestOpenDryChecksNames(t *testing.T) {
	for _, name := range []string{"cpu", "cpu:amxbf16", "cpu:avx512", "cpu:avx512bf16", "cpu:avx2", "cpu:generic", "float64", "cuda:0", "cuda:3", "cuda:0:bf16", "cuda:0:f32"} {
		if _, err := lora.OpenDry(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "tpu", "cpu:", "cpu:avx9", "float64:x", "cuda:", "cuda:x", "cuda:-1", "cuda:0:f16"} {
		if _, err := lora.OpenDry(name); err == nil || !strings.Contains(err.Error(), strconv.Quote(name)) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}
