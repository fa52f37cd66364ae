package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// pipeline is what happens to a text between the added tokens.
type pipeline struct {
	outer  []splitter // applied in turn
	prefix bool       // put a space before each piece of the outer splitters that has none
	inner  splitter   // applied to the pieces; nil leaves them whole
}

// words calls word with each piece of s, in order.
func (p *pipeline) words(s string, word func(string)) { p.split(p.outer, s, word) }

func (p *pipeline) split(outer []splitter, s string, word func(string)) {
	if len(outer) == 0 {
		p.last(s, word)
		return
	}
	for len(s) > 0 {
		n := outer[0](s)
		p.split(outer[1:], s[:n], word)
		s = s[n:]
	}
}

func (p *pipeline) last(s string, word func(string)) {
	if p.prefix && s != "" && s[0] != ' ' {
		s = " " + s
	}
	if p.inner == nil {
		if s != "" {
			word(s)
		}
		return
	}
	for len(s) > 0 {
		n := p.inner(s)
		word(s[:n])
		s = s[n:]
	}
}

// The split patterns that models of the known families use, and what runs them.
const (
	patternGPT2  = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternHead  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|`
	patternTail  = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternOne   = patternHead + `\p{N}` + patternTail      // Qwen2, Qwen2.5, Qwen3
	patternThree = patternHead + `\p{N}{1,3}` + patternTail // Llama 3
)

func splitterOf(c component) (splitter, error) {
	t := scanner{classes()}
	switch {
	case c.Behavior != "Isolated" || c.Invert:
		return nil, unsupported("pre_tokenizer Split behavior", fmt.Sprintf("%s (invert %t)", c.Behavior, c.Invert), "Isolated, not inverted")
	case c.Pattern.Regex == nil:
		return nil, unsupported("pre_tokenizer Split pattern", "String", "Regex")
	}
	switch *c.Pattern.Regex {
	case patternGPT2:
		return t.gpt2, nil
	case patternOne:
		return t.tiktoken(1), nil
	case patternThree:
		return t.tiktoken(3), nil
	}
	return nil, unsupported("pre_tokenizer Split pattern", *c.Pattern.Regex, "the patterns of GPT-2, Qwen2 and Llama 3")
}

// newPipeline reads the pre-tokenizer. It must end in ByteLevel, which turns the
// pieces into bytes.
func newPipeline(c *component) (*pipeline, error) {
	p := new(pipeline)
	parts := c.parts()
	if n := len(parts); n == 0 || parts[n-1].Type != "ByteLevel" {
		return nil, fmt.Errorf("pre_tokenizer %s does not end in ByteLevel: only byte-level models are supported", names(parts))
	}
	last := len(parts) - 1
	for _, part := range parts[:last] {
		split, err := outerSplitter(part)
		if err != nil {
			return nil, err
		}
		p.outer = append(p.outer, split)
	}
	p.prefix = on(parts[last].AddPrefixSpace)
	if on(parts[last].UseRegex) {
		p.inner = scanner{classes()}.gpt2
	}
	return p, nil
}

func outerSplitter(c component) (splitter, error) {
	switch c.Type {
	case "Split":
		return splitterOf(c)
	case "Digits":
		return scanner{classes()}.numbers(c.Individual), nil
	}
	return nil, unsupported("pre_tokenizer", c.Type, "Split, Digits, and ByteLevel at the end")
}

func newNormalizer(c *component) (normalizer, error) {
	form := normalizer(unchanged)
	for _, part := range c.parts() {
		if part.Type != "NFC" {
			return nil, unsupported("normalizer", part.Type, "NFC")
		}
		form = nfc
	}
	return form, nil
}

// checkDecoder makes sure that decoding is that of ByteLevel.
func checkDecoder(c *component) error {
	parts := c.parts()
	if i := slices.IndexFunc(parts, func(c component) bool { return c.Type != "ByteLevel" }); i >= 0 {
		return unsupported("decoder", parts[i].Type, "ByteLevel")
	}
	if len(parts) != 1 {
		return fmt.Errorf("decoder %s is not one ByteLevel", names(parts))
	}
	return nil
}

func names(parts []component) string {
	var all []string
	for _, p := range parts {
		all = append(all, p.Type)
	}
	return "[" + strings.Join(all, " ") + "]"
}

// newTemplate reads the post-processor: the ids to put before and after a text.
func newTemplate(c *component) (before, after []int, err error) {
	for _, part := range c.parts() {
		switch part.Type {
		case "ByteLevel": // trims offsets, which nothing here has
		case "TemplateProcessing":
			if before != nil || after != nil {
				return nil, nil, fmt.Errorf("post_processor has two TemplateProcessing parts")
			}
			if before, after, err = part.template(); err != nil {
				return nil, nil, fmt.Errorf("post_processor TemplateProcessing: %w", err)
			}
		default:
			return nil, nil, unsupported("post_processor", part.Type, "ByteLevel, TemplateProcessing")
		}
	}
	return before, after, nil
}

func (c component) template() (before, after []int, err error) {
	before, after = []int{}, []int{}
	seen := false
	for i, part := range c.Single {
		switch {
		case part.Sequence != nil && part.Sequence.ID == "A" && !seen:
			seen = true
		case part.SpecialToken != nil:
			token, ok := c.SpecialTokens[part.SpecialToken.ID]
			if !ok {
				return nil, nil, fmt.Errorf("single[%d] names %q, which special_tokens lacks", i, part.SpecialToken.ID)
			}
			if seen {
				after = append(after, token.IDs...)
			} else {
				before = append(before, token.IDs...)
			}
		default:
			return nil, nil, fmt.Errorf("single[%d] is neither a special token nor the one sequence A", i)
		}
	}
	if !seen {
		return nil, nil, fmt.Errorf("single has no sequence A")
	}
	return before, after, nil
}
