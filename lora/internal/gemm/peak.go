package gemm

import "time"

// Peak measures the arithmetic limit of the pool's variant: the rate, in
// floating-point operations per second, at which all workers together multiply
// and add in registers. It takes some milliseconds. Ratios to it compare across
// machines. For the portable variant it is the rate of its kernel on data in the
// nearest cache.
func Peak(p *Pool) float64 {
	const rounds = 100_000
	best := 0.0
	for range 5 {
		start := time.Now()
		p.For(len(p.workers)*4, 1, func(_, _, _ int) { p.kern.peak(rounds) })
		ops := float64(len(p.workers)*4*rounds) * p.kern.peakOps
		best = max(best, ops/time.Since(start).Seconds())
	}
	return best
}

// peakGo is the portable stand-in for a loop of arithmetic on registers.
func peakGo(n int) {
	var row [32]float32
	var sum [4]float32
	var panel [32 * NR]float32
	for range n / len(row) {
		quad(row[:], panel[:], &sum)
	}
}
