package grpo

import "math"

// Scale says what a completion's centred reward is divided by.
type Scale string

// The scales of advantages.
const (
	// ScaleGroup divides by the deviation of the completion's own group
	// (Shao et al., DeepSeekMath, 2024, equation 3).
	ScaleGroup Scale = "group"
	// ScaleBatch divides by the deviation of all rewards of the step: one group
	// with nearly equal rewards is then not blown up (Liu et al., "Part I: Tricks
	// or Traps?", 2025).
	ScaleBatch Scale = "batch"
	// ScaleNone leaves the centred reward as it is (Liu et al., "Understanding
	// R1-Zero-Like Training", 2025).
	ScaleNone Scale = "none"
)

// divisors holds, for each scale, the number that centred rewards are divided by,
// given the deviations of the group and of the batch.
var divisors = map[Scale]func(group, batch, eps float64) float64{
	ScaleGroup: func(group, _, eps float64) float64 { return group + eps },
	ScaleBatch: func(_, batch, eps float64) float64 { return batch + eps },
	ScaleNone:  func(_, _, _ float64) float64 { return 1 },
}

// Aggregation says how the rewards of several scorers become one advantage.
type Aggregation string

// The orders of summing and normalising.
const (
	// SumThenNormalise adds the weighted rewards and takes advantages of the sums.
	SumThenNormalise Aggregation = "sum_then_normalize"
	// NormaliseThenSum normalises each scorer's rewards in their group first, so
	// that weights compare scorers of different spread, adds them, and normalises
	// the sums over the batch (Liu et al., GDPO, 2026).
	NormaliseThenSum Aggregation = "normalize_then_sum"
)

// advantager returns advantages as [advantages] does, or on a device.
type advantager func(rewards []float64, group int, scale Scale, eps float64) ([]float64, error)

// aggregations holds, for each order, the advantages of rewards [scorer][row], NaN where
// there is no reward.
var aggregations = map[Aggregation]func(of advantager, rewards [][]float64, weights []float64, group int, scale Scale, eps float64) ([]float64, error){
	SumThenNormalise: func(of advantager, rewards [][]float64, weights []float64, group int, scale Scale, eps float64) ([]float64, error) {
		return of(WeightedSum(rewards, weights), group, scale, eps)
	},
	NormaliseThenSum: func(of advantager, rewards [][]float64, weights []float64, group int, _ Scale, eps float64) ([]float64, error) {
		z := make([][]float64, len(rewards))
		for k, r := range rewards {
			var err error
			if z[k], err = of(r, group, ScaleGroup, eps); err != nil {
				return nil, err
			}
		}
		sum := WeightedSum(z, weights)
		return of(sum, len(sum), ScaleGroup, eps)
	},
}

// aggregate returns the advantages of rewards [scorer][row]: 0 where there is no reward.
func aggregate(how Aggregation, of advantager, rewards [][]float64, weights []float64, group int, scale Scale, eps float64) ([]float64, error) {
	out, err := aggregations[how](of, rewards, weights, group, scale, eps)
	return noneForNaN(out), err
}

// MeanStd returns the mean and the sample deviation of the numbers that are not
// NaN:
//
//	mean = Σ x / n,  std = sqrt(Σ (x − mean)² / (n − 1))
//
// Without any the mean is NaN; with fewer than two the deviation is 0. Equal
// numbers give exactly their value and 0.
func MeanStd(x []float64) (mean, std float64) {
	n, first, shift := 0, math.NaN(), 0.0
	for _, v := range x {
		if math.IsNaN(v) {
			continue
		}
		if n == 0 {
			first = v
		}
		n++
		shift += v - first
	}
	mean = first + shift/float64(max(1, n))
	if n < 2 {
		return mean, 0
	}
	squares := 0.0
	for _, v := range x {
		if !math.IsNaN(v) {
			squares += (v - mean) * (v - mean)
		}
	}
	return mean, math.Sqrt(squares / float64(n-1))
}

// Advantages returns, for each completion of groups that follow each other, how much
// better its reward is than its group's mean:
//
//	A = (r − mean(group)) / (std + eps),  std by scale, the sample deviation
//
// A NaN is a completion without reward: it counts neither in mean nor in deviation
// and its advantage is 0. The last group may be smaller than the others. Adding a
// constant to all rewards of a group changes nothing; with equal rewards all
// advantages are exactly 0. It panics where group is below 1 or scale is unknown.
//
// Source: Shao et al., DeepSeekMath, 2024, equation 3; eps (there absent) is TRL's
// 1e-4.
func Advantages(rewards []float64, group int, scale Scale, eps float64) []float64 {
	out, _ := advantages(rewards, group, scale, eps)
	return noneForNaN(out)
}

// noneForNaN replaces NaN by 0.
func noneForNaN(advantages []float64) []float64 {
	for i, a := range advantages {
		if math.IsNaN(a) {
			advantages[i] = 0
		}
	}
	return advantages
}

// advantages is Advantages with NaN where there is no reward. Its error is nil: it is an
// [advantager].
func advantages(rewards []float64, group int, scale Scale, eps float64) ([]float64, error) {
	divisor := divisors[scale]
	if divisor == nil || group < 1 {
		panic("grpo: unknown scale or empty group")
	}
	_, batch := MeanStd(rewards)
	out := make([]float64, len(rewards))
	for lo := 0; lo < len(rewards); lo += group {
		hi := min(lo+group, len(rewards))
		mean, std := MeanStd(rewards[lo:hi])
		for i := lo; i < hi; i++ {
			out[i] = (rewards[i] - mean) / divisor(std, batch, eps)
		}
	}
	return out, nil
}

// WeightedSum adds the rewards [scorer][row] of each row times the scorers' weights.
// A scorer that gave NaN is left out; a row without any reward is NaN.
func WeightedSum(rewards [][]float64, weights []float64) []float64 {
	if len(rewards) == 0 || len(rewards) != len(weights) {
		panic("grpo: one weight for each scorer's rewards is needed")
	}
	out := make([]float64, len(rewards[0]))
	for i := range out {
		out[i] = math.NaN()
		for k, r := range rewards {
			switch {
			case math.IsNaN(r[i]):
			case math.IsNaN(out[i]):
				out[i] = weights[k] * r[i]
			default:
				out[i] += weights[k] * r[i]
			}
		}
	}
	return out
}

// ZeroDeviation returns the share of groups in which all rewards are equal (their
// deviation is at most 1e-8): they give no gradient beside the KL term.
func ZeroDeviation(rewards []float64, group int) float64 {
	zero, groups := 0, 0
	for lo := 0; lo < len(rewards); lo += group {
		_, std := MeanStd(rewards[lo:min(lo+group, len(rewards))])
		groups++
		if std <= 1e-8 {
			zero++
		}
	}
	return float64(zero) / float64(max(1, groups))
}

// GroupDeviation returns the mean over groups of the sample deviation of their
// rewards.
func GroupDeviation(rewards []float64, group int) float64 {
	sum, groups := 0.0, 0
	for lo := 0; lo < len(rewards); lo += group {
		_, std := MeanStd(rewards[lo:min(lo+group, len(rewards))])
		groups++
		sum += std
	}
	return sum / float64(max(1, groups))
}
