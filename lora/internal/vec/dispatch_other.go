//go:build !amd64 || purego

package vec

// supported lists the variants, the best first.
var supported = []level{generic}

func (k Kernels) dot(a, b []float32) float32                { return dotGo(a, b) }
func (k Kernels) sum(a []float32) float32                   { return sumGo(a) }
func (k Kernels) sumSquares(a []float32) float32            { return sumSquaresGo(a) }
func (k Kernels) largest(a []float32) float32               { return largestGo(a) }
func (k Kernels) axpy(y, x []float32, alpha float32)        { axpyGo(y, x, alpha) }
func (k Kernels) scale(y, x []float32, alpha float32)       { scaleGo(y, x, alpha) }
func (k Kernels) add(y, a, b []float32)                     { addGo(y, a, b) }
func (k Kernels) mul(y, a, b []float32)                     { mulGo(y, a, b) }
func (k Kernels) scaleMul(y, a, b []float32, alpha float32) { scaleMulGo(y, a, b, alpha) }
func (k Kernels) exp(y, x []float32, shift float32) float32 { return expSumGo(y, x, shift) }
func (k Kernels) siluMul(y, g, u []float32)                 { siluMulGo(y, g, u) }
func (k Kernels) siluMulBack(dg, du, g, u, dy []float32)    { siluMulBackGo(dg, du, g, u, dy) }
func (k Kernels) softmaxBack(p, dp, lse, d []float32)       { softmaxBackGo(p, dp, lse, d) }

func (k Kernels) race(y, x []float32, words []uint32, shift float32) { raceGo(y, x, words, shift) }

func (k Kernels) philox([]uint32, uint64, uint32, uint32, [2]uint32) int { return 0 }

func (k Kernels) addRows(y, x []float32, stride, rows int) { addRowsGo(y, x, stride, rows) }
func (k Kernels) addProducts(y, a []float32, sa int, b []float32, sb int, s []float32) {
	addProductsGo(y, a, sa, b, sb, s)
}
func (k Kernels) rotate(x, cos, sin []float32, sign float32) { rotateGo(x, cos, sin, sign) }
func (k Kernels) squares64(sums []float64, a []float32, stride, n int) {
	squares64Go(sums, a, stride, n)
}
func (k Kernels) dots64(sums []float64, a []float32, sa int, b []float32, sb, n int) {
	dots64Go(sums, a, sa, b, sb, n)
}
func (k Kernels) adamW(p, m, v, g []float32, c *AdamW)             { adamWGo(p, m, v, g, c) }
func (k Kernels) drop(y, x []float32, w []uint32, p, keep float32) { dropGo(y, x, w, p, keep) }
