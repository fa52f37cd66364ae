package lora

import "math"

// addTo sets y += x.
func addTo(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += x[i]
	}
}

// scale sets y *= s.
func scale(y []float32, s float32) {
	for i := range y {
		y[i] *= s
	}
}

// sumSquares returns Σ x² in float64, as four interleaved sums.
func sumSquares(x []float32) float64 {
	var a, b, c, d float64
	for ; len(x) >= 4; x = x[4:] {
		a += float64(x[0]) * float64(x[0])
		b += float64(x[1]) * float64(x[1])
		c += float64(x[2]) * float64(x[2])
		d += float64(x[3]) * float64(x[3])
	}
	for _, v := range x {
		a += float64(v) * float64(v)
	}
	return (a + b) + (c + d)
}

// dot64 returns x·y in float64, as four interleaved sums.
func dot64(x, y []float32) float64 {
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

// maxOf returns the largest element, at least start. NaN is passed over.
func maxOf(x []float32, start float32) float32 {
	a, b, c, d := start, start, start, start
	for ; len(x) >= 4; x = x[4:] {
		a, b, c, d = larger(a, x[0]), larger(b, x[1]), larger(c, x[2]), larger(d, x[3])
	}
	for _, v := range x {
		a = larger(a, v)
	}
	return larger(larger(a, b), larger(c, d))
}

func larger(a, b float32) float32 {
	if b > a {
		return b
	}
	return a
}

// expSum sets dst = exp(src − shift) and returns the sum, as four interleaved sums.
func expSum(dst, src []float32, shift float32) float32 {
	var a, b, c, d float32
	src = src[:len(dst)]
	for ; len(dst) >= 4 && len(src) >= 4; dst, src = dst[4:], src[4:] {
		p, q := exp32(src[0]-shift), exp32(src[1]-shift)
		r, s := exp32(src[2]-shift), exp32(src[3]-shift)
		dst[0], dst[1], dst[2], dst[3] = p, q, r, s
		a, b, c, d = a+p, b+q, c+r, d+s
	}
	for i, v := range src {
		dst[i] = exp32(v - shift)
		a += dst[i]
	}
	return (a + b) + (c + d)
}

// exp32 returns e**x to within one unit in the last place or two; 0 where the
// result is below the smallest normal number, +Inf where it is above the largest,
// NaN for NaN.
//
// With n the integer nearest to x/ln 2 and r = x − n·ln 2, whose ln 2 is split in two
// so that the first product is exact, e**x = 2**n · e**r, the latter from its Taylor
// polynomial of degree 7 (|r| ≤ 0.35, remainder below 1e-8).
func exp32(x float32) float32 {
	const (
		log2e = 1.4426950408889634
		ln2Hi = 0.693359375
		ln2Lo = -2.12194440e-4
		magic = 3 << 22 // adding it rounds to an integer
	)
	if x < -87.3 {
		return 0
	}
	if !(x < 88) {
		return float32(math.Exp(float64(x)))
	}
	shifted := float32(x*log2e) + magic
	n := shifted - magic
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	p := float32(1.0/5040)*r + 1.0/720
	p = float32(p*r) + 1.0/120
	p = float32(p*r) + 1.0/24
	p = float32(p*r) + 1.0/6
	p = float32(p*r) + 0.5
	p = float32(float32(p*r)*r) + r
	// n+127 as the exponent; the magic number's low bits hold n.
	pow := math.Float32frombits((math.Float32bits(shifted) + 127) << 23)
	return float32(p*pow) + pow
}
