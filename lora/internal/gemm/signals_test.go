package gemm

import (
	"fmt"
	"runtime"
	"testing"
)

// Registers, tiles among them, survive the signals by which the runtime stops goroutines
// in the middle of a kernel.
func TestProductsSurviveSignals(t *testing.T) {
	const n, k = 200, 896
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
	for _, v := range Variants() {
		p := open2(t, 3, v)
		for name, pack := range everyForm(n, k) {
			packed := pack(p.Order())
			for _, m := range []int{1, 20, 70} {
				x, want, got := frame(m, k, 0).noise(1), frame(m, n, 0), frame(m, n, 0)
				MulT(want.Dense, x.Dense, packed, 1, 0, p)
				for i := range 15 {
					MulT(got.Dense, x.Dense, packed, 1, 0, p)
					same(t, fmt.Sprintf("%s by %d rows on %s, product %d", name, m, v, i), got.Dense, want.Dense)
				}
			}
		}
	}
}
