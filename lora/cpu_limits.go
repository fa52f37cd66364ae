package lora

import (
	"strings"
	"time"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

var _ Measurer = (*cpuEngine)(nil)

// Limits measures the processor, with as many workers as the engine has and whatever
// its variant.
func (e *cpuEngine) Limits() Limits {
	l := Limits{Read: e.readRate()}
	for _, variant := range gemm.Variants() {
		dots := strings.HasSuffix(variant, "bf16")
		switch rate := e.arithmeticRate(variant); {
		case dots:
			l.BF16 = max(l.BF16, rate)
		default:
			l.F32 = max(l.F32, rate)
		}
	}
	return l
}

// arithmeticRate returns the operations a second of a variant in registers.
func (e *cpuEngine) arithmeticRate(variant string) float64 {
	pool, err := gemm.NewPool(e.pool.Workers(), variant)
	if err != nil {
		return 0
	}
	defer pool.Close()
	return gemm.Peak(pool)
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
