package tokenizer

import (
	"encoding/json"
	"fmt"
)

// file is the layout of tokenizer.json. Truncation and padding are not read: like
// the Python libraries, Encode never applies them unless asked.
type file struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *component   `json:"normalizer"`
	PreTokenizer  *component   `json:"pre_tokenizer"`
	PostProcessor *component   `json:"post_processor"`
	Decoder       *component   `json:"decoder"`
	Model         modelFile    `json:"model"`
}

// addedToken is a token that is found in the text before it is split.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only between characters that are not of a word
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // and after it
	Normalized bool   `json:"normalized"`  // found in the normalised text
	Special    bool   `json:"special"`     // left out by SkipSpecial
}

// component is a part of the pipeline: the union of the fields that the supported
// kinds have.
type component struct {
	Type           string                   `json:"type"`
	Normalizers    []component              `json:"normalizers"`
	PreTokenizers  []component              `json:"pretokenizers"`
	Processors     []component              `json:"processors"`
	Decoders       []component              `json:"decoders"`
	AddPrefixSpace *bool                    `json:"add_prefix_space"`
	UseRegex       *bool                    `json:"use_regex"`
	Individual     bool                     `json:"individual_digits"`
	Pattern        pattern                  `json:"pattern"`
	Behavior       string                   `json:"behavior"`
	Invert         bool                     `json:"invert"`
	Single         []templatePart           `json:"single"`
	SpecialTokens  map[string]templateToken `json:"special_tokens"`
}

// pattern is what Split cuts by; the field is an object in Split and a string in
// components that are refused anyway.
type pattern struct{ Regex, String *string }

func (p *pattern) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		return nil
	}
	type fields pattern
	return json.Unmarshal(data, (*fields)(p))
}

type templatePart struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

type templateToken struct {
	IDs []int `json:"ids"`
}

// modelFile is the model; of the fields that other kinds write differently only
// the layout of byte-pair encoding is read.
type modelFile struct {
	Type                    string   `json:"type"`
	Dropout                 *float64 `json:"dropout"`
	UnkToken                *string  `json:"unk_token"`
	ContinuingSubwordPrefix string   `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string   `json:"end_of_word_suffix"`
	FuseUnk                 bool     `json:"fuse_unk"`
	ByteFallback            bool     `json:"byte_fallback"`
	IgnoreMerges            bool     `json:"ignore_merges"`
	Vocab                   vocab    `json:"vocab"`
	Merges                  merges   `json:"merges"`
}

// parts returns the components of a pipeline: those of a Sequence (nested ones
// included), or the component itself, or none.
func (c *component) parts() []component {
	switch {
	case c == nil:
		return nil
	case c.Type != "Sequence":
		return []component{*c}
	}
	var all []component
	for _, list := range [][]component{c.Normalizers, c.PreTokenizers, c.Processors, c.Decoders} {
		for _, part := range list {
			all = append(all, part.parts()...)
		}
	}
	return all
}

func on(b *bool) bool { return b == nil || *b }

// unsupported is the error for a part of tokenizer.json that this package does not
// implement.
func unsupported(field, name, allowed string) error {
	return fmt.Errorf("%s %q is not supported (supported: %s)", field, name, allowed)
}
