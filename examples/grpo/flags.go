package main

import (
	"flag"
	"math"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/policy"
)

// settings are the parsed flags.
type settings struct {
	input     cli.Input
	adapter   cli.Adapter
	cfg       grpo.Config
	start     string
	recompute bool
	memory    cli.Bytes

	held      float64
	evalItems int

	rewardModel, rewardBase                 string
	rewardWeight, wordsWeight, actionWeight float64
	wordsLimit                              int

	loss, level, reference, scale, aggregation string
	ordered                                    bool
}

const synopsis = `Usage: grpo -model DIR -data FILE -reward-model DIR -out DIR [flags]

Trains a policy by group relative policy optimisation. The same command goes on where
a stopped run's last checkpoint is. The defaults are those of Sotopia-RL (arXiv
2508.03905); -reference base is what its program did.`

// parse reads the flags and prints the effective configuration.
func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{adapter: cli.Adapter{Rank: 8, Alpha: 64, Targets: "q_proj,v_proj"}, cfg: grpo.Default()}
	fs := cli.NewFlags("grpo", synopsis)
	s.input.Define(fs, "of prompts")
	s.adapter.Define(fs)
	s.defineData(fs)
	s.defineLoss(fs)
	s.defineBatch(fs)
	s.defineRun(fs)
	return s, cli.Parse(fs, args, io, s.finish)
}

func (s *settings) defineData(fs *flag.FlagSet) {
	fs.StringVar(&s.start, "adapter", "", "`directory` of the adapter to start from, for example a cloned policy; a new one if empty")
	fs.StringVar(&s.rewardModel, "reward-model", "", "`directory` of a reward model's adapter")
	fs.StringVar(&s.rewardBase, "reward-base", "", "model `directory` of the reward model, where it is not -model")
	fs.Float64Var(&s.rewardWeight, "reward-weight", 1, "weight of the reward model")
	fs.Float64Var(&s.wordsWeight, "words-weight", 0, "weight of a loss of 1 for each word of a reply beyond -words-limit")
	fs.IntVar(&s.wordsLimit, "words-limit", 60, "words that a reply may have")
	fs.Float64Var(&s.actionWeight, "action-weight", 0, "weight of a reward of 1 for a reply that is an action as JSON")
	fs.Float64Var(&s.held, "held-out", 0.05, "share of episodes to evaluate on instead of training")
	fs.IntVar(&s.evalItems, "eval-items", 64, "most held-out items to evaluate on")
}

func (s *settings) defineLoss(fs *flag.FlagSet) {
	c := &s.cfg
	fs.StringVar(&s.loss, "loss", c.Loss.Name, "form of the loss: grpo, bnpo, dapo, dr_grpo or cispo")
	fs.StringVar(&s.level, "level", string(c.Level), "of the probability ratio: token or sequence")
	fs.Float64Var(&c.Clip.Low, "clip-low", c.Clip.Low, "distance below 1 at which the ratio is clipped")
	fs.Float64Var(&c.Clip.High, "clip-high", c.Clip.High, "distance above 1 at which the ratio is clipped; for cispo the largest ratio")
	fs.Float64Var(&c.Beta, "beta", c.Beta, "weight of the divergence from the reference")
	fs.BoolVar(&c.RatioKL, "ratio-kl", c.RatioKL, "multiply the divergence by the ratio")
	fs.StringVar(&s.reference, "reference", string(c.Reference), "start, a frozen copy of the starting adapter, or base, the model without adapter")
	fs.StringVar(&s.scale, "scale-rewards", string(c.Scale), "what advantages are divided by: the deviation of the group or of the batch, or none")
	fs.StringVar(&s.aggregation, "aggregation", string(c.Aggregation), "of several rewards: sum_then_normalize or normalize_then_sum")
	fs.Float64Var(&c.AdvantageEps, "advantage-eps", c.AdvantageEps, "beside the deviation that advantages are divided by")
	fs.BoolVar(&c.MaskTruncated, "mask-truncated", c.MaskTruncated, "learn nothing from replies that ran into the limit")
}

func (s *settings) defineBatch(fs *flag.FlagSet) {
	c := &s.cfg
	fs.IntVar(&c.Group, "group", c.Group, "replies a prompt")
	fs.IntVar(&c.MicroBatch, "batch", c.MicroBatch, "replies a micro-batch")
	fs.IntVar(&c.Accumulation, "accumulation", c.Accumulation, "micro-batches an optimiser step")
	fs.BoolVar(&c.ShuffleRows, "shuffle-rows", c.ShuffleRows, "deal replies to micro-batches at random")
	fs.IntVar(&c.Passes, "passes", c.Passes, "optimiser steps on each batch of replies")
	fs.IntVar(&c.Budget, "budget", c.Budget, "most distinct tokens computed at a time; 0 is no bound")
	fs.IntVar(&c.MaxPrompt, "max-prompt", c.MaxPrompt, "tokens of a prompt that are kept, the last ones")
	fs.IntVar(&c.MaxCompletion, "max-completion", c.MaxCompletion, "most tokens of a reply")
	fs.Float64Var(&c.Temperature, "temperature", c.Temperature, "of sampling and of all log-probabilities")
	fs.IntVar(&c.TopK, "top-k", c.TopK, "sample from the k likeliest tokens; 0 is all")
	fs.Float64Var(&c.TopP, "top-p", c.TopP, "sample from the likeliest tokens that reach this probability")
	fs.Float64Var(&c.MinP, "min-p", c.MinP, "sample from tokens at least so likely beside the likeliest")
	fs.Float64Var(&c.RepetitionPenalty, "repetition-penalty", c.RepetitionPenalty, "of tokens that occurred; 0 or 1 is none")
}

func (s *settings) defineRun(fs *flag.FlagSet) {
	c := &s.cfg
	fs.StringVar(&c.Dir, "out", "", "`directory` of the run, which is resumed where there is one (required)")
	fs.Float64Var(&c.LearningRate, "lr", c.LearningRate, "highest learning rate")
	fs.IntVar(&c.Warmup, "warmup", c.Warmup, "steps over which the learning rate rises from 0")
	fs.StringVar(&c.Schedule, "schedule", c.Schedule, "of the learning rate behind the warm-up: linear, cosine or constant")
	fs.Float64Var(&c.AdamW.WeightDecay, "weight-decay", c.AdamW.WeightDecay, "decoupled weight decay")
	fs.Float64Var(&c.AdamW.Clip, "clip", c.AdamW.Clip, "largest norm of the gradient; 0 is no bound")
	fs.Float64Var(&c.Epochs, "epochs", c.Epochs, "passes over the items")
	fs.IntVar(&c.MaxSteps, "max-steps", c.MaxSteps, "most optimiser steps; 0 is no bound")
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "of sampling, of the order and of the split")
	fs.BoolVar(&s.ordered, "ordered", false, "take the items in their order")
	fs.IntVar(&c.SaveEvery, "save-every", c.SaveEvery, "steps between checkpoints; 0 is at the end only")
	fs.IntVar(&c.KeepLast, "keep", c.KeepLast, "checkpoints to keep; 0 is all")
	fs.IntVar(&c.EvalEvery, "eval-every", c.EvalEvery, "steps between evaluations on held-out items; 0 is none")
	fs.IntVar(&c.EvalSamples, "eval-samples", c.EvalSamples, "replies a held-out item")
	fs.Var(&s.memory, "memory", "most `memory` of a forest's activations, such as 2GB: it is computed in smaller parts, and as many blocks again, as that takes; 0 is no bound")
	fs.BoolVar(&s.recompute, "recompute", false, "compute activations again in the backward pass, to save memory")
}

// finish checks the flags and takes over those that are names.
func (s *settings) finish() error {
	if err := cli.Required("model", s.input.Model.Dir, "data", s.input.Data, "out", s.cfg.Dir); err != nil {
		return err
	}
	switch {
	case s.rewardModel == "" && s.wordsWeight == 0 && s.actionWeight == 0:
		return cli.Usagef("nothing is rewarded: give -reward-model, -words-weight or -action-weight")
	case s.rewardBase != "" && s.rewardModel == "":
		return cli.Usagef("-reward-base needs -reward-model")
	case math.IsNaN(s.rewardWeight + s.wordsWeight + s.actionWeight):
		return cli.Usagef("-reward-weight is %v, -words-weight %v, -action-weight %v: want numbers", s.rewardWeight, s.wordsWeight, s.actionWeight)
	case s.wordsLimit < 0:
		return cli.Usagef("-words-limit is %d, want 0 or more", s.wordsLimit)
	case s.cfg.EvalEvery > 0 && s.cfg.EvalSamples < 1:
		return cli.Usagef("-eval-samples is %d, want at least 1", s.cfg.EvalSamples)
	case s.evalItems < 1:
		return cli.Usagef("-eval-items is %d, want at least 1", s.evalItems)
	case !(s.held >= 0 && s.held < 1):
		return cli.Usagef("-held-out is %v, want 0 to below 1", s.held)
	}
	c := &s.cfg
	var err error
	if c.Loss, err = grpo.ParseVariant(s.loss); err != nil {
		return cli.Usagef("-loss: %w", err)
	}
	c.Level, c.Reference, c.Shuffle = grpo.Level(s.level), grpo.Reference(s.reference), !s.ordered
	c.Scale, c.Aggregation, c.Dropout = grpo.Scale(s.scale), grpo.Aggregation(s.aggregation), s.adapter.Dropout
	return s.checkParts()
}

func (s *settings) checkParts() error {
	if err := s.input.Model.Check(); err != nil {
		return err
	}
	if err := s.input.Items.Check(); err != nil {
		return err
	}
	if s.start == "" {
		if err := s.adapter.Check(); err != nil {
			return err
		}
	}
	if err := s.cfg.Validate(); err != nil {
		return cli.Usagef("%w", err)
	}
	return nil
}

// pinned is what a resumed run must have in common with the one it goes on from,
// beside the trainer's configuration.
func (s *settings) pinned(p *policy.Policy) any {
	c := p.Adapter().Config
	return struct {
		Model, DType, Template, RewardModel, RewardBase string
		WordsLimit, Rank                                int
		Alpha, HeldOut                                  float64
		RSLoRA                                          bool
		Targets                                         []string
	}{
		p.Base().String(), s.input.Model.DType, s.input.Model.Template, s.rewardModel, s.rewardBase,
		s.wordsLimit, c.Rank, c.Alpha, s.held, c.RSLoRA, c.Targets,
	}
}
