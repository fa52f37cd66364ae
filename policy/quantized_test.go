package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/lora"
)

// nf4Dir is a model that transformers stored in 4 bits.
func nf4Dir(t *testing.T) string { return fixtures.PathOr(t, "models", "qwen2-nf4") }

// nf4Reference returns the tokens and logits that PyTorch computed with it.
func nf4Reference(t *testing.T) (ids []int, logits []float32) {
	t.Helper()
	s, err := lora.OpenSafetensors(filepath.Join(nf4Dir(t), "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tokens, _ := s.Tensor("ids")
	for b := range slices.Chunk(tokens.Data, 4) { // int32, little-endian
		ids = append(ids, int(b[0])|int(b[1])<<8)
	}
	x, _ := s.Tensor("logits")
	if logits, err = x.Floats(); err != nil {
		t.Fatal(err)
	}
	return ids, logits
}

func logitsOf(t *testing.T, base *Base, ids []int) []float32 {
	t.Helper()
	p, err := New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := p.Logits(context.Background(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return flatten(logits)
}

// A checkpoint in 4 bits gives the reference's logits under every kind that keeps its
// numbers, the same bits under each on one CPU; the memory is what codes and
// scales take.
func TestNF4CheckpointEqualsTheReference(t *testing.T) {
	ids, want := nf4Reference(t)
	for _, engine := range wholeEngines() {
		var first []float32
		for _, kind := range []lora.Kind{lora.NF4, lora.NF4Single, lora.BF16, lora.F32} {
			eng := openEngine(t, engine)
			base, err := LoadBase(eng, nf4Dir(t), kind)
			if err != nil {
				t.Fatal(err)
			}
			got := logitsOf(t, base, ids)
			what := fmt.Sprintf("%s, %v", engine, kind)
			within(t, what, got, want, logitTolerance)
			if first == nil {
				first = got
			}
			sameBits := 0.0
			if strings.HasPrefix(engine, "cuda:") { // where the order of sums depends on the kind
				sameBits = logitTolerance
			}
			within(t, what+" against nf4", got, first, sameBits)
			if kept := base.layers[0].q.w.Kind(); kind == lora.NF4Single && kept != lora.NF4 {
				t.Errorf("%s: stored with double quantisation, kept as %v", what, kept)
			}
			if base.embed.Kind() == lora.NF4 || base.head.Kind() == lora.NF4 {
				t.Errorf("%s: embedding or head was quantised", what)
			}
		}
	}
}

// wholeEngines lists the exact engines that round nothing whatever the kind of a weight.
func wholeEngines() []string {
	return slices.DeleteFunc(exactEngines(), func(name string) bool { return strings.HasSuffix(name, "bf16") })
}

// roundings returns a bound of the relative error that an engine's roundings to bfloat16
// leave in gradients, to first order: each product with a weight, forward and back, rounds
// what it multiplies by 2⁻⁸ of its size at most, and the weight too where that is codes.
// Operations one by one are held to sharper bounds by the suite of package lora.
func roundings(engine string, kind lora.Kind, products int) float64 {
	switch {
	case kind == lora.BF16 && strings.HasSuffix(engine, "bf16"):
		return 0x1p-8 * float64(2*products)
	case kind.Quantized() && strings.HasSuffix(engine, "amxbf16"):
		return 0x1p-8 * float64(4*products)
	}
	return 0
}

// Exported, a model in 4 bits becomes a plain one of the same numbers.
func TestExportOfNF4KeepsTheNumbers(t *testing.T) {
	ids, want := nf4Reference(t)
	eng := openEngine(t, "cpu:generic")
	base, err := LoadBase(eng, nf4Dir(t), lora.NF4)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := p.Export(dir, lora.DTypeBF16); err != nil {
		t.Fatal(err)
	}
	plain, err := LoadBase(eng, dir, lora.F32)
	if err != nil {
		t.Fatal(err)
	}
	if plain.Config().Quantization != nil {
		t.Error("the exported configuration says that weights are quantised")
	}
	got := logitsOf(t, plain, ids)
	within(t, "logits of the exported model", got, want, logitTolerance)
	within(t, "against the base", got, logitsOf(t, base, ids), 0)
}

// Quantising the plain checkpoint, at load, gives the codes that transformers stored
// for it, and scales that differ at most by one code in the last place.
func TestNF4MadeAtLoadEqualsTheCheckpoint(t *testing.T) {
	plain, err := lora.OpenModel(fixtures.Path(t, "models", "qwen2-untied-bf16-sharded"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	stored, err := lora.OpenModel(nf4Dir(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stored.Close()
	matrices := 0
	for _, name := range plain.Names() {
		want, ok, err := stored.NF4(name)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		matrices++
		source, _ := plain.Tensor(name)
		got, err := lora.QuantizeNF4(source, true)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Data, want.Data) || got.NF4.Round != want.NF4.Round {
			t.Errorf("%s: codes differ, or values round to %v, not %v", name, got.NF4.Round, want.NF4.Round)
		}
		for b, code := range want.NF4.AbsmaxCodes {
			if d := int(got.NF4.AbsmaxCodes[b]) - int(code); d < -1 || d > 1 {
				t.Errorf("%s: scale %d has code %d, want %d", name, b, got.NF4.AbsmaxCodes[b], code)
			}
		}
	}
	if matrices != 3*7 {
		t.Errorf("%d matrices are in 4 bits, want all 21 of 3 layers", matrices)
	}
}

// quantizedPolicy is tinyPolicy over a base of another kind.
func quantizedPolicy(t *testing.T, engine string, kinds kindsOf) *Policy {
	t.Helper()
	cfg := tinyConfig(Qwen3)
	base, err := newBase(openEngine(t, engine), cfg, kinds, func(name string, shape []int) (lora.Tensor, bool) {
		return initial(name, shape, cfg.InitializerRange, lora.Key{Seed: 7, Purpose: lora.ForInit, Index: uint32(len(name) + shape[0])}), true
	})
	if err != nil {
		t.Fatal(err)
	}
	return tinyPolicy(t, base, false)
}

// quantizedStep runs one step on two sequences that share a beginning.
func quantizedStep(t *testing.T, p *Policy) float64 {
	t.Helper()
	loss, err := p.Step(context.Background(), newForest(t, Example{[]int{2, 5, 7, 9, 3}, 2}, Example{[]int{2, 5, 7, 4, 4, 1}, 3}), CrossEntropy{})
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

// Gradients of an adapter over a base of each kind are those of the float64 engine
// over the same kind, on every engine.
func TestAdapterGradientsOverEveryKind(t *testing.T) {
	eightBits := lora.Int8
	cases := map[string]kindsOf{"nf4, vocabulary int8": {blocks: lora.NF4, vocabulary: &eightBits}}
	for _, kind := range lora.Kinds() {
		cases[kind.String()] = kindsOf{blocks: kind}
	}
	for kind, kinds := range cases {
		want := quantizedPolicy(t, "float64", kinds)
		loss := quantizedStep(t, want)
		for _, engine := range exactEngines() {
			got := quantizedPolicy(t, engine, kinds)
			rounded := roundings(engine, kinds.blocks, 7*got.Base().Config().Layers+1)
			closeTo(t, kind+" loss", quantizedStep(t, got), loss, lossTolerance+rounded, 0)
			for i, param := range got.Adapter().Params() {
				reference := want.Adapter().Params()[i]
				g, w := readView(t, got.Engine(), param.Grad), readView(t, want.Engine(), reference.Grad)
				if d := relative(g, w); !(d <= gradTolerance+rounded) {
					t.Errorf("%s, %v: gradient of %s: relative difference %.2g", engine, kind, param.Name, d)
				}
			}
		}
	}
}

// Those of the float64 engine over a quantised base are the slopes of its loss.
func TestQuantizedGradientsAreSlopes(t *testing.T) {
	const h = 1.0 / (1 << 10) // the difference's own error is of the order of h²
	for _, kind := range []lora.Kind{lora.NF4, lora.Int8} {
		p := quantizedPolicy(t, "float64", kindsOf{blocks: kind})
		quantizedStep(t, p)
		var grads [][]float32 // before further steps add to them
		for _, param := range p.Adapter().Params() {
			grads = append(grads, readView(t, p.Engine(), param.Grad))
		}
		for i, param := range p.Adapter().Params()[:6] {
			values := readView(t, p.Engine(), param.Value)
			lossAt := func(x float32) float64 {
				moved := slices.Clone(values)
				moved[1] += x
				p.Engine().Write(param.Value, moved)
				return quantizedStep(t, p)
			}
			slope := (lossAt(h) - lossAt(-h)) / (2 * h)
			lossAt(0)
			closeTo(t, fmt.Sprintf("%v: gradient of %s", kind, param.Name), float64(grads[i][1]), slope, 1e-3, 1e-5)
		}
	}
}

// An adapter learns over a base in 4 bits, which stays as it is.
func TestAdapterLearnsOverNF4(t *testing.T) {
	p := quantizedPolicy(t, "cpu", kindsOf{blocks: lora.NF4})
	bare := logitsOf(t, p.Base(), []int{2, 5, 7})
	opt := lora.NewAdamW(p.Adapter(), lora.AdamWConfig{})
	first, last := 0.0, 0.0
	for i := range 12 {
		last = quantizedStep(t, p)
		if i == 0 {
			first = last
		}
		if _, err := opt.Step(0.02); err != nil {
			t.Fatal(err)
		}
	}
	if !(last < 0.7*first) {
		t.Errorf("loss goes from %.3f to %.3f in 12 steps", first, last)
	}
	within(t, "the base's logits after training", logitsOf(t, p.Base(), []int{2, 5, 7}), bare, 0)
}

// A checkpoint in 4 bits that lacks a part, or whose part does not fit, is refused by
// name.
func TestNF4CheckpointErrors(t *testing.T) {
	const q = "model.layers.1.self_attn.q_proj.weight"
	remove := func(lora.Tensor) (lora.Tensor, bool) { return lora.Tensor{}, false }
	retype := func(t lora.Tensor) (lora.Tensor, bool) {
		return lora.Tensor{Name: t.Name, DType: lora.DTypeU8, Shape: []int{len(t.Data)}, Data: t.Data}, true
	}
	replace := func(old, text string) func(lora.Tensor) (lora.Tensor, bool) {
		return func(t lora.Tensor) (lora.Tensor, bool) {
			t.Data = []byte(strings.Replace(string(t.Data), old, text, 1))
			t.Shape = []int{len(t.Data)}
			return t, true
		}
	}
	shorten := func(t lora.Tensor) (lora.Tensor, bool) {
		t.Shape, t.Data = []int{1}, t.Data[:t.DType.Size()]
		return t, true
	}
	const state = q + ".quant_state.bitsandbytes__nf4"
	for _, c := range []struct {
		part string
		edit func(lora.Tensor) (lora.Tensor, bool)
		want string
	}{
		{q + ".absmax", remove, `"` + q + `.absmax" is missing`},
		{q + ".absmax", shorten, "1 scales"},
		{q + ".nested_quant_map", remove, `nested_quant_map" is missing`},
		{q + ".nested_quant_map", retype, "has type U8, want F32"},
		{q + ".quant_map", shorten, "want 16 elements"},
		{q, shorten, "1 bytes of U8"},
		{state, remove, "of another shape: " + q},
		{state, replace("nf4", "fp4"), "quant_type: fp4: must be nf4"},
		{state, replace(`"blocksize": 64`, `"blocksize": 128`), "blocksize: 128: must be 64"},
		{state, replace(`"nested_blocksize": 256`, `"nested_blocksize": 512`), "nested_blocksize"},
		{state, replace("bfloat16", "int3"), "dtype: int3: must be"},
		{state, replace("[64, 64]", "[32, 128]"), q + ": [32 128], want [64 64]"},
		{state, replace("[64, 64]", "[-64, -64]"), "shape: [-64 -64]"},
		{state, replace("{", "["), state},
	} {
		dir := editedCheckpoint(t, nf4Dir(t), c.part, c.edit)
		_, err := LoadBase(openEngine(t, "cpu"), dir, lora.NF4)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one that names the file and says %q", c.part, err, c.want)
		}
	}
}

// editedCheckpoint copies a model with one tensor changed or left out.
func editedCheckpoint(t *testing.T, from, part string, edit func(lora.Tensor) (lora.Tensor, bool)) string {
	t.Helper()
	s, err := lora.OpenModel(from)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var tensors []lora.Tensor
	for _, name := range s.Names() {
		x, keep := s.Tensor(name)
		if name == part {
			x, keep = edit(x)
		}
		if keep {
			tensors = append(tensors, x)
		}
	}
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(from, "config.json"))
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644),
		lora.WriteSafetensors(filepath.Join(dir, "model.safetensors"), tensors, nil)); err != nil {
		t.Fatal(err)
	}
	return dir
}
