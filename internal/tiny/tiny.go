// Package tiny makes a model directory of a few hundred kilobytes for tests: a
// Qwen2-shaped model of random weights, a byte-level tokenizer whose tokens are the
// bytes, and a chat template of the usual form. Texts go in and come out, and a test
// takes milliseconds.
package tiny

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// Tokens behind the 256 bytes.
const (
	Start = 256 // <|im_start|>
	End   = 257 // <|im_end|>, which ends a reply
	Vocab = 258
)

// Template is the chat template, in ChatML.
const Template = `{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

// Config returns the model's configuration.
func Config() policy.Config {
	return policy.Config{ModelType: "qwen2", VocabSize: Vocab, HiddenSize: 32, IntermediateSize: 48, Layers: 2, Heads: 4, KVHeads: 2,
		HeadDim: 8, RMSNormEps: 1e-6, RopeTheta: 1e4, MaxPositions: 512, TieEmbeddings: true, EOS: []int{End}, InitializerRange: 0.02}
}

// Write writes the model directory.
func Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cfg := Config()
	if err := cfg.Write(dir); err != nil {
		return err
	}
	files := map[string]any{
		"tokenizer.json":        tokenizerFile(),
		"tokenizer_config.json": map[string]any{"eos_token": "<|im_end|>", "chat_template": Template},
	}
	for name, v := range files {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return lora.WriteSafetensors(filepath.Join(dir, "model.safetensors"), weights(cfg), nil)
}

// weights are wide enough that replies differ.
func weights(cfg policy.Config) []lora.Tensor {
	var out []lora.Tensor
	for i, spec := range cfg.Tensors() {
		if spec.Optional || strings.HasPrefix(spec.Name, "lm_head") {
			continue
		}
		n := 1
		for _, d := range spec.Shape {
			n *= d
		}
		v := make([]float32, n)
		key := lora.Key{Seed: 3, Purpose: lora.ForInit, Index: uint32(i)}
		for j := range v {
			switch {
			case len(spec.Shape) == 2:
				v[j] = float32(key.Normal(uint64(j)) / math.Sqrt(float64(spec.Shape[1])))
			case strings.HasSuffix(spec.Name, "norm.weight"):
				v[j] = 1
			}
		}
		out = append(out, lora.NewF32(spec.Name, spec.Shape, v))
	}
	return out
}

// Load opens an engine and loads the model into it, from a folder of its own. close
// gives both back and removes the folder.
func Load(engine string) (base *policy.Base, close func(), err error) {
	dir, err := os.MkdirTemp("", "tiny")
	if err != nil {
		return nil, nil, err
	}
	base, eng, err := load(engine, dir)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return base, func() { base.Close(); eng.Close(); os.RemoveAll(dir) }, nil
}

func load(engine, dir string) (*policy.Base, lora.Engine, error) {
	if err := Write(dir); err != nil {
		return nil, nil, err
	}
	eng, err := lora.Open(engine)
	if err != nil {
		return nil, nil, err
	}
	base, err := policy.LoadBase(eng, dir, lora.F32)
	if err != nil {
		return nil, nil, errors.Join(err, eng.Close())
	}
	return base, eng, nil
}

// Base is [Load] for the length of a test.
func Base(t testing.TB, engine string) *policy.Base {
	t.Helper()
	base, closeBase, err := Load(engine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeBase)
	return base
}

// tokenizerFile is tokenizer.json: byte-level, without merges.
func tokenizerFile() map[string]any {
	vocab := map[string]int{}
	for b, r := range alphabet() {
		vocab[string(r)] = b
	}
	special := func(id int, content string) map[string]any {
		return map[string]any{"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
	}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}
	return map[string]any{
		"version": "1.0", "added_tokens": []any{special(Start, "<|im_start|>"), special(End, "<|im_end|>")},
		"pre_tokenizer": level, "decoder": level,
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
	}
}

// alphabet returns the character that byte-level tokenizers write for each byte:
// itself where it is printable, and otherwise the next from U+0100 on.
func alphabet() [256]rune {
	var out [256]rune
	next := rune(256)
	for b := range out {
		if '!' <= b && b <= '~' || 0xa1 <= b && b <= 0xac || 0xae <= b {
			out[b] = rune(b)
			continue
		}
		out[b] = next
		next++
	}
	return out
}
