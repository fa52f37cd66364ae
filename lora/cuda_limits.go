//go:build cuda && cgo

package lora

import (
	"math"
	"time"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

var _ Measurer = (*cudaEngine)(nil)

// enough is the time of a call that is measured well.
const enough = time.Second / 64

// Limits measures the GPU: the arithmetic with products of square matrices by cuBLAS, that
// of float32 without TF32; the memory with a copy, whose reads and writes both count.
// Sizes grow until a call takes long enough.
func (e *cudaEngine) Limits() Limits {
	return Limits{F32: e.productRate(cuda.F32, 4096), BF16: e.productRate(cuda.BF16, 8192), Read: e.copyRate()}
}

// productRate returns the operations a second of products whose factors are of a type, of
// up to so many rows.
func (e *cudaEngine) productRate(kind cuda.ElementType, largest int) (best float64) {
	for n := 256; n <= largest; n *= 2 {
		words := n * n
		if kind == cuda.BF16 {
			words /= 2
		}
		a, b, c := e.NewView(1, words), e.NewView(1, words), e.NewView(n, n)
		e.noise(a, kind)
		e.noise(b, kind)
		took := e.seconds(func() {
			e.multiply(cuda.Product{M: n, N: n, K: n, Type: kind, Alpha: 1,
				A: cuda.Factor{P: e.address(a), Stride: n}, B: cuda.Factor{P: e.address(b), Stride: n, Trans: true}}, c)
		})
		for _, v := range []View{a, b, c} {
			e.FreeView(v)
		}
		best = max(best, 2*float64(n)*float64(n)*float64(n)/took)
		if took > enough.Seconds() {
			break
		}
	}
	return best
}

// noise fills a row with numbers of a type between -2 and 2: a GPU multiplies zeros
// faster than what a model has.
func (e *cudaEngine) noise(v View, kind cuda.ElementType) {
	block := make([]float32, min(v.Cols, transferPiece))
	state := uint32(1)
	for i := range block {
		state = state*1664525 + 1013904223
		bits := state&0x807f_ffff | 0x3f80_0000 // sign and mantissa are random, the exponent is 0
		if kind == cuda.BF16 {
			bits = bits&0xffff_0000 | bits<<1&0x8000 | bits&0x7f | 0x3f80
		}
		block[i] = math.Float32frombits(bits)
	}
	for at := 0; at < v.Cols; at += len(block) {
		part := v.ColRange(at, min(at+len(block), v.Cols))
		e.Write(part, block[:part.Cols])
	}
}

// copyRate returns the bytes a second that a copy moves.
func (e *cudaEngine) copyRate() (best float64) {
	for n := 1 << 20; n <= 1<<26; n *= 2 {
		from, to := e.NewView(1, n), e.NewView(1, n)
		took := e.seconds(func() { e.Copy(to, from) })
		e.FreeView(from)
		e.FreeView(to)
		best = max(best, 8*float64(n)/took)
		if took > enough.Seconds() {
			break
		}
	}
	return best
}

// seconds returns the time that f takes on the device, the least of several.
func (e *cudaEngine) seconds(f func()) float64 {
	f() // loads what it needs
	best := math.Inf(1)
	for range 5 {
		_ = e.Sync()
		start := time.Now()
		f()
		if e.Sync() != nil {
			return math.Inf(1)
		}
		best = min(best, time.Since(start).Seconds())
	}
	return best
}
