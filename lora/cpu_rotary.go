package lora

import (
	"math"
	"slices"
)

// maxAngles bounds the positions whose angles an engine remembers.
const maxAngles = 1 << 13

// angles remembers the cosines and sines of positions, since the passes of a model ask
// for the same ones over and over.
type angles struct {
	freq     []float32
	known    []bool    // by position
	cos, sin []float32 // [position][len(freq)]
}

// take computes what is not known yet of the positions.
func (a *angles) take(positions []int32, freq []float32) {
	if !slices.Equal(a.freq, freq) {
		*a = angles{freq: slices.Clone(freq)}
	}
	n := len(freq)
	for _, p := range positions {
		if !a.holds(p) {
			continue
		}
		if more := int(p) + 1 - len(a.known); more > 0 {
			a.known = append(a.known, make([]bool, more)...)
			a.cos = append(a.cos, make([]float32, more*n)...)
			a.sin = append(a.sin, make([]float32, more*n)...)
		}
		if !a.known[p] {
			a.known[p] = true
			turns(a.cos[int(p)*n:][:n], a.sin[int(p)*n:][:n], p, freq)
		}
	}
}

// holds reports whether a position is one of those to be remembered.
func (a *angles) holds(p int32) bool { return p >= 0 && p < maxAngles }

// turns computes the cosines and sines of a position.
func turns(cos, sin []float32, position int32, freq []float32) {
	for i, f := range freq {
		s, c := math.Sincos(float64(float32(position) * f))
		cos[i], sin[i] = float32(c), float32(s)
	}
}

// RotaryTable fills the tables of cosines and sines.
func (e *cpuEngine) RotaryTable(cos, sin View, positions []int32, invFreq []float32) {
	checkRotaryTable(cos, sin, positions, invFreq)
	e.angles.take(positions, invFreq)
	e.args.v = [10]View{cos, sin}
	e.args.ids, e.args.freq = positions, invFreq
	e.each(cos.Rows, 2*cos.Cols, func(e *cpuEngine, _, lo, hi int) {
		a, n := &e.args, len(e.args.freq)
		for t := lo; t < hi; t++ {
			c, s := row(a.v[0], t), row(a.v[1], t)
			if p := a.ids[t]; e.angles.holds(p) {
				copy(c, e.angles.cos[int(p)*n:][:n])
				copy(s, e.angles.sin[int(p)*n:][:n])
			} else {
				turns(c, s, p, a.freq)
			}
		}
	})
}
