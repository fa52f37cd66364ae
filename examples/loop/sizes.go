package main

import (
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// sizes say how much of everything there is in a round: the numbers of a loop.
type sizes struct {
	startEpisodes int // of scripted players, of each scenario, from which the first policy is cloned
	episodes      int // of each scenario in a round
	evaluations   int // of each held-out scenario in an evaluation
	keepOf        int // of every so many episodes the best one is cloned

	start  policy.SFTConfig // of the first policy
	sft    policy.SFTConfig
	reward reward.TrainConfig
	grpo   grpo.Config
}

// standard returns the sizes of a loop through the miniature world whose rounds take a
// minute or two.
func standard(seed uint64) sizes {
	s := sizes{startEpisodes: 24, episodes: 16, evaluations: 6, keepOf: 4}
	decay := lora.AdamWConfig{WeightDecay: 0.01}
	s.start.FitConfig = policy.FitConfig{
		Epochs: 12, Patience: 2, Batch: 32, LR: 3e-3, Warmup: 30, Schedule: "cosine", Held: 0.1, Optimizer: decay, Seed: seed,
	}
	s.sft.FitConfig = policy.FitConfig{
		Epochs: 2, Patience: 1, Batch: 32, LR: 5e-4, Warmup: 5, Schedule: "cosine", Held: 0.1, Optimizer: decay, Seed: seed,
	}
	s.reward.FitConfig = policy.FitConfig{
		Epochs: 2, Batch: 64, LR: 1e-3, Warmup: 30, Schedule: "linear", Held: 0.1, Optimizer: decay, Seed: seed,
	}
	s.grpo = grpo.Default()
	s.grpo.Group, s.grpo.MicroBatch, s.grpo.Accumulation = 8, 8, 16
	s.grpo.Temperature, s.grpo.TopK = 1, 0
	s.grpo.MaxCompletion = 48
	s.grpo.LearningRate, s.grpo.Warmup, s.grpo.MaxSteps = 3e-4, 5, 100
	s.grpo.Scale, s.grpo.Beta, s.grpo.Shuffle = grpo.ScaleBatch, 0.04, false
	s.grpo.SaveEvery, s.grpo.EvalEvery = 10, 0
	s.grpo.Seed = seed
	return s
}

// published returns the sizes of a loop with a model of the user's: Sotopia-RL's rates,
// fewer passes.
func published(seed uint64) sizes {
	s := sizes{episodes: 1, evaluations: 1, keepOf: 2}
	s.sft.FitConfig = policy.FitConfig{Epochs: 2, Batch: 16, LR: 1e-4, Schedule: "linear", Seed: seed}
	s.sft.DropOldest = true
	s.reward.FitConfig = policy.FitConfig{Epochs: 4, Batch: 8, LR: 1e-4, Schedule: "linear", Held: -1, Warmup: -1, Seed: seed}
	s.grpo = grpo.Default()
	s.grpo.Group, s.grpo.MicroBatch, s.grpo.Accumulation, s.grpo.MaxSteps = 8, 8, 4, 20
	s.grpo.SaveEvery, s.grpo.EvalEvery = 5, 0
	s.grpo.Seed = seed
	return s
}
