package main

import (
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// settings say how much of everything there is: the numbers of an experiment.
type settings struct {
	scenarios int // most to learn from, and most held out; 0: all there are

	episodes int // played of each training scenario
	cloneOf  int // of so many episodes of a scenario and seat the best one is cloned
	cases    int // played of each held-out scenario to evaluate a player

	clone  policy.SFTConfig
	reward reward.TrainConfig
	grpo   grpo.Config
}

// standard returns the settings of an experiment that takes a few minutes.
func standard(seed uint64) settings {
	s := settings{episodes: 48, cloneOf: 4, cases: 12}
	s.clone.FitConfig = policy.FitConfig{
		Epochs: 12, Patience: 2, Batch: 32, LR: 3e-3, Warmup: 30, Schedule: "cosine", Held: 0.1,
		Optimizer: lora.AdamWConfig{WeightDecay: 0.01}, Seed: seed,
	}
	s.reward.FitConfig = policy.FitConfig{
		Epochs: 3, Batch: 64, LR: 1e-3, Warmup: 30, Schedule: "linear", Held: 0.1,
		Optimizer: lora.AdamWConfig{WeightDecay: 0.01}, Seed: seed,
	}
	s.grpo = grpo.Default()
	s.grpo.Group, s.grpo.MicroBatch, s.grpo.Accumulation = 8, 8, 16
	s.grpo.Temperature, s.grpo.TopK = 1, 0
	s.grpo.MaxCompletion = 48
	s.grpo.LearningRate, s.grpo.Warmup, s.grpo.MaxSteps = 5e-4, 5, 100
	// A group of replies that the reward model finds about equally good says little: what
	// it says is not blown up to the deviation of groups that say much.
	s.grpo.Scale, s.grpo.Beta, s.grpo.Shuffle = grpo.ScaleBatch, 0.04, false
	s.grpo.SaveEvery, s.grpo.EvalEvery = 20, 0
	s.grpo.Seed = seed
	return s
}
