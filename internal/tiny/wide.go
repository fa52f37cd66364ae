package tiny

import (
	"os"
	"testing"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// WideConfig has the width of Qwen2.5-0.5B, but two layers of its 24 and a fifth of
// its vocabulary.
func WideConfig() policy.Config {
	return policy.Config{ModelType: policy.Qwen2, VocabSize: 32768, HiddenSize: 896, IntermediateSize: 4864, Layers: 2, Heads: 14, KVHeads: 2,
		HeadDim: 64, RMSNormEps: 1e-6, RopeTheta: 1e6, MaxPositions: 32768, TieEmbeddings: true, EOS: []int{1}, InitializerRange: 0.02}
}

// BenchModel names the environment variable with the model directory that benchmarks
// run on in place of the wide model.
const BenchModel = "SOCIALRL_BENCH_MODEL"

// WideDir returns the directory of a model for benchmarks: the wide one in bfloat16,
// written for the length of the test, or that of the environment.
func WideDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv(BenchModel); dir != "" {
		return dir
	}
	dir := t.TempDir()
	if err := writeWide(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeWide(dir string) error {
	cfg := WideConfig()
	if err := cfg.Write(dir); err != nil {
		return err
	}
	var tensors []lora.Tensor
	for _, spec := range cfg.Tensors() {
		if !spec.Optional {
			tensors = append(tensors, lora.NewBF16(spec.Name, spec.Shape, noise(spec.Shape)))
		}
	}
	return lora.WriteSafetensors(dir+"/model.safetensors", tensors, nil)
}

// noise returns numbers of small magnitude for a matrix, and ones for a vector.
func noise(shape []int) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v, state := make([]float32, n), uint64(n)
	for i := range v {
		state = state*6364136223846793005 + 1442695040888963407
		if v[i] = 1; len(shape) == 2 {
			v[i] = (float32(state>>40)/(1<<24) - 0.5) * 0.07
		}
	}
	return v
}

// WideBase loads the model of [WideDir] on the CPU for the length of the test.
func WideBase(t testing.TB, kind lora.Kind) *policy.Base {
	t.Helper()
	dir := WideDir(t)
	eng, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	base, err := policy.LoadBase(eng, dir, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { base.Close(); eng.Close() })
	return base
}
