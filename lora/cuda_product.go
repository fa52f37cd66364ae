//go:build cuda && cgo

package lora

import "github.com/socialrl/socialrl/lora/internal/cuda"

// cudaFactor is a matrix as products take it: float32, or rounded to bfloat16.
type cudaFactor struct {
	p          cuda.Ptr
	rows, cols int
	stride     int // elements
	kind       cuda.ElementType
}

// columns returns columns from on of f.
func (f cudaFactor) columns(from, to int) cudaFactor {
	size := int64(4)
	if f.kind == cuda.BF16 {
		size = 2
	}
	f.p, f.cols = f.p.Add(size*int64(from)), to-from
	return f
}

// plainFactor returns x as it is.
func (e *cudaEngine) plainFactor(x View) cudaFactor {
	return cudaFactor{p: e.address(x), rows: x.Rows, cols: x.Cols, stride: max(x.Stride, x.Cols, 1), kind: cuda.F32}
}

// factorOf returns x as a factor that has been rounded into a room, or x itself where there
// is none.
func (e *cudaEngine) factorOf(x, rounded View) cudaFactor {
	if rounded.IsNone() {
		return e.plainFactor(x)
	}
	return cudaFactor{p: e.address(rounded), rows: x.Rows, cols: x.Cols, stride: roundUp(max(x.Cols, 1), 8), kind: cuda.BF16}
}

// round rounds x into a room and returns the factor, or x itself where there is no room.
func (e *cudaEngine) round(x, rounded View) cudaFactor {
	f := e.factorOf(x, rounded)
	if f.kind == cuda.BF16 {
		e.kernel(kernelRoundRows).ptr(f.p).i32(f.stride).view(x).dims(x).
			launch(divideUp(x.Cols, 4*linearBlock), min(x.Rows, maxGridY), 1, linearBlock, 0)
	}
	return f
}

// factor returns x as a factor of products with w, in the arena until it is reset.
func (e *cudaEngine) factor(x View, w *cudaWeight) cudaFactor {
	return e.round(x, e.room().factor(e, x.Rows, x.Cols, w.kind))
}

// unpack returns rows [v0, v1) of w as a factor: where they lie, or unpacked into a room.
func (e *cudaEngine) unpack(w *cudaWeight, v0, v1 int, room View) cudaFactor {
	p, pitch := w.rows()
	f := cudaFactor{rows: v1 - v0, cols: w.in, kind: cuda.F32}
	size := e.room().elementBytes(w.kind)
	if size == 2 {
		f.kind = cuda.BF16
	}
	if !e.room().unpacks(w.kind) {
		f.p, f.stride = p.Add(int64(v0)*int64(pitch)), max(pitch/size, w.in, 1)
		return f
	}
	f.p, f.stride = e.address(room), roundUp(w.in, 8)
	k := kernelUnpackBF16
	switch {
	case w.kind == Int8:
		k = kernelUnpackInt8[size/4]
	case w.kind != BF16:
		k = kernelUnpackNF4[size/4]
	}
	e.kernel(k).ptr(f.p).i32(f.stride).i32(v0).i32(v1-v0).weight(w).
		launch(divideUp(w.in, 8*linearBlock), min(v1-v0, 16*cudaBlocks), 1, linearBlock, 0)
	return f
}

// timesT sets y = alpha·x·w[v0:v1]ᵀ + beta·y for a factor x. room is that of
// cudaRoom.unpacked for so many rows.
func (e *cudaEngine) timesT(y View, x cudaFactor, w *cudaWeight, v0, v1 int, alpha, beta float32, room View) {
	step := e.room().unpackStep(w.kind, v1-v0, w.in)
	for v := v0; v < v1; v += step {
		end := min(v+step, v1)
		e.product(x, e.unpack(w, v, end, room), true, alpha, beta, y.ColRange(v-v0, end-v0))
	}
}

// times sets dx = dy·w[v0:v1] + beta·dx for a factor dy [rows, v1−v0].
func (e *cudaEngine) times(dx View, dy cudaFactor, w *cudaWeight, v0, v1 int, beta float32, room View) {
	step := e.room().unpackStep(w.kind, v1-v0, w.in)
	for v := v0; v < v1; v += step {
		end := min(v+step, v1)
		e.product(dy.columns(v-v0, end-v0), e.unpack(w, v, end, room), false, 1, beta, dx)
		beta = 1
	}
}

// product sets c = alpha·a·b + beta·c, or with b transposed.
func (e *cudaEngine) product(a, b cudaFactor, transposed bool, alpha, beta float32, c View) {
	e.multiply(cuda.Product{
		M: c.Rows, N: c.Cols, K: a.cols, Type: a.kind, Alpha: alpha, Beta: beta,
		A: cuda.Factor{P: a.p, Stride: a.stride},
		B: cuda.Factor{P: b.p, Stride: b.stride, Trans: transposed},
	}, c)
}

// gemm sets c = alpha·op(a)·op(b) + beta·c in float32.
func (e *cudaEngine) gemm(transA, transB bool, alpha float32, a, b View, beta float32, c View) {
	terms := a.Cols
	if transA {
		terms = a.Rows
	}
	x, y := e.plainFactor(a), e.plainFactor(b)
	e.multiply(cuda.Product{
		M: c.Rows, N: c.Cols, K: terms, Type: cuda.F32, Alpha: alpha, Beta: beta,
		A: cuda.Factor{P: x.p, Stride: x.stride, Trans: transA},
		B: cuda.Factor{P: y.p, Stride: y.stride, Trans: transB},
	}, c)
}

// multiply makes a product whose result is c.
func (e *cudaEngine) multiply(p cuda.Product, c View) {
	switch {
	case c.Len() == 0 || p.K == 0 && p.Beta == 1:
	case p.K == 0 && p.Beta == 0:
		e.Zero(c)
	case p.K == 0:
		e.Scale(c, float64(p.Beta))
	default:
		p.C = cuda.Factor{P: e.address(c), Stride: max(c.Stride, c.Cols)}
		e.dev.Multiply(&p)
	}
}

// mulT sets y = alpha·x·w[v0:v1]ᵀ + beta·y.
func (e *cudaEngine) mulT(y, x View, w *cudaWeight, v0, v1 int, alpha, beta float32) {
	mark := e.Mark()
	f := e.factor(x, w)
	e.timesT(y, f, w, v0, v1, alpha, beta, e.room().unpacked(e, w.kind, v1-v0, w.in))
	e.Reset(mark)
}

// mul sets dx = dy·w[v0:v1] + beta·dx.
func (e *cudaEngine) mul(dx, dy View, w *cudaWeight, v0, v1 int, beta float32) {
	mark := e.Mark()
	f := e.factor(dy, w)
	e.times(dx, f, w, v0, v1, beta, e.room().unpacked(e, w.kind, v1-v0, w.in))
	e.Reset(mark)
}

// unpackStep returns how many of n rows of a weight take part in one large product.
func (r cudaRoom) unpackStep(kind Kind, n, in int) int {
	if !r.unpacks(kind) || n == 0 {
		return max(n, 1)
	}
	return r.unpackRows(kind, n, in)
}
