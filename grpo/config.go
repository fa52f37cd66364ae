package grpo

import (
	"context"
	"fmt"
	"math"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/oneline"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// Reference says against which policy the KL divergence is measured.
type Reference string

// The references.
const (
	// StartReference is a frozen copy of the adapter that training starts from: the
	// divergence at the first step is exactly 0.
	StartReference Reference = "start"
	// BaseReference is the base model without adapter, as in TRL 0.16.1.
	BaseReference Reference = "base"
)

// Config holds everything that a [GRPOTrainer] can be told. Zero means zero: start
// from [Default] and change what you need. A value that makes no sense is an error
// of [NewGRPOTrainer] that names the field, the value and what is allowed.
type Config struct {
	// The loss.

	Loss          Variant     // form of the loss
	Clip          Clip        // bounds of the ratio
	Level         Level       // of the ratio: token or sequence
	Beta          float64     // weight of the KL estimate; 0 leaves it, and the reference, out
	RatioKL       bool        // multiply the KL estimate by the ratio; see Objective
	Reference     Reference   // what the KL estimate is taken against
	Scale         Scale       // of advantages: group, batch or none
	Aggregation   Aggregation // of several scorers' rewards
	AdvantageEps  float64     // beside the deviation that advantages are divided by
	MaskTruncated bool        // truncated completions shape their group's mean but give no gradient

	// The batch: an optimiser step takes MicroBatch·Accumulation completions, which
	// is a multiple of Group. Micro-batches only weigh the loss: how much is computed
	// at a time is decided by Budget.

	Group        int  // completions a prompt
	MicroBatch   int  // completions a micro-batch
	Accumulation int  // micro-batches an optimiser step
	ShuffleRows  bool // deal the step's completions to micro-batches at random, as TRL 1.x does
	Passes       int  // optimiser steps on each batch of completions
	Budget       int  // most distinct tokens computed at a time; 0: no bound

	// Sampling.

	MaxPrompt         int     // of a longer prompt the last so many tokens are kept, and it is counted
	MaxCompletion     int     // tokens, the end token included
	Temperature       float64 // divides the logits, in sampling and in all log-probabilities
	TopK              int     // 0: all
	TopP              float64 // 0 or 1: all
	MinP              float64 // 0: none
	RepetitionPenalty float64 // 0 or 1: none
	EndTokens         []int   // that end a completion; nil: the model's own

	// The optimiser.

	LearningRate float64
	Warmup       int              // steps over which the rate rises from 0
	Schedule     string           // of the rate behind the warm-up: "linear" to 0, "cosine" to 0, "constant"
	AdamW        lora.AdamWConfig // betas, eps, decay and the bound on the gradient's norm
	Dropout      float64          // of the adapter's branches in the update; never in sampling

	// The run.

	Epochs   float64 // passes over the items
	MaxSteps int     // most optimiser steps; 0: as many as Epochs asks for
	Seed     uint64  // of sampling, of the order of items and of dropout
	Shuffle  bool    // take episodes in a random order, each epoch in another; items of an episode stay together

	// Encode returns the tokens of an item's prompt. nil stands for the chat template
	// of the base's tokenizer with one user message, ready for the reply.
	Encode func(it episode.Item) ([]int, error)
	// Rollout replaces sampling: it returns n completions for each prompt, tokens with
	// the end token where there is one, and whether they were truncated. nil samples
	// from the policy.
	Rollout func(ctx context.Context, prompts [][]int, n int) ([][]policy.Completion, error)

	// Files and reports.

	// Dir is the folder for checkpoints and logs; training resumes from what it
	// holds. "" writes nothing.
	Dir       string
	SaveEvery int // optimiser steps between checkpoints; 0: only at the end or when stopped
	KeepLast  int // checkpoints to keep; 0: all

	EvalItems   []episode.Item // held-out items; nil: no evaluation
	EvalEvery   int            // optimiser steps between evaluations, which also happen before the first and after the last; 0: none
	EvalSamples int            // completions a held-out item

	// OnStep is told each line of the metrics log; nil for nobody.
	OnStep func(step, total int, m Metrics)
	// OnPhase is told when a phase of an optimiser step begins, which is when the one
	// before ends; nil for nobody.
	OnPhase func(Phase)
}

// Default returns the configuration of Sotopia-RL (arXiv 2508.03905): groups of 16,
// beta 0.04, advantages over the group's deviation + 1e-4, the loss of TRL 0.16.1,
// temperature 0.9 with top-k 50, learning rate 5e-6 falling to 0 over 3 epochs,
// 4 completions a micro-batch and 8 micro-batches a step, one pass, no dropout. It
// differs in one point: the reference is the start of training, which the paper
// describes, and not the bare base, which its program used.
func Default() Config {
	return Config{
		Loss: BNPO(), Clip: Clip{Low: 0.2, High: 0.2}, Level: TokenLevel,
		Beta: 0.04, Reference: StartReference,
		Scale: ScaleGroup, Aggregation: SumThenNormalise, AdvantageEps: 1e-4,
		Group: 16, MicroBatch: 4, Accumulation: 8, Passes: 1, Budget: 8192,
		MaxPrompt: 4096, MaxCompletion: 256, Temperature: 0.9, TopK: 50, TopP: 1,
		LearningRate: 5e-6, Schedule: "linear", AdamW: lora.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Clip: 1},
		Epochs: 3, Seed: 42, Shuffle: true,
		SaveEvery: 50, KeepLast: 2, EvalEvery: 50, EvalSamples: 1,
	}
}

// rows returns the number of completions of a step.
func (c *Config) rows() int { return c.MicroBatch * c.Accumulation }

// prompts returns the number of prompts of a step.
func (c *Config) prompts() int { return c.rows() / c.Group }

// Validate returns one error that names every field with a value that makes no
// sense, or nil.
func (c Config) Validate() error {
	v := &checks{}
	v.positive("Group", c.Group)
	v.positive("MicroBatch", c.MicroBatch)
	v.positive("Accumulation", c.Accumulation)
	v.positive("Passes", c.Passes)
	v.positive("MaxPrompt", c.MaxPrompt)
	v.positive("MaxCompletion", c.MaxCompletion)
	if c.Group > 0 {
		v.that(c.rows()%c.Group == 0, "MicroBatch·Accumulation", c.rows(), fmt.Sprintf("a multiple of Group, %d", c.Group))
	}
	v.that(c.Group != 1, "Group", c.Group, "at least 2: a single completion has no advantage")
	v.that(c.Loss.Surrogate != nil && c.Loss.Normaliser != nil, "Loss", c.Loss.Name, "a variant with Surrogate and Normaliser")
	v.that(levels[c.Level].ratios != nil, "Level", c.Level, "token or sequence")
	v.that(divisors[c.Scale] != nil, "Scale", c.Scale, "group, batch or none")
	v.that(aggregations[c.Aggregation] != nil, "Aggregation", c.Aggregation, "sum_then_normalize or normalize_then_sum")
	v.that(c.Reference == StartReference || c.Reference == BaseReference, "Reference", c.Reference, "start or base")
	v.that(c.Beta >= 0, "Beta", c.Beta, "0 or more")
	v.that(c.AdvantageEps >= 0, "AdvantageEps", c.AdvantageEps, "0 or more")
	v.that(c.Clip.Low >= 0 && c.Clip.High >= 0, "Clip", c.Clip, "0 or more")
	v.that(c.Temperature > 0, "Temperature", c.Temperature, "more than 0")
	v.notNegative("TopK", c.TopK)
	v.that(c.TopP >= 0 && c.TopP <= 1, "TopP", c.TopP, "0 to 1")
	v.that(c.MinP >= 0 && c.MinP <= 1, "MinP", c.MinP, "0 to 1")
	v.that(c.RepetitionPenalty >= 0, "RepetitionPenalty", c.RepetitionPenalty, "0 or more")
	v.that(c.AdamW.WeightDecay >= 0, "AdamW.WeightDecay", c.AdamW.WeightDecay, "0 or more")
	v.that(!math.IsNaN(c.AdamW.Clip), "AdamW.Clip", c.AdamW.Clip, "a number")
	v.that(c.LearningRate >= 0, "LearningRate", c.LearningRate, "0 or more")
	v.that(schedules[c.Schedule] != nil, "Schedule", c.Schedule, "linear, cosine or constant")
	v.that(c.Dropout >= 0 && c.Dropout < 1, "Dropout", c.Dropout, "0 to below 1")
	v.that(c.MaxSteps > 0 || c.Epochs > 0, "Epochs", c.Epochs, "more than 0, unless MaxSteps is")
	v.notNegative("Warmup", c.Warmup)
	v.notNegative("MaxSteps", c.MaxSteps)
	v.notNegative("Budget", c.Budget)
	v.notNegative("SaveEvery", c.SaveEvery)
	v.notNegative("KeepLast", c.KeepLast)
	v.notNegative("EvalEvery", c.EvalEvery)
	v.that(len(c.EvalItems) == 0 || c.EvalEvery == 0 || c.EvalSamples > 0, "EvalSamples", c.EvalSamples, "at least 1")
	return oneline.Join(v.errs...)
}

var schedules = map[string]func(warmup int) lora.Schedule{
	"linear": lora.LinearDecay, "cosine": lora.CosineDecay, "constant": lora.ConstantRate,
}

// checks collects what is wrong with a configuration.
type checks struct{ errs []error }

func (v *checks) that(ok bool, field string, value any, allowed string) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf("grpo: %s is %v, want %s", field, value, allowed))
	}
}

func (v *checks) positive(field string, n int) { v.that(n > 0, field, n, "at least 1") }

func (v *checks) notNegative(field string, n int) { v.that(n >= 0, field, n, "0 or more") }

// settings are the numbers that decide what a run computes. A checkpoint holds
// them, and only a run with the same may resume it.
type settings struct {
	Loss              string           `json:"loss"`
	Clip              Clip             `json:"clip"`
	Level             Level            `json:"level"`
	Beta              float64          `json:"beta"`
	RatioKL           bool             `json:"ratio_kl"`
	Reference         Reference        `json:"reference"`
	Scale             Scale            `json:"scale"`
	Aggregation       Aggregation      `json:"aggregation"`
	AdvantageEps      float64          `json:"advantage_eps"`
	MaskTruncated     bool             `json:"mask_truncated"`
	Group             int              `json:"group"`
	MicroBatch        int              `json:"micro_batch"`
	Accumulation      int              `json:"accumulation"`
	ShuffleRows       bool             `json:"shuffle_rows"`
	Passes            int              `json:"passes"`
	MaxPrompt         int              `json:"max_prompt"`
	MaxCompletion     int              `json:"max_completion"`
	Temperature       float64          `json:"temperature"`
	TopK              int              `json:"top_k"`
	TopP              float64          `json:"top_p"`
	MinP              float64          `json:"min_p"`
	RepetitionPenalty float64          `json:"repetition_penalty"`
	LearningRate      float64          `json:"learning_rate"`
	Warmup            int              `json:"warmup"`
	Schedule          string           `json:"schedule"`
	AdamW             lora.AdamWConfig `json:"adamw"`
	Dropout           float64          `json:"dropout"`
	Seed              uint64           `json:"seed"`
	Shuffle           bool             `json:"shuffle"`
	Scorers           []string         `json:"scorers"`
	Weights           []float64        `json:"weights"`
	Items             int              `json:"items"`
	ItemsSHA256       string           `json:"items_sha256"`
	Steps             int              `json:"steps"`
}

// settings returns the run's effective settings.
func (t *GRPOTrainer) settings() settings {
	c := &t.cfg
	return settings{
		Loss: c.Loss.Name, Clip: c.Clip, Level: c.Level, Beta: c.Beta, RatioKL: c.RatioKL, Reference: c.Reference,
		Scale: c.Scale, Aggregation: c.Aggregation, AdvantageEps: c.AdvantageEps, MaskTruncated: c.MaskTruncated,
		Group: c.Group, MicroBatch: c.MicroBatch, Accumulation: c.Accumulation, ShuffleRows: c.ShuffleRows, Passes: c.Passes,
		MaxPrompt: c.MaxPrompt, MaxCompletion: c.MaxCompletion, Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP,
		MinP: c.MinP, RepetitionPenalty: c.RepetitionPenalty, LearningRate: c.LearningRate, Warmup: c.Warmup, Schedule: c.Schedule, AdamW: c.AdamW,
		Dropout: c.Dropout, Seed: c.Seed, Shuffle: c.Shuffle, Scorers: t.names, Weights: t.weights, Items: len(t.data.items), ItemsSHA256: fingerprint(t.data.items), Steps: t.total,
	}
}
