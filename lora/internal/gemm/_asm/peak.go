package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// peakFunc emits n rounds of 12 independent fused multiply-adds on registers,
// the fastest arithmetic there is.
func peakFunc(name string, register func() reg.VecVirtual) {
	TEXT(name, NOSPLIT, "func(n int)")
	Doc(name + " runs n rounds of 12 fused multiply-adds on registers.")
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
			VFMADD231PS(x, x, s)
		}
	})
	VZEROUPPER()
	RET()
}
