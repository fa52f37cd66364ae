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

// The memory of GRPO over Qwen2.5 models in 4 bits, reward model and reference
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
		err := policy.WritePlans(os.Stdout, "cpu", policy.Workload{
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
	//    4     0.46      0.01    0.03      0.08     0.10       0.10    1.63      0   2.13
	//    8     0.46      0.01    0.04      0.08     0.13       0.13    2.06      0   2.56
	//   16     0.46      0.01    0.05      0.08     0.19       0.18    2.94      0   3.47
	//   32     0.46      0.01    0.09      0.08     0.30       0.29    4.72      0   5.27
	//   64     0.46      0.01    0.15      0.08     0.52       0.51    8.27      0   8.89
	// 1.5B
	//    G  weights  adapters  caches  sampling  scoring  reference  update  again  total
	//    4     1.14      0.03    0.07      0.14     0.19       0.19    3.42      0   4.66
	//    8     1.14      0.03    0.09      0.14     0.24       0.23    4.32      0   5.57
	//   16     1.14      0.03    0.13      0.14     0.34       0.33    6.17      0   7.46
	//   32     1.14      0.03    0.20      0.14     0.54       0.53    9.87      0  11.24
	//   64     1.14      0.03    0.35      0.14     0.93       0.91   13.98      6  15.49
	// 7B
	//    G  weights  adapters  caches  sampling  scoring  reference  update  again  total
	//    4     5.55      0.06    0.14      0.30     0.41       0.40    7.42      0  13.17
	//    8     5.55      0.06    0.18      0.30     0.51       0.51    9.36      0  15.15
	//   16     5.55      0.06    0.25      0.30     0.73       0.72    9.94      8  15.79
	//   32     5.55      0.06    0.40      0.30     1.16       1.14    9.82     17  15.83
	//   64     5.55      0.06    0.69      0.30     2.02       1.98    9.05     24  15.35
}

// What fits into the memory of a device, and the bound that makes it fit.
func ExamplePlan() {
	qv := lora.Config{Rank: 8, Alpha: 32, Targets: lora.QV}
	w := policy.Workload{
		Model: qwen25(3584, 18944, 28, 28, 4, 128, 152064, false), Kind: lora.NF4, Adapter: qv, Reference: true, Reward: &qv,
		Group: 16, Prompt: 900, Completion: 80, Budget: 10e9,
	}
	u, err := policy.Plan("cpu", w)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d blocks are computed again, fits: %v\n", u.Again, u.Fits(w.Budget))
	fmt.Printf("of %.1f GB, activations of the update take %.1f: Policy.Memory\n", float64(u.Total())/1e9, float64(u.Update)/1e9)
	group, _, err := policy.LargestGroup("cpu", w)
	fmt.Println("largest group", group, err)
	// Output:
	// 22 blocks are computed again, fits: true
	// of 9.8 GB, activations of the update take 3.9: Policy.Memory
	// largest group 41 <nil>
}
