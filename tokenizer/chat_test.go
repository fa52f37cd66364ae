package tokenizer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
)

// templateCase is a rendering by the Python transformers library.
type templateCase struct {
	Name                string
	Messages            []Message
	AddGenerationPrompt bool              `json:"add_generation_prompt"`
	Tools               []json.RawMessage // nil where null
	BOS                 string            `json:"bos_token"`
	EOS                 string            `json:"eos_token"`
	DateString          string            `json:"date_string"`
	Text                *string
	Error               string // what the template raised
}

func (c *templateCase) options() []RenderOption {
	var opts []RenderOption
	if c.AddGenerationPrompt {
		opts = append(opts, GenerationPrompt())
	}
	if c.Tools != nil {
		opts = append(opts, Tools(c.Tools))
	}
	if c.DateString != "" {
		opts = append(opts, Var("date_string", c.DateString))
	}
	return opts
}

// TestTemplates compares renderings and errors with the Python library, for the
// templates of several models.
func TestTemplates(t *testing.T) {
	dir := fixtures.Path(t, "templates")
	for _, name := range []string{"qwen2.5", "qwen3", "llama3", "gemma2", "mistral", "dated"} {
		t.Run(name, func(t *testing.T) { compareTemplate(t, filepath.Join(dir, name+".json")) })
	}
}

func compareTemplate(t *testing.T, path string) {
	var ref struct {
		Template string
		Cases    []templateCase
	}
	readJSON(t, path, &ref)
	source, err := os.ReadFile(filepath.Join(filepath.Dir(path), ref.Template))
	if err != nil {
		t.Fatal(err)
	}
	tok := loadFile(t, "testdata/tiny.tokenizer.json", WithTemplate(string(source)))
	for _, c := range ref.Cases {
		tok.config.special = map[string]string{"bos_token": c.BOS, "eos_token": c.EOS}
		text, err := tok.Render(c.Messages, c.options()...)
		raised := new(TemplateError)
		switch {
		case c.Text == nil && !errors.As(err, &raised):
			t.Errorf("%s: %q, %v; want the error %q", c.Name, text, err, c.Error)
		case c.Text == nil && raised.Message != c.Error:
			t.Errorf("%s: error %q, want %q", c.Name, raised.Message, c.Error)
		case c.Text != nil && (err != nil || text != *c.Text):
			t.Errorf("%s: %v\n got %q\nwant %q", c.Name, err, text, *c.Text)
		}
	}
}
