package grpo

import (
	"math"
	"slices"
	"testing"
)

var nan = math.NaN()

func allClose(t *testing.T, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers %v, want %d: %v", len(got), got, len(want), want)
	}
	for i := range got {
		if !closeTo(got[i], want[i], tol) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
			t.Errorf("number %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestMeanStd(t *testing.T) {
	for _, c := range []struct {
		why       string
		x         []float64
		mean, std float64
	}{
		{"the sample deviation divides by n-1", []float64{1, 2, 3, 4}, 2.5, math.Sqrt(5.0 / 3)},
		{"what is not a number does not count", []float64{1, nan, 3}, 2, math.Sqrt2},
		{"one number has no deviation", []float64{7}, 7, 0},
		{"nothing has no mean", []float64{nan}, nan, 0},
		{"equal numbers give themselves, to the last bit", []float64{0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, 0.1, 0},
	} {
		mean, std := MeanStd(c.x)
		if (mean != c.mean && !math.IsNaN(c.mean)) || !closeTo(std, c.std, 1e-15) {
			t.Errorf("%s: MeanStd(%v) = %v, %v, want %v, %v", c.why, c.x, mean, std, c.mean, c.std)
		}
	}
}

func TestAdvantages(t *testing.T) {
	const eps = 1e-4
	s, b := math.Sqrt2, math.Sqrt(36.0/3) // deviations of {1, 3}; of all of {1, 3, 3, 9}, whose squares sum to 36
	for _, c := range []struct {
		why   string
		r     []float64
		scale Scale
		want  []float64
	}{
		{"each group is centred and scaled by its own deviation", []float64{1, 3, 3, 9}, ScaleGroup,
			[]float64{-1 / (s + eps), 1 / (s + eps), -3 / (3*s + eps), 3 / (3*s + eps)}},
		{"centred by group, scaled by the batch", []float64{1, 3, 3, 9}, ScaleBatch,
			[]float64{-1 / (b + eps), 1 / (b + eps), -3 / (b + eps), 3 / (b + eps)}},
		{"centred only", []float64{1, 3, 3, 9}, ScaleNone, []float64{-1, 1, -3, 3}},
		{"equal rewards teach nothing", []float64{0.7, 0.7, 1, 3}, ScaleGroup, []float64{0, 0, -1 / (s + eps), 1 / (s + eps)}},
		{"a completion without reward neither counts nor moves", []float64{nan, 3, 1, 3}, ScaleNone, []float64{0, 0, -1, 1}},
	} {
		t.Run(c.why, func(t *testing.T) { allClose(t, Advantages(c.r, 2, c.scale, eps), c.want, 1e-12) })
	}
}

// Laws that hold for any rewards.
func TestAdvantageLaws(t *testing.T) {
	r := []float64{0.3, -1.2, 5, 2.2, 0.1, 0.4, 7, -3}
	a := Advantages(r, 4, ScaleGroup, 1e-4)

	shifted := slices.Clone(r)
	for i := range 4 {
		shifted[i] += 100
	}
	allClose(t, Advantages(shifted, 4, ScaleGroup, 1e-4), a, 1e-12)

	permuted := slices.Clone(r)
	permuted[0], permuted[3] = permuted[3], permuted[0]
	p := Advantages(permuted, 4, ScaleGroup, 1e-4)
	p[0], p[3] = p[3], p[0]
	allClose(t, p, a, 1e-12)

	for lo := 0; lo < len(a); lo += 4 {
		if mean, _ := MeanStd(a[lo : lo+4]); !closeTo(mean, 0, 1e-12) {
			t.Errorf("advantages of group %d have mean %v, want 0", lo/4, mean)
		}
	}
}

func TestWeightedSum(t *testing.T) {
	got := WeightedSum([][]float64{{1, 2, nan, nan}, {10, nan, 30, nan}}, []float64{0.5, 2})
	allClose(t, got, []float64{20.5, 1, 60, nan}, 0)
}

// Normalising first makes the units of a scorer irrelevant; summing first does not.
func TestNormaliseThenSumIgnoresUnits(t *testing.T) {
	r := [][]float64{{1, 2, 4, 3}, {5, 1, 1, 2}}
	big := [][]float64{r[0], {5000, 1000, 1000, 2000}}
	w := []float64{1, 1}
	agg := func(order Aggregation, r [][]float64) []float64 {
		a, _ := aggregate(order, advantages, r, w, 4, ScaleGroup, 1e-9)
		return a
	}
	allClose(t, agg(NormaliseThenSum, big), agg(NormaliseThenSum, r), 1e-6)
	if a, b := agg(SumThenNormalise, big), agg(SumThenNormalise, r); closeTo(a[2], b[2], 0.1) {
		t.Errorf("sum, then normalise: advantages %v and %v should differ", a, b)
	}
}

func TestGroupStatistics(t *testing.T) {
	r := []float64{1, 1, 2, 4, 3, 3 + 1e-9, nan, 5}
	if got := ZeroDeviation(r, 2); got != 0.75 {
		t.Errorf("share of groups without deviation is %v, want 0.75", got)
	}
	if got := GroupDeviation([]float64{1, 1, 2, 4}, 2); !closeTo(got, math.Sqrt2/2, 1e-15) {
		t.Errorf("mean deviation is %v, want %v", got, math.Sqrt2/2)
	}
}
