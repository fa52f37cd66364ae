package attribution

import "math"

// Masked is the attribution of an utterance that could not be judged. Its
// reward is Masked too, and it must not be trained on.
const Masked = -1

// ScaledReward is the reward of the methods that rate an utterance on a scale:
//
//	r = a/s * score
//
// a is the attribution, 0..s; s the scale's highest value, above 0; score the
// episode's score on the dimension, in the dimension's units (10 for the
// quality of an utterance, which no episode score belongs to). [Masked] stays
// Masked.
func ScaledReward(a, s, score float64) float64 {
	if a == Masked {
		return Masked
	}
	return a / s * score
}

// NormalizedRewards shares the score among the utterances in proportion to
// their attribution:
//
//	r[i] = a[i] / sum(a) * score
//
// and all zeros where the sum is 0. a is not negative except for [Masked]
// elements, which take no part and stay Masked; so do NaNs, which stay NaN. The
// rewards of the others sum to score.
func NormalizedRewards(a []float64, score float64) []float64 {
	sum := 0.0
	for _, v := range a {
		if v > 0 {
			sum += v
		}
	}
	r := make([]float64, len(a))
	for i, v := range a {
		switch {
		case v == Masked || math.IsNaN(v):
			r[i] = v
		case sum > 0:
			r[i] = v / sum * score
		}
	}
	return r
}

// DiscountedRewards lets credit fade with the distance to the last of n
// utterances:
//
//	r[k] = gamma^(n-1-k) * score,   k = 0..n-1
//
// gamma lies in 0..1.
func DiscountedRewards(gamma float64, n int, score float64) []float64 {
	r := make([]float64, n)
	for k := range r {
		r[k] = math.Pow(gamma, float64(n-1-k)) * score
	}
	return r
}

// UniformRewards gives each of n utterances the whole score.
func UniformRewards(n int, score float64) []float64 {
	r := make([]float64, n)
	for k := range r {
		r[k] = score
	}
	return r
}

// KeyRewards gives the score to utterance key of n and nothing to the others.
// It panics where key is not in 0..n-1.
func KeyRewards(key, n int, score float64) []float64 {
	if key < 0 || key >= n {
		panic("attribution: key utterance out of range")
	}
	r := make([]float64, n)
	r[key] = score
	return r
}

// ProgressRewards pays for how much nearer the goal has come. before[k] is how
// far the goal was achieved before utterance k, 0..10:
//
//	r[k] = (before[k] - before[k-1]) / 10 * score,   before[-1] = 0
//
// A setback gives a negative reward. NaN is for what is not known: it has the
// reward NaN, and does not count as a previous state.
func ProgressRewards(before []float64, score float64) []float64 {
	r := make([]float64, len(before))
	previous := 0.0
	for k, p := range before {
		r[k] = (p - previous) / 10 * score
		if !math.IsNaN(p) {
			previous = p
		}
	}
	return r
}
