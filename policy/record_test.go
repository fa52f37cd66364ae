//go:build cuda && cgo

package policy

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/lora"
)

// unrecorded is an engine that does not offer to record.
type unrecorded struct{ lora.Engine }

// launcher counts what a CUDA engine launches.
type launcher interface {
	Launches() (kernels, graphs int64)
}

// Decoding as graphs draws the tokens that single launches draw, with the same bits of
// log-probability, and nearly every step is one graph.
func TestCUDADecodesAsGraphs(t *testing.T) {
	if e, err := lora.Open("cuda:0"); err != nil {
		if strings.Contains(err.Error(), "no NVIDIA driver") || strings.Contains(err.Error(), "finds no NVIDIA GPU") {
			t.Skipf("SKIPPED, NOT TESTED ON A GPU: %v", err)
		}
		t.Fatal(err)
	} else if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, engine string
		o            SamplingOptions
	}{
		{"work precision", "cuda:0", SamplingOptions{N: 3, Temperature: 1}},
		{"float32", "cuda:0:f32", SamplingOptions{N: 3, Temperature: 1}},
		{"greedy", "cuda:0", SamplingOptions{N: 1}},
		{"every filter", "cuda:0:f32", SamplingOptions{N: 2, Temperature: 0.8, TopK: 12, TopP: 0.95, MinP: 0.01, RepetitionPenalty: 1.1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			const tokens = 24
			test.o.MaxTokens, test.o.Seed = tokens, 9
			prompts := randomPrompts(rand.New(rand.NewPCG(3, 3)), 3)
			base := tinyBase(t, test.engine, Qwen3)
			base.cfg.EOS = nil // every reply has its full length
			recording := base.eng.(launcher)
			together := generate(t, tinyPolicy(t, base, false), prompts, test.o)
			kernels, graphs := recording.Launches()
			base.eng = unrecorded{base.eng}
			alone := generate(t, tinyPolicy(t, base, false), prompts, test.o)
			if diff := cmp.Diff(alone, together); diff != "" {
				t.Errorf("single launches, then graphs:\n%s", diff)
			}
			if _, more := recording.Launches(); more != graphs {
				t.Error("an engine that was not asked to record launched graphs")
			}
			t.Logf("%d graphs and %d single launches for %d steps", graphs, kernels, tokens)
			if graphs < tokens*2/3 {
				t.Errorf("%d steps were %d graphs, want two thirds of them or more", tokens, graphs)
			}
		})
	}
}
