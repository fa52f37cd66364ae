// Package tensortest compares tensors with those of a reference.
package tensortest

import (
	"math"
	"testing"
)

// Near fails the test unless got, which the message calls what, is as long as want
// and
//
//	‖got − want‖ ≤ bound · ‖want − start‖
//
// where a start of nil stands for zeros. With start the bound is about what training
// has added to it. Empty tensors fail.
func Near(t testing.TB, what string, got, want, start []float32, bound float64) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	diff, norm := 0.0, 0.0
	for i := range got {
		d, w := float64(got[i])-float64(want[i]), float64(want[i])
		if start != nil {
			w -= float64(start[i])
		}
		diff += d * d
		norm += w * w
	}
	if !(math.Sqrt(diff) <= bound*math.Sqrt(norm)) {
		t.Errorf("%s differs by %.2g of its norm, want at most %.0g", what, math.Sqrt(diff/norm), bound)
	}
}
