package lora

import "math"

// Schedule gives the factor on the learning rate for a step, counted from 0, of a
// run of total steps.
type Schedule func(step, total int) float64

// LinearDecay rises from 0 over warmup steps and then falls in a straight line to 0
// at the end of the run:
//
//	step/warmup while step < warmup, then (total−step)/(total−warmup)
func LinearDecay(warmup int) Schedule {
	return warm(warmup, func(progress float64) float64 { return 1 - progress })
}

// CosineDecay rises from 0 over warmup steps and then falls along half a cosine to
// 0: (1 + cos(π·progress))/2. Loshchilov and Hutter, SGDR, 2017.
func CosineDecay(warmup int) Schedule {
	return warm(warmup, func(progress float64) float64 { return (1 + math.Cos(math.Pi*progress)) / 2 })
}

// ConstantRate rises from 0 over warmup steps and then stays at 1.
func ConstantRate(warmup int) Schedule {
	return warm(warmup, func(float64) float64 { return 1 })
}

func warm(warmup int, after func(progress float64) float64) Schedule {
	return func(step, total int) float64 {
		if step < warmup {
			return float64(step) / float64(max(1, warmup))
		}
		progress := float64(step-warmup) / float64(max(1, total-warmup))
		return after(min(1, progress))
	}
}
