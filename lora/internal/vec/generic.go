package vec

import "math"

var negInf = float32(math.Inf(-1))

func dotGo(a, b []float32) (sum float32) {
	b = b[:len(a)]
	for i, v := range a {
		sum += float32(v * b[i])
	}
	return sum
}

func sumGo(a []float32) (sum float32) {
	for _, v := range a {
		sum += v
	}
	return sum
}

func sumSquaresGo(a []float32) float32 { return dotGo(a, a) }

func largestGo(a []float32) float32 {
	m := negInf
	for _, v := range a {
		if v > m {
			m = v
		}
	}
	return m
}

func axpyGo(y, x []float32, alpha float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += float32(alpha * v)
	}
}

func scaleGo(y, x []float32, alpha float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = alpha * v
	}
}

func addGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

func mulGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] * b[i]
	}
}

func scaleMulGo(y, a, b []float32, alpha float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = alpha * a[i] * b[i]
	}
}

func expSumGo(y, x []float32, shift float32) (sum float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = exp(v - shift)
		sum += y[i]
	}
	return sum
}

func siluMulGo(y, g, u []float32) {
	g, u = g[:len(y)], u[:len(y)]
	for i, v := range g {
		y[i] = v / (1 + exp(-v)) * u[i]
	}
}

func siluMulBackGo(dg, du, g, u, dy []float32) {
	for i, v := range g {
		s := 1 / (1 + exp(-v))
		d := float32(dy[i] * s)
		dg[i], du[i] = d*(1+float32(v*(1-s)))*u[i], d*v
	}
}

func raceGo(y, x []float32, words []uint32, shift float32) {
	for i, v := range x {
		tail := (1<<23 - 0.5) - float32(words[i]>>9)
		y[i] = exp(v-shift) * (1 << 23) / tail
	}
}

func softmaxBackGo(p, dp, lse, d []float32) {
	for i, x := range p {
		p[i] = exp(x - lse[i])
		dp[i] = p[i] * (dp[i] - d[i])
	}
}

func addRowsGo(y, x []float32, stride, rows int) {
	for r := range rows {
		addGo(y, y, x[r*stride:])
	}
}

func addProductsGo(y, a []float32, sa int, b []float32, sb int, s []float32) {
	for r, f := range s {
		a, b := a[r*sa:][:len(y)], b[r*sb:][:len(y)]
		for j := range y {
			y[j] += float32(float32(a[j]*b[j]) * f)
		}
	}
}

func rotateGo(x, cos, sin []float32, sign float32) {
	n := len(cos)
	for ; len(x) >= 2*n; x = x[2*n:] {
		lower, upper := x[:n], x[n:2*n]
		for i, a := range lower {
			b, c, s := upper[i], cos[i], sin[i]*sign
			lower[i], upper[i] = float32(a*c)-float32(b*s), float32(b*c)+float32(a*s)
		}
	}
}

func squares64Go(sums []float64, a []float32, stride, n int) {
	dots64Go(sums, a, stride, a, stride, n)
}

func dots64Go(sums []float64, a []float32, sa int, b []float32, sb, n int) {
	for r := range sums {
		sums[r] = dot64Go(a[r*sa:][:n], b[r*sb:][:n])
	}
}

// dot64Go takes four interleaved sums.
func dot64Go(x, y []float32) float64 {
	var a, b, c, d float64
	y = y[:len(x)]
	for ; len(x) >= 4 && len(y) >= 4; x, y = x[4:], y[4:] {
		a += float64(x[0]) * float64(y[0])
		b += float64(x[1]) * float64(y[1])
		c += float64(x[2]) * float64(y[2])
		d += float64(x[3]) * float64(y[3])
	}
	for i, v := range x {
		a += float64(v) * float64(y[i])
	}
	return (a + b) + (c + d)
}

func adamWGo(p, m, v, g []float32, c *AdamW) {
	for j := range p {
		x := float64(g[j]) * c.Scale
		m1 := float64(c.Beta1*float64(m[j])) + float64(c.Rest1*x)
		v1 := float64(c.Beta2*float64(v[j])) + float64(c.Rest2*x*x)
		p[j] = float32(float64(float64(p[j])*c.Keep) - c.Rate*m1*c.Unbias1/(math.Sqrt(v1*c.Unbias2)+c.Eps))
		m[j], v[j] = float32(m1), float32(v1)
	}
}

func dropGo(y, x []float32, words []uint32, p, keep float32) {
	for i, w := range words {
		v := x[i] * keep
		if (float32(w>>9)+0.5)*(1.0/(1<<23)) < p {
			v = 0
		}
		y[i] = v
	}
}

// exp is 2^n · e^r with n = round(x·log2 e) and |r| <= ln(2)/2, where
//
//	e^r = 1 + r + r²(c2 + c3·r + … + c6·r⁴)
//
// The coefficients minimise the largest relative error, 0.06 · 2^-24 (Remez).
func exp(x float32) float32 {
	const (
		log2e          = 1.44269502
		ln2High        = 0.693115234 // ends in zeros: n·ln2High is exact
		ln2Low         = 3.19461833e-05
		c2, c3, c4     = 0.49999994, 0.166665211, 0.041668389
		c5, c6         = 0.00836874545, 0.00138145406
		largest, least = 89, -104 // beyond, the result is infinite or 0
	)
	switch {
	case x != x:
		return x
	case x > largest:
		x = largest
	case x < least:
		x = least
	}
	n := float32(math.RoundToEven(float64(x * log2e)))
	r := float32(x-float32(n*ln2High)) - float32(n*ln2Low)
	p := float32(c6*r) + c5
	p = float32(p*r) + c4
	p = float32(p*r) + c3
	p = float32(p*r) + c2
	p = float32(float32(p*r)*r) + r
	half := int32(n) >> 1
	return (1 + p) * power(half) * power(int32(n)-half)
}

// power returns 2^n for n within the range of normal exponents.
func power(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }
