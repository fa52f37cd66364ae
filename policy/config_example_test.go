package policy_test

import (
	"fmt"
	"os"

	"github.com/socialrl/socialrl/policy"
)

// A configuration is read, looked at, changed and written.
func ExampleParseConfig() {
	c, err := policy.ParseConfig([]byte(`{
		"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
		"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
		"num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
		"rope_theta": 1000000.0, "tie_word_embeddings": true, "eos_token_id": 151645
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Layers, "layers, heads of", c.HeadDim)
	fmt.Println(c.Parameters(), "parameters")
	fmt.Printf("%.5f\n", c.InvFreq()[:2])
	// Output:
	// 24 layers, heads of 64
	// 494032768 parameters
	// [1.00000 0.64938]
}

// What the library does not compute is refused by name, all at once.
func ExampleParseConfig_refused() {
	_, err := policy.ParseConfig([]byte(`{
		"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
		"vocab_size": 512, "hidden_size": 64, "intermediate_size": 144,
		"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "gelu",
		"rope_scaling": {"rope_type": "yarn", "factor": 4.0}
	}`))
	fmt.Println(err)
	// Output:
	// rope_type: "yarn": not supported, only default, linear and llama3; hidden_act: "gelu": not supported, only silu
}

// A literal describes a model that is made from scratch.
func ExampleConfig_Write() {
	c := policy.Config{
		ModelType: policy.Qwen2, VocabSize: 512, HiddenSize: 64, IntermediateSize: 144, Layers: 2,
		Heads: 4, KVHeads: 2, HeadDim: 16, RMSNormEps: 1e-6, RopeTheta: 10000, MaxPositions: 512,
		TieEmbeddings: true, InitializerRange: 0.02,
	}
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := c.Write(dir); err != nil {
		fmt.Println(err)
		return
	}
	again, err := policy.LoadConfig(dir)
	fmt.Println(again.ModelType, again.Parameters(), err)
	// Output: qwen2 113216 <nil>
}
