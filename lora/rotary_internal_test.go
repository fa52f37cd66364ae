package lora

import (
	"math"
	"testing"
)

// Angles are those of the positions and frequencies at hand, whatever was asked for
// before, and beyond what is remembered.
func TestRotaryTableRemembersRightly(t *testing.T) {
	e, err := newCPUEngine("", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, c := range []struct {
		positions []int32
		freq      []float32
	}{
		{[]int32{3, 0, 3, 7}, []float32{1, 0.1}},
		{[]int32{900, 7, 3}, []float32{1, 0.1}},
		{[]int32{3, 7}, []float32{1, 0.2}},
		{[]int32{maxAngles - 1, maxAngles, 1 << 20, -2}, []float32{0.5, 0.2, 0.01}},
	} {
		cos, sin := e.NewView(len(c.positions), len(c.freq)), e.NewView(len(c.positions), len(c.freq))
		e.RotaryTable(cos, sin, c.positions, c.freq)
		for i, p := range c.positions {
			for j, f := range c.freq {
				s, k := math.Sincos(float64(float32(p) * f))
				if row(cos, i)[j] != float32(k) || row(sin, i)[j] != float32(s) {
					t.Errorf("position %d, frequency %v: %v and %v, want %v and %v", p, f, row(cos, i)[j], row(sin, i)[j], k, s)
				}
			}
		}
	}
}
