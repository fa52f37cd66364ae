package policy_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/socialrl/socialrl/policy"
)

// FuzzConfig looks for a configuration that is accepted but cannot be written and
// read again, or whose tensors cannot be listed.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(cfgLlama))
	f.Add(cfgEdit(f, map[string]any{"model_type": "qwen2", "architectures": []string{"Qwen2ForSequenceClassification"}, "num_labels": 1}))
	f.Add(cfgEdit(f, map[string]any{"rope_scaling": map[string]any{"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}}))
	f.Add(cfgEdit(f, map[string]any{"quantization_config": map[string]any{"load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := policy.ParseConfig(text)
		if err != nil {
			return
		}
		if c.Parameters() <= 0 || len(c.InvFreq()) != c.HeadDim/2 {
			t.Fatalf("%d parameters, %d frequencies", c.Parameters(), len(c.InvFreq()))
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("accepted, but not written: %v", err)
		}
		again, err := policy.ParseConfig(out)
		c.Notes = nil
		if len(c.EOS) == 0 {
			c.EOS = nil
		}
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v (%v), want %+v", again, err, c)
		}
	})
}
