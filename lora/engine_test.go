package lora_test

import (
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/lora/internal/enginetest"
	"github.com/socialrl/socialrl/lora/internal/gemm"
)

func TestCPUEngine(t *testing.T) {
	for _, variant := range gemm.Variants() {
		t.Run(variant, func(t *testing.T) {
			enginetest.Run(t, func() (lora.Engine, error) { return lora.Open("cpu:" + variant) })
		})
	}
}

func TestFloat64Engine(t *testing.T) {
	enginetest.Run(t, func() (lora.Engine, error) { return lora.Open("float64") })
}

func TestFloat64Gradients(t *testing.T) { enginetest.RunGradients(t) }

func TestOpen(t *testing.T) {
	for name, want := range map[string]string{
		"cpu":         "cpu " + gemm.Variants()[0],
		"cpu:generic": "cpu generic",
		"float64":     "float64",
	} {
		e, err := lora.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != want {
			t.Errorf("Open(%q).Name() = %q, want %q", name, e.Name(), want)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryAvailableEngineOpens(t *testing.T) {
	for _, name := range lora.Available() {
		e, err := lora.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Replace(e.Name(), " ", ":", 1)
		if strings.HasPrefix(name, "cuda:") { // its name is that of the GPU
			got = name[:len("cuda:0")] + map[bool]string{true: ":f32"}[strings.HasSuffix(got, " f32")]
		}
		if got != name {
			t.Errorf("Open(%q).Name() = %q", name, e.Name())
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for name, want := range map[string]string{
		"":            "allowed are cpu, cpu:amxbf16, cpu:avx512, cpu:avx512bf16, cpu:avx2, cpu:generic, float64, cuda:0",
		"gpu":         "allowed are cpu,",
		"cpu:":        "allowed are cpu,",
		"cpu:sse9":    "generic", // names what this machine has
		"float64:big": "no variants",
	} {
		e, err := lora.Open(name)
		if err == nil {
			t.Errorf("Open(%q) gives engine %q", name, e.Name())
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("Open(%q): error %q, want it to name the engine and to contain %q", name, err, want)
		}
	}
}
