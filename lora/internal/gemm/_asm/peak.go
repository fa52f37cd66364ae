package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// peakFunc emits n rounds of 12 independent multiplications and additions on registers,
// the fastest arithmetic there is.
func peakFunc(name string, register func() reg.VecVirtual, multiply func(x, sum reg.VecVirtual)) {
	TEXT(name, NOSPLIT, "func(n int)")
	Doc(name + " runs n rounds of 12 multiplications and additions on registers.")
	n := argument("n")
	x := register()
	VXORPS(x.AsX(), x.AsX(), x.AsX())
	var sums []reg.VecVirtual
	for range 12 {
		sums = append(sums, register())
		VXORPS(sums[len(sums)-1].AsX(), sums[len(sums)-1].AsX(), sums[len(sums)-1].AsX())
	}
	loop("rounds", n, 1, func() {
		for _, s := range sums {
			multiply(x, s)
		}
	})
	VZEROUPPER()
	RET()
}

// fused is the multiplication and addition of float32.
func fused(x, sum reg.VecVirtual) { VFMADD231PS(x, x, sum) }
