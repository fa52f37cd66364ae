package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/tokenizer"
)

// Base is a decoder-only model with frozen weights, resident on an engine. Policies,
// references and reward models are views of it: base and adapter. It is never
// written.
type Base struct {
	eng    lora.Engine
	cfg    Config
	gen    GenerationConfig
	freq   []float32
	embed  lora.Weight
	head   lora.Weight // nil where the embedding serves
	score  lora.Weight // scalar head of a sequence-classification checkpoint, or nil
	norm   lora.View
	layers []baseLayer
	dir    string               // that the model was read from, or empty
	tok    *tokenizer.Tokenizer // nil where the directory has none

	vocabulary struct { // for constraints
		sync.Mutex
		tokens *Vocabulary
		of     *tokenizer.Tokenizer
	}
}

type baseLayer struct {
	attnNorm, mlpNorm, qNorm, kNorm lora.View
	q, k, v, o, gate, up, down      baseLinear
}

type baseLinear struct {
	w    lora.Weight
	bias lora.View
}

// LoadBase reads a Hugging Face model directory: config.json, generation_config.json and
// tokenizer.json where there are such, and the weights in one or several safetensors
// files. Tensors that are missing, unknown or of another shape than the configuration
// says are one error that lists them.
//
// The matrices are kept in the precision asked for. Kinds of 4 and 8 bits are for the
// linear layers inside the blocks; embedding and heads stay as they are stored (BF16,
// or else F32), as bitsandbytes has it. Of a checkpoint that is itself in 4 bits, the
// kinds of 4 bits keep codes and scales as they are, and what it left unquantised
// stays so; under the other kinds its numbers are computed once, at load.
func LoadBase(eng lora.Engine, dir string, kind lora.Kind, opts ...LoadOption) (*Base, error) {
	cfg, err := LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	gen, err := LoadGenerationConfig(dir)
	if err != nil {
		return nil, err
	}
	files, err := lora.OpenModel(dir)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	if err := cfg.MatchTensors(files); err != nil {
		return nil, err
	}
	kinds := kindsOf{blocks: kind}
	for _, opt := range opts {
		opt(&kinds)
	}
	b, err := newBase(eng, cfg, kinds, stored(files))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	b.gen, b.dir = gen, dir
	return b, b.loadTokenizer(dir)
}

// LoadOption modifies how a model is loaded.
type LoadOption func(*kindsOf)

// WithVocabularyKind keeps the embedding and the output matrix in a kind of their own:
// with Int8, decoding over a base of 4 bits reads little more than half the memory a
// token. (A Qwen2.5-0.5B has 136 of its 494 million weights there.)
func WithVocabularyKind(kind lora.Kind) LoadOption {
	return func(k *kindsOf) { k.vocabulary = &kind }
}

// kindsOf says in what precision matrices are kept.
type kindsOf struct {
	blocks     lora.Kind
	vocabulary *lora.Kind // nil: as the blocks, or as stored where those are quantised
}

// stored finds tensors in files that match the configuration. Each is needed until the
// next is asked for.
func stored(files *lora.Safetensors) source {
	last := ""
	return func(name string, _ []int) (lora.Tensor, bool) {
		files.Forget(last)
		last = name
		if t, ok, err := files.NF4(name); ok && err == nil {
			return t, true
		}
		return files.Tensor(name)
	}
}

// loadTokenizer reads the tokenizer that lies beside the weights. A directory
// without one gives a base that works on tokens only.
func (b *Base) loadTokenizer(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	t, err := tokenizer.Load(dir)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	b.tok = t
	return nil
}

// Tokenizer returns the model's tokenizer, or nil where it has none.
func (b *Base) Tokenizer() *tokenizer.Tokenizer { return b.tok }

// SetTokenizer gives the model a tokenizer.
func (b *Base) SetTokenizer(t *tokenizer.Tokenizer) { b.tok = t }

// NewBase makes a base from scratch: matrices from a normal distribution with
// deviation InitializerRange, norms one, biases zero, all decided by the
// seed.
func NewBase(eng lora.Engine, cfg Config, seed uint64) (*Base, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var index uint32
	return newBase(eng, cfg, kindsOf{blocks: lora.F32}, func(name string, shape []int) (lora.Tensor, bool) {
		index++
		return initial(name, shape, cfg.InitializerRange, lora.Key{Seed: seed, Purpose: lora.ForInit, Index: index}), true
	})
}

// initial returns the starting value of a base tensor.
func initial(name string, shape []int, deviation float64, key lora.Key) lora.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	switch {
	case len(shape) == 2:
		for i := range v {
			v[i] = float32(deviation * key.Normal(uint64(i)))
		}
	case strings.HasSuffix(name, "norm.weight"):
		for i := range v {
			v[i] = 1
		}
	}
	return lora.NewF32(name, shape, v)
}

// source finds a tensor by name; shape is what the configuration says.
type source func(name string, shape []int) (lora.Tensor, bool)

// loader fills a base and remembers the first failure.
type loader struct {
	*Base
	kinds  kindsOf
	find   source
	shapes map[string][]int
	err    error
}

func newBase(eng lora.Engine, cfg Config, kinds kindsOf, find source) (*Base, error) {
	l := &loader{Base: &Base{eng: eng, cfg: cfg, freq: cfg.InvFreq()}, kinds: kinds, find: find, shapes: map[string][]int{}}
	for _, t := range cfg.Tensors() {
		l.shapes[t.Name] = t.Shape
	}
	l.embed = l.matrix(embedName)
	for i := range cfg.Layers {
		l.layers = append(l.layers, l.layer(i))
	}
	l.norm = l.vector(finalNormName)
	if cfg.Classifier {
		l.score = l.matrix(scoreName)
	} else if !cfg.TieEmbeddings {
		l.head = l.matrix(headName)
	}
	if l.err == nil {
		l.err = eng.Sync()
	}
	if l.err != nil {
		l.Close()
		return nil, l.err
	}
	return l.Base, nil
}

func (l *loader) layer(i int) baseLayer {
	at := layerPrefix(i)
	out := baseLayer{
		attnNorm: l.vector(at + attnNormName), mlpNorm: l.vector(at + mlpNormName),
		qNorm: l.vector(at + qNormName), kNorm: l.vector(at + kNormName),
	}
	for j, into := range out.linears() {
		*into = l.linear(lora.LinearModule(i, linearNames[j]))
	}
	return out
}

func (l *loader) linear(module string) baseLinear {
	return baseLinear{w: l.weight(module + ".weight"), bias: l.vector(module + ".bias")}
}

// tensor finds a tensor that the configuration knows of.
func (l *loader) tensor(name string) (lora.Tensor, bool) {
	shape, known := l.shapes[name]
	if !known || l.err != nil {
		return lora.Tensor{}, false
	}
	return l.find(name, shape)
}

// weight loads the matrix of a linear layer inside a block.
func (l *loader) weight(name string) lora.Weight {
	t, ok := l.tensor(name)
	if !ok {
		return nil
	}
	if l.kinds.blocks.Quantized() && l.cfg.Quantization != nil && t.NF4 == nil {
		return l.place(t, asStored(t)) // which the checkpoint left alone
	}
	return l.place(t, l.kinds.blocks)
}

// matrix loads the embedding or a head.
func (l *loader) matrix(name string) lora.Weight {
	t, ok := l.tensor(name)
	if !ok {
		return nil
	}
	if k := l.kinds.vocabulary; k != nil {
		return l.place(t, *k)
	}
	if l.kinds.blocks.Quantized() && t.NF4 == nil {
		return l.place(t, asStored(t))
	}
	return l.place(t, l.kinds.blocks)
}

// asStored returns the kind that keeps a tensor's numbers as they are.
func asStored(t lora.Tensor) lora.Kind {
	if t.DType == lora.DTypeBF16 {
		return lora.BF16
	}
	return lora.F32
}

// place hands a matrix to the engine.
func (l *loader) place(t lora.Tensor, kind lora.Kind) lora.Weight {
	w, err := l.eng.NewWeight(t, kind)
	if err != nil {
		l.err = fmt.Errorf("%s: %w", t.Name, err)
		return nil
	}
	return w
}

// vector loads a norm or a bias, always in full precision; the zero View where the
// model has none.
func (l *loader) vector(name string) lora.View {
	t, ok := l.tensor(name)
	if !ok {
		return lora.View{}
	}
	values, err := t.Floats()
	if err != nil {
		l.err = fmt.Errorf("%s: %w", name, err)
		return lora.View{}
	}
	v := l.eng.NewView(1, len(values))
	l.eng.Write(v, values)
	return v
}

// Close gives the weights' memory back. Policies of the base cannot be used
// afterwards.
func (b *Base) Close() error {
	for _, w := range []lora.Weight{b.embed, b.head, b.score} {
		release(w)
	}
	b.eng.FreeView(b.norm)
	for i := range b.layers {
		l := &b.layers[i]
		for _, v := range []lora.View{l.attnNorm, l.mlpNorm, l.qNorm, l.kNorm} {
			b.eng.FreeView(v)
		}
		for _, m := range l.linears() {
			release(m.w)
			b.eng.FreeView(m.bias)
		}
	}
	b.layers = nil
	return b.eng.Sync()
}

func release(w lora.Weight) {
	if w != nil {
		w.Release()
	}
}

// linears lists the layer's linear layers in the order of linearNames.
func (l *baseLayer) linears() []*baseLinear {
	return []*baseLinear{&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}
}

// Config returns the model's configuration.
func (b *Base) Config() Config { return b.cfg }

// Engine returns the engine that holds the weights.
func (b *Base) Engine() lora.Engine { return b.eng }

// EndTokens returns the tokens that end a reply: those of the generation
// configuration, or else of the model's.
func (b *Base) EndTokens() []int {
	if len(b.gen.EOS) > 0 {
		return b.gen.EOS
	}
	return b.cfg.EOS
}
