package policy_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// The benchmarks of this file run on a model of the width of Qwen2.5-0.5B with two
// layers, or on the model directory that SOCIALRL_BENCH_MODEL names.

// randomTokens returns n tokens that depend on a stream.
func randomTokens(base *policy.Base, n int, stream *uint64) []int {
	*stream++
	rng := rand.New(rand.NewPCG(1, *stream))
	out := make([]int, n)
	for i := range out {
		out[i] = rng.IntN(base.Config().VocabSize)
	}
	return out
}

func bare(b *testing.B, base *policy.Base) *policy.Policy {
	b.Helper()
	p, err := policy.New(base, nil)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func perSecond(b *testing.B, n int, unit string) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), unit+"/s")
}

// BenchmarkLoadBase opens a model directory whose files are in the system's cache.
func BenchmarkLoadBase(b *testing.B) {
	dir := tiny.WideDir(b)
	for _, kind := range []lora.Kind{lora.F32, lora.BF16, lora.Int8, lora.NF4} {
		b.Run(kind.String(), func(b *testing.B) {
			for b.Loop() {
				eng, err := lora.Open("cpu")
				if err != nil {
					b.Fatal(err)
				}
				base, err := policy.LoadBase(eng, dir, kind)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(eng.Stats().Weights)
				base.Close()
				eng.Close()
			}
		})
	}
}

// BenchmarkPrefill reads a prompt of 512 tokens.
func BenchmarkPrefill(b *testing.B) {
	p, stream := bare(b, tiny.WideBase(b, lora.BF16)), uint64(0)
	for b.Loop() {
		s := p.NewSession()
		if _, err := s.Add(randomTokens(p.Base(), 512, &stream), policy.SamplingOptions{MaxTokens: 1}, 0); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Step(context.Background()); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
	perSecond(b, 512, "tokens")
}

// BenchmarkDecode draws a token in each stream after one prompt of 512 tokens.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name    string
		kind    lora.Kind
		streams int
	}{{"bf16", lora.BF16, 1}, {"int8", lora.Int8, 1}, {"nf4", lora.NF4, 1}, {"bf16, 16 branches", lora.BF16, 16}} {
		b.Run(c.name, func(b *testing.B) {
			benchDecode(b, bare(b, tiny.WideBase(b, c.kind)), c.streams)
		})
	}
}

func benchDecode(b *testing.B, p *policy.Policy, streams int) {
	const room = 1 << 12
	var s *policy.Session
	left, stream := 0, uint64(0)
	for b.Loop() {
		if left--; left <= 0 {
			b.StopTimer()
			if s != nil {
				s.Close()
			}
			s, left = p.NewSession(), room-1
			prompt := randomTokens(p.Base(), 512, &stream)
			for i := range streams {
				if _, err := s.Add(prompt, policy.SamplingOptions{MaxTokens: room}, uint32(i)); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := s.Step(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		if _, err := s.Step(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	s.Close()
	perSecond(b, streams, "tokens")
}

// BenchmarkTurns takes the gradient of the turns of an episode: two agents in turn,
// each with an introduction, the history so far, instructions, and the reply, with
// shared beginnings merged and without.
func BenchmarkTurns(b *testing.B) {
	base, stream := tiny.WideBase(b, lora.BF16), uint64(0)
	intro := [2][]int{randomTokens(base, 200, &stream), randomTokens(base, 200, &stream)}
	history, tail := randomTokens(base, 300, &stream), randomTokens(base, 180, &stream)
	var examples []policy.Example
	for t := range 10 {
		tokens := append(append(append([]int{}, intro[t%2]...), history[:30*t]...), tail...)
		first := len(tokens)
		examples = append(examples, policy.Example{Tokens: append(tokens, randomTokens(base, 30, &stream)...), First: first})
	}
	a, err := policy.NewAdapter(base, lora.Config{Rank: 8, Alpha: 64, Targets: lora.QV}, 1)
	if err != nil {
		b.Fatal(err)
	}
	p, err := policy.New(base, a)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		size int // examples a forest
	}{{"merged", len(examples)}, {"flat", 1}} {
		b.Run(c.name, func(b *testing.B) { benchForests(b, p, examples, c.size) })
	}
}

func benchForests(b *testing.B, p *policy.Policy, examples []policy.Example, size int) {
	var forests []*policy.Forest
	flat := 0
	for i := 0; i < len(examples); i += size {
		f, err := policy.NewForest(examples[i:min(i+size, len(examples))])
		if err != nil {
			b.Fatal(err)
		}
		forests, flat = append(forests, f), flat+f.Flat()
	}
	for b.Loop() {
		for _, f := range forests {
			if _, err := p.Step(context.Background(), f, policy.CrossEntropy{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	perSecond(b, flat, "tokens")
	b.ReportMetric(float64(p.Engine().Stats().ArenaPeak), "arena-bytes")
}
