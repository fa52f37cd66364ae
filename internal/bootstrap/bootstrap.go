// Package bootstrap finds intervals of figures by drawing the units that they are
// computed from with replacement (Efron 1979, Annals of Statistics 7).
//
//	r := rand.New(rand.NewPCG(seed, 0))
//	mean := func(drawn []float64) []float64 { return []float64{stat.Mean(drawn, nil)} }
//	in := bootstrap.Percentile(values, 10000, r, mean)
//	fmt.Println(in[0].Low, in[0].High)
package bootstrap

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Interval is the middle 95% of what a figure can be.
type Interval struct{ Low, High float64 }

// Percentile returns the percentile interval of 95% of each figure: the figures are
// computed for resamples sets of as many units as there are, drawn with replacement.
// figures returns equally many numbers every time and must not keep what it is given;
// it may return the same slice again. Draws for which a figure is NaN do not count for
// it; one that has no other has the interval [NaN, NaN]. Without units there is no
// interval at all.
func Percentile[T any](units []T, resamples int, r *rand.Rand, figures func(drawn []T) []float64) []Interval {
	if len(units) == 0 {
		return nil
	}
	drawn := make([]T, len(units))
	var values [][]float64 // by figure
	for range resamples {
		for i := range drawn {
			drawn[i] = units[r.IntN(len(units))]
		}
		of := figures(drawn)
		if values == nil {
			values = make([][]float64, len(of))
		}
		for i, v := range of {
			if !math.IsNaN(v) {
				values[i] = append(values[i], v)
			}
		}
	}
	out := make([]Interval, len(values))
	for i, v := range values {
		out[i] = middle(v)
	}
	return out
}

// middle returns the empirical quantiles 0.025 and 0.975.
func middle(values []float64) Interval {
	if len(values) == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	slices.Sort(values)
	return Interval{stat.Quantile(0.025, stat.Empirical, values, nil), stat.Quantile(0.975, stat.Empirical, values, nil)}
}
