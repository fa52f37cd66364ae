package policy

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// A merged and exported model computes what base and adapter compute together.
func TestExportEqualsBaseAndAdapter(t *testing.T) {
	onReferences(t, isEither, func(t *testing.T, c referenceCase, eng lora.Engine) {
		p := c.load(t, eng, true)
		dir := t.TempDir()
		if err := p.Export(dir, lora.DTypeF32); err != nil {
			t.Fatal(err)
		}
		base, err := LoadBase(eng, dir, lora.F32)
		if err != nil {
			t.Fatal(err)
		}
		merged, err := New(base, nil)
		if err != nil {
			t.Fatal(err)
		}
		examples := c.examples()
		want, err := p.Outputs(context.Background(), examples, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := merged.Outputs(context.Background(), examples, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			within(t, "outputs", narrow(got[i]), narrow(want[i]), logitTolerance)
		}
	})
}

// Heads whose width is not the model's by their number survive: every model type has a
// place for it in config.json.
func TestExportKeepsTheWidthOfHeads(t *testing.T) {
	for _, modelType := range []string{Llama, Qwen2, Qwen3} {
		p := tinyPolicy(t, tinyBase(t, "cpu", modelType), false)
		dir := t.TempDir()
		if err := p.Export(dir, lora.DTypeF32); err != nil {
			t.Fatal(err)
		}
		base, err := LoadBase(p.Engine(), dir, lora.F32)
		if err != nil {
			t.Fatalf("%s: %v", modelType, err)
		}
		merged, err := New(base, nil)
		if err != nil {
			t.Fatal(err)
		}
		examples := []Example{{Tokens: []int{3, 1, 4, 1, 5, 9, 2, 6}, First: 1}}
		want, err := p.Outputs(context.Background(), examples, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := merged.Outputs(context.Background(), examples, 0)
		if err != nil {
			t.Fatal(err)
		}
		within(t, modelType, narrow(got[0]), narrow(want[0]), logitTolerance)
	}
}

func TestAdapterSurvivesSaveAndLoad(t *testing.T) {
	for _, head := range []bool{false, true} {
		p := tinyPolicy(t, tinyBase(t, "cpu", Qwen3), head)
		dir := t.TempDir()
		if err := SaveAdapter(p.Adapter(), dir); err != nil {
			t.Fatal(err)
		}
		a, err := LoadAdapter(p.Base(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, param := range p.Adapter().Params() {
			got := readView(t, p.Engine(), a.Params()[i].Value)
			within(t, param.Name, got, readView(t, p.Engine(), param.Value), 0)
		}
	}
}

func TestLoadAdapterRefusesAnotherModels(t *testing.T) {
	p := tinyPolicy(t, tinyBase(t, "cpu", Qwen2), false)
	dir := t.TempDir()
	if err := SaveAdapter(p.Adapter(), dir); err != nil {
		t.Fatal(err)
	}
	cfg := tinyConfig(Qwen2)
	cfg.HiddenSize, cfg.Layers = 24, 1
	other, err := NewBase(p.Engine(), cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAdapter(other, dir); err == nil {
		t.Error("an adapter of two layers fits a model of one")
	}
}

func TestLoadBaseListsWhatDoesNotFit(t *testing.T) {
	p := tinyPolicy(t, tinyBase(t, "cpu", Qwen2), false)
	dir := t.TempDir()
	if err := p.Export(dir, lora.DTypeBF16); err != nil {
		t.Fatal(err)
	}
	cfg := p.Base().Config()
	cfg.IntermediateSize++
	cfg.Layers++
	if err := cfg.Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadBase(p.Engine(), dir, lora.F32); err == nil {
		t.Error("a checkpoint of two layers fits a configuration of three")
	}
	if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadBase(p.Engine(), dir, lora.F32); err == nil {
		t.Error("a directory without weights loads")
	}
}
