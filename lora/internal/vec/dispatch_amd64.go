//go:build amd64 && !purego

package vec

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd ../gemm/_asm && go run . -set vec512 -out ../../vec/kernels_avx512_amd64.s -stubs ../../vec/kernels_avx512_amd64.go -pkg vec"
//go:generate sh -c "cd ../gemm/_asm && go run . -set vec2 -out ../../vec/kernels_avx2_amd64.s -stubs ../../vec/kernels_avx2_amd64.go -pkg vec"

// supported lists the variants, the best first.
var supported = detect()

// detect asks the processor and the system what they support.
func detect() []level {
	var list []level
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ && x.HasBMI2 {
		list = append(list, avx512)
	}
	if x.HasAVX2 && x.HasFMA && x.HasBMI2 {
		list = append(list, avx2)
	}
	return append(list, generic)
}

func (k Kernels) dot(a, b []float32) float32 {
	switch k.level {
	case avx512:
		return dotAVX512(&a[0], &b[0], len(a))
	case avx2:
		return dotAVX2(&a[0], &b[0], len(a))
	default:
		return dotGo(a, b)
	}
}

func (k Kernels) sum(a []float32) float32 {
	switch k.level {
	case avx512:
		return sumAVX512(&a[0], len(a))
	case avx2:
		return sumAVX2(&a[0], len(a))
	default:
		return sumGo(a)
	}
}

func (k Kernels) sumSquares(a []float32) float32 {
	switch k.level {
	case avx512:
		return sumSquaresAVX512(&a[0], len(a))
	case avx2:
		return sumSquaresAVX2(&a[0], len(a))
	default:
		return sumSquaresGo(a)
	}
}

func (k Kernels) largest(a []float32) float32 {
	switch k.level {
	case avx512:
		return largestAVX512(&a[0], len(a))
	case avx2:
		return largestAVX2(&a[0], len(a))
	default:
		return largestGo(a)
	}
}

func (k Kernels) axpy(y, x []float32, alpha float32) {
	switch k.level {
	case avx512:
		axpyAVX512(&y[0], &x[0], len(y), alpha)
	case avx2:
		axpyAVX2(&y[0], &x[0], len(y), alpha)
	default:
		axpyGo(y, x, alpha)
	}
}

func (k Kernels) scale(y, x []float32, alpha float32) {
	switch k.level {
	case avx512:
		scaleAVX512(&y[0], &x[0], len(y), alpha)
	case avx2:
		scaleAVX2(&y[0], &x[0], len(y), alpha)
	default:
		scaleGo(y, x, alpha)
	}
}

func (k Kernels) add(y, a, b []float32) {
	switch k.level {
	case avx512:
		addAVX512(&y[0], &a[0], &b[0], len(y))
	case avx2:
		addAVX2(&y[0], &a[0], &b[0], len(y))
	default:
		addGo(y, a, b)
	}
}

func (k Kernels) mul(y, a, b []float32) {
	switch k.level {
	case avx512:
		mulAVX512(&y[0], &a[0], &b[0], len(y))
	case avx2:
		mulAVX2(&y[0], &a[0], &b[0], len(y))
	default:
		mulGo(y, a, b)
	}
}

func (k Kernels) scaleMul(y, a, b []float32, alpha float32) {
	switch k.level {
	case avx512:
		scaleMulAVX512(&y[0], &a[0], &b[0], len(y), alpha)
	case avx2:
		scaleMulAVX2(&y[0], &a[0], &b[0], len(y), alpha)
	default:
		scaleMulGo(y, a, b, alpha)
	}
}

func (k Kernels) exp(y, x []float32, shift float32) float32 {
	switch k.level {
	case avx512:
		return expAVX512(&y[0], &x[0], len(y), shift)
	case avx2:
		return expAVX2(&y[0], &x[0], len(y), shift)
	default:
		return expSumGo(y, x, shift)
	}
}

func (k Kernels) siluMul(y, g, u []float32) {
	switch k.level {
	case avx512:
		siluMulAVX512(&y[0], &g[0], &u[0], len(y))
	case avx2:
		siluMulAVX2(&y[0], &g[0], &u[0], len(y))
	default:
		siluMulGo(y, g, u)
	}
}

func (k Kernels) siluMulBack(dg, du, g, u, dy []float32) {
	switch k.level {
	case avx512:
		siluMulBackAVX512(&dg[0], &du[0], &g[0], &u[0], &dy[0], len(dg))
	case avx2:
		siluMulBackAVX2(&dg[0], &du[0], &g[0], &u[0], &dy[0], len(dg))
	default:
		siluMulBackGo(dg, du, g, u, dy)
	}
}

func (k Kernels) softmaxBack(p, dp, lse, d []float32) {
	switch k.level {
	case avx512:
		softmaxBackAVX512(&p[0], &dp[0], &lse[0], &d[0], len(p))
	case avx2:
		softmaxBackAVX2(&p[0], &dp[0], &lse[0], &d[0], len(p))
	default:
		softmaxBackGo(p, dp, lse, d)
	}
}

func (k Kernels) race(y, x []float32, words []uint32, shift float32) {
	switch k.level {
	case avx512:
		raceAVX512(&y[0], &x[0], floats(words), len(y), shift)
	case avx2:
		raceAVX2(&y[0], &x[0], floats(words), len(y), shift)
	default:
		raceGo(y, x, words, shift)
	}
}

// floats returns where words begin, as the kernels take it.
func floats(words []uint32) *float32 { return (*float32)(unsafe.Pointer(&words[0])) }

// philox fills whole registers and returns the number of words that it wrote.
func (k Kernels) philox(words []uint32, counter uint64, index, step uint32, key [2]uint32) int {
	blocks := len(words) / 4
	switch {
	case k.level == avx512 && blocks >= 8:
		blocks &^= 7
		philoxAVX512(&words[0], blocks, counter, index, step, key[0], key[1])
	case k.level == avx2 && blocks >= 4:
		blocks &^= 3
		philoxAVX2(&words[0], blocks, counter, index, step, key[0], key[1])
	default:
		return 0
	}
	return 4 * blocks
}
