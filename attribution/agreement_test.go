package attribution

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
)

// The reference figures were computed with scipy from the labels in the file.
func TestAgreementEqualsReference(t *testing.T) {
	var want struct {
		Agreement
		N         int     `json:"n"`
		MAE       float64 `json:"mean_absolute_difference"`
		Precision float64 `json:"precision_of_3"`
		Recall    float64 `json:"recall_of_3"`
		F1        float64 `json:"f1_of_3"`
		Kappa     float64 `json:"fleiss_kappa"`
		Raters    [][]int `json:"raters"`
	}
	text, err := os.ReadFile(fixtures.PathOr(t, "eval", "agreement.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	got := Agree(floats(want.Raters[0]), floats(want.Raters[1]), 3)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"n", float64(got.N), float64(want.N)},
		{"mean absolute difference", got.MeanAbsoluteDifference, want.MAE},
		{"Spearman", got.Spearman, want.Spearman},
		{"exact match", got.ExactMatch, want.ExactMatch},
		{"precision of 3", got.Precision, want.Precision},
		{"recall of 3", got.Recall, want.Recall},
		{"F1 of 3", got.F1, want.F1},
		{"Fleiss' kappa", FleissKappa(want.Raters), want.Kappa},
	} {
		if !(math.Abs(c.got-c.want) <= 1e-12) {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
}

func floats(x []int) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func TestAgreeCountsTheHighestLabel(t *testing.T) {
	// 3 predicted and true once, predicted only once, true only twice.
	got := Agree([]float64{3, 3, 0, 1, 2}, []float64{3, 2, 3, 3, 2}, 3)
	want := Agreement{
		N: 5, MeanAbsoluteDifference: 6.0 / 5, Spearman: got.Spearman, ExactMatch: 2.0 / 5,
		Accuracy: 2.0 / 5, Precision: 1.0 / 2, Recall: 1.0 / 3, F1: 2.0 / 5,
	}
	if got != want {
		t.Errorf("Agree = %+v, want %+v", got, want)
	}
}

func TestAgreeWithoutTheHighestLabel(t *testing.T) {
	got := Agree([]float64{1, 2}, []float64{2, 1}, 3)
	if got.Precision != 0 || got.Recall != 0 || got.F1 != 0 || got.Accuracy != 1 {
		t.Errorf("nobody gave a 3, but precision, recall, F1, accuracy are %v, %v, %v, %v",
			got.Precision, got.Recall, got.F1, got.Accuracy)
	}
	if got := Agree(nil, nil, 3); got.N != 0 || !math.IsNaN(got.ExactMatch) || !math.IsNaN(got.F1) {
		t.Errorf("agreement without data is %+v, want NaN", got)
	}
}

func TestSpearman(t *testing.T) {
	x := []float64{1, 4, 2, 9, 2}
	squared, negated := slices.Clone(x), slices.Clone(x)
	for i := range x {
		squared[i], negated[i] = x[i]*x[i], -x[i]
	}
	if got := Spearman(x, squared); math.Abs(got-1) > 1e-12 {
		t.Errorf("an increasing function changes ranks: %v, want 1", got)
	}
	if got := Spearman(x, negated); math.Abs(got+1) > 1e-12 {
		t.Errorf("reversed order gives %v, want -1", got)
	}
	if got := Spearman(x, []float64{5, 5, 5, 5, 5}); !math.IsNaN(got) {
		t.Errorf("a constant side gives %v, want NaN", got)
	}
}

func TestFleissKappaLimits(t *testing.T) {
	if got := FleissKappa([][]int{{0, 1, 2, 1}, {0, 1, 2, 1}, {0, 1, 2, 1}}); got != 1 {
		t.Errorf("perfect agreement has kappa %v, want 1", got)
	}
	if got := FleissKappa([][]int{{0, 1}, {1, 0}}); got != -1 {
		t.Errorf("two raters who always disagree on two classes have kappa %v, want -1", got)
	}
	if got := FleissKappa([][]int{{1, 1}, {1, 1}}); !math.IsNaN(got) {
		t.Errorf("a single class has kappa %v, want NaN", got)
	}
}
