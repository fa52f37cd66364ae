//go:build amd64 && !purego

package vec

func (k Kernels) addRows(y, x []float32, stride, rows int) {
	switch k.level {
	case avx512:
		addRowsAVX512(&y[0], &x[0], stride, len(y), rows)
	case avx2:
		addRowsAVX2(&y[0], &x[0], stride, len(y), rows)
	default:
		addRowsGo(y, x, stride, rows)
	}
}

func (k Kernels) addProducts(y, a []float32, sa int, b []float32, sb int, s []float32) {
	switch k.level {
	case avx512:
		addProductsAVX512(&y[0], &a[0], sa, &b[0], sb, &s[0], len(y), len(s))
	case avx2:
		addProductsAVX2(&y[0], &a[0], sa, &b[0], sb, &s[0], len(y), len(s))
	default:
		addProductsGo(y, a, sa, b, sb, s)
	}
}

func (k Kernels) rotate(x, cos, sin []float32, sign float32) {
	n := len(cos)
	switch k.level {
	case avx512:
		rotateAVX512(&x[0], &cos[0], &sin[0], n, len(x)/(2*n), sign)
	case avx2:
		rotateAVX2(&x[0], &cos[0], &sin[0], n, len(x)/(2*n), sign)
	default:
		rotateGo(x, cos, sin, sign)
	}
}

func (k Kernels) squares64(sums []float64, a []float32, stride, n int) {
	switch k.level {
	case avx512:
		squares64AVX512(&sums[0], &a[0], stride, n, len(sums))
	case avx2:
		squares64AVX2(&sums[0], &a[0], stride, n, len(sums))
	default:
		squares64Go(sums, a, stride, n)
	}
}

func (k Kernels) dots64(sums []float64, a []float32, sa int, b []float32, sb, n int) {
	switch k.level {
	case avx512:
		dots64AVX512(&sums[0], &a[0], sa, &b[0], sb, n, len(sums))
	case avx2:
		dots64AVX2(&sums[0], &a[0], sa, &b[0], sb, n, len(sums))
	default:
		dots64Go(sums, a, sa, b, sb, n)
	}
}

func (k Kernels) adamW(p, m, v, g []float32, c *AdamW) {
	constants := [...]float64{c.Scale, c.Beta1, c.Rest1, c.Beta2, c.Rest2, c.Unbias1, c.Unbias2, c.Rate, c.Keep, c.Eps}
	switch k.level {
	case avx512:
		adamWAVX512(&p[0], &m[0], &v[0], &g[0], len(p), &constants[0])
	case avx2:
		adamWAVX2(&p[0], &m[0], &v[0], &g[0], len(p), &constants[0])
	default:
		adamWGo(p, m, v, g, c)
	}
}

func (k Kernels) drop(y, x []float32, words []uint32, p, keep float32) {
	switch k.level {
	case avx512:
		dropAVX512(&y[0], &x[0], floats(words), len(y), p, keep)
	case avx2:
		dropAVX2(&y[0], &x[0], floats(words), len(y), p, keep)
	default:
		dropGo(y, x, words, p, keep)
	}
}
