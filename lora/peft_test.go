package lora_test

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
)

// peftConfig is adapter_config.json with defaults and some keys set.
func peftConfig(t testing.TB, set map[string]any) []byte {
	t.Helper()
	m := map[string]any{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": []string{"q_proj", "v_proj"}}
	for k, v := range set {
		m[k] = v
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What a file says and what comes of it.
func TestParseAdapterConfig(t *testing.T) {
	base := lora.Config{Rank: 4, Alpha: 8, Targets: lora.QV}
	with := func(f func(*lora.Config)) lora.Config { c := base; f(&c); return c }
	for _, c := range []struct {
		why  string
		set  map[string]any
		want lora.Config
	}{
		{"plain", nil, base},
		{"no task", map[string]any{"task_type": nil}, base},
		{"dropout and rank-stabilised scale", map[string]any{"lora_dropout": 0.05, "use_rslora": true},
			with(func(c *lora.Config) { c.Dropout, c.RSLoRA = 0.05, true })},
		{"every linear layer", map[string]any{"target_modules": "ALL-linear"}, with(func(c *lora.Config) { c.Targets = slices.Sorted(slices.Values(lora.AllLinear)) })},
		{"a pattern", map[string]any{"target_modules": `.*\.q_proj`}, with(func(c *lora.Config) { c.Targets, c.TargetPattern = nil, `.*\.q_proj` })},
		{"PEFT's choice", map[string]any{"target_modules": nil}, base},
		{"a name that the models lack", map[string]any{"target_modules": []string{"v_proj", "q_proj", "c_attn"}},
			with(func(c *lora.Config) { c.Targets = []string{"c_attn", "q_proj", "v_proj"} })},
		{"a reward model", map[string]any{"task_type": "SEQ_CLS", "modules_to_save": []string{"classifier", "score"}},
			with(func(c *lora.Config) { c.Head = true })},
		{"a head without a task", map[string]any{"task_type": nil, "modules_to_save": []string{"score"}}, with(func(c *lora.Config) { c.Head = true })},
		{"names without tensors", map[string]any{"modules_to_save": []string{"classifier"}}, base},
		{"unknown keys", map[string]any{"from_the_future": map[string]any{"a": 1}, "peft_version": "9.9"}, base},
		{"features switched off", map[string]any{"use_dora": false, "rank_pattern": map[string]any{}, "layers_to_transform": nil, "bias": "none", "loftq_config": map[string]any{}}, base},
		{"harmless initialisation", map[string]any{"init_lora_weights": "gaussian"}, base},
		{"base model", map[string]any{"base_model_name_or_path": "Qwen/Qwen2.5-7B-Instruct"}, with(func(c *lora.Config) { c.BaseModel = "Qwen/Qwen2.5-7B-Instruct" })},
	} {
		got, err := lora.ParseConfig(peftConfig(t, c.set))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v (%v), want %+v", c.why, got, err, c.want)
		}
	}
}

// Features that are not implemented are refused by name.
func TestRefuseAdapterConfig(t *testing.T) {
	for _, c := range []struct {
		set  map[string]any
		want string
	}{
		{map[string]any{"peft_type": "IA3"}, `peft_type: "IA3"`},
		{map[string]any{"peft_type": nil}, `peft_type: ""`},
		{map[string]any{"task_type": "TOKEN_CLS"}, `task_type: "TOKEN_CLS"`},
		{map[string]any{"use_dora": true}, "use_dora: true: DoRA"},
		{map[string]any{"use_qalora": true}, "use_qalora"},
		{map[string]any{"bias": "all"}, `bias: "all"`},
		{map[string]any{"lora_bias": true}, "lora_bias"},
		{map[string]any{"rank_pattern": map[string]int{"q_proj": 16}}, `rank_pattern: {"q_proj":16}`},
		{map[string]any{"alpha_pattern": map[string]int{"q_proj": 16}}, "alpha_pattern"},
		{map[string]any{"layers_to_transform": []int{0}}, "layers_to_transform: [0]"},
		{map[string]any{"layers_to_transform": 0}, "layers_to_transform: 0"},
		{map[string]any{"layer_replication": [][]int{{0, 4}}}, "layer_replication"},
		{map[string]any{"exclude_modules": "x"}, "exclude_modules"},
		{map[string]any{"fan_in_fan_out": true}, "fan_in_fan_out"},
		{map[string]any{"trainable_token_indices": []int{1}}, "trainable_token_indices"},
		{map[string]any{"target_parameters": []string{"x"}}, "target_parameters"},
		{map[string]any{"alora_invocation_tokens": []int{1}}, "alora_invocation_tokens"},
		{map[string]any{"init_lora_weights": "pissa_niter_4"}, `init_lora_weights: "pissa_niter_4"`},
		{map[string]any{"target_modules": []string{"q_proj", "lm_head"}}, `"lm_head"`},
		{map[string]any{"target_modules": []string{"model.embed_tokens"}}, `"model.embed_tokens"`},
		{map[string]any{"target_modules": "(?<=a)b"}, "target_modules"},
		{map[string]any{"target_modules": ""}, "target_modules"},
		{map[string]any{"target_modules": 5}, "target_modules: 5"},
		{map[string]any{"target_modules": []int{5}}, "target_modules"},
		{map[string]any{"target_modules": []string{}}, "nothing to train"},
		{map[string]any{"r": 0}, "Rank: 0"},
		{map[string]any{"r": -1}, "Rank: -1"},
		{map[string]any{"r": "8"}, "/r"},
		{map[string]any{"lora_alpha": 0}, "Alpha: 0"},
		{map[string]any{"lora_dropout": 1}, "Dropout: 1"},
	} {
		got, err := lora.ParseConfig(peftConfig(t, c.set))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %+v, error %v lacks %q", c.set, got, err, c.want)
		}
	}
	several := peftConfig(t, map[string]any{"use_dora": true, "bias": "all"})
	if _, err := lora.ParseConfig(several); err == nil || !strings.Contains(err.Error(), "use_dora") || !strings.Contains(err.Error(), "bias") {
		t.Errorf("all at once: %v", err)
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		config lora.Config
		want   float64
		why    string
	}{
		{lora.Config{Rank: 8, Alpha: 32}, 4, "alpha / r"},
		{lora.Config{Rank: 16, Alpha: 32, RSLoRA: true}, 8, "alpha / sqrt(r)"},
		{lora.Config{Rank: 3, Alpha: 6, RSLoRA: true}, 6 / math.Sqrt(3), "alpha / sqrt(r)"},
		{lora.Config{Head: true}, 0, "no branches"},
	} {
		if got := c.config.Scale(); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

// A name matches the end of a path at a dot; a pattern matches all of it.
func TestTargeted(t *testing.T) {
	var layers []string
	for i := range 11 {
		for _, name := range lora.AllLinear {
			layers = append(layers, lora.LinearModule(i, name))
		}
	}
	for _, c := range []struct {
		config lora.Config
		want   int
		why    string
	}{
		{lora.Config{Targets: lora.AllLinear}, 77, "every layer"},
		{lora.Config{Targets: lora.QV}, 22, "two of a block"},
		{lora.Config{Targets: []string{"mlp.up_proj"}}, 11, "a longer end"},
		{lora.Config{Targets: []string{"model.layers.1.self_attn.q_proj"}}, 1, "a whole path"},
		{lora.Config{Targets: []string{"proj", "up_pro", "c_attn"}}, 0, "no part ends so"},
		{lora.Config{TargetPattern: `.*layers\.1\.self_attn\.[qk]_proj`}, 2, "layer 1, not 10"},
		{lora.Config{TargetPattern: `model\.layers\.1`}, 0, "a part of the path is not enough"},
		{lora.Config{TargetPattern: `a|.*q_proj|b`}, 11, "alternatives stay together"},
	} {
		got, err := c.config.Targeted(layers)
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %d layers (%v), want %d: %v", c.why, len(got), err, c.want, got)
		}
	}
	if _, err := (lora.Config{TargetPattern: "("}).Targeted(layers); err == nil {
		t.Error("a broken pattern is accepted")
	}
}

func TestAdapterNames(t *testing.T) {
	for _, c := range []struct{ module, part, name string }{
		{lora.LinearModule(0, "q_proj"), lora.PartA, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"},
		{lora.LinearModule(27, "down_proj"), lora.PartB, "base_model.model.model.layers.27.mlp.down_proj.lora_B.weight"},
		{lora.HeadModule, lora.PartWhole, "base_model.model.score.weight"},
	} {
		if got := lora.AdapterName(c.module, c.part); got != c.name {
			t.Errorf("%s, want %s", got, c.name)
		}
		if module, part, ok := lora.ParseAdapterName(c.name); module != c.module || part != c.part || !ok {
			t.Errorf("%s: %q %q %v", c.name, module, part, ok)
		}
	}
	for _, name := range []string{
		"", "model.layers.0.self_attn.q_proj.lora_A.weight", "base_model.model.score.bias", "base_model.model.lm_head.weight",
		"base_model.model.model.embed_tokens.lora_embedding_A", "base_model.model.x.lora_magnitude_vector.weight", "base_model.model..lora_A.weight",
	} {
		if module, part, ok := lora.ParseAdapterName(name); ok {
			t.Errorf("%q is read as %q %q", name, module, part)
		}
	}
}

// Adapters that PEFT wrote are read; written again they are the same tensors and
// the same configuration.
func TestAdapterFilesRoundTrip(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(fixtures.Path(t, "models"), "*", "adapter"))
	if err != nil || len(dirs) < 8 {
		t.Fatalf("%v (%v)", dirs, err)
	}
	for _, dir := range append(dirs, fixtures.Path(t, "grpo", "adapter")) {
		c, tensors, err := lora.ReadAdapterFiles(dir)
		if err != nil {
			t.Error(err)
			continue
		}
		out := filepath.Join(t.TempDir(), "new", "adapter")
		if err := lora.WriteAdapterFiles(out, c, tensors); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"adapter_config.json", "adapter_model.safetensors"} {
			want, got := stReadText(t, filepath.Join(dir, f)), stReadText(t, filepath.Join(out, f))
			if f == "adapter_config.json" {
				peftSameJSON(t, want, got)
			} else if !slices.Equal(want, got) {
				t.Errorf("%s: %s differs", dir, f)
			}
		}
	}
}

// peftSameJSON compares two configurations; lists of names have no order.
func peftSameJSON(t *testing.T, want, got []byte) {
	read := func(text []byte) map[string]any {
		m := map[string]any{}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		names := m["target_modules"].([]any)
		slices.SortFunc(names, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		delete(m, "corda_config")
		delete(m, "eva_config")
		return m
	}
	if w, g := read(want), read(got); !reflect.DeepEqual(w, g) {
		t.Errorf("%v\nwant %v", g, w)
	}
}

// peftTiny is an adapter of one layer with a head.
func peftTiny() (lora.Config, []lora.Tensor) {
	q := lora.LinearModule(0, "q_proj")
	return lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV, Head: true}, []lora.Tensor{
		lora.NewF32(lora.AdapterName(q, lora.PartA), []int{2, 3}, make([]float32, 6)),
		lora.NewF32(lora.AdapterName(q, lora.PartB), []int{4, 2}, make([]float32, 8)),
		lora.NewF32(lora.AdapterName(lora.HeadModule, lora.PartWhole), []int{1, 3}, make([]float32, 3)),
	}
}

// An adapter with a name of its own lies in a subfolder of that name.
func TestAdapterInSubfolder(t *testing.T) {
	dir := t.TempDir()
	c, tensors := peftTiny()
	if _, _, err := lora.ReadAdapterFiles(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
	if err := lora.WriteAdapterFiles(filepath.Join(dir, "policy_adapter"), c, tensors); err != nil {
		t.Fatal(err)
	}
	stWriteText(t, filepath.Join(dir, "README.md"), "x")
	if got, _, err := lora.ReadAdapterFiles(dir); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%+v (%v), want %+v", got, err, c)
	}
	if err := lora.WriteAdapterFiles(filepath.Join(dir, "second"), c, tensors); err != nil {
		t.Fatal(err)
	}
	if _, _, err := lora.ReadAdapterFiles(dir); err == nil || !strings.Contains(err.Error(), "policy_adapter, second") {
		t.Errorf("two subfolders: %v", err)
	}
	if err := lora.WriteAdapterFiles(dir, c, tensors); err != nil {
		t.Fatal(err)
	}
	if _, _, err := lora.ReadAdapterFiles(dir); err != nil {
		t.Errorf("the directory's own adapter counts: %v", err)
	}
}

// Tensors that do not fit the configuration are listed; nothing is written.
func TestAdapterMismatch(t *testing.T) {
	k := lora.LinearModule(0, "k_proj")
	for _, c := range []struct {
		why    string
		change func(*lora.Config, []lora.Tensor) []lora.Tensor
		want   string
	}{
		{"head lost", func(_ *lora.Config, x []lora.Tensor) []lora.Tensor { return x[:2] }, "missing: base_model.model.score.weight"},
		{"half a branch", func(_ *lora.Config, x []lora.Tensor) []lora.Tensor { return x[1:] }, "missing: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"},
		{"another rank", func(c *lora.Config, x []lora.Tensor) []lora.Tensor { c.Rank = 3; return x }, "[2 3], want [3, in]"},
		{"not a target", func(_ *lora.Config, x []lora.Tensor) []lora.Tensor {
			return append(x, lora.NewF32(lora.AdapterName(k, lora.PartA), []int{2, 3}, make([]float32, 6)))
		}, "unknown: base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"},
		{"another kind", func(_ *lora.Config, x []lora.Tensor) []lora.Tensor {
			return append(x, lora.NewF32("base_model.model.lm_head.weight", []int{1}, []float32{0}))
		}, "unknown: base_model.model.lm_head.weight"},
		{"a head that is not asked for", func(c *lora.Config, x []lora.Tensor) []lora.Tensor { c.Head = false; return x }, "unknown: base_model.model.score.weight"},
		{"two labels", func(_ *lora.Config, x []lora.Tensor) []lora.Tensor {
			x[2] = lora.NewF32(x[2].Name, []int{2, 3}, make([]float32, 6))
			return x
		}, "[2 3], want [1, D]"},
		{"not floating", func(_ *lora.Config, x []lora.Tensor) []lora.Tensor {
			x[2] = lora.Tensor{Name: x[2].Name, DType: lora.DTypeI8, Shape: []int{1, 3}, Data: make([]byte, 3)}
			return x
		}, "type I8"},
	} {
		config, tensors := peftTiny()
		tensors = c.change(&config, tensors)
		dir := t.TempDir()
		if err := lora.WriteAdapterFiles(dir, config, tensors); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v lacks %q", c.why, err, c.want)
		}
		if files, _ := os.ReadDir(dir); len(files) != 0 {
			t.Errorf("%s: %v was written", c.why, files)
		}
		text, err := lora.MarshalConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		stWriteText(t, filepath.Join(dir, "adapter_config.json"), string(text))
		stWriteTest(t, filepath.Join(dir, "adapter_model.safetensors"), tensors...)
		if _, _, err := lora.ReadAdapterFiles(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, read: error %v lacks %q", c.why, err, c.want)
		}
	}
}

func TestAdapterPickled(t *testing.T) {
	dir := t.TempDir()
	stWriteText(t, filepath.Join(dir, "adapter_config.json"), string(peftConfig(t, nil)))
	stWriteText(t, filepath.Join(dir, "adapter_model.bin"), "x")
	if _, _, err := lora.ReadAdapterFiles(dir); err == nil || !strings.Contains(err.Error(), "pickled") {
		t.Errorf("%v", err)
	}
}

// FuzzAdapterConfig looks for a configuration that is accepted but invalid, or
// that cannot be written and read again.
func FuzzAdapterConfig(f *testing.F) {
	f.Add(peftConfig(f, nil))
	f.Add(peftConfig(f, map[string]any{"target_modules": "all-linear", "use_rslora": true, "task_type": "SEQ_CLS", "modules_to_save": []string{"score"}}))
	f.Add(peftConfig(f, map[string]any{"target_modules": `.*\.(q|v)_proj`, "rank_pattern": map[string]int{"x": 1}, "bias": "all"}))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := lora.ParseConfig(text)
		if err != nil {
			return
		}
		if _, err := c.Targeted([]string{lora.LinearModule(0, "q_proj")}); err != nil {
			t.Fatal(err)
		}
		out, err := lora.MarshalConfig(c)
		if err != nil {
			t.Fatalf("accepted, but not written: %v", err)
		}
		if again, err := lora.ParseConfig(out); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v (%v), want %+v", again, err, c)
		}
	})
}
