// Package gemm multiplies float32 matrices at the speed of the processor.
//
//	pool, _ := gemm.NewPool(0, "")            // one worker per GOMAXPROCS, best variant
//	defer pool.Close()
//	w := gemm.PackF32(gemm.View(weights, n, k)) // frozen once: W [N, K]
//	gemm.MulT(y, x, w, 1, 0, pool)            // y [M, N] = x [M, K] · Wᵀ
//	gemm.Mul(dx, dy, w, 1, 0, pool)           // dx [M, K] = dy [M, N] · W
//	gemm.Gemm(true, false, 1, dy, x, 1, dw, pool) // dw [N, K] += dyᵀ · x
//
// # Order of summation
//
// Every output element has one float32 accumulator and meets its terms in
// ascending order of the reduction index:
//
//	acc = beta * y[i,j]                  // 0 if beta is 0: y is not read
//	for r := range K {
//		acc += (alpha * x[i,r]) * w[j,r] // fused in the assembly variants
//	}
//	y[i,j] = acc
//
// alpha*x is rounded once, before the sum. The result of a row therefore depends
// on that row, on the weights and on the variant, and on nothing else: not on
// the number of rows, workers, blocks or chunks. A product taken in several
// ranges of the reduction with beta = 1 equals the product in one piece, bit by
// bit; a bias is added by filling y with it and passing beta = 1. Zero is not
// special: NaN and Inf in x or w reach y even where alpha or the other factor
// is 0.
//
// # Codes
//
// A matrix of codes of 4 bits ([PackNF4]) or 8 bits ([PackInt8]) multiplies as the
// float32 matrix of the numbers behind its codes, bit by bit. Numbers are computed in
// registers for a few rows (where the variant has kernels for it), a block of a panel
// at a time in scratch memory for more. The variant amxbf16 holds codes in another order
// ([Pool.Order]) and multiplies by them in whole numbers, see below; [Mul] rounds the
// numbers behind them to bfloat16, and multiplies as by a matrix of those. So does [MulT]
// where K is no multiple of [ScaleBlock] or numbers are of half precision.
//
// # Variants
//
// The kernels exist for AVX-512, for AVX2 with FMA, and as plain Go, which is
// also all there is under the build tag purego and on other processors. The
// plain loops define what the assembly computes; it differs from them only in
// fusing multiplication and addition. A variant belongs to a [Pool].
//
// The variant avx512bf16 is avx512 but for matrices that are held as bfloat16
// ([PackBF16]): alpha*x is rounded to bfloat16 too, to nearest even, and the terms are
// added in pairs, the second of a pair first:
//
//	for r := 0; r < K; r += 2 { // a missing last term is 0
//		acc += bf16(alpha * x[i,r+1]) * w[j,r+1] // rounded once
//		acc += bf16(alpha * x[i,r]) * w[j,r]
//	}
//
// The variant amxbf16 has the same factors, and multiplies tiles of them:
// the terms are added in steps of 32, those at even and at odd places apart:
//
//	for r := 0; r < K; r += 32 { // missing last terms are 0
//		even, odd := 0, 0
//		for i := 0; i < 32; i += 2 {
//			even += bf16(alpha * x[i,r+i]) * w[j,r+i] // rounded once
//			odd += bf16(alpha * x[i,r+i+1]) * w[j,r+i+1]
//		}
//		acc += even + odd
//	}
//
// Subnormal factors and sums count as 0 in both.
//
// By codes, amxbf16 multiplies ScaleBlock numbers of a row at a time, rounded to multiples
// of 1/16256 of the largest of them in size; the table of codes of 4 bits is rounded
// likewise. Their products are whole numbers, whose sum is exact (but that what comes of
// the last 7 bits of both factors does not count where codes are of 4 bits), and
//
//	for b := range K / ScaleBlock {
//		acc += float32(sum[b]) * (unit[i,b] * scale[j,b])
//	}
//
// where unit is what a sum of 1 is worth for a scale of 1. Numbers of a block that are all
// smaller than 2⁻¹⁰⁰ count as 0. A NaN or an infinity makes its row NaN.
//
// # Duties of the caller
//
// Outputs must not overlap inputs. One goroutine at a time may use a Pool. A
// [Packed] is immutable and may be read from any number of goroutines. Wrong
// shapes panic. Nothing is allocated in the steady state: scratch memory belongs
// to the pool and grows to the largest product seen.
package gemm
