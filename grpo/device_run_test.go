package grpo

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// runOf takes twenty steps with one seed on an engine and returns by how much the adapter
// has changed, what was drawn, and the losses.
func runOf(t *testing.T, engine string) (update []float64, drawn [][]int, losses []float64) {
	t.Helper()
	base := tiny.Base(t, engine)
	p := tinyPolicy(t, base)
	before := flatParams(t, p)
	cfg := tinyConfig()
	cfg.MaxSteps, cfg.LearningRate = 20, 1e-3
	cfg.OnStep = func(_, _ int, m Metrics) { losses = append(losses, m["loss"]) }
	tr := newTrainer(t, p, cfg)
	tr.inspect = func(b *batch, _ *Loss) {
		for _, r := range b.Rows {
			drawn = append(drawn, r.Tokens)
		}
	}
	if err := tr.Train(context.Background(), tinyItems(5)); err != nil {
		t.Fatal(err)
	}
	update = flatParams(t, p)
	for i := range update {
		update[i] -= before[i]
	}
	return update, drawn, losses
}

func flatParams(t *testing.T, p *policy.Policy) (out []float64) {
	t.Helper()
	for _, param := range p.Adapter().Params() {
		v := make([]float32, param.Value.Len())
		if err := p.Engine().Read(v, param.Value); err != nil {
			t.Fatal(err)
		}
		for _, x := range v {
			out = append(out, float64(x))
		}
	}
	return out
}

// distance returns |a − b| / |b|.
func distance(a, b []float64) float64 {
	diff, norm := 0.0, 0.0
	for i := range b {
		diff += (a[i] - b[i]) * (a[i] - b[i])
		norm += b[i] * b[i]
	}
	return math.Sqrt(diff / norm)
}

// Twenty steps on a GPU in float32 draw the replies that the CPU draws with the same seed,
// and end where the CPU ends. The bound comes from the rounding of float32 itself: the
// variants of the CPU, which differ in nothing but the order of their sums, have some
// distance from the same run in float64; the GPU, with orders of its own, may have four
// times the largest.
func TestCUDATwentyStepsStayWithTheCPU(t *testing.T) {
	if err := openGPU(t).Sync(); err != nil {
		t.Fatal(err)
	}
	exact, replies, losses := runOf(t, "float64")
	bound := 0.0
	for _, engine := range lora.Available() {
		if !strings.HasPrefix(engine, "cpu:") || strings.HasSuffix(engine, "bf16") {
			continue
		}
		update, drawn, _ := runOf(t, engine)
		if !slices.EqualFunc(drawn, replies, slices.Equal[[]int]) {
			t.Errorf("%s draws other replies than float64", engine)
		}
		bound = max(bound, 4*distance(update, exact))
	}
	update, drawn, gpuLosses := runOf(t, "cuda:0:f32")
	if !slices.EqualFunc(drawn, replies, slices.Equal[[]int]) {
		t.Error("the GPU draws other replies than float64")
	}
	if d := distance(update, exact); !(d <= bound) {
		t.Errorf("the update differs by %.3g of its norm, allowed are %.3g", d, bound)
	} else {
		t.Logf("the update differs by %.3g of its norm, allowed are %.3g", d, bound)
	}
	if d := distance(gpuLosses, losses); !(d <= 1e-4) {
		t.Errorf("losses differ by %.3g of their norm", d)
	}
}
