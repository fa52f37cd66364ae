package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/socialrl/socialrl/internal/oneline"
)

const cfgFileName = "config.json"

// LoadConfig reads config.json of a Hugging Face model directory, as
// transformers 4 or 5 writes it. What it asks for and this library does not
// compute is refused by name, all in one error: other model types and heads,
// more than one label, a sliding window in use, experts, partial rotation, other
// kinds of rotary scaling than linear and llama3, other activations than SiLU,
// other quantisation than bitsandbytes' NF4. Dropout inside the attention has no
// effect here; Config.Notes says so. Keys of no concern are ignored.
func LoadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, cfgFileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	c, err := ParseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads the text of a config.json, as [LoadConfig] does.
func ParseConfig(text []byte) (Config, error) {
	var f cfgFile
	if err := jsonv2.Unmarshal(text, &f); err != nil {
		return Config{}, err
	}
	r := cfgReader{file: &f}
	c := r.config()
	if err := oneline.Join(r.errs...); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// cfgFile is what is read of config.json. Pointers tell absent and null from 0.
type cfgFile struct {
	Architectures    []string `json:"architectures"`
	ModelType        string   `json:"model_type"`
	VocabSize        *int     `json:"vocab_size"`
	HiddenSize       *int     `json:"hidden_size"`
	IntermediateSize *int     `json:"intermediate_size"`
	Layers           *int     `json:"num_hidden_layers"`
	Heads            *int     `json:"num_attention_heads"`
	KVHeads          *int     `json:"num_key_value_heads"`
	HeadDim          *int     `json:"head_dim"`
	HiddenAct        *string  `json:"hidden_act"`
	RMSNormEps       *float64 `json:"rms_norm_eps"`
	MaxPositions     *int     `json:"max_position_embeddings"`
	Initializer      *float64 `json:"initializer_range"`
	Tie              *bool    `json:"tie_word_embeddings"`
	AttentionBias    *bool    `json:"attention_bias"`
	MLPBias          *bool    `json:"mlp_bias"`
	AttentionDropout *float64 `json:"attention_dropout"`

	RopeTheta      *float64 `json:"rope_theta"`
	RopeScaling    *cfgRope `json:"rope_scaling"`
	RopeParameters *cfgRope `json:"rope_parameters"`
	PartialRotary  *float64 `json:"partial_rotary_factor"`

	UseSlidingWindow *bool    `json:"use_sliding_window"`
	SlidingWindow    *int     `json:"sliding_window"`
	MaxWindowLayers  *int     `json:"max_window_layers"`
	LayerTypes       []string `json:"layer_types"`
	Experts          *int     `json:"num_experts"`
	LocalExperts     *int     `json:"num_local_experts"`

	NumLabels *int              `json:"num_labels"`
	ID2Label  map[string]string `json:"id2label"`

	BOS cfgIDs `json:"bos_token_id"`
	EOS cfgIDs `json:"eos_token_id"`
	Pad cfgIDs `json:"pad_token_id"`

	TorchDType   *string   `json:"torch_dtype"`
	DType        *string   `json:"dtype"`
	Quantization *cfgQuant `json:"quantization_config"`
}

// cfgRope is rope_scaling of transformers 4 or rope_parameters of 5.
type cfgRope struct {
	Type          *string  `json:"rope_type"`
	OldType       *string  `json:"type"`
	Theta         *float64 `json:"rope_theta"`
	Factor        *float64 `json:"factor"`
	Low           *float64 `json:"low_freq_factor"`
	High          *float64 `json:"high_freq_factor"`
	Original      *int     `json:"original_max_position_embeddings"`
	PartialRotary *float64 `json:"partial_rotary_factor"`
}

// cfgQuant is quantization_config.
type cfgQuant struct {
	Method       string   `json:"quant_method"`
	Load4Bit     bool     `json:"load_in_4bit"`
	Load8Bit     bool     `json:"load_in_8bit"`
	Type         string   `json:"bnb_4bit_quant_type"`
	Storage      string   `json:"bnb_4bit_quant_storage"`
	DoubleQuant  bool     `json:"bnb_4bit_use_double_quant"`
	ComputeDType string   `json:"bnb_4bit_compute_dtype"`
	SkipModules  []string `json:"llm_int8_skip_modules"`
}

// cfgIDs is null, a token or a list of tokens.
type cfgIDs []int

// UnmarshalJSON reads any of the three.
func (ids *cfgIDs) UnmarshalJSON(text []byte) error {
	*ids = nil
	if text := strings.TrimSpace(string(text)); !strings.HasPrefix(text, "[") {
		var one *int
		err := json.Unmarshal([]byte(text), &one)
		*ids = cfgOptional(one)
		return err
	}
	return json.Unmarshal(text, (*[]int)(ids))
}

// first returns the first token, or nil.
func (ids cfgIDs) first() *int {
	if len(ids) == 0 {
		return nil
	}
	return &ids[0]
}

// cfgReader turns the file into a Config and collects what cannot be.
type cfgReader struct {
	file *cfgFile
	errs []error
}

func (r *cfgReader) refuse(name string, value any, why string) {
	r.errs = append(r.errs, fmt.Errorf("%s: %#v: %s", name, value, why))
}

// need returns a value that must be there.
func (r *cfgReader) need(name string, p *int) int {
	if p == nil {
		r.errs = append(r.errs, fmt.Errorf("%s: missing", name))
		return 1
	}
	return *p
}

// cfgOr returns the value, or a default where it is absent or null.
func cfgOr[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func (r *cfgReader) config() Config {
	f := r.file
	c := Config{
		ModelType:        f.ModelType,
		VocabSize:        r.need("vocab_size", f.VocabSize),
		HiddenSize:       r.need("hidden_size", f.HiddenSize),
		IntermediateSize: r.need("intermediate_size", f.IntermediateSize),
		Layers:           r.need("num_hidden_layers", f.Layers),
		Heads:            r.need("num_attention_heads", f.Heads),
		RMSNormEps:       cfgOr(f.RMSNormEps, 1e-6),
		MaxPositions:     cfgOr(f.MaxPositions, cfgDefaultPositions(f.ModelType)),
		TieEmbeddings:    cfgOr(f.Tie, false),
		AttentionBias:    cfgOr(f.AttentionBias, false) && f.ModelType != Qwen2,
		MLPBias:          cfgOr(f.MLPBias, false) && f.ModelType == Llama,
		InitializerRange: cfgOr(f.Initializer, 0.02),
		BOS:              f.BOS.first(), Pad: f.Pad.first(), EOS: f.EOS,
		DType: strings.TrimPrefix(cfgOr(f.TorchDType, cfgOr(f.DType, "")), "torch."),
	}
	c.KVHeads = cfgOr(f.KVHeads, c.Heads)
	c.HeadDim = r.headDim(&c)
	r.architecture(&c)
	r.rope(&c)
	r.quantization(&c)
	r.refusals(&c)
	return c
}

// cfgDefaultPositions are transformers' defaults.
func cfgDefaultPositions(modelType string) int {
	if modelType == Llama {
		return 2048
	}
	return 32768
}

// headDim takes the file's word, as transformers does for every model type from 4.48
// on, or else the default of the model type. Only a width that the heads divide has one.
func (r *cfgReader) headDim(c *Config) int {
	switch {
	case r.file.HeadDim != nil:
		return *r.file.HeadDim
	case c.ModelType == Qwen3:
		return 128
	case c.Heads < 1:
		return 2 // Validate names num_attention_heads
	case c.HiddenSize%c.Heads != 0:
		r.refuse("hidden_size", c.HiddenSize, fmt.Sprintf("not a multiple of num_attention_heads, %d, and no head_dim", c.Heads))
		return 2
	}
	return c.HiddenSize / c.Heads
}

// cfgClasses are the names of the model classes.
var cfgClasses = map[string]string{Llama: "Llama", Qwen2: "Qwen2", Qwen3: "Qwen3"}

// architecture finds out which head the model has; a language model's where the
// file does not say.
func (r *cfgReader) architecture(c *Config) {
	class, ok := cfgClasses[c.ModelType]
	if !ok {
		r.refuse("model_type", c.ModelType, "not supported, only llama, qwen2 and qwen3")
		return
	}
	a := r.file.Architectures
	switch {
	case len(a) == 0 || slices.Equal(a, []string{class + "ForCausalLM"}):
	case slices.Equal(a, []string{class + "ForSequenceClassification"}):
		c.Classifier = true
		if n := r.labels(); n != 1 {
			r.refuse("num_labels", n, "a classifier must have one label, the score")
		}
	default:
		r.refuse("architectures", a, fmt.Sprintf("not supported, only %sForCausalLM and %sForSequenceClassification", class, class))
	}
}

// labels counts as transformers does: two where the file does not say.
func (r *cfgReader) labels() int {
	if r.file.ID2Label != nil {
		return len(r.file.ID2Label)
	}
	return cfgOr(r.file.NumLabels, 2)
}

func (r *cfgReader) rope(c *Config) {
	f := r.file
	s := f.RopeParameters
	if s == nil {
		s = f.RopeScaling
	}
	if s == nil {
		s = &cfgRope{}
	}
	c.RopeTheta = cfgOr(s.Theta, cfgOr(f.RopeTheta, 10000))
	if p := cfgOr(s.PartialRotary, cfgOr(f.PartialRotary, 1)); p != 1 {
		r.refuse("partial_rotary_factor", p, "not supported, only 1")
	}
	kind := cfgOr(s.Type, cfgOr(s.OldType, "default"))
	switch kind {
	case "default":
	case RopeLinear:
		c.RopeScaling = RopeScaling{Type: kind, Factor: cfgOr(s.Factor, 0)}
	case RopeLlama3:
		c.RopeScaling = RopeScaling{Type: kind, Factor: cfgOr(s.Factor, 0),
			LowFreqFactor: cfgOr(s.Low, 0), HighFreqFactor: cfgOr(s.High, 0), OriginalMaxPositions: cfgOr(s.Original, 0)}
	default:
		r.refuse("rope_type", kind, "not supported, only default, linear and llama3")
	}
}

func (r *cfgReader) quantization(c *Config) {
	q := r.file.Quantization
	if q == nil {
		return
	}
	switch {
	case q.Method != "bitsandbytes" && (q.Method != "" || !q.Load4Bit):
		r.refuse("quantization_config.quant_method", q.Method, "not supported, only bitsandbytes")
	case !q.Load4Bit || q.Load8Bit:
		r.refuse("quantization_config.load_in_4bit", q.Load4Bit, "not supported, only 4 bits")
	case q.Type != "nf4":
		r.refuse("quantization_config.bnb_4bit_quant_type", q.Type, "not supported, only nf4")
	case q.Storage != "" && q.Storage != "uint8":
		r.refuse("quantization_config.bnb_4bit_quant_storage", q.Storage, "not supported, only uint8")
	}
	c.Quantization = &Quantization{DoubleQuant: q.DoubleQuant, ComputeDType: q.ComputeDType, SkipModules: q.SkipModules}
}

// refusals names the features in use that are not computed.
func (r *cfgReader) refusals(c *Config) {
	f := r.file
	if act := cfgOr(f.HiddenAct, "silu"); act != "silu" && act != "swish" {
		r.refuse("hidden_act", act, "not supported, only silu")
	}
	if cfgOr(f.UseSlidingWindow, false) && f.SlidingWindow != nil && cfgOr(f.MaxWindowLayers, 0) < c.Layers {
		r.refuse("use_sliding_window", true, fmt.Sprintf("a sliding window (%d tokens) is not supported", *f.SlidingWindow))
	}
	for _, t := range f.LayerTypes {
		if t != "full_attention" {
			r.refuse("layer_types", t, "not supported, only full_attention")
			break
		}
	}
	for name, n := range map[string]*int{"num_experts": f.Experts, "num_local_experts": f.LocalExperts} {
		if cfgOr(n, 0) > 0 {
			r.refuse(name, *n, "mixture of experts is not supported")
		}
	}
	if p := cfgOr(f.AttentionDropout, 0); p != 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("attention_dropout: %v has no effect: attention weights are never dropped", p))
	}
}
