package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/lora"
)

// carried are the files that an exported model takes over from its base as they are.
var carried = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"}

// Export writes the policy as a Hugging Face model directory of its own: base and
// adapter merged, W + Scale·B·A for every adapted layer, in the given type (lora.DTypeF32
// or lora.DTypeBF16). A policy with a scalar head becomes a sequence-classification
// model. The tokenizer's files are copied from the directory that the base was read
// from. Merging rounds once more: to continue training, keep the adapter.
func (p *Policy) Export(dir string, dtype lora.DType) error {
	if dtype != lora.DTypeF32 && dtype != lora.DTypeBF16 {
		return fmt.Errorf("policy: cannot export as %v, want F32 or BF16", dtype)
	}
	cfg := p.base.cfg
	cfg.Classifier = p.net.score.W != nil
	cfg.DType = map[lora.DType]string{lora.DTypeF32: "float32", lora.DTypeBF16: "bfloat16"}[dtype]
	cfg.Quantization = nil
	var tensors []lora.Tensor
	for _, spec := range cfg.Tensors() {
		if !spec.Optional {
			tensors = append(tensors, lora.Tensor{Name: spec.Name, DType: dtype, Shape: spec.Shape})
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := cfg.Write(dir); err != nil {
		return err
	}
	if err := p.base.carry(dir); err != nil {
		return err
	}
	return lora.StreamSafetensors(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"}, p.merged)
}

// carry copies the files beside the weights.
func (b *Base) carry(dir string) error {
	if b.dir == "" {
		return nil
	}
	for _, name := range carried {
		data, err := os.ReadFile(filepath.Join(b.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := atomicfile.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// merged returns the bytes of one tensor of the merged model.
func (p *Policy) merged(t lora.Tensor) ([]byte, error) {
	eng := p.base.eng
	defer eng.Reset(eng.Mark())
	rows, cols := 1, t.Shape[len(t.Shape)-1]
	if len(t.Shape) == 2 {
		rows = t.Shape[0]
	}
	v := eng.Temp(rows, cols)
	if err := p.mergedView(v, t.Name); err != nil {
		return nil, err
	}
	values := make([]float32, v.Len())
	if err := eng.Read(values, v); err != nil {
		return nil, err
	}
	if t.DType == lora.DTypeBF16 {
		return lora.NewBF16(t.Name, t.Shape, values).Data, nil
	}
	return lora.NewF32(t.Name, t.Shape, values).Data, nil
}

func (p *Policy) mergedView(dst lora.View, name string) error {
	eng := p.base.eng
	r := resolver{base: p.base, adapter: p.adapter}
	whole := r.param(name)
	if whole == nil && name == scoreName {
		whole = r.param(lora.AdapterName(lora.HeadModule, lora.PartWhole))
	}
	switch {
	case whole != nil:
		eng.Copy(dst, whole.Value)
	case p.base.lookup(name).present():
		p.base.copyOut(dst, name)
	default:
		return fmt.Errorf("policy: neither adapter nor base has %s", name)
	}
	p.addBranch(dst, name)
	return nil
}

// addBranch adds Scale·B·A to the weight of an adapted layer.
func (p *Policy) addBranch(dst lora.View, name string) {
	l := p.net.linearOf(name)
	if l == nil || l.A.IsNone() {
		return
	}
	eng := p.base.eng
	b := eng.Temp(l.B.Rows, l.B.Cols)
	eng.Copy(b, l.B)
	eng.Scale(b, l.Scale)
	unread := eng.Temp(dst.Rows, dst.Cols) // the input, which only parameter gradients read
	eng.LinearBack(dst, b, unread, &lora.Linear{W: eng.ViewWeight(l.A)}, lora.View{}, true)
}

// linearOf returns the linear layer whose weight has the given name in a
// checkpoint, or nil.
func (n *net) linearOf(name string) *lora.Linear {
	for i := range n.blocks {
		for j, l := range n.blocks[i].linears() {
			if name == lora.LinearModule(i, linearNames[j])+".weight" {
				return l
			}
		}
	}
	return nil
}
