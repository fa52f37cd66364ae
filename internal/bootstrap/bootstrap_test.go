package bootstrap

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat"
)

func mean(drawn []float64) []float64 { return []float64{stat.Mean(drawn, nil)} }

// The interval of a mean is that of the normal approximation, as it must be for many
// units: mean ± 1.96 · deviation / sqrt(n).
func TestPercentileOfAMean(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 400)
	for i := range values {
		values[i] = 3 + r.NormFloat64()
	}
	got := Percentile(values, 4000, r, mean)[0]
	m, d := stat.MeanStdDev(values, nil)
	half := 1.96 * d / math.Sqrt(400)
	if math.Abs(got.Low-(m-half)) > 0.1*half || math.Abs(got.High-(m+half)) > 0.1*half {
		t.Errorf("%v, want about [%v, %v]", got, m-half, m+half)
	}
}

// The same generator gives the same interval; figures share their draws.
func TestPercentileIsDeterministic(t *testing.T) {
	values := []float64{1, 2, 5, 9}
	twice := func(drawn []float64) []float64 { m := stat.Mean(drawn, nil); return []float64{m, -m} }
	a := Percentile(values, 500, rand.New(rand.NewPCG(7, 0)), mean)
	b := Percentile(values, 500, rand.New(rand.NewPCG(7, 0)), twice)
	if a[0] != b[0] {
		t.Errorf("%v and %v from one seed", a, b)
	}
	if b[1].High != -b[0].Low && b[1].Low != -b[0].High {
		t.Errorf("the negated figure has %v beside %v", b[1], b[0])
	}
}

func TestPercentileOfLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	if got := Percentile(nil, 10, r, mean); got != nil {
		t.Errorf("no units give %v", got)
	}
	if got := Percentile([]float64{4, 4}, 10, r, mean); got[0] != (Interval{4, 4}) {
		t.Errorf("constant units give %v", got)
	}
	gaps := func(drawn []float64) []float64 {
		if drawn[0] == 1 {
			return []float64{math.NaN(), math.NaN()}
		}
		return []float64{drawn[0], math.NaN()}
	}
	got := Percentile([]float64{1, 2}, 50, r, gaps)
	if got[0] != (Interval{2, 2}) || !math.IsNaN(got[1].Low) {
		t.Errorf("with draws that have no figure: %v", got)
	}
}
