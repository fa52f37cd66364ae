package reward

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/socialrl/socialrl/policy"
)

// TrainConfig configures the training of a reward model. A zero value stands for
// Sotopia-RL's figure: learning rate 1e-5, 8 records a step, 30 epochs, 5% of the
// episodes held out, a linear warm-up over a tenth of the steps and a linear decay
// to 0. Config fields that are not named here have the defaults of
// [policy.FitConfig].
type TrainConfig struct {
	// Dir is the run's directory, from which training resumes. It goes before
	// FitConfig.Dir.
	Dir string
	policy.FitConfig
	// OnCount is told, before the first step, how many records are used and how
	// many are left out because they are too long. It may be nil.
	OnCount func(used, tooLong int)
}

func (c TrainConfig) fitConfig(records int) policy.FitConfig {
	f := c.FitConfig
	if c.Dir != "" {
		f.Dir = c.Dir
	}
	if f.LR == 0 {
		f.LR = 1e-5
	}
	if f.Batch == 0 {
		f.Batch = 8
	}
	if f.Epochs == 0 {
		f.Epochs = 30
	}
	f.Held = orDefault(f.Held, 0.05)
	if f.Warmup == 0 {
		steps := f.Epochs * int(math.Ceil(float64(records)*(1-f.Held)/float64(f.Batch)))
		if f.MaxSteps > 0 {
			steps = min(steps, f.MaxSteps)
		}
		f.Warmup = steps / 10
	}
	f.Warmup = max(0, f.Warmup)
	return f
}

// orDefault returns d for zero and zero for a negative number.
func orDefault(v, d float64) float64 {
	if v == 0 {
		return d
	}
	return max(0, v)
}

// Train fits the model to the records' values by mean squared error:
//
//	loss = mean over the step's records of (score − value)²
//
// Records of one episode stay together: in the split, so that the held-out ones are
// new, and in the batches, so that their common history is computed once. The
// held-out records give eval_loss (the mean squared error), eval_pearson and
// eval_spearman. Held and Warmup of the configuration may be negative for none.
//
// Training resumes from the directory, and when it ends the model holds the
// parameters with the lowest held-out error, which the directory has under
// "adapter". Records that are too long are left out and counted; without any other
// it is an error.
func (m *RewardModel) Train(ctx context.Context, recs []Record, cfg TrainConfig) error {
	_, err := m.Fit(ctx, recs, cfg)
	return err
}

// Fit is [RewardModel.Train] and says how it ended.
func (m *RewardModel) Fit(ctx context.Context, recs []Record, cfg TrainConfig) (policy.FitResult, error) {
	var examples []policy.Example
	var values []float64
	var groups []string
	tooLong := 0
	for i, r := range recs {
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			return policy.FitResult{}, fmt.Errorf("reward: record %d (episode %q) has the value %v", i, r.EpisodeID, r.Value)
		}
		e, err := m.render(r.Input, r.Output)
		if errors.Is(err, policy.ErrTooLong) {
			tooLong++
			continue
		}
		if err != nil {
			return policy.FitResult{}, fmt.Errorf("reward: record %d (episode %q): %w", i, r.EpisodeID, err)
		}
		examples, values = append(examples, e), append(values, r.Value)
		groups = append(groups, policy.GroupOf(r.Item(), i))
	}
	if cfg.OnCount != nil {
		cfg.OnCount(len(examples), tooLong)
	}
	if len(examples) == 0 {
		return policy.FitResult{}, fmt.Errorf("reward: no records to train on (%d are too long)", tooLong)
	}
	return policy.Fit(ctx, m.policy, objective(examples, groups, values), cfg.fitConfig(len(examples)))
}

// objective is the regression of the scores on the values.
func objective(examples []policy.Example, groups []string, values []float64) policy.Objective {
	return policy.Objective{
		Examples: examples,
		Groups:   groups,
		Values:   values,
		Loss: func(batch []int) policy.Loss {
			return policy.SquaredError{Values: pick(values, batch)}
		},
		Evaluate: func(held []int, out [][]float64) map[string]float64 {
			scores := make([]float64, len(out))
			for i, v := range out {
				scores[i] = v[0]
			}
			e := Evaluate(scores, pick(values, held))
			return map[string]float64{"loss": e.MSE, "mse": e.MSE, "pearson": e.Pearson, "spearman": e.Spearman}
		},
	}
}

func pick(values []float64, at []int) []float64 {
	out := make([]float64, len(at))
	for i, j := range at {
		out[i] = values[j]
	}
	return out
}
