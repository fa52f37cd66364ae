package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/socialrl/socialrl/internal/oneline"
)

// GenerationConfig is how a model's makers sample from it, as generation_config.json
// says. Values that the file lacks are those that transformers takes.
type GenerationConfig struct {
	// EOS lists the tokens that end a text; empty where the file does not say.
	EOS []int
	// BOS and Pad are the begin-of-text and padding tokens, nil for none.
	BOS, Pad *int
	// Sample chooses sampling; false means greedy. Default false.
	Sample bool
	// Temperature divides the logits. Default 1.
	Temperature float64
	// TopK keeps the K most probable tokens; 0 keeps all. Default 50.
	TopK int
	// TopP keeps the most probable tokens that sum to P. Default 1, all.
	TopP float64
	// MinP drops tokens below P times the most probable one's probability.
	// Default 0.
	MinP float64
	// RepetitionPenalty divides positive logits of tokens that occurred and
	// multiplies negative ones. Default 1.
	RepetitionPenalty float64
}

const cfgGenerationFile = "generation_config.json"

// LoadGenerationConfig reads generation_config.json of a Hugging Face model
// directory. The file is optional: without it all values are the defaults. A value
// outside its range is an error that names it.
func LoadGenerationConfig(dir string) (GenerationConfig, error) {
	path := filepath.Join(dir, cfgGenerationFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte("{}"), nil
	}
	if err != nil {
		return GenerationConfig{}, err
	}
	g, err := cfgParseGeneration(text)
	if err != nil {
		return GenerationConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

func cfgParseGeneration(text []byte) (GenerationConfig, error) {
	var f struct {
		EOS         cfgIDs   `json:"eos_token_id"`
		BOS         cfgIDs   `json:"bos_token_id"`
		Pad         cfgIDs   `json:"pad_token_id"`
		Sample      *bool    `json:"do_sample"`
		Temperature *float64 `json:"temperature"`
		TopK        *int     `json:"top_k"`
		TopP        *float64 `json:"top_p"`
		MinP        *float64 `json:"min_p"`
		Penalty     *float64 `json:"repetition_penalty"`
	}
	if err := jsonv2.Unmarshal(text, &f); err != nil {
		return GenerationConfig{}, err
	}
	g := GenerationConfig{
		EOS: f.EOS, BOS: f.BOS.first(), Pad: f.Pad.first(), Sample: cfgOr(f.Sample, false),
		Temperature: cfgOr(f.Temperature, 1), TopK: cfgOr(f.TopK, 50), TopP: cfgOr(f.TopP, 1),
		MinP: cfgOr(f.MinP, 0), RepetitionPenalty: cfgOr(f.Penalty, 1),
	}
	return g, g.validate()
}

func (g *GenerationConfig) validate() error {
	v := &cfgChecks{}
	v.require(g.Temperature >= 0 && !math.IsInf(g.Temperature, 1), "temperature", g.Temperature, "0 or more")
	v.between("top_k", g.TopK, 0, cfgMaxVocab)
	v.require(g.TopP > 0 && g.TopP <= 1, "top_p", g.TopP, "above 0, at most 1")
	v.require(g.MinP >= 0 && g.MinP <= 1, "min_p", g.MinP, "from 0 to 1")
	v.positive("repetition_penalty", g.RepetitionPenalty)
	for _, id := range g.EOS {
		v.between("eos_token_id", id, 0, cfgMaxVocab)
	}
	return oneline.Join(v.errs...)
}
