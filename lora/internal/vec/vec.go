// Package vec works on slices of float32 with the vector units of the processor.
//
//	k, _ := vec.New("")                       // the best variant
//	k.ExpSum(p, scores, k.Max(scores))        // soft-max, first half
//	k.Scale(p, 1/k.Sum(p), p)                 // second half
//	k.SiLUMul(y, gate, up)                    // y = silu(gate) ⊙ up
//
// Every function is documented by the loop that it stands for. The variants are
// AVX-512, AVX2 with FMA, and plain Go, which is all there is under the build
// tag purego and on other processors.
//
// Slices must be at least as long as the destination, or as the first argument
// where there is none; shorter ones panic. An output may be the same slice as an
// input, but must not overlap it otherwise. Nothing allocates. All functions may
// be called from any number of goroutines.
//
// A result depends on the arguments and on the variant only. Sums are taken in
// several interleaved parts, in an order that depends on the length alone; the
// error of a sum of n terms is at most (n/16+8) · 2^-24 times the sum of
// magnitudes in the assembly variants, n · 2^-24 in plain Go. Element by
// element, the result for one index does not depend on its neighbours or on the
// length.
package vec

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Kernels is one variant of the functions. The zero value is plain Go.
type Kernels struct{ level level }

// level orders the variants.
type level uint8

const (
	generic level = iota
	avx2
	avx512
)

var names = [...]string{generic: "generic", avx2: "avx2", avx512: "avx512"}

// Variants returns the names of the variants that this build and machine can
// run, the best first: a subset of "avx512", "avx2" and "generic".
func Variants() []string {
	list := make([]string, 0, len(names))
	for _, l := range supported {
		list = append(list, names[l])
	}
	return list
}

// New returns a variant by name, or the best for "". A name that is not among
// Variants is an error.
func New(variant string) (Kernels, error) {
	if variant == "" {
		return Kernels{supported[0]}, nil
	}
	i := slices.IndexFunc(supported, func(l level) bool { return names[l] == variant })
	if i < 0 {
		return Kernels{}, fmt.Errorf("vec: no variant %q here, have %s", variant, strings.Join(Variants(), ", "))
	}
	return Kernels{supported[i]}, nil
}

// Variant returns the name of the variant.
func (k Kernels) Variant() string { return names[k.level] }

// Dot returns the scalar product.
//
//	for i := range a { sum += a[i] * b[i] }
func (k Kernels) Dot(a, b []float32) float32 {
	if len(a) == 0 {
		return 0
	}
	return k.dot(a, b[:len(a)])
}

// Sum returns the sum of the elements.
//
//	for i := range a { sum += a[i] }
func (k Kernels) Sum(a []float32) float32 {
	if len(a) == 0 {
		return 0
	}
	return k.sum(a)
}

// SumSquares returns the sum of the squared elements.
//
//	for i := range a { sum += a[i] * a[i] }
func (k Kernels) SumSquares(a []float32) float32 {
	if len(a) == 0 {
		return 0
	}
	return k.sumSquares(a)
}

// Max returns the largest element. NaN is passed over; the maximum of nothing is
// negative infinity.
//
//	for i := range a { if a[i] > m { m = a[i] } }
func (k Kernels) Max(a []float32) float32 {
	if len(a) == 0 {
		return negInf
	}
	return k.largest(a)
}

// Axpy adds a multiple of x to y.
//
//	for i := range y { y[i] += alpha * x[i] }
func (k Kernels) Axpy(y []float32, alpha float32, x []float32) {
	if len(y) > 0 {
		k.axpy(y, x[:len(y)], alpha)
	}
}

// Scale multiplies by a number.
//
//	for i := range y { y[i] = alpha * x[i] }
func (k Kernels) Scale(y []float32, alpha float32, x []float32) {
	if len(y) > 0 {
		k.scale(y, x[:len(y)], alpha)
	}
}

// Add adds two slices.
//
//	for i := range y { y[i] = a[i] + b[i] }
func (k Kernels) Add(y, a, b []float32) {
	if len(y) > 0 {
		k.add(y, a[:len(y)], b[:len(y)])
	}
}

// Mul multiplies two slices.
//
//	for i := range y { y[i] = a[i] * b[i] }
func (k Kernels) Mul(y, a, b []float32) {
	if len(y) > 0 {
		k.mul(y, a[:len(y)], b[:len(y)])
	}
}

// ScaleMul multiplies two slices and a number, as RMSNorm does.
//
//	for i := range y { y[i] = (alpha * a[i]) * b[i] }
func (k Kernels) ScaleMul(y []float32, alpha float32, a, b []float32) {
	if len(y) > 0 {
		k.scaleMul(y, a[:len(y)], b[:len(y)], alpha)
	}
}

// ExpSum sets exponentials and returns their sum, 0 for no elements.
//
//	for i := range y { y[i] = exp(x[i] - shift); sum += y[i] }
//
// The relative error of an element is below 2^-23 where the result is a normal
// number, apart from the rounding of x-shift; subnormal results are off by at
// most one unit in the last place. exp(-Inf) is 0, exp(+Inf) is +Inf, NaN stays
// NaN.
func (k Kernels) ExpSum(y, x []float32, shift float32) float32 {
	if len(y) == 0 {
		return 0
	}
	return k.exp(y, x[:len(y)], shift)
}

// SiLUMul is the gated activation of SwiGLU (Shazeer, GLU Variants Improve
// Transformer, 2020): y = silu(g) ⊙ u.
//
//	for i := range y { y[i] = g[i] / (1 + exp(-g[i])) * u[i] }
func (k Kernels) SiLUMul(y, g, u []float32) {
	if len(y) > 0 {
		k.siluMul(y, g[:len(y)], u[:len(y)])
	}
}

// SiLUMulBack is the backward pass of SiLUMul.
//
//	for i := range dg {
//		s := 1 / (1 + exp(-g[i]))
//		dg[i] = dy[i] * s * (1 + g[i]*(1-s)) * u[i]
//		du[i] = dy[i] * s * g[i]
//	}
func (k Kernels) SiLUMulBack(dg, du, g, u, dy []float32) {
	if n := len(dg); n > 0 {
		k.siluMulBack(dg, du[:n], g[:n], u[:n], dy[:n])
	}
}

// SoftmaxBack turns scores p and the gradients dp of probabilities into
// probabilities and the gradients of scores, for soft-maxes whose denominators have
// the logarithms lse, with d = Σ p·dp of each. Precision is that of ExpSum.
//
//	for i := range p {
//		p[i] = exp(p[i] - lse[i])
//		dp[i] = p[i] * (dp[i] - d[i])
//	}
func (k Kernels) SoftmaxBack(p, dp, lse, d []float32) {
	if n := len(p); n > 0 {
		k.softmaxBack(p, dp[:n], lse[:n], d[:n])
	}
}

// Race bounds, from above, what the standard Gumbel noise of random words makes of
// logits: exp(x + noise − shift) ≤ y, for noise = −log(−log u) ≤ −log(1−u). Precision is
// that of ExpSum and of three more roundings.
//
//	for i := range y {
//		u := (float32(words[i]>>9) + 0.5) / (1 << 23)
//		y[i] = exp(x[i] - shift) / (1 - u)
//	}
func (k Kernels) Race(y, x []float32, words []uint32, shift float32) {
	if n := len(y); n > 0 {
		k.race(y, x[:n], words[:n], shift)
	}
}

// Philox fills words, whose length is a multiple of 4, with the blocks of the
// generator Philox4x32-10 for the counters {counter, index, step}, counter + 1 and so
// on, under a key. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3" (SC 2011).
func (k Kernels) Philox(words []uint32, counter uint64, index, step uint32, key [2]uint32) {
	whole := k.philox(words, counter, index, step, key)
	for i := whole; i+4 <= len(words); i += 4 {
		b := PhiloxBlock(counter+uint64(i/4), index, step, key)
		copy(words[i:], b[:])
	}
}

// PhiloxBlock returns one block of [Kernels.Philox].
func PhiloxBlock(counter uint64, index, step uint32, key [2]uint32) [4]uint32 {
	x := [4]uint32{uint32(counter), uint32(counter >> 32), index, step}
	for range 10 {
		h0, l0 := bits.Mul32(0xD2511F53, x[0])
		h1, l1 := bits.Mul32(0xCD9E8D57, x[2])
		x = [4]uint32{h1 ^ x[1] ^ key[0], l1, h0 ^ x[3] ^ key[1], l0}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return x
}
