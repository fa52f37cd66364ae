package grpo

import (
	"context"
	"math"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tensortest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// A group is one forest in which equal completions share all their rows and keep
// advantages of their own. Its gradient is that of the same completions computed one
// by one, in the first pass and in the second, where ratios are not 1.
func TestForestEqualsUnsharedBatch(t *testing.T) {
	base := tiny.Base(t, "cpu")
	p := tinyPolicy(t, base)
	cfg := tinyConfig()
	cfg.MaxSteps, cfg.Passes, cfg.RatioKL, cfg.Level = 4, 2, true, SequenceLevel
	cfg.Encode = func(episode.Item) ([]int, error) { return []int{5, 6, 7, 8}, nil }
	cfg.Rollout = func(_ context.Context, prompts [][]int, n int) ([][]policy.Completion, error) {
		out := make([][]policy.Completion, len(prompts))
		for i := range out {
			for j := range n {
				tokens := [][]int{{9, 10, 11, tiny.End}, {9, 12, tiny.End}}[j%2]
				out[i] = append(out[i], policy.Completion{Tokens: tokens})
			}
		}
		return out, nil
	}
	turn := 0.0
	scorer := reward.Each(func(reward.Sample) float64 { turn += 1.5; return math.Sin(turn) })
	tr, err := NewGRPOTrainer(p, []reward.Weighted{{Scorer: scorer, Weight: 1}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	passes := 0
	tr.inspect = func(b *batch, _ *Loss) {
		passes++
		shared := gradients(t, p)
		p.Adapter().ZeroGrad()
		unshared(t, tr, b)
		for name, want := range gradients(t, p) {
			tensortest.Near(t, "gradient of "+name, shared[name], want, nil, 1e-4)
		}
	}
	if err := tr.Train(context.Background(), tinyItems(5)); err != nil {
		t.Fatal(err)
	}
	if passes != 4 {
		t.Errorf("%d passes, want 4", passes)
	}
}

// unshared computes the gradient of a pass completion by completion.
func unshared(t *testing.T, tr *GRPOTrainer, b *batch) {
	t.Helper()
	l := NewLoss(tr.objective(), tr.lossRows(b))
	for i, r := range b.Rows {
		prompt := b.Prompts[i/tr.cfg.Group]
		f, err := policy.NewForest([]policy.Example{{Tokens: append(append([]int{}, prompt...), r.Tokens...), First: len(prompt)}})
		if err != nil {
			t.Fatal(err)
		}
		alone := policy.LossFunc(func(targets policy.Targets) (float64, []float64, error) {
			targets.Index = []int{i}
			return l.Eval(targets)
		})
		if _, err := tr.policy.Step(context.Background(), f, alone, policy.WithTemperature(tr.cfg.Temperature)); err != nil {
			t.Fatal(err)
		}
	}
}

func gradients(t *testing.T, p *policy.Policy) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	for _, param := range p.Adapter().Params() {
		out[param.Name] = make([]float32, param.Grad.Len())
		if err := p.Engine().Read(out[param.Name], param.Grad); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
