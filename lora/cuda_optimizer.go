//go:build cuda && cgo

package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

var kernelAdamW = cuda.Kernel("block", "adamw")

// AdamWStep updates a parameter. The arithmetic between loads and stores is float64.
func (e *cudaEngine) AdamWStep(p, g, m, v View, s AdamWStep) {
	checkAdamW(p, g, m, v, s)
	if p.Contiguous() && g.Contiguous() && m.Contiguous() && v.Contiguous() {
		p, g, m, v = flat(p), flat(g), flat(m), flat(v)
	}
	unbias := func(beta float64) float64 { return 1 / (1 - math.Pow(beta, float64(s.Step))) }
	e.kernel(kernelAdamW).view(p).i32(p.Stride).view(g).i32(g.Stride).view(m).i32(m.Stride).view(v).i32(v.Stride).
		i32(p.Rows).i32(p.Cols).f64(s.GradScale).
		f64(s.Beta1).f64(1-s.Beta1).f64(unbias(s.Beta1)).
		f64(s.Beta2).f64(1-s.Beta2).f64(unbias(s.Beta2)).
		f64(s.LR).f64(1-s.LR*s.WeightDecay).f64(s.Eps).sweep(p.Rows, p.Cols)
}
