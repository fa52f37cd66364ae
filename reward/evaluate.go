package reward

import (
	"gonum.org/v1/gonum/stat"

	"github.com/socialrl/socialrl/attribution"
)

// Evaluation compares predicted values with true ones.
type Evaluation struct {
	N        int     // pairs
	MSE      float64 // mean of (predicted − true)²
	Pearson  float64 // linear correlation; NaN where either side is constant
	Spearman float64 // correlation of ranks, ties share theirs; NaN where either side is constant
}

// Evaluate compares predictions with the truth. It panics where their numbers
// differ.
func Evaluate(predicted, truth []float64) Evaluation {
	if len(predicted) != len(truth) {
		panic("reward: predictions and true values differ in number")
	}
	e := Evaluation{N: len(truth)}
	for i, p := range predicted {
		e.MSE += (p - truth[i]) * (p - truth[i])
	}
	e.MSE /= float64(max(1, e.N))
	e.Pearson = stat.Correlation(predicted, truth, nil)
	e.Spearman = attribution.Spearman(predicted, truth)
	return e
}
