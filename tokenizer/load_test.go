package tokenizer

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// valid is the smallest tokenizer.json: two letters and their pair.
func valid() map[string]any {
	return map[string]any{
		"added_tokens":  []any{map[string]any{"id": 3, "content": "<e>", "special": true}},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"model":         model(nil),
	}
}

// model is a model with some fields changed.
func model(change map[string]any) map[string]any {
	m := map[string]any{"type": "BPE", "vocab": map[string]any{"a": 0, "b": 1, "ab": 2}, "merges": []any{"a b"}}
	maps.Copy(m, change)
	return m
}

func part(kind string, fields ...any) map[string]any {
	m := map[string]any{"type": kind}
	for i := 0; i < len(fields); i += 2 {
		m[fields[i].(string)] = fields[i+1]
	}
	return m
}

// TestRefused: what is not supported, or wrong, is refused by name.
func TestRefused(t *testing.T) {
	byteLevel := part("ByteLevel")
	split := func(p, behavior string) map[string]any {
		return part("Sequence", "pretokenizers", []any{part("Split", "pattern", map[string]any{"Regex": p}, "behavior", behavior), byteLevel})
	}
	for _, c := range []struct {
		field string
		value any
		want  string
	}{
		{"model", model(map[string]any{"type": "WordPiece"}), `model type "WordPiece"`},
		{"model", map[string]any{"type": "Unigram", "vocab": []any{[]any{"a", -1.5}}}, `model type "Unigram"`},
		{"model", model(map[string]any{"byte_fallback": true}), "byte_fallback"},
		{"model", model(map[string]any{"dropout": 0.1}), "dropout"},
		{"model", model(map[string]any{"end_of_word_suffix": "</w>"}), "end_of_word_suffix"},
		{"model", model(map[string]any{"continuing_subword_prefix": "##"}), "continuing_subword_prefix"},
		{"model", model(map[string]any{"unk_token": "<u>"}), `unk_token "<u>"`},
		{"model", model(map[string]any{"merges": []any{"a b c"}}), `merges[0]: "a b c"`},
		{"model", model(map[string]any{"merges": []any{"a b", "b c"}}), `merges[1]: "c" is not in the vocabulary`},
		{"model", model(map[string]any{"merges": []any{[]any{"b", "a"}}}), `merges[0]: "b" and "a" make`},
		{"model", model(map[string]any{"merges": []any{[]any{"a", "b", "c"}}}), "more than two tokens"},
		{"model", model(map[string]any{"vocab": map[string]any{"a": -1}}), `the id of "a"`},
		{"model", model(map[string]any{"vocab": map[string]any{"a": 1.5}}), `the id of "a"`},
		{"model", model(map[string]any{"vocab": map[string]any{"a": 900000000}}), "out of range"},
		{"model", model(map[string]any{"vocab": map[string]any{"a": 0, "b": 0}}), "the id 0 belongs to"},
		{"model", map[string]any{"type": "BPE"}, "no vocab"},
		{"added_tokens", []any{map[string]any{"id": 9, "content": "ab"}}, `"ab" has the ids 2 and 9`},
		{"normalizer", part("NFKC"), `normalizer "NFKC"`},
		{"normalizer", part("Sequence", "normalizers", []any{part("NFC"), part("Lowercase")}), `normalizer "Lowercase"`},
		{"pre_tokenizer", part("Metaspace"), "[Metaspace] does not end in ByteLevel"},
		{"pre_tokenizer", nil, "does not end in ByteLevel"},
		{"pre_tokenizer", part("Sequence", "pretokenizers", []any{part("Whitespace"), byteLevel}), `pre_tokenizer "Whitespace"`},
		{"pre_tokenizer", split(`\w+`, "Isolated"), `pattern "\\w+"`},
		{"pre_tokenizer", split(patternOne, "Removed"), "behavior"},
		{"pre_tokenizer", part("Sequence", "pretokenizers", []any{part("Split", "pattern", map[string]any{"String": " "}, "behavior", "Isolated"), byteLevel}), "pattern \"String\""},
		{"decoder", part("WordPiece"), `decoder "WordPiece"`},
		{"decoder", nil, "decoder"},
		{"post_processor", part("BertProcessing"), `post_processor "BertProcessing"`},
		{"post_processor", part("TemplateProcessing", "single", []any{}), "no sequence A"},
		{"post_processor", part("TemplateProcessing", "single", []any{map[string]any{"SpecialToken": map[string]any{"id": "<s>"}}}), `"<s>"`},
		{"post_processor", part("TemplateProcessing", "single", []any{map[string]any{"SpecialToken": map[string]any{"id": "<e>"}}, map[string]any{"Sequence": map[string]any{"id": "A"}}},
			"special_tokens", map[string]any{"<e>": map[string]any{"ids": []any{77}}}), "the id 77"},
	} {
		f := valid()
		f[c.field] = c.value
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(data); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tokenizer.json") {
			t.Errorf("%s: error %v, want one with %q", c.field, err, c.want)
		}
	}
}

// TestConfig: errors in tokenizer_config.json name the field.
func TestConfig(t *testing.T) {
	data, err := json.Marshal(valid())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ config, want string }{
		{`{`, "tokenizer_config.json"},
		{`{"eos_token": "</s>"}`, `eos_token "</s>" is not in the vocabulary`},
		{`{"eos_token": 5}`, "eos_token"},
		{`{"chat_template": "{% if %}"}`, `chat template "default"`},
		{`{"chat_template": {"a": 1}}`, "chat_template"},
	} {
		if _, err := New(data, WithConfig([]byte(c.config))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.config, err, c.want)
		}
	}
}

// TestLoad reads a model directory; the template in a file of its own comes first.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("empty directory: %v", err)
	}
	data, err := json.Marshal(valid())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(tokenizerFile, string(data))
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tok.EOS(); ok || tok.HasTemplate() {
		t.Error("without a configuration there are no roles and no template")
	}
	if _, err := tok.Render(nil); err == nil || !strings.Contains(err.Error(), "no chat template") {
		t.Errorf("Render without a template: %v", err)
	}
	write(configFile, `{"eos_token": {"content": "<e>"}, "pad_token": "a", "bos_token": null, "chat_template": "config"}`)
	write(templateFile, "file {{ eos_token }}{{ bos_token is defined }}")
	if tok, err = Load(dir); err != nil {
		t.Fatal(err)
	}
	if text, err := tok.Render(nil); text != "file <e>False" || err != nil {
		t.Errorf("Render = %q, %v", text, err)
	}
	eos, _ := tok.EOS()
	pad, _ := tok.PAD()
	if _, ok := tok.BOS(); eos != 3 || pad != 0 || ok {
		t.Errorf("EOS %d, PAD %d, BOS %t", eos, pad, ok)
	}
}

// TestConfiguredTokens: tokens that only the configuration lists are found in text.
func TestConfiguredTokens(t *testing.T) {
	data, err := json.Marshal(valid())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := New(data, WithConfig([]byte(`{"added_tokens_decoder": {"3": {"content": "<e>"}, "4": {"content": "<x>", "special": true}}, "eos_token": "<x>"}`)))
	if err != nil {
		t.Fatal(err)
	}
	if ids := tok.Encode("ab<x>a<e>"); !slices.Equal(ids, []int{2, 4, 0, 3}) || !tok.IsSpecial(4) || !tok.IsSpecial(3) {
		t.Errorf("Encode = %v", ids)
	}
}

// TestVocabulary: ids with gaps, tokens and bytes.
func TestVocabulary(t *testing.T) {
	f := valid()
	f["model"] = model(map[string]any{"vocab": map[string]any{"a": 0, "b": 1, "ab": 2, "Ġ": 7}})
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	if n := tok.VocabSize(); n != 8 {
		t.Errorf("VocabSize = %d, want the greatest id and one", n)
	}
	if s, b := tok.Token(7), string(tok.Bytes(7)); s != "Ġ" || b != " " {
		t.Errorf("token 7 is %q for the bytes %q", s, b)
	}
	if id, ok := tok.ID("Ġ"); id != 7 || !ok {
		t.Errorf("ID = %d, %t", id, ok)
	}
	if tok.Token(5) != "" || tok.Token(-1) != "" || tok.Token(8) != "" || tok.Decode([]int{5, -1, 99, 0}) != "a" {
		t.Error("ids that no token has give nothing")
	}
	if !tok.IsSpecial(3) || tok.IsSpecial(2) || tok.IsSpecial(99) {
		t.Error("<e> alone is special")
	}
}
