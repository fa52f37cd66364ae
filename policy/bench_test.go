package policy

import (
	"context"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// benchPolicy is a model with an adapter on every linear layer.
func benchPolicy(b *testing.B, cfg Config) *Policy {
	b.Helper()
	eng, err := lora.Open("cpu")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { eng.Close() })
	base, err := NewBase(eng, cfg, 1)
	if err != nil {
		b.Fatal(err)
	}
	a, err := NewAdapter(base, lora.Config{Rank: 8, Alpha: 64, Targets: lora.QV}, 1)
	if err != nil {
		b.Fatal(err)
	}
	p, err := New(base, a)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// smallConfig has some 0.3M parameters.
func smallConfig() Config {
	return Config{ModelType: Qwen2, VocabSize: 512, HiddenSize: 96, IntermediateSize: 128, Layers: 4, Heads: 4, KVHeads: 2, HeadDim: 32,
		RMSNormEps: 1e-6, RopeTheta: 1e4, MaxPositions: 512, TieEmbeddings: true, InitializerRange: 0.02}
}

// group is one prompt with replies.
func group(prompt, replies, length, vocab int) []Example {
	head := make([]int, prompt)
	for i := range head {
		head[i] = (i*7 + 3) % vocab
	}
	var out []Example
	for r := range replies {
		tokens := append(head[:prompt:prompt], make([]int, length)...)
		for i := range length {
			tokens[prompt+i] = (i*11 + r*5 + 1) % vocab
		}
		out = append(out, Example{tokens, prompt})
	}
	return out
}

func benchStep(b *testing.B, p *Policy, examples []Example) {
	f, err := NewForest(examples)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Step(context.Background(), f, CrossEntropy{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(f.Rows())*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// One gradient pass of the small model, all weights trained.
func BenchmarkStepSmallFull(b *testing.B) {
	p := benchPolicy(b, smallConfig())
	full, err := NewFull(p.base)
	if err != nil {
		b.Fatal(err)
	}
	whole, err := New(p.base, full)
	if err != nil {
		b.Fatal(err)
	}
	var examples []Example
	for i := range 16 {
		for _, e := range group(90, 8, 11, 512) {
			e.Tokens[0] = i
			examples = append(examples, e)
		}
	}
	benchStep(b, whole, examples)
}

// A group of replies of the small model.
func BenchmarkGenerateSmall(b *testing.B) {
	p := benchPolicy(b, smallConfig())
	var prompts [][]int
	for i := range 16 {
		prompt := group(90, 1, 1, 512)[0].Tokens
		prompt[0] = i
		prompts = append(prompts, prompt)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Generate(context.Background(), prompts, SamplingOptions{N: 8, MaxTokens: 12, Temperature: 1, MaxLive: 128}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(16*8*12)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
