package attribution

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Agreement says how well predicted labels meet true ones. Accuracy, Precision,
// Recall and F1 are about the yes-or-no question whether a label is the highest
// of the scale. JSON names are those of the field.
type Agreement struct {
	N                      int     `json:"n"`                        // pairs compared
	MeanAbsoluteDifference float64 `json:"mean_absolute_difference"` // in units of the scale
	Spearman               float64 `json:"spearman"`                 // rank correlation, -1..1; NaN where one side is constant
	ExactMatch             float64 `json:"exact_match"`              // share of equal labels, 0..1
	Accuracy               float64 `json:"accuracy_of_top"`          // share of equal answers to "is it the highest?", 0..1
	Precision              float64 `json:"precision_of_top"`         // 0 where the highest was never predicted
	Recall                 float64 `json:"recall_of_top"`            // 0 where the highest never was true
	F1                     float64 `json:"f1_of_top"`                // harmonic mean of the two; 0 where both are 0
}

// Agree compares predicted labels with true ones, pair by pair. top is the
// highest label of the scale, 3 for the published annotations. It panics where
// the lengths differ. Without a pair, N is 0 and every other figure NaN.
func Agree(predicted, truth []float64, top float64) Agreement {
	if len(predicted) != len(truth) {
		panic("attribution: Agree needs one true label for each predicted one")
	}
	a := Agreement{N: len(truth), Spearman: Spearman(predicted, truth)}
	var distance, equal, tp, fp, fn float64
	for i, p := range predicted {
		t := truth[i]
		distance += math.Abs(p - t)
		equal += indicator(p == t)
		tp += indicator(p == top && t == top)
		fp += indicator(p == top && t != top)
		fn += indicator(p != top && t == top)
	}
	n := float64(a.N)
	a.MeanAbsoluteDifference, a.ExactMatch, a.Accuracy = distance/n, equal/n, (n-fp-fn)/n
	a.Precision, a.Recall, a.F1 = share(tp, tp+fp, n), share(tp, tp+fn, n), share(2*tp, 2*tp+fp+fn, n)
	return a
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// share is part/whole, 0 where the whole is empty, and NaN where there are no
// data at all.
func share(part, whole, n float64) float64 {
	if whole == 0 && n > 0 {
		return 0
	}
	return part / whole
}

// Spearman returns the rank correlation of x and y: Pearson's correlation of
// their ranks, equal values sharing the mean of their ranks. It is NaN where x
// or y is constant or holds fewer than two values, and panics where the lengths
// differ.
func Spearman(x, y []float64) float64 {
	if len(x) != len(y) {
		panic("attribution: Spearman needs two samples of one length")
	}
	if len(x) < 2 {
		return math.NaN()
	}
	return stat.Correlation(ranks(x), ranks(y), nil)
}

// ranks returns the rank of every element, from 1, ties sharing their mean.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(x[i], x[j]) })
	r := make([]float64, len(x))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && x[order[to]] == x[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			r[i] = float64(from+1+to) / 2
		}
		from = to
	}
	return r
}

// FleissKappa returns Fleiss' kappa of several raters who labelled the same
// items; ratings[r][i] is the category that rater r gave item i. With n raters,
// N items, n[i,c] raters who gave item i category c, and p[c] the share of
// category c among all labels:
//
//	P     = 1/N sum_i (sum_c n[i,c]^2 - n) / (n(n-1))
//	Pe    = sum_c p[c]^2
//	kappa = (P - Pe) / (1 - Pe)
//
// 1 is perfect agreement, 0 that of chance; it is NaN where every label is the
// same or there is no item. It panics where there are fewer than two raters or
// they labelled different numbers of items. (Fleiss 1971, Psychological
// Bulletin 76.)
func FleissKappa(ratings [][]int) float64 {
	if len(ratings) < 2 {
		panic("attribution: FleissKappa needs two raters")
	}
	n, items := float64(len(ratings)), float64(len(ratings[0]))
	total := map[int]float64{}
	observed := 0.0
	for i := range ratings[0] {
		observed += itemAgreement(ratings, i, total)
	}
	observed /= items
	chance := 0.0
	for _, count := range total { // sums of squares of exact counts: the order does not matter
		chance += count * count
	}
	chance /= n * items * n * items
	return (observed - chance) / (1 - chance)
}

// itemAgreement returns the share of pairs of raters who agree on item i, and
// adds the item's labels to the totals.
func itemAgreement(ratings [][]int, i int, total map[int]float64) float64 {
	n := float64(len(ratings))
	count := map[int]float64{}
	for _, labels := range ratings {
		if len(labels) != len(ratings[0]) {
			panic("attribution: FleissKappa needs a label of every rater for every item")
		}
		count[labels[i]]++
		total[labels[i]]++
	}
	agreeing := -n
	for _, c := range count {
		agreeing += c * c
	}
	return agreeing / (n * (n - 1))
}
