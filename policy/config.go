package policy

import (
	"fmt"
	"math"
	"slices"

	"github.com/socialrl/socialrl/internal/oneline"
)

// The model types that the transformer computes, as config.json names them.
const (
	Llama = "llama" // Llama 2 and 3, SmolLM2 and others of that shape
	Qwen2 = "qwen2" // Qwen2 and Qwen2.5: biases on q, k and v
	Qwen3 = "qwen3" // dense Qwen3: RMSNorm of q and k per head
)

// The kinds of scaling of the rotary embedding, for RopeScaling.Type.
const (
	RopeDefault = ""       // none
	RopeLinear  = "linear" // inverse frequencies divided by Factor
	RopeLlama3  = "llama3" // the three-band rule of Llama 3.1
)

// Config is the shape of a decoder-only transformer, as a Hugging Face config.json
// describes it. [LoadConfig] reads one; a literal serves to make a model from
// scratch. Notation: D model width, H heads, F feed-forward width, V vocabulary,
// L layers.
type Config struct {
	// ModelType is [Llama], [Qwen2] or [Qwen3].
	ModelType string
	// Classifier says that the model ends in a scalar head read at the last token
	// ("...ForSequenceClassification" with one label) in place of the output
	// matrix of a language model ("...ForCausalLM").
	Classifier bool

	VocabSize        int // V
	HiddenSize       int // D
	IntermediateSize int // F
	Layers           int // L
	Heads            int // H, query heads
	KVHeads          int // key and value heads; H is a multiple of it
	HeadDim          int // width of a head, even; H times HeadDim need not be D

	// RMSNormEps is added to the mean square before the root.
	RMSNormEps float64
	// RopeTheta is the base of the rotary frequencies, for example 10000.
	RopeTheta float64
	// RopeScaling changes the frequencies; the zero value leaves them.
	RopeScaling RopeScaling
	// MaxPositions is the longest sequence that the model was made for, in tokens.
	MaxPositions int

	// TieEmbeddings says that the output matrix is the embedding itself.
	TieEmbeddings bool
	// AttentionBias puts biases on q, k, v and o. Not for Qwen2, which has them on
	// q, k and v whatever the flag says.
	AttentionBias bool
	// MLPBias puts biases on gate, up and down (Llama only).
	MLPBias bool

	// BOS and Pad are the begin-of-text and padding tokens, nil for none.
	BOS, Pad *int
	// EOS lists the tokens that end a text; it may be empty.
	EOS []int

	// DType is the type that the weights were saved in: "float32", "bfloat16",
	// "float16", or empty where the file does not say.
	DType string
	// InitializerRange is the standard deviation of fresh weights.
	InitializerRange float64
	// Quantization describes 4-bit weights; nil for plain ones.
	Quantization *Quantization

	// Notes says in words what the file asks for that has no effect here, such as
	// dropout inside the attention.
	Notes []string
}

// RopeScaling changes the inverse frequencies of the rotary embedding so that the
// model reads longer texts than it was first trained on.
type RopeScaling struct {
	// Type is [RopeDefault], [RopeLinear] or [RopeLlama3].
	Type string
	// Factor divides the frequencies that are scaled. Above 0.
	Factor float64
	// LowFreqFactor and HighFreqFactor bound the band between scaled and kept
	// frequencies (Llama 3 only): wavelengths above OriginalMaxPositions /
	// LowFreqFactor are scaled, below OriginalMaxPositions / HighFreqFactor kept.
	LowFreqFactor, HighFreqFactor float64
	// OriginalMaxPositions is the context length before the scaling, in tokens
	// (Llama 3 only).
	OriginalMaxPositions int
}

// Quantization describes weights that bitsandbytes stored in 4 bits (NF4).
type Quantization struct {
	// DoubleQuant says that the blocks' scales are themselves stored in 8 bits.
	DoubleQuant bool
	// ComputeDType is the type that Python computes in, for information.
	ComputeDType string
	// SkipModules are the linear layers that are not quantised; nil means only the
	// heads.
	SkipModules []string
}

// QKVBias reports whether q, k and v have biases.
func (c Config) QKVBias() bool { return c.ModelType == Qwen2 || c.AttentionBias }

// OBias reports whether the attention's output has a bias.
func (c Config) OBias() bool { return c.AttentionBias }

// QKNorm reports whether q and k are normalised per head before the rotation.
func (c Config) QKNorm() bool { return c.ModelType == Qwen3 }

// Bounds on sizes, far above any model of these families: what a file cannot
// mean is refused before anything is allocated.
const (
	cfgMaxWidth     = 1 << 20
	cfgMaxVocab     = 1 << 24
	cfgMaxLayers    = 1 << 12
	cfgMaxPositions = 1 << 30
)

// Validate returns one error that names every bad value, what it is and what is
// allowed, or nil.
func (c Config) Validate() error {
	v := &cfgChecks{}
	v.require(slices.Contains([]string{Llama, Qwen2, Qwen3}, c.ModelType), "model_type", c.ModelType, "llama, qwen2 or qwen3")
	v.between("vocab_size", c.VocabSize, 1, cfgMaxVocab)
	v.between("hidden_size", c.HiddenSize, 1, cfgMaxWidth)
	v.between("intermediate_size", c.IntermediateSize, 1, cfgMaxWidth)
	v.between("num_hidden_layers", c.Layers, 1, cfgMaxLayers)
	v.between("max_position_embeddings", c.MaxPositions, 1, cfgMaxPositions)
	v.heads(c)
	v.positive("rms_norm_eps", c.RMSNormEps)
	v.positive("rope_theta", c.RopeTheta)
	v.scaling(c.RopeScaling)
	v.require(c.InitializerRange >= 0 && !math.IsInf(c.InitializerRange, 1), "initializer_range", c.InitializerRange, "0 or more")
	v.require(!c.AttentionBias || c.ModelType != Qwen2, "attention_bias", true, "false for qwen2")
	v.require(!c.MLPBias || c.ModelType == Llama, "mlp_bias", true, "false except for llama")
	v.require(slices.Contains([]string{"", "float32", "bfloat16", "float16"}, c.DType), "torch_dtype", c.DType, "float32, bfloat16 or float16")
	v.tokens(c)
	return oneline.Join(v.errs...)
}

// cfgChecks collects what is wrong with a configuration, under the names of
// config.json.
type cfgChecks struct{ errs []error }

func (v *cfgChecks) require(ok bool, name string, value any, allowed string) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf("%s: %#v: must be %s", name, value, allowed))
	}
}

func (v *cfgChecks) between(name string, n, low, high int) {
	v.require(n >= low && n <= high, name, n, fmt.Sprintf("from %d to %d", low, high))
}

func (v *cfgChecks) positive(name string, x float64) {
	v.require(x > 0 && !math.IsInf(x, 1), name, x, "above 0 and finite")
}

func (v *cfgChecks) heads(c Config) {
	v.between("num_attention_heads", c.Heads, 1, cfgMaxWidth)
	v.between("num_key_value_heads", c.KVHeads, 1, cfgMaxWidth)
	v.require(c.KVHeads < 1 || c.Heads%c.KVHeads == 0, "num_key_value_heads", c.KVHeads,
		fmt.Sprintf("a divisor of num_attention_heads, %d", c.Heads))
	v.require(c.HeadDim >= 2 && c.HeadDim%2 == 0 && c.HeadDim <= cfgMaxWidth, "head_dim", c.HeadDim, "even and at least 2")
	v.require(c.HeadDim < 1 || c.Heads <= cfgMaxWidth/c.HeadDim, "num_attention_heads", c.Heads,
		fmt.Sprintf("at most %d with head_dim %d", cfgMaxWidth/max(1, c.HeadDim), c.HeadDim))
}

func (v *cfgChecks) scaling(s RopeScaling) {
	switch s.Type {
	case RopeDefault:
	case RopeLinear:
		v.positive("rope_scaling.factor", s.Factor)
	case RopeLlama3:
		v.positive("rope_scaling.factor", s.Factor)
		v.positive("rope_scaling.low_freq_factor", s.LowFreqFactor)
		v.positive("rope_scaling.high_freq_factor", s.HighFreqFactor)
		v.require(s.HighFreqFactor > s.LowFreqFactor, "rope_scaling.high_freq_factor", s.HighFreqFactor,
			fmt.Sprintf("above low_freq_factor, %v", s.LowFreqFactor))
		v.between("rope_scaling.original_max_position_embeddings", s.OriginalMaxPositions, 1, cfgMaxPositions)
	default:
		v.require(false, "rope_scaling.rope_type", s.Type, "default, linear or llama3")
	}
}

func (v *cfgChecks) tokens(c Config) {
	for _, t := range []struct {
		name string
		ids  []int
	}{{"bos_token_id", cfgOptional(c.BOS)}, {"pad_token_id", cfgOptional(c.Pad)}, {"eos_token_id", c.EOS}} {
		for _, id := range t.ids {
			v.require(id >= 0 && (id < c.VocabSize || c.VocabSize < 1), t.name, id, fmt.Sprintf("a token from 0 to %d", c.VocabSize-1))
		}
	}
}

// cfgOptional returns the value as a list of one or none.
func cfgOptional(p *int) []int {
	if p == nil {
		return nil
	}
	return []int{*p}
}
