package lora

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/internal/oneline"
)

// Sets of linear layers that a [Config] commonly names in Targets.
var (
	// QV is the query and value projections, the targets of the original LoRA
	// experiments and of Sotopia-RL.
	QV = []string{"q_proj", "v_proj"}
	// AllLinear is every linear layer of a block; the head is not one of them.
	AllLinear = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
)

// Config says which parts of a model an adapter changes, and how. For each
// targeted linear layer with weight W [out, in] it adds a branch of rank r:
//
//	y = x Wᵀ + Scale() * dropout(x) Aᵀ Bᵀ      A [r, in], B [out, r]
//
// LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685, section 4.1.
type Config struct {
	// Rank is r, the width of the branches, at least 1 where there are targets.
	Rank int
	// Alpha is the numerator of the scale, above 0 where there are targets.
	Alpha float64
	// Dropout is the probability with which an element of the branch's input is
	// zeroed in training, in [0, 1). 0 means none.
	Dropout float64
	// Targets names the linear layers: a layer whose path ends with ".NAME" or
	// is NAME. [QV] and [AllLinear] are common. Names that a model lacks are
	// ignored. Empty means no branches, unless TargetPattern is set.
	Targets []string
	// TargetPattern, if not empty, is a regular expression that a layer's whole
	// path must match, such as `model\.layers\.[0-3]\.self_attn\.q_proj`; Targets
	// is then empty.
	TargetPattern string
	// RSLoRA chooses the rank-stabilised scale Alpha / sqrt(Rank): Kalajdzievski
	// 2023, https://arxiv.org/abs/2312.03732.
	RSLoRA bool
	// Head says that the adapter holds a scalar head of its own, trained with it,
	// as a reward model's does.
	Head bool
	// BaseModel is the name or path of the base model that the adapter was
	// trained on, for information; it may be empty.
	BaseModel string
}

// Scale returns the factor of the branches, Alpha/Rank, or Alpha/sqrt(Rank) with
// RSLoRA; 0 without rank.
func (c Config) Scale() float64 {
	switch {
	case c.Rank == 0:
		return 0
	case c.RSLoRA:
		return c.Alpha / math.Sqrt(float64(c.Rank))
	}
	return c.Alpha / float64(c.Rank)
}

// Validate returns one error that names every bad value, or nil.
func (c Config) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("lora: Config."+format, args...))
		}
	}
	low := len(c.Targets) > 0 || c.TargetPattern != ""
	bad(low || c.Head, "Targets: empty, and no Head: nothing to train")
	bad(!low || c.Rank >= 1, "Rank: %d, must be at least 1", c.Rank)
	bad(c.Rank >= 0, "Rank: %d is negative", c.Rank)
	bad(!low || c.Alpha > 0 && !math.IsInf(c.Alpha, 1), "Alpha: %v, must be above 0 and finite", c.Alpha)
	bad(c.Dropout >= 0 && c.Dropout < 1, "Dropout: %v, must be in [0, 1)", c.Dropout)
	bad(len(c.Targets) == 0 || c.TargetPattern == "", "Targets and TargetPattern: both are set")
	for _, name := range c.Targets {
		bad(name != "", "Targets: empty name")
		bad(!slices.Contains(peftNoBranch, name[strings.LastIndexByte(name, '.')+1:]),
			"Targets: %q: a branch beside embeddings or heads is not supported", name)
	}
	_, err := c.pattern()
	bad(err == nil, "TargetPattern: %v", err)
	return oneline.Join(errs...)
}

// peftNoBranch are parts of a model that Python's PEFT can give a branch and this
// library cannot.
var peftNoBranch = []string{"embed_tokens", "lm_head", "score"}

// pattern compiles TargetPattern for a whole path.
func (c Config) pattern() (*regexp.Regexp, error) {
	if c.TargetPattern == "" {
		return nil, nil
	}
	if _, err := regexp.Compile(c.TargetPattern); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + c.TargetPattern + `)\z`)
}

// Targeted returns those of the linear layers that get a branch, in their order.
// Layers are named by their path in the model, as [LinearModule] makes it. The
// error is that of an invalid TargetPattern.
func (c Config) Targeted(layers []string) ([]string, error) {
	re, err := c.pattern()
	if err != nil {
		return nil, fmt.Errorf("lora: Config.TargetPattern: %w", err)
	}
	var out []string
	for _, path := range layers {
		if re != nil && re.MatchString(path) || c.listed(path) {
			out = append(out, path)
		}
	}
	return out, nil
}

func (c Config) listed(path string) bool {
	return slices.ContainsFunc(c.Targets, func(name string) bool {
		return path == name || strings.HasSuffix(path, "."+name)
	})
}
