package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Tokenizer turns text into token ids and back, and messages into text. It is made
// by [Load] or [New] and never changes: all methods may be called from several
// goroutines at once.
type Tokenizer struct {
	tokens   []token // by id
	ids      map[string]int
	form     normalizer
	raw      *matcher // added tokens found in the text as it is
	formed   *matcher // and in the normalised text
	pipeline *pipeline
	model    *bpe
	before   []int // ids that AddSpecial puts before a text
	after    []int
	config   config
	chat     chatTemplates
}

// token is one entry of the vocabulary; one without text is a gap.
type token struct {
	text    string // as the vocabulary writes it
	bytes   string // what it stands for
	special bool
}

// Names of the files of a Hugging Face model directory that are read here.
const (
	tokenizerFile = "tokenizer.json"
	configFile    = "tokenizer_config.json"
	templateFile  = "chat_template.jinja"
)

// Load reads the tokenizer of a Hugging Face model directory: tokenizer.json, and
// where they exist tokenizer_config.json (the special tokens' roles, further added
// tokens and the chat template) and chat_template.jinja, which takes precedence over the template in
// the configuration. Errors name the file, the place in it and the cause; what
// this package does not support is refused by name.
func Load(dir string) (*Tokenizer, error) {
	data, err := os.ReadFile(filepath.Join(dir, tokenizerFile))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	config, err := readOptional(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	template, err := readOptional(filepath.Join(dir, templateFile))
	if err != nil {
		return nil, err
	}
	t, err := New(data, WithConfig(config), WithTemplate(string(template)))
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, dir)
	}
	return t, nil
}

// readOptional reads a file; one that does not exist is empty.
func readOptional(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return data, nil
}

// Option gives [New] what does not stand in tokenizer.json.
type Option func(*options)

type options struct {
	config   []byte
	template string
}

// WithConfig gives the bytes of tokenizer_config.json; empty means none.
func WithConfig(data []byte) Option { return func(o *options) { o.config = data } }

// WithTemplate gives the source of a chat template, in place of the one in
// tokenizer_config.json; empty means none.
func WithTemplate(source string) Option { return func(o *options) { o.template = source } }

// New makes a tokenizer from the bytes of a tokenizer.json, for example embedded
// ones. See [Load] for what is read and refused.
func New(data []byte, opts ...Option) (*Tokenizer, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", tokenizerFile, err)
	}
	if err := f.addConfigured(o.config); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t := new(Tokenizer)
	if err := t.build(&f); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", tokenizerFile, err)
	}
	if err := t.configure(o); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

// build assembles the tokenizer from the parts of tokenizer.json.
func (t *Tokenizer) build(f *file) (err error) {
	if err = f.Model.check(); err != nil {
		return err
	}
	if t.form, err = newNormalizer(f.Normalizer); err != nil {
		return err
	}
	if t.pipeline, err = newPipeline(f.PreTokenizer); err != nil {
		return err
	}
	if err = checkDecoder(f.Decoder); err != nil {
		return err
	}
	if err = t.index(f); err != nil {
		return err
	}
	if t.model, err = t.newModel(&f.Model); err != nil {
		return err
	}
	t.match(f.AddedTokens)
	if t.before, t.after, err = newTemplate(f.PostProcessor); err != nil {
		return err
	}
	return t.checkIDs("post_processor", append(t.before, t.after...))
}

// match prepares the search for added tokens.
func (t *Tokenizer) match(tokens []addedToken) {
	var raw, formed []addedToken
	for _, a := range tokens {
		if a.Normalized {
			formed = append(formed, a)
		} else {
			raw = append(raw, a)
		}
	}
	t.raw, t.formed = newMatcher(raw, unchanged), newMatcher(formed, t.form)
}

// VocabSize returns one more than the greatest id: the length of a list of logits
// that has an entry for every token. (Models often pad theirs to a longer one.)
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// ID returns the id of a token, written as the vocabulary writes it: <|im_end|>, or
// Ġthe for the byte-level form of " the".
func (t *Tokenizer) ID(token string) (id int, ok bool) {
	id, ok = t.ids[token]
	return id, ok
}

// Token returns the token with an id as the vocabulary writes it, the inverse of
// [Tokenizer.ID]. Ids outside the vocabulary give "".
func (t *Tokenizer) Token(id int) string { return t.at(id).text }

// Bytes returns the bytes that a token stands for; they need not be whole
// characters. Ids outside the vocabulary give none.
func (t *Tokenizer) Bytes(id int) []byte { return []byte(t.at(id).bytes) }

// IsSpecial reports whether id is a special token, which [SkipSpecial] leaves out.
func (t *Tokenizer) IsSpecial(id int) bool { return t.at(id).special }

func (t *Tokenizer) at(id int) token {
	if id < 0 || id >= len(t.tokens) {
		return token{}
	}
	return t.tokens[id]
}

// BOS returns the id of the token that begins a text, and false where the
// configuration names none.
func (t *Tokenizer) BOS() (id int, ok bool) { return t.role("bos_token") }

// EOS returns the id of the token that ends a text or a turn, and false where the
// configuration names none.
func (t *Tokenizer) EOS() (id int, ok bool) { return t.role("eos_token") }

// PAD returns the id of the padding token, and false where the configuration names
// none.
func (t *Tokenizer) PAD() (id int, ok bool) { return t.role("pad_token") }

func (t *Tokenizer) role(name string) (int, bool) {
	token, ok := t.config.special[name]
	if !ok {
		return 0, false
	}
	return t.ID(token)
}
