package policy

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/socialrl/socialrl/lora"
)

// TensorSpec is one tensor of a checkpoint: its name and shape there.
type TensorSpec struct {
	Name  string
	Shape []int
	// Optional tensors may be absent and are not read: the second copy of a tied
	// head, tables that older programs saved.
	Optional bool
}

// Tensors lists what a checkpoint of this configuration holds, in the order of the
// computation: embedding, layers, final norm, head. Matrices are [out, in].
func (c Config) Tensors() []TensorSpec {
	var l cfgTensors
	l.add("model.embed_tokens.weight", c.VocabSize, c.HiddenSize)
	for i := range c.Layers {
		l.layer(c, i)
	}
	l.add("model.norm.weight", c.HiddenSize)
	l.head(c)
	return l.specs
}

// cfgTensors builds the list.
type cfgTensors struct{ specs []TensorSpec }

func (l *cfgTensors) add(name string, shape ...int) {
	l.specs = append(l.specs, TensorSpec{Name: name, Shape: shape})
}

func (l *cfgTensors) optional(name string, shape ...int) {
	l.specs = append(l.specs, TensorSpec{Name: name, Shape: shape, Optional: true})
}

// linear adds weight [out, in] and, with bias, bias [out].
func (l *cfgTensors) linear(module string, out, in int, bias bool) {
	l.add(module+".weight", out, in)
	if bias {
		l.add(module+".bias", out)
	}
}

func (l *cfgTensors) layer(c Config, i int) {
	at := "model.layers." + strconv.Itoa(i)
	d, f := c.HiddenSize, c.IntermediateSize
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	linear := func(name string, out, in int, bias bool) { l.linear(lora.LinearModule(i, name), out, in, bias) }
	l.add(at+".input_layernorm.weight", d)
	linear("q_proj", q, d, c.QKVBias())
	linear("k_proj", kv, d, c.QKVBias())
	linear("v_proj", kv, d, c.QKVBias())
	linear("o_proj", d, q, c.OBias())
	if c.QKNorm() {
		l.add(at+".self_attn.q_norm.weight", c.HeadDim)
		l.add(at+".self_attn.k_norm.weight", c.HeadDim)
	}
	l.optional(at+".self_attn.rotary_emb.inv_freq", c.HeadDim/2)
	l.add(at+".post_attention_layernorm.weight", d)
	linear("gate_proj", f, d, c.MLPBias)
	linear("up_proj", f, d, c.MLPBias)
	linear("down_proj", d, f, c.MLPBias)
}

func (l *cfgTensors) head(c Config) {
	if c.Classifier {
		l.add(lora.HeadModule+".weight", 1, c.HiddenSize)
	}
	if c.Classifier || c.TieEmbeddings {
		l.optional("lm_head.weight", c.VocabSize, c.HiddenSize)
	} else {
		l.add("lm_head.weight", c.VocabSize, c.HiddenSize)
	}
}

// Parameters returns the number of weights, each counted once: a tied head adds
// nothing.
func (c Config) Parameters() int64 {
	total := int64(0)
	for _, t := range c.Tensors() {
		n := int64(1)
		for _, d := range t.Shape {
			n *= int64(d)
		}
		if !t.Optional {
			total += n
		}
	}
	return total
}

// MatchTensors checks that the set holds the tensors of the configuration in their
// shapes. All that are missing, unknown or of another shape are listed in one
// error, a [lora.Mismatch]. Where the configuration says that weights are quantised, a
// matrix may be in 4 bits (see [lora.Safetensors.NF4]); it has the shape of what it
// stands for.
func (c Config) MatchTensors(s *lora.Safetensors) error {
	var missing, unknown, misshaped []string
	known := map[string]bool{}
	for _, want := range c.Tensors() {
		known[want.Name] = true
		t, ok := s.Tensor(want.Name)
		if c.Quantization != nil {
			q, quantized, err := s.NF4(want.Name)
			if err != nil {
				return err
			}
			if quantized {
				t = q
				for _, part := range lora.NF4Parts(want.Name, q.NF4.Double()) {
					known[part] = true
				}
			}
		}
		switch {
		case !ok && !want.Optional:
			missing = append(missing, want.Name)
		case ok && !slices.Equal(t.Shape, want.Shape):
			misshaped = append(misshaped, fmt.Sprintf("%s: %v, want %v", want.Name, t.Shape, want.Shape))
		}
	}
	for _, name := range s.Names() {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	return lora.MismatchError(s.Path(), missing, unknown, misshaped)
}
