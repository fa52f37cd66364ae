package policy_test

import (
	"fmt"
	"os"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// qwen25 returns the shape of a Qwen2.5 model.
func qwen25(width, feedForward, layers, heads, keyHeads, headDim, vocab int, tied bool) policy.Config {
	return policy.Config{
		ModelType: policy.Qwen2, VocabSize: vocab, HiddenSize: width, IntermediateSize: feedForward, Layers: layers,
		Heads: heads, KVHeads: keyHeads, HeadDim: headDim, RMSNormEps: 1e-6, RopeTheta: 1e6, MaxPositions: 32768,
		TieEmbeddings: tied, DType: "bfloat16", InitializerRange: 0.02,
	}
}

// The memory on a GPU of GRPO over Qwen2.5 models in 4 bits, reward model and reference
// included, by the size of the group: prompts of 900 tokens, replies of 80.
func ExampleWritePlans() {
	models := []struct {
		name   string
		config policy.Config
	}{
		{"0.5B", qwen25(896, 4864, 24, 14, 2, 64, 151936, true)},
		{"1.5B", qwen25(1536, 8960, 28, 12, 2, 128, 151936, true)},
		{"7B", qwen25(3584, 18944, 28, 28, 4, 128, 152064, false)},
	}
	qv := lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV}
	for _, m := range models {
		fmt.Println(m.name)
		err := policy.WritePlans(os.Stdout, "cuda:0", policy.Workload{
			Model: m.config, Kind: lora.NF4, Adapter: qv, Reference: true, Reward: &qv,
			Prompt: 900, Completion: 80, Budget: 16e9,
		}, 4, 8, 16, 32, 64)
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 0.5B
	//    G  weights  adapters  caches  sampling  scoring  reference  update  again  total
	//    4     0.46      0.01    0.03      0.09     0.12       0.12    1.63      0   2.17
	//    8     0.46      0.01    0.04      0.09     0.16       0.15    2.05      0   2.61
	//   16     0.46      0.01    0.05      0.09     0.22       0.21    2.94      0   3.50
	//   32     0.46      0.01    0.09      0.09     0.34       0.33    4.70      0   5.30
	//   64     0.46      0.01    0.15      0.09     0.58       0.57    8.23      0   8.89
	// 1.5B
	//    G  weights  adapters  caches  sampling  scoring  reference  update  again  total
	//    4     1.14      0.03    0.07      0.18     0.24       0.24    3.43      0   4.71
	//    8     1.14      0.03    0.09      0.18     0.29       0.29    4.32      0   5.62
	//   16     1.14      0.03    0.13      0.18     0.40       0.40    6.16      0   7.50
	//   32     1.14      0.03    0.20      0.18     0.63       0.61    9.84      0  11.25
	//   64     1.14      0.03    0.35      0.18     1.07       1.05    9.84      0  11.40
	// 7B
	//    G  weights  adapters  caches  sampling  scoring  reference  update  again  total
	//    4     5.55      0.06    0.14      0.47     0.59       0.59    7.49      0  13.28
	//    8     5.55      0.06    0.18      0.47     0.71       0.70    9.40      0  15.23
	//   16     5.55      0.06    0.25      0.47     0.95       0.94    9.45      0  15.35
	//   32     5.55      0.06    0.40      0.47     1.43       1.41    9.88      6  15.93
	//   64     5.55      0.06    0.69      0.47     2.39       2.34    9.50     11  15.84
}

// What fits into the memory of a device, and the bound that makes it fit.
func ExamplePlan() {
	qv := lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV}
	w := policy.Workload{
		Model: qwen25(3584, 18944, 28, 28, 4, 128, 152064, false), Kind: lora.NF4, Adapter: qv, Reference: true, Reward: &qv,
		Group: 16, Prompt: 900, Completion: 80, Budget: 10e9,
	}
	u, err := policy.Plan("cuda:0", w)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d blocks are computed again, fits: %v\n", u.Again, u.Fits(w.Budget))
	fmt.Printf("of %.1f GB, activations of the update take %.1f: Policy.Memory\n", float64(u.Total())/1e9, float64(u.Update)/1e9)
	group, _, err := policy.LargestGroup("cuda:0", w)
	fmt.Println("largest group", group, err)
	// Output:
	// 28 blocks are computed again, fits: true
	// of 10.0 GB, activations of the update take 4.1: Policy.Memory
	// largest group 105 <nil>
}
