package cli

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/tokenizer"
)

// DeviceUsage explains a flag that names an engine.
const DeviceUsage = "`name` of the engine that computes: cpu, cpu:amxbf16, cpu:avx512, cpu:avx512bf16, cpu:avx2, cpu:generic, float64, or an NVIDIA GPU: " +
	"cuda:0 in bfloat16, cuda:0:f32 in float32, where the program was built with -tags cuda"

// Model is the base model that the flags name.
type Model struct {
	Dir      string // Hugging Face model directory
	Device   string // of lora.Open
	DType    string // of the frozen weights: f32, bf16, nf4 or int8
	Vocab    string // type of the embedding and the output matrix; "" stands for LoadBase's choice
	Template string // .jinja file; "" stands for the model's own
}

// Define defines -model, -device, -dtype, -vocab-dtype and -template.
func (m *Model) Define(fs *flag.FlagSet) {
	fs.StringVar(&m.Dir, "model", "", "Hugging Face model `directory` (required)")
	fs.StringVar(&m.Device, "device", "cpu", DeviceUsage)
	fs.StringVar(&m.DType, "dtype", "bf16", "`type` in which the frozen weights are kept: f32, bf16, or in the blocks nf4 (4 bits) or int8 (8 bits)")
	fs.StringVar(&m.Vocab, "vocab-dtype", "", "`type` in which embedding and output matrix are kept: f32, bf16, int8 or nf4; default -dtype, or as stored under nf4 and int8")
	fs.StringVar(&m.Template, "template", "", "`file` with a chat template (.jinja) in place of the model's own")
}

// Check returns a UsageError for an engine or a type of weights that is not known.
func (m *Model) Check() error {
	if err := CheckDevice(m.Device); err != nil {
		return err
	}
	_, _, err := m.kinds()
	return err
}

// CheckDevice returns a UsageError for a value of -device that names no engine. Whether
// the engine opens here is seen when it is opened.
func CheckDevice(name string) error {
	if _, err := lora.OpenDry(name); err != nil {
		return Usagef("-device: %w", err)
	}
	return nil
}

// Open loads the model. close gives all memory back.
func (m *Model) Open() (base *policy.Base, close func(), err error) {
	kind, opts, err := m.kinds()
	if err != nil {
		return nil, nil, err
	}
	eng, err := lora.Open(m.Device)
	if err != nil {
		return nil, nil, err
	}
	base, err = policy.LoadBase(eng, m.Dir, kind, opts...)
	if err == nil && m.Template != "" {
		err = m.setTemplate(base)
	}
	if err != nil {
		return nil, nil, errors.Join(err, eng.Close())
	}
	return base, func() { base.Close(); eng.Close() }, nil
}

// kinds returns the types of the weights.
func (m *Model) kinds() (lora.Kind, []policy.LoadOption, error) {
	kind, err := parseKind("dtype", m.DType)
	if err != nil || m.Vocab == "" {
		return kind, nil, err
	}
	vocab, err := parseKind("vocab-dtype", m.Vocab)
	return kind, []policy.LoadOption{policy.WithVocabularyKind(vocab)}, err
}

func parseKind(flag, name string) (lora.Kind, error) {
	kinds := []lora.Kind{lora.F32, lora.BF16, lora.NF4, lora.Int8}
	var known []string
	for _, k := range kinds {
		if k.String() == name {
			return k, nil
		}
		known = append(known, k.String())
	}
	last := len(known) - 1
	return 0, Usagef("-%s is %q, want %s or %s", flag, name, strings.Join(known[:last], ", "), known[last])
}

// setTemplate reads the tokenizer once more, with the template of the flag.
func (m *Model) setTemplate(base *policy.Base) error {
	template, err := os.ReadFile(m.Template)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(m.Dir, "tokenizer.json"))
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(m.Dir, "tokenizer_config.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	tok, err := tokenizer.New(data, tokenizer.WithConfig(config), tokenizer.WithTemplate(string(template)))
	if err != nil {
		return fmt.Errorf("%s with template %s: %w", m.Dir, m.Template, err)
	}
	base.SetTokenizer(tok)
	return nil
}

// Adapter is a new adapter that the flags describe.
type Adapter struct {
	Rank           int
	Alpha, Dropout float64
	Targets        string
	RSLoRA         bool
}

// Define defines -rank, -alpha, -dropout, -targets and -rslora; a holds the
// defaults.
func (a *Adapter) Define(fs *flag.FlagSet) {
	fs.IntVar(&a.Rank, "rank", a.Rank, "rank of the low-rank branches")
	fs.Float64Var(&a.Alpha, "alpha", a.Alpha, "numerator of the branches' scale, alpha/rank")
	fs.Float64Var(&a.Dropout, "dropout", a.Dropout, "dropout of the branches' input, 0 to below 1")
	fs.StringVar(&a.Targets, "targets", a.Targets, "comma-separated `names` of the layers with a branch, or all")
	fs.BoolVar(&a.RSLoRA, "rslora", a.RSLoRA, "scale the branches by alpha/sqrt(rank)")
}

// Check returns a UsageError for the first flag that is out of range.
func (a *Adapter) Check() error {
	switch {
	case a.Rank < 1:
		return Usagef("-rank is %d, want at least 1", a.Rank)
	case !(a.Alpha > 0):
		return Usagef("-alpha is %v, want more than 0", a.Alpha)
	case !(a.Dropout >= 0 && a.Dropout < 1):
		return Usagef("-dropout is %v, want 0 to less than 1", a.Dropout)
	case len(Split(a.Targets)) == 0:
		return Usagef("-targets names no layer")
	}
	return nil
}

// Config returns the adapter's configuration.
func (a *Adapter) Config() lora.Config {
	targets := lora.AllLinear
	if a.Targets != "all" {
		targets = Split(a.Targets)
	}
	return lora.Config{Rank: a.Rank, Alpha: a.Alpha, Dropout: a.Dropout, Targets: targets, RSLoRA: a.RSLoRA}
}

// Split returns the parts of a comma-separated list, without space around them.
func Split(list string) []string {
	var out []string
	for _, part := range strings.Split(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
