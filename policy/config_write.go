package policy

import (
	"bytes"
	"os"
	"path/filepath"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/socialrl/socialrl/internal/atomicfile"
)

// cfgOutput is config.json as transformers 4 writes it, which 5 reads too.
type cfgOutput struct {
	Architectures    []string          `json:"architectures"`
	AttentionBias    bool              `json:"attention_bias"`
	AttentionDropout float64           `json:"attention_dropout"`
	BOS              *int              `json:"bos_token_id"`
	EOS              any               `json:"eos_token_id"`
	HeadDim          int               `json:"head_dim"`
	HiddenAct        string            `json:"hidden_act"`
	HiddenSize       int               `json:"hidden_size"`
	ID2Label         map[string]string `json:"id2label,omitempty"`
	Initializer      float64           `json:"initializer_range"`
	IntermediateSize int               `json:"intermediate_size"`
	Label2ID         map[string]int    `json:"label2id,omitempty"`
	MaxPositions     int               `json:"max_position_embeddings"`
	MLPBias          bool              `json:"mlp_bias"`
	ModelType        string            `json:"model_type"`
	Heads            int               `json:"num_attention_heads"`
	Layers           int               `json:"num_hidden_layers"`
	KVHeads          int               `json:"num_key_value_heads"`
	Pad              *int              `json:"pad_token_id"`
	Quantization     *cfgQuantOutput   `json:"quantization_config,omitempty"`
	RMSNormEps       float64           `json:"rms_norm_eps"`
	RopeScaling      *cfgRopeOutput    `json:"rope_scaling"`
	RopeTheta        cfgFloat          `json:"rope_theta"`
	SlidingWindow    *int              `json:"sliding_window"`
	Tie              bool              `json:"tie_word_embeddings"`
	DType            string            `json:"torch_dtype,omitempty"`
	UseCache         bool              `json:"use_cache"`
	UseSlidingWindow bool              `json:"use_sliding_window"`
	VocabSize        int               `json:"vocab_size"`
}

// cfgFloat is written with a point or an exponent, so that Python reads a float.
type cfgFloat float64

// MarshalJSON writes 4 as 4.0.
func (f cfgFloat) MarshalJSON() ([]byte, error) {
	text, err := jsonv2.Marshal(float64(f))
	if err == nil && !bytes.ContainsAny(text, ".eE") {
		text = append(text, ".0"...)
	}
	return text, err
}

type cfgRopeOutput struct {
	Factor   cfgFloat `json:"factor"`
	High     cfgFloat `json:"high_freq_factor,omitzero"`
	Low      cfgFloat `json:"low_freq_factor,omitzero"`
	Original int      `json:"original_max_position_embeddings,omitzero"`
	Type     string   `json:"rope_type"`
}

type cfgQuantOutput struct {
	ComputeDType string   `json:"bnb_4bit_compute_dtype,omitempty"`
	Storage      string   `json:"bnb_4bit_quant_storage"`
	Type         string   `json:"bnb_4bit_quant_type"`
	DoubleQuant  bool     `json:"bnb_4bit_use_double_quant"`
	SkipModules  []string `json:"llm_int8_skip_modules,format:emitnull"`
	Load4Bit     bool     `json:"load_in_4bit"`
	Load8Bit     bool     `json:"load_in_8bit"`
	Method       string   `json:"quant_method"`
}

// MarshalJSON returns config.json as transformers 4 writes it, which transformers
// 5 reads as well. An invalid configuration is an error. Notes are not written.
func (c Config) MarshalJSON() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	out := cfgOutput{
		Architectures: []string{cfgClasses[c.ModelType] + "ForCausalLM"},
		AttentionBias: c.AttentionBias, BOS: c.BOS, Pad: c.Pad, EOS: cfgMakeIDs(c.EOS),
		HeadDim: c.HeadDim, HiddenAct: "silu", HiddenSize: c.HiddenSize, Initializer: c.InitializerRange,
		IntermediateSize: c.IntermediateSize, MaxPositions: c.MaxPositions, MLPBias: c.MLPBias,
		ModelType: c.ModelType, Heads: c.Heads, Layers: c.Layers, KVHeads: c.KVHeads,
		Quantization: cfgMakeQuant(c.Quantization), RMSNormEps: c.RMSNormEps,
		RopeScaling: cfgMakeRope(c.RopeScaling), RopeTheta: cfgFloat(c.RopeTheta),
		Tie: c.TieEmbeddings, DType: c.DType, UseCache: true, VocabSize: c.VocabSize,
	}
	if c.Classifier {
		out.Architectures[0] = cfgClasses[c.ModelType] + "ForSequenceClassification"
		out.ID2Label, out.Label2ID = map[string]string{"0": "LABEL_0"}, map[string]int{"LABEL_0": 0}
	}
	return jsonv2.Marshal(out)
}

// UnmarshalJSON reads the text of a config.json, as [ParseConfig] does.
func (c *Config) UnmarshalJSON(text []byte) (err error) {
	*c, err = ParseConfig(text)
	return err
}

// Write writes config.json into a directory, which must exist. The file appears
// whole or not at all.
func (c Config) Write(dir string) error {
	text, err := jsonv2.Marshal(c, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, cfgFileName), append(text, '\n'), 0o644)
}

// cfgMakeIDs is null for none, a number for one, a list for several.
func cfgMakeIDs(ids []int) any {
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return ids[0]
	}
	return ids
}

func cfgMakeRope(s RopeScaling) *cfgRopeOutput {
	if s.Type == RopeDefault {
		return nil
	}
	return &cfgRopeOutput{Factor: cfgFloat(s.Factor), High: cfgFloat(s.HighFreqFactor), Low: cfgFloat(s.LowFreqFactor),
		Original: s.OriginalMaxPositions, Type: s.Type}
}

func cfgMakeQuant(q *Quantization) *cfgQuantOutput {
	if q == nil {
		return nil
	}
	return &cfgQuantOutput{ComputeDType: q.ComputeDType, Storage: "uint8", Type: "nf4",
		DoubleQuant: q.DoubleQuant, SkipModules: q.SkipModules, Load4Bit: true, Method: "bitsandbytes"}
}
