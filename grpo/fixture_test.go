package grpo

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
)

// trlCase is one run of TRL's GRPO trainer with sampling fixed in advance, as
// fixtures/make/grpo.py writes it.
type trlCase struct {
	name   string
	path   string
	TRL    string `json:"trl"`
	Config struct {
		BatchSize    int         `json:"per_device_train_batch_size"`
		Accumulation int         `json:"gradient_accumulation_steps"`
		Group        int         `json:"num_generations"`
		MaxLength    int         `json:"max_completion_length"`
		Temperature  float64     `json:"temperature"`
		LR           float64     `json:"learning_rate"`
		MaxSteps     int         `json:"max_steps"`
		Clip         float64     `json:"max_grad_norm"`
		WeightDecay  float64     `json:"weight_decay"`
		Adam         []float64   `json:"adam"`
		Beta         float64     `json:"beta"`
		Passes       int         `json:"num_iterations"`
		Low          *float64    `json:"epsilon"`
		High         *float64    `json:"epsilon_high"`
		Scale        any         `json:"scale_rewards"`
		Weights      []float64   `json:"reward_weights"`
		Loss         string      `json:"loss_type"`
		Level        Level       `json:"importance_sampling_level"`
		MaskCut      bool        `json:"mask_truncated_completions"`
		Aggregation  Aggregation `json:"multi_objective_aggregation"`
	} `json:"config"`
	Generations []struct {
		Prompts     [][]int     `json:"prompts"`
		Completions [][]int     `json:"completions"`
		Rewards     [][]float64 `json:"rewards"`
	} `json:"generations"`
	Micro []struct {
		Loss       float64   `json:"loss"`
		Advantages []float64 `json:"advantages"`
		Rows       []struct {
			Prompt     []int     `json:"prompt"`
			Completion []int     `json:"completion"`
			Ref        []float64 `json:"ref_logps"`
			Old        []float64 `json:"old_logps"`
		} `json:"rows"`
	} `json:"microbatches"`
	GradNorms []float64            `json:"grad_norms"`
	Metrics   []map[string]float64 `json:"metrics"`
}

// endToken is the end token of the fixtures' vocabulary.
const endToken = 1

// old reports whether the case is of TRL 0.16.1.
func (c *trlCase) old() bool { return strings.HasPrefix(c.TRL, "0.16") }

func (c *trlCase) variant(t testing.TB) Variant {
	name := c.Config.Loss
	if c.old() {
		name = "bnpo"
	}
	v, err := ParseVariant(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c *trlCase) clip() Clip {
	clip := Clip{Low: 0.2, High: 0.2}
	if c.Config.Low != nil {
		clip.Low, clip.High = *c.Config.Low, *c.Config.Low
	}
	if c.Config.High != nil {
		clip.High = *c.Config.High
	}
	return clip
}

func (c *trlCase) scale(t testing.TB) Scale {
	switch s := c.Config.Scale.(type) {
	case nil:
		return ScaleGroup
	case bool:
		return map[bool]Scale{true: ScaleGroup, false: ScaleNone}[s]
	case string:
		return Scale(s)
	}
	t.Fatalf("scale_rewards is %v", c.Config.Scale)
	return ""
}

func (c *trlCase) level() Level { return orElse(c.Config.Level, TokenLevel) }

func (c *trlCase) aggregation() Aggregation { return orElse(c.Config.Aggregation, SumThenNormalise) }

func (c *trlCase) weights() []float64 {
	if c.Config.Weights == nil {
		return []float64{1}
	}
	return c.Config.Weights
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// trlCases reads all cases that are there: in the fixtures folder, or else those
// that testdata holds.
func trlCases(t testing.TB) []*trlCase {
	t.Helper()
	root := fixtures.PathOr(t, "grpo")
	paths, err := filepath.Glob(filepath.Join(root, "trl-*", "*.json"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("%s: %d cases, want at least 4 (%v)", root, len(paths), err)
	}
	var cases []*trlCase
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c := &trlCase{path: path, name: filepath.Base(filepath.Dir(path)) + "/" + strings.TrimSuffix(filepath.Base(path), ".json")}
		if err := json.Unmarshal(text, c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		cases = append(cases, c)
	}
	return cases
}

// microOf returns the micro-batches of one generation's first pass.
func (c *trlCase) generationMicros(gen int) (micros []int, rows int) {
	passes := max(1, c.Config.Passes)
	perStep := c.Config.Accumulation
	perGeneration := 1 // TRL 0.16.1 samples for each micro-batch
	if !c.old() {
		perGeneration = perStep
	}
	first := gen * perGeneration * passes
	for m := first; m < min(first+perGeneration, len(c.Micro)); m++ {
		micros = append(micros, m)
		rows += len(c.Micro[m].Rows)
	}
	return micros, rows
}

func closeTo(a, b, tol float64) bool { return math.Abs(a-b) <= tol }

func TestAdvantagesEqualTRL(t *testing.T) {
	for _, c := range trlCases(t) {
		t.Run(c.name, func(t *testing.T) {
			for g, gen := range c.Generations {
				got, _ := aggregate(c.aggregation(), advantages, gen.Rewards, c.weights(), c.Config.Group, c.scale(t), 1e-4)
				micros, rows := c.generationMicros(g)
				if rows != len(got) {
					t.Fatalf("generation %d: micro-batches %v hold %d rows, want %d", g, micros, rows, len(got))
				}
				var want []float64
				for _, m := range micros {
					want = append(want, c.Micro[m].Advantages...)
				}
				if !c.old() { // TRL 1.16 shuffles the rows
					slices.Sort(want)
					slices.Sort(got)
				}
				for i := range got {
					if !closeTo(got[i], want[i], 1e-5) {
						t.Errorf("generation %d: advantage %d is %v, want %v", g, i, got[i], want[i])
					}
				}
			}
		})
	}
}

// Before the first update the policy's log-probabilities are those it sampled with,
// so that the first loss follows from the record alone.
func TestFirstLossEqualsTRL(t *testing.T) {
	checked := 0
	for _, c := range trlCases(t) {
		m := c.Micro[0]
		if m.Rows[0].Old == nil {
			continue
		}
		checked++
		t.Run(c.name, func(t *testing.T) {
			o := Objective{Surrogate: c.variant(t).Surrogate, Clip: c.clip(), Level: c.level(), Beta: c.Config.Beta, RatioKL: !c.old()}
			var rows []Row
			for i, r := range m.Rows {
				rows = append(rows, Row{Tokens: len(r.Completion), Completion: Completion{Advantage: m.Advantages[i], Old: r.Old, Ref: r.Ref}})
			}
			Weigh(rows, c.variant(t).Normaliser, c.Config.MaxLength)
			loss := 0.0
			for _, r := range rows {
				l, _ := o.Eval(make([]float64, r.Tokens), r.Old, r.Completion)
				loss += l * r.Weight
			}
			if !closeTo(loss, m.Loss, 2e-6) && !closeTo(loss, m.Loss, 1e-4*math.Abs(m.Loss)) {
				t.Errorf("loss %v, want %v", loss, m.Loss)
			}
		})
	}
	if checked == 0 {
		t.Error("no case with log-probabilities of the sampling policy")
	}
}
