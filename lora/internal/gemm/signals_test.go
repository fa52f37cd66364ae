package gemm

import (
	"fmt"
	"runtime"
	"testing"
)

// Registers, tiles among them, survive the signals by which the runtime stops goroutines
// in the middle of a kernel.
func TestProductsSurviveSignals(t *testing.T) {
	const m, n, k = 70, 200, 900
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	x, w := frame(m, k, 0).noise(1), frame(n, k, 0).noise(2)
	bits, _ := toBF16(w.Dense)
	packed := PackBF16(bits, n, k)
	for _, v := range Variants() {
		p := open2(t, 3, v)
		want, got := frame(m, n, 0), frame(m, n, 0)
		MulT(want.Dense, x.Dense, packed, 1, 0, p)
		for i := range 50 {
			MulT(got.Dense, x.Dense, packed, 1, 0, p)
			same(t, fmt.Sprintf("%s, product %d", v, i), got.Dense, want.Dense)
		}
	}
}
