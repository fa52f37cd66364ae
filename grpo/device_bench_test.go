package grpo

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// The benchmarks of this file run on the first GPU, over the model directory that
// SOCIALRL_BENCH_MODEL names, or over a model of the width of Qwen2.5-0.5B with two layers.
// ../lora/internal/cuda/bench/torch.py makes one of a 7B shape and takes the same rows with
// PyTorch.

// gpuBase loads the model in a kind.
func gpuBase(b *testing.B, kind lora.Kind) *policy.Base {
	b.Helper()
	eng, err := lora.Open("cuda:0")
	if err != nil {
		b.Skip(err)
	}
	dir := os.Getenv("SOCIALRL_BENCH_MODEL")
	if dir == "" {
		dir = tiny.WideDir(b)
	}
	base, err := policy.LoadBase(eng, dir, kind)
	if err != nil {
		b.Fatal(err)
	}
	base.SetTokenizer(nil)
	b.Cleanup(func() { base.Close(); eng.Close() })
	return base
}

// drawn returns random tokens, other ones at each call.
func drawn(base *policy.Base, rng *rand.Rand, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = rng.IntN(base.Config().VocabSize)
	}
	return out
}

// promptParameters returns the elements of the matrices that all rows of a prompt are
// multiplied with: behind its attention the last block goes on with the last row only.
func promptParameters(c policy.Config) float64 {
	heads, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	behind := heads + 3*c.IntermediateSize
	return float64(c.HiddenSize) * float64(c.Layers*(heads+2*keys+behind)-behind)
}

// BenchmarkCUDAPrefill reads prompts of 2048 tokens, and says what share that is of the
// rate of products in bfloat16 that the GPU was measured to have.
func BenchmarkCUDAPrefill(b *testing.B) {
	for _, kind := range []lora.Kind{lora.BF16, lora.NF4} {
		b.Run(kind.String(), func(b *testing.B) {
			const tokens = 2048
			base, rng := gpuBase(b, kind), rand.New(rand.NewPCG(1, 1))
			limit := base.Engine().(lora.Measurer).Limits().BF16
			p, err := policy.New(base, nil)
			if err != nil {
				b.Fatal(err)
			}
			read := func() {
				s := p.NewSession()
				defer s.Close()
				if _, err := s.Add(drawn(base, rng, tokens), policy.SamplingOptions{MaxTokens: 1, StopTokens: []int{}}, 0); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Step(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			read()
			for b.Loop() {
				read()
			}
			rate := tokens * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "tokens/s")
			b.ReportMetric(100*rate*2*promptParameters(base.Config())/limit, "%limit")
		})
	}
}

// streamed returns the bytes of weights that a step of decoding reads: all but an
// embedding of its own, which is in bfloat16.
func streamed(base *policy.Base) int64 {
	bytes, c := base.Engine().Stats().Weights, base.Config()
	if c.TieEmbeddings {
		return bytes
	}
	return bytes - 2*int64(c.VocabSize)*int64(c.HiddenSize)
}

// BenchmarkCUDADecode draws tokens after a prompt of 512, in one stream and in the 16 of a
// group, and says what share the weights that are read, once a step, are of the rate of
// reading that the GPU was measured to have.
func BenchmarkCUDADecode(b *testing.B) {
	for _, kind := range []lora.Kind{lora.BF16, lora.NF4} {
		for name, streams := range map[string]int{"one stream": 1, "a group": 16} {
			b.Run(kind.String()+"/"+name, func(b *testing.B) {
				base := gpuBase(b, kind)
				limit := base.Engine().(lora.Measurer).Limits().Read
				p, err := policy.New(base, nil)
				if err != nil {
					b.Fatal(err)
				}
				s := p.NewSession()
				defer s.Close()
				prompt := drawn(base, rand.New(rand.NewPCG(1, 1)), 512)
				add := func() {
					for i := range streams {
						if _, err := s.Add(prompt, policy.SamplingOptions{MaxTokens: 1 << 12, StopTokens: []int{}, Temperature: 1}, uint32(i)); err != nil {
							b.Fatal(err)
						}
					}
				}
				add()
				for range 8 {
					if _, err := s.Step(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				for b.Loop() {
					if _, err := s.Step(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				steps := float64(b.N) / b.Elapsed().Seconds()
				b.ReportMetric(steps*float64(streams), "tokens/s")
				b.ReportMetric(100*steps*float64(streamed(base))/limit, "%limit")
			})
		}
	}
}

// BenchmarkCUDAStep takes whole steps of GRPO with a reward model over the same base: a
// prompt of 900 tokens, 16 replies of 80. It tells the most memory that was held.
func BenchmarkCUDAStep(b *testing.B) {
	for _, kind := range []lora.Kind{lora.BF16, lora.NF4} {
		b.Run(kind.String(), func(b *testing.B) {
			base, rng := gpuBase(b, kind), rand.New(rand.NewPCG(1, 1))
			adapter := lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV}
			a, err := policy.NewAdapter(base, adapter, 1)
			if err != nil {
				b.Fatal(err)
			}
			p, err := policy.New(base, a)
			if err != nil {
				b.Fatal(err)
			}
			rm, err := reward.New(base, adapter)
			if err != nil {
				b.Fatal(err)
			}
			cfg := Default()
			cfg.Group, cfg.MicroBatch, cfg.Accumulation, cfg.MaxPrompt, cfg.MaxCompletion = 16, 16, 1, 900, 80
			cfg.MaxSteps, cfg.EndTokens, cfg.EvalEvery = 1<<20, []int{}, 0
			cfg.Encode = func(episode.Item) ([]int, error) { return drawn(base, rng, 900), nil }
			t, err := NewGRPOTrainer(p, []reward.Weighted{{Scorer: rm, Weight: 1, Name: "model"}}, cfg)
			if err != nil {
				b.Fatal(err)
			}
			t.data, t.total = &stream{items: make([]episode.Item, 1)}, cfg.MaxSteps
			step := func() {
				if err := t.step(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			step()
			for b.Loop() {
				step()
			}
			u, err := policy.Plan("cuda:0", policy.Workload{Model: base.Config(), Kind: kind, Adapter: adapter, Reward: &adapter,
				Reference: true, Group: 16, Prompt: 900, Completion: 80})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(base.Engine().Stats().ArenaPeak)/1e9, "GB/arena")
			b.ReportMetric(float64(u.Total())/1e9, "GB/planned")
		})
	}
}
