package policy_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// cfgLlama is a small valid configuration that tests change.
const cfgLlama = `{
	"architectures": ["LlamaForCausalLM"], "model_type": "llama",
	"vocab_size": 384, "hidden_size": 64, "intermediate_size": 144,
	"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
	"rms_norm_eps": 1e-5, "rope_theta": 500000, "max_position_embeddings": 512,
	"bos_token_id": 0, "eos_token_id": [1, 5], "pad_token_id": null
}`

// cfgEdit returns cfgLlama with keys set; a nil value removes the key.
func cfgEdit(t testing.TB, set map[string]any) []byte {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(cfgLlama), &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range set {
		m[k] = v
		if v == nil {
			delete(m, k)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParseConfig(t *testing.T) {
	c, err := policy.ParseConfig([]byte(cfgLlama))
	want := policy.Config{
		ModelType: policy.Llama, VocabSize: 384, HiddenSize: 64, IntermediateSize: 144, Layers: 3,
		Heads: 4, KVHeads: 2, HeadDim: 16, RMSNormEps: 1e-5, RopeTheta: 500000, MaxPositions: 512,
		BOS: new(0), EOS: []int{1, 5}, InitializerRange: 0.02,
	}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%+v (%v), want %+v", c, err, want)
	}
}

// Each key in turn, with what must come of it.
func TestConfigKeys(t *testing.T) {
	rope := func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	llama3 := policy.RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPositions: 64}
	for _, c := range []struct {
		why string
		set map[string]any
		get func(policy.Config) any
		is  any
	}{
		{"head size of its own", map[string]any{"head_dim": 24}, func(c policy.Config) any { return c.HeadDim }, 24},
		{"qwen2: head size of its own", map[string]any{"model_type": "qwen2", "architectures": []string{"Qwen2ForCausalLM"}, "head_dim": 24},
			func(c policy.Config) any { return c.HeadDim }, 24},
		{"no key-value heads: one per head", map[string]any{"num_key_value_heads": nil}, func(c policy.Config) any { return c.KVHeads }, 4},
		{"tied", map[string]any{"tie_word_embeddings": true}, func(c policy.Config) any { return c.TieEmbeddings }, true},
		{"biases by flag", map[string]any{"attention_bias": true}, func(c policy.Config) any { return []bool{c.QKVBias(), c.OBias()} }, []bool{true, true}},
		{"feed-forward biases", map[string]any{"mlp_bias": true}, func(c policy.Config) any { return c.MLPBias }, true},
		{"one end token", map[string]any{"eos_token_id": 7}, func(c policy.Config) any { return c.EOS }, []int{7}},
		{"type of the weights, old key", map[string]any{"torch_dtype": "bfloat16"}, func(c policy.Config) any { return c.DType }, "bfloat16"},
		{"type of the weights, new key", map[string]any{"dtype": "float16"}, func(c policy.Config) any { return c.DType }, "float16"},
		{"default theta", map[string]any{"rope_theta": nil}, func(c policy.Config) any { return c.RopeTheta }, 10000.0},
		{"theta in rope_parameters", map[string]any{"rope_theta": nil, "rope_parameters": rope("rope_type", "default", "rope_theta", 7.0)},
			func(c policy.Config) any { return c.RopeTheta }, 7.0},
		{"no scaling, in words", map[string]any{"rope_scaling": rope("rope_type", "default")}, func(c policy.Config) any { return c.RopeScaling }, policy.RopeScaling{}},
		{"oldest spelling of the type", map[string]any{"rope_scaling": rope("type", "linear", "factor", 2)},
			func(c policy.Config) any { return c.RopeScaling }, policy.RopeScaling{Type: "linear", Factor: 2}},
		{"llama3", map[string]any{"rope_scaling": rope("rope_type", "llama3", "factor", 8, "low_freq_factor", 1, "high_freq_factor", 4, "original_max_position_embeddings", 64)},
			func(c policy.Config) any { return c.RopeScaling }, llama3},
		{"no architecture: a language model", map[string]any{"architectures": nil}, func(c policy.Config) any { return c.Classifier }, false},
		{"reward model", map[string]any{"architectures": []string{"LlamaForSequenceClassification"}, "id2label": map[string]string{"0": "LABEL_0"}},
			func(c policy.Config) any { return c.Classifier }, true},
		{"reward model by count", map[string]any{"architectures": []string{"LlamaForSequenceClassification"}, "num_labels": 1},
			func(c policy.Config) any { return c.Classifier }, true},
		{"swish is silu", map[string]any{"hidden_act": "swish"}, func(c policy.Config) any { return len(c.Notes) }, 0},
		{"window declared, not used", map[string]any{"sliding_window": 4096, "use_sliding_window": false}, func(c policy.Config) any { return len(c.Notes) }, 0},
		{"window above the last layer", map[string]any{"sliding_window": 4096, "use_sliding_window": true, "max_window_layers": 3},
			func(c policy.Config) any { return len(c.Notes) }, 0},
		{"attention dropout is noted", map[string]any{"attention_dropout": 0.1}, func(c policy.Config) any { return strings.Contains(c.Notes[0], "attention_dropout: 0.1") }, true},
		{"qwen2: biases without a flag, o has none", map[string]any{"model_type": "qwen2", "architectures": []string{"Qwen2ForCausalLM"}, "attention_bias": true},
			func(c policy.Config) any { return []bool{c.QKVBias(), c.OBias()} }, []bool{true, false}},
		{"qwen3: head size 128, norms", map[string]any{"model_type": "qwen3", "architectures": []string{"Qwen3ForCausalLM"}},
			func(c policy.Config) any { return []any{c.HeadDim, c.QKNorm()} }, []any{128, true}},
	} {
		got, err := policy.ParseConfig(cfgEdit(t, c.set))
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
		} else if v := c.get(got); !reflect.DeepEqual(v, c.is) {
			t.Errorf("%s: %v, want %v", c.why, v, c.is)
		}
	}
}

// What is refused, each by its name.
func TestRefuseConfig(t *testing.T) {
	seq := []string{"LlamaForSequenceClassification"}
	scaling := func(kind string) map[string]any { return map[string]any{"rope_type": kind, "factor": 2.0} }
	for _, c := range []struct {
		set  map[string]any
		want []string
	}{
		{map[string]any{"model_type": "mixtral"}, []string{"model_type", "mixtral"}},
		{map[string]any{"model_type": nil}, []string{"model_type"}},
		{map[string]any{"architectures": []string{"LlamaModel"}}, []string{"architectures", "LlamaModel"}},
		{map[string]any{"architectures": []string{"Qwen2ForCausalLM"}}, []string{"architectures", "Qwen2ForCausalLM"}},
		{map[string]any{"architectures": seq}, []string{"num_labels: 2"}},
		{map[string]any{"architectures": seq, "id2label": map[string]string{"0": "a", "1": "b", "2": "c"}}, []string{"num_labels: 3"}},
		{map[string]any{"vocab_size": nil, "hidden_size": nil}, []string{"vocab_size: missing", "hidden_size: missing"}},
		{map[string]any{"vocab_size": 0, "num_hidden_layers": -1}, []string{"vocab_size: 0", "num_hidden_layers: -1"}},
		{map[string]any{"hidden_size": 1 << 30, "head_dim": 16}, []string{"hidden_size"}},
		{map[string]any{"num_attention_heads": 0}, []string{"num_attention_heads: 0"}},
		{map[string]any{"num_attention_heads": 1 << 20, "num_key_value_heads": 1, "head_dim": 1 << 20}, []string{"num_attention_heads"}},
		{map[string]any{"num_attention_heads": 5, "num_key_value_heads": 5}, []string{"hidden_size: 64", "5"}},
		{map[string]any{"num_key_value_heads": 3}, []string{"num_key_value_heads: 3", "divisor"}},
		{map[string]any{"head_dim": 15}, []string{"head_dim: 15", "even"}},
		{map[string]any{"rms_norm_eps": 0}, []string{"rms_norm_eps: 0"}},
		{map[string]any{"rope_theta": -1}, []string{"rope_theta: -1"}},
		{map[string]any{"rope_scaling": scaling("yarn")}, []string{"rope_type", "yarn"}},
		{map[string]any{"rope_scaling": scaling("dynamic")}, []string{"rope_type", "dynamic"}},
		{map[string]any{"rope_parameters": scaling("longrope")}, []string{"rope_type", "longrope"}},
		{map[string]any{"rope_scaling": map[string]any{"rope_type": "linear"}}, []string{"rope_scaling.factor: 0"}},
		{map[string]any{"rope_scaling": scaling("llama3")}, []string{"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
		{map[string]any{"partial_rotary_factor": 0.5}, []string{"partial_rotary_factor: 0.5"}},
		{map[string]any{"hidden_act": "gelu"}, []string{"hidden_act", "gelu"}},
		{map[string]any{"use_sliding_window": true, "sliding_window": 128}, []string{"use_sliding_window", "128"}},
		{map[string]any{"layer_types": []string{"full_attention", "sliding_attention"}}, []string{"layer_types", "sliding_attention"}},
		{map[string]any{"num_experts": 8}, []string{"num_experts: 8"}},
		{map[string]any{"num_local_experts": 8}, []string{"num_local_experts: 8"}},
		{map[string]any{"torch_dtype": "int8"}, []string{"torch_dtype", "int8"}},
		{map[string]any{"eos_token_id": []int{1, 384}}, []string{"eos_token_id: 384"}},
		{map[string]any{"bos_token_id": -3}, []string{"bos_token_id: -3"}},
		{map[string]any{"eos_token_id": "x"}, []string{"eos_token_id"}},
		{map[string]any{"hidden_size": "64"}, []string{"hidden_size"}},
		{map[string]any{"quantization_config": map[string]any{"quant_method": "gptq", "bits": 4}}, []string{"quant_method", "gptq"}},
		{map[string]any{"quantization_config": map[string]any{"quant_method": "bitsandbytes", "load_in_8bit": true}}, []string{"load_in_4bit"}},
		{map[string]any{"quantization_config": map[string]any{"load_in_4bit": true, "bnb_4bit_quant_type": "fp4"}}, []string{"fp4"}},
		{map[string]any{"quantization_config": map[string]any{"load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": "bfloat16"}}, []string{"bnb_4bit_quant_storage"}},
	} {
		dir := t.TempDir()
		cfgWrite(t, filepath.Join(dir, "config.json"), cfgEdit(t, c.set))
		got, err := policy.LoadConfig(dir)
		if err == nil {
			t.Errorf("%v is read: %+v", c.set, got)
			continue
		}
		for _, w := range append(c.want, filepath.Join(dir, "config.json")) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v: error %q lacks %q", c.set, err, w)
			}
		}
	}
}

func TestConfigNotThere(t *testing.T) {
	if _, err := policy.LoadConfig(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := new(policy.Config).Write(t.TempDir()); err == nil {
		t.Error("an empty configuration is written")
	}
}

// The two generations of the file say the same.
func TestConfigGenerations(t *testing.T) {
	for _, name := range []string{"llama-linear", "llama3", "qwen3"} {
		dir := fixtures.Path(t, "models", name)
		old, err := policy.LoadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "config.v5.json"))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := policy.ParseConfig(text); err != nil || !reflect.DeepEqual(c, old) {
			t.Errorf("%s: %+v (%v), want %+v", name, c, err, old)
		}
	}
}

// Every fixture model: what is written is read again, and the checkpoint holds the
// tensors that the configuration asks for.
func TestConfigFixtures(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(fixtures.Path(t, "models"), "*"))
	if err != nil || len(dirs) < 9 {
		t.Fatalf("%v (%v)", dirs, err)
	}
	for _, dir := range dirs {
		c, err := policy.LoadConfig(dir)
		if err != nil {
			t.Error(err)
			continue
		}
		out := t.TempDir()
		if err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		if again, err := policy.LoadConfig(out); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s: %+v (%v), want %+v", dir, again, err, c)
		}
		if (c.Quantization != nil) != strings.HasSuffix(dir, "nf4") {
			t.Errorf("%s: quantization %+v", dir, c.Quantization)
		}
		if c.Classifier != strings.HasSuffix(dir, "seqcls") {
			t.Errorf("%s: classifier %v", dir, c.Classifier)
		}
		cfgMatchCheckpoint(t, dir, c)
	}
}

func cfgMatchCheckpoint(t *testing.T, dir string, c policy.Config) {
	s, err := lora.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := c.MatchTensors(s); err != nil {
		t.Errorf("%s: %v", dir, err)
	}
	if c.Quantization != nil {
		return // codes and scales are not counted as parameters are
	}
	n := 0
	for _, name := range s.Names() {
		x, _ := s.Tensor(name)
		n += x.Elems()
	}
	if int64(n) != c.Parameters() {
		t.Errorf("%s: %d parameters, want %d", dir, c.Parameters(), n)
	}
}

// MatchTensors lists all three kinds of difference in one error.
func TestMatchTensors(t *testing.T) {
	c := cfgParse(t, cfgEdit(t, map[string]any{"tie_word_embeddings": true}))
	var all []lora.Tensor
	for _, spec := range c.Tensors() {
		x := lora.NewF32(spec.Name, spec.Shape, make([]float32, cfgSize(spec.Shape)))
		switch spec.Name {
		case "model.norm.weight": // left out
			continue
		case "model.layers.1.self_attn.q_proj.weight":
			x.Shape = []int{32, 128}
		}
		all = append(all, x)
	}
	all = append(all, lora.NewF32("model.layers.3.mlp.up_proj.weight", []int{1}, []float32{0}))
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := lora.WriteSafetensors(path, all, nil); err != nil {
		t.Fatal(err)
	}
	s, err := lora.OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, ok := errors.AsType[*lora.Mismatch](c.MatchTensors(s))
	if !ok {
		t.Fatal("no mismatch")
	}
	if !slices.Equal(m.Missing, []string{"model.norm.weight"}) ||
		!slices.Equal(m.Unknown, []string{"model.layers.3.mlp.up_proj.weight"}) ||
		!slices.Equal(m.Misshaped, []string{"model.layers.1.self_attn.q_proj.weight: [32 128], want [64 64]"}) {
		t.Errorf("%+v", m)
	}
}

// Numbers of parameters that transformers counts for published shapes.
func TestParameters(t *testing.T) {
	for _, c := range []struct {
		name string
		set  map[string]any
		want int64
	}{
		{"Qwen2.5-0.5B", map[string]any{"model_type": "qwen2", "architectures": nil, "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
			"num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": true}, 494032768},
		{"SmolLM2-135M", map[string]any{"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
			"intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": true}, 134515008},
		{"Qwen3-8B", map[string]any{"model_type": "qwen3", "architectures": nil, "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
			"num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936}, 8190735360},
	} {
		if got := cfgParse(t, cfgEdit(t, c.set)).Parameters(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// testdata/config/inv_freq.json holds the frequencies that transformers 4.51.3
// computes (ROPE_INIT_FUNCTIONS, float32). The powers may differ by the last bit.
func TestInvFreqEqualsTransformers(t *testing.T) {
	var cases []struct {
		Name    string          `json:"name"`
		Config  json.RawMessage `json:"config"`
		InvFreq []float32       `json:"inv_freq"`
	}
	if err := json.Unmarshal(cfgRead(t, "testdata/config/inv_freq.json"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		got := cfgParse(t, c.Config).InvFreq()
		if len(got) != len(c.InvFreq) {
			t.Fatalf("%s: %d frequencies, want %d", c.Name, len(got), len(c.InvFreq))
		}
		for i, f := range got {
			if d := math.Abs(float64(f)/float64(c.InvFreq[i]) - 1); d > 2.4e-7 {
				t.Errorf("%s: frequency %d is %g, want %g (%g)", c.Name, i, f, c.InvFreq[i], d)
			}
		}
	}
}

func TestQuantizationFields(t *testing.T) {
	c := cfgParse(t, cfgEdit(t, map[string]any{"quantization_config": map[string]any{
		"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true,
		"bnb_4bit_compute_dtype": "bfloat16", "llm_int8_skip_modules": []string{"lm_head"}}}))
	want := policy.Quantization{DoubleQuant: true, ComputeDType: "bfloat16", SkipModules: []string{"lm_head"}}
	if !reflect.DeepEqual(*c.Quantization, want) {
		t.Errorf("%+v, want %+v", *c.Quantization, want)
	}
}

func cfgParse(t testing.TB, text []byte) policy.Config {
	t.Helper()
	c, err := policy.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func cfgSize(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func cfgRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func cfgWrite(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
