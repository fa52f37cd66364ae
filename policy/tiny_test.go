package policy

import (
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// tinyConfig is a model of all that a block can have, small enough for float64.
func tinyConfig(modelType string) Config {
	return Config{ModelType: modelType, VocabSize: 23, HiddenSize: 16, IntermediateSize: 20, Layers: 2, Heads: 4, KVHeads: 2,
		HeadDim: 6, RMSNormEps: 1e-5, RopeTheta: 1e4, MaxPositions: 128, TieEmbeddings: true, EOS: []int{1}, InitializerRange: 0.3}
}

func tinyBase(t testing.TB, engine, modelType string) *Base {
	t.Helper()
	eng, err := lora.Open(engine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { eng.Close() })
	base, err := NewBase(eng, tinyConfig(modelType), 7)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// tinyPolicy has an adapter on every linear layer whose branches are not zero, and a
// scalar head where asked for.
func tinyPolicy(t testing.TB, base *Base, head bool) *Policy {
	t.Helper()
	a, err := NewAdapter(base, lora.Config{Rank: 3, Alpha: 6, Targets: lora.AllLinear, Head: head}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for i, param := range a.Params() {
		a.Engine().Write(param.Value, uniform(param.Value.Len(), 0.4, lora.Key{Seed: 11, Index: uint32(i)}))
	}
	p, err := New(base, a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
