package gemm

import (
	"math"
	"unsafe"
)

// A variant may multiply bfloat16 by bfloat16: weights that are held so meet a left
// factor that is rounded to bfloat16 when it is packed, two neighbours along the
// reduction in a word. The order of summation is
//
//	for r := 0; r < K; r += 2 {
//		acc += x[i,r+1] * w[j,r+1] // rounded once
//		acc += x[i,r] * w[j,r]
//	}
//
// to nearest, with subnormal factors and sums taken as 0.

// pairK is the longest reduction block of such a product: rows of pairs are as long in
// memory as rows of blockK numbers.
const pairK = 2 * blockK

// dots is what a variant has for that.
type dots struct {
	matrix *matrices           // tiles of processors with such, in place of the following two; or nil
	tiles  [maxMR + 1]tileFunc // words stand in place of numbers, in rows of both factors
	wide   [maxMR + 1]wideFunc
	halve  func(dst *uint32, src *float32, n int) // a multiple of halveUnit
	pairUp func(dst, src, ahead *uint32)
}

// pairsAhead is how many rows of the matrix before their use blocks of pairs are fetched.
const pairsAhead = 2 * NR

// halveUnit divides the numbers that dots.halve rounds.
const halveUnit = 32

// roundBF16 returns the bits of x rounded to bfloat16, ties to even. NaN stays NaN;
// a subnormal number becomes 0 with its sign.
func roundBF16(x float32) uint32 {
	const exponent = 0xff << 23
	switch bits := math.Float32bits(x); {
	case x != x:
		return bits>>16 | 1<<6
	case bits&exponent == 0:
		return bits >> 31 << 15
	}
	return math.Float32bits(RoundBF16.Round(x)) >> 16
}

// halveGo rounds n numbers to pairs of bfloat16; a missing last one is 0.
func halveGo(dst *uint32, src *float32, n int) {
	d, s := unsafe.Slice(dst, (n+1)/2), unsafe.Slice(src, n)
	for i := range d {
		d[i] = roundBF16(s[2*i])
		if 2*i+1 < n {
			d[i] |= roundBF16(s[2*i+1]) << 16
		}
	}
}

// halve32 is halveGo with the kernel as far as it goes.
func (d *dots) halve32(dst []uint32, src []float32) {
	n := len(src) / halveUnit * halveUnit
	if n > 0 {
		d.halve(&dst[0], &src[0], n)
	}
	if n < len(src) {
		halveGo(&dst[n/2], &src[n], len(src)-n)
	}
}

// ofPairs reports whether the variant multiplies in pairs what the right factor holds:
// bfloat16, and with tiles codes too, whose numbers are rounded to that.
func (j *product) ofPairs() bool {
	switch d := j.pool.kern.dots; {
	case d == nil:
		return false
	case j.ofCodes():
		return d.matrix != nil
	}
	return j.source == panelsBF16 || j.source == panelsBF16Transposed
}

// packPairs is pack for pairs of bfloat16, a word each.
func (j *product) packPairs(worker, lo, hi int) {
	scaled := j.pool.workers[worker].scratch
	for block := range j.blocks() {
		k0 := j.k0 + block*j.step
		k1 := min(k0+j.step, j.k0+j.depth)
		dst := asWords(j.pool.packed[(block*j.rows+lo)*j.lda:])
		for r := lo; r < hi; r++ {
			row := j.left.Data[(j.row+r)*j.left.Stride+k0:][:k1-k0]
			if j.alpha != 1 {
				j.pool.vec.Scale(scaled[:k1-k0], j.alpha, row)
				row = scaled[:k1-k0]
			}
			j.pool.kern.dots.halve32(dst[(r-lo)*j.lda:], row)
			if end := (k1 - k0 + 1) / 2; j.matrix() {
				clear(dst[(r-lo)*j.lda:][end : (end+tileRows-1)/tileRows*tileRows])
			}
		}
	}
}

// pairRows lays out rows [k0, k0+k) of w, columns of one panel width, as pairs of rows:
//
//	dst[r/2][c] = w[first+k0+r][panel*NR+c] | w[first+k0+r+1][panel*NR+c]<<16
func (j *product) pairRows(dst []uint32, panel, k0, k int) {
	for r := 0; r < k; r += NR {
		at := func(r int) *uint32 { return &j.w.bf16[((j.first+k0+r)*j.w.depth+panel*NR*NR)/2] }
		ahead := min(r+pairsAhead, (k-1)/NR*NR)
		j.pool.kern.dots.pairUp(&dst[r/2*NR], at(r), at(ahead))
	}
	j.endPairs(dst, k)
}

// endPairs clears what follows k rows of a block of pairs: it does not count, not even
// as NaN.
func (j *product) endPairs(dst []uint32, k int) {
	if k%2 != 0 {
		for c := range NR {
			dst[k/2*NR+c] &= 0xffff
		}
	}
	if rest := k % tileK; j.matrix() && rest != 0 {
		clear(dst[(k+1)/2*NR : (k-rest+tileK)/2*NR])
	}
}
