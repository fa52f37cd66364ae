package grpo

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// The benchmarks of this file run on a model of the width of Qwen2.5-0.5B with two
// layers, or on the model directory that SOCIALRL_BENCH_MODEL names.

func wideAdapter(b *testing.B, base *policy.Base) *policy.Policy {
	b.Helper()
	a, err := policy.NewAdapter(base, lora.Config{Rank: 8, Alpha: 64, Targets: lora.QV}, 1)
	if err != nil {
		b.Fatal(err)
	}
	p, err := policy.New(base, a)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func randomTokens(base *policy.Base, n, stream int) []int {
	rng := rand.New(rand.NewPCG(7, uint64(stream)))
	out := make([]int, n)
	for i := range out {
		out[i] = rng.IntN(base.Config().VocabSize)
	}
	return out
}

// BenchmarkUpdate takes the gradient of a group of 16 replies of 80 tokens to a prompt
// of 900, with the prompt computed once and with each reply alone.
func BenchmarkUpdate(b *testing.B) {
	const prompt, reply, group = 900, 80, 16
	p := wideAdapter(b, tiny.WideBase(b, lora.BF16))
	rows := make([]Row, group)
	var examples []policy.Example
	for i := range rows {
		tokens := append(randomTokens(p.Base(), prompt, 0), randomTokens(p.Base(), reply, 1+i)...)
		examples = append(examples, policy.Example{Tokens: tokens, First: prompt})
		rows[i] = Row{Tokens: reply, Completion: Completion{Advantage: float64(i%2*2 - 1), Ref: make([]float64, reply)}}
	}
	Weigh(rows, BNPO().Normaliser, reply)
	o := Objective{Surrogate: BNPO().Surrogate, Level: TokenLevel, Clip: Clip{Low: 0.2, High: 0.2}, Beta: 0.04}
	for _, c := range []struct {
		name   string
		budget int
	}{{"merged", 0}, {"flat", prompt + reply - 1}} {
		packed, err := policy.Pack(examples, c.budget)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				l := NewLoss(o, rows)
				for _, f := range packed.Forests {
					if _, err := p.Step(context.Background(), f, l, policy.WithEntropy(), policy.WithTotal(packed.Targets)); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(len(packed.Forests)), "forests")
			b.ReportMetric(float64(group*(prompt+reply))*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkStep takes whole steps of the trainer: sample, score, reference, update.
func BenchmarkStep(b *testing.B) {
	const prompt, reply, group = 900, 80, 8
	p := wideAdapter(b, tiny.WideBase(b, lora.BF16))
	rm, err := reward.New(p.Base(), lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV})
	if err != nil {
		b.Fatal(err)
	}
	c, stream := Default(), 0
	c.Group, c.MicroBatch, c.Accumulation, c.MaxSteps = group, group, 1, 1
	c.MaxPrompt, c.MaxCompletion, c.EndTokens = prompt, reply, []int{}
	c.Encode = func(episode.Item) ([]int, error) {
		stream++
		return randomTokens(p.Base(), prompt, stream), nil
	}
	for b.Loop() {
		t, err := NewGRPOTrainer(p, []reward.Weighted{{Scorer: rm, Weight: 1}}, c)
		if err != nil {
			b.Fatal(err)
		}
		if err := t.Train(context.Background(), oneItem); err != nil {
			b.Fatal(err)
		}
		t.Close()
	}
	b.ReportMetric(float64(p.Engine().Stats().ArenaPeak), "arena-bytes")
}

func oneItem(yield func(episode.Item, error) bool) { yield(episode.Item{EpisodeID: "e"}, nil) }
