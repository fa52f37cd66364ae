package lora

import (
	"time"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

var _ Measurer = (*cpuEngine)(nil)

// Limits measures the processor with all workers of the engine.
func (e *cpuEngine) Limits() Limits {
	return Limits{F32: gemm.Peak(e.pool), Read: e.readRate()}
}

// readRate returns the bytes a second at which all workers together read a buffer
// that no cache holds: the best of several passes, since a pass can only be too slow.
func (e *cpuEngine) readRate() float64 {
	const elements, piece, passes = 1 << 27, 1 << 18, 5
	data := make([]float32, elements)
	for i := range data {
		data[i] = 1 // untouched pages would all be one page of zeros
	}
	sums := make([]float32, elements/piece)
	best := 0.0
	for range passes {
		start := time.Now()
		e.pool.For(elements, piece, func(_, lo, hi int) { sums[lo/piece] = e.vec.Sum(data[lo:hi]) })
		best = max(best, 4*elements/time.Since(start).Seconds())
	}
	return best
}
