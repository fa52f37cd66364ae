package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
)

// reference holds texts and ids of the Python tokenizers library.
type reference struct {
	Tokenizer string
	Cases     []struct {
		Text               string
		IDs                []int
		WithSpecial        []int  `json:"with_special"`
		Decoded            string // of IDs
		DecodedSkipSpecial string `json:"decoded_skip_special"`
	}
	Decode []struct { // id lists that begin or end inside a character
		IDs  []int
		Text string
	}
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func loadFile(t testing.TB, path string, opts ...Option) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := New(data, opts...)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return tok
}

// TestReference compares every string, in both directions, with the Python
// library: for the tokenizer of this package's testdata, and for those of the
// fixtures where they are configured.
func TestReference(t *testing.T) {
	paths := []string{"testdata/tiny.json", "testdata/tiny-llama3.json", "testdata/tiny-digits.json"}
	if fixtures.Set() {
		for _, name := range []string{"gpt2", "llama3", "smollm2", "qwen2.5"} {
			paths = append(paths, fixtures.Path(t, "tokenizer", name+".json"))
		}
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { compare(t, path) })
	}
}

func compare(t *testing.T, path string) {
	var ref reference
	readJSON(t, path, &ref)
	tok := loadFile(t, filepath.Join(filepath.Dir(path), ref.Tokenizer))
	for _, c := range ref.Cases {
		if got := tok.Encode(c.Text); !slices.Equal(got, c.IDs) {
			t.Errorf("Encode(%.60q) = %v, want %v", c.Text, got, c.IDs)
		}
		if got := tok.Encode(c.Text, AddSpecial); !slices.Equal(got, c.WithSpecial) {
			t.Errorf("Encode(%.60q, AddSpecial) = %v, want %v", c.Text, got, c.WithSpecial)
		}
		if got := tok.Decode(c.IDs); got != c.Decoded {
			t.Errorf("Decode of %.60q = %.60q, want %.60q", c.Text, got, c.Decoded)
		}
		if got := tok.Decode(c.IDs, SkipSpecial); got != c.DecodedSkipSpecial {
			t.Errorf("Decode of %.60q, SkipSpecial = %.60q, want %.60q", c.Text, got, c.DecodedSkipSpecial)
		}
	}
	for _, c := range ref.Decode {
		if got := tok.Decode(c.IDs); got != c.Text {
			t.Errorf("Decode(%v) = %q, want %q", c.IDs, got, c.Text)
		}
	}
}

// TestQwenDirectory loads a real model directory: roles, and the template in its
// configuration.
func TestQwenDirectory(t *testing.T) {
	tok, err := Load(fixtures.Data(t, "qwen2.5"))
	if err != nil {
		t.Fatal(err)
	}
	eos, _ := tok.EOS()
	if token := tok.Token(eos); token != "<|im_end|>" && token != "<|endoftext|>" {
		t.Errorf("EOS is %q", token)
	}
	if n := tok.VocabSize(); n != 151665 {
		t.Errorf("VocabSize = %d", n)
	}
	text, err := tok.Render([]Message{{Role: "system", Content: "S"}, {Role: "user", Content: "U"}}, GenerationPrompt())
	if want := "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"; text != want || err != nil {
		t.Errorf("Render = %q, %v", text, err)
	}
	if ids := tok.Encode(text); tok.Decode(ids) != text {
		t.Errorf("Decode(%v) = %q", ids, tok.Decode(ids))
	}
}
