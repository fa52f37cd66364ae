package policy_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// smallModel makes a model with random weights; a real one comes from
// policy.LoadBase(eng, directory, lora.BF16).
func smallModel(eng lora.Engine) *policy.Base {
	base, err := policy.NewBase(eng, policy.Config{ModelType: policy.Qwen2, VocabSize: 32, HiddenSize: 32, IntermediateSize: 64, Layers: 2,
		Heads: 4, KVHeads: 2, HeadDim: 8, RMSNormEps: 1e-6, RopeTheta: 1e4, MaxPositions: 64, TieEmbeddings: true, InitializerRange: 0.1}, 1)
	if err != nil {
		log.Fatal(err)
	}
	return base
}

// A model is trained from scratch to count, and then counts.
func Example() {
	eng, err := lora.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()
	base := smallModel(eng)
	full, err := policy.NewFull(base)
	if err != nil {
		log.Fatal(err)
	}
	p, err := policy.New(base, full)
	if err != nil {
		log.Fatal(err)
	}
	var counting policy.Objective
	for first := range 24 {
		counting.Examples = append(counting.Examples, policy.Example{Tokens: []int{first, first + 1, first + 2, first + 3, first + 4}, First: 1})
	}
	counting.Loss = func([]int) policy.Loss { return policy.CrossEntropy{} }
	dir, err := os.MkdirTemp("", "counting")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	_, err = policy.Fit(context.Background(), p, counting, policy.FitConfig{Dir: dir, Epochs: 60, Batch: 8, LR: 0.01})
	if err != nil {
		log.Fatal(err)
	}
	out, err := p.Generate(context.Background(), [][]int{{3, 4}, {10}}, policy.SamplingOptions{MaxTokens: 5})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out[0][0].Tokens, out[1][0].Tokens)
	// Output: [5 6 7 8 9] [11 12 13 14 15]
}

// A group of replies to one prompt costs the prompt once.
func ExampleNewForest() {
	prompt := []int{5, 6, 7, 8, 9}
	group := []policy.Example{
		{Tokens: append(prompt[:5:5], 1, 2, 3), First: 5},
		{Tokens: append(prompt[:5:5], 1, 4), First: 5},
		{Tokens: append(prompt[:5:5], 2, 2, 2), First: 5},
	}
	f, err := policy.NewForest(group)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Rows(), "rows instead of", f.Flat(), "for", f.Targets(), "targets")
	// Output: 9 rows instead of 20 for 8 targets
}

// A loss of one's own sees log-probabilities and returns derivatives. This one is
// the policy gradient of REINFORCE: −A·log p for each token.
func ExampleLossFunc() {
	advantages := []float64{1, -1}
	loss := policy.LossFunc(func(t policy.Targets) (sum float64, d []float64, err error) {
		for i, example := range t.Index {
			for _, lp := range t.Example(i) {
				sum -= advantages[example] * lp
				d = append(d, -advantages[example])
			}
		}
		return sum, d, nil
	})
	eng, err := lora.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()
	base := smallModel(eng)
	adapter, err := policy.NewAdapter(base, lora.Config{Rank: 4, Alpha: 8, Targets: lora.QV}, 1)
	if err != nil {
		log.Fatal(err)
	}
	p, err := policy.New(base, adapter)
	if err != nil {
		log.Fatal(err)
	}
	opt := lora.NewAdamW(adapter, lora.AdamWConfig{Clip: 1})
	f, err := policy.NewForest([]policy.Example{{Tokens: []int{1, 2, 3}, First: 2}, {Tokens: []int{1, 2, 4}, First: 2}})
	if err != nil {
		log.Fatal(err)
	}
	for range 50 {
		if _, err := p.Step(context.Background(), f, loss); err != nil {
			log.Fatal(err)
		}
		if _, err := opt.Step(0.01); err != nil {
			log.Fatal(err)
		}
	}
	t, err := p.LogProbs(context.Background(), f, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the praised token is likelier now:", t.LogProb[0] > t.LogProb[1]+1)
	// Output: the praised token is likelier now: true
}
