//go:build cuda && cgo

package lora

import "github.com/socialrl/socialrl/lora/internal/cuda"

var (
	kernelRoundRows  = cuda.Kernel("linear", "round_rows")
	kernelDown       = cuda.Kernel("linear", "branch_down")
	kernelUp16       = cuda.Kernel("linear", "branch_up_16")
	kernelUp64       = cuda.Kernel("linear", "branch_up_64")
	kernelSumParts   = cuda.Kernel("linear", "sum_parts")
	kernelGrad       = cuda.Kernel("linear", "branch_grad")
	kernelGradDrop   = cuda.Kernel("linear", "branch_grad_drop")
	kernelAddParts   = cuda.Kernel("linear", "add_parts")
	kernelUnpackNF4  = [2]cuda.KernelID{cuda.Kernel("quant", "unpack_nf4_bf16"), cuda.Kernel("quant", "unpack_nf4_f32")}
	kernelUnpackInt8 = [2]cuda.KernelID{cuda.Kernel("quant", "unpack_int8_bf16"), cuda.Kernel("quant", "unpack_int8_f32")}
	kernelUnpackBF16 = cuda.Kernel("quant", "unpack_bf16_f32")
)

const linearBlock = 256 // threads

// room returns what says which room operations take.
func (e *cudaEngine) room() cudaRoom { return cudaRoom{bf16: e.bf16} }

// Linear computes y = x·Wᵀ + bias + Scale·drop(x)·Aᵀ·Bᵀ. Few rows are streamed against the
// weight; for many, what is not the product with W is written first, and the product added.
func (e *cudaEngine) Linear(y, x View, l *Linear, h View) {
	checkLinear(y, x, l, h)
	w := e.own(l.W)
	if x.Rows == 0 {
		return
	}
	mark := e.Mark()
	room := e.room().linear(e, x, l)
	if p := e.room().stream(w.kind, x.Rows, w.out, w.in); p.streams {
		e.streamLinear(y, x, l, h, &p, &room)
	} else {
		e.largeLinear(y, x, l, h, &room)
	}
	e.Reset(mark)
}

// largeLinear is Linear for many rows.
func (e *cudaEngine) largeLinear(y, x View, l *Linear, h View, room *linearRoom) {
	w := e.own(l.W)
	f, beta := cudaFactor{}, float32(0)
	if l.branch() {
		parts := e.down(room.low, x, l.A, false, room.rounded, l.Drop)
		f = e.factorOf(x, room.rounded)
		e.up(y, nothing, l.Bias, lowRankPart{h: room.low, parts: parts, keep: h}, l.B, true, l.Scale, Dropout{})
		beta = 1
	} else {
		f = e.round(x, room.rounded)
		if !l.Bias.IsNone() {
			e.up(y, nothing, l.Bias, lowRankPart{}, View{}, true, 0, Dropout{})
			beta = 1
		}
	}
	e.timesT(y, f, w, 0, w.out, 1, beta, room.weight)
}

// LinearBack is the gradient of Linear.
func (e *cudaEngine) LinearBack(dx, dy, x View, l *Linear, h View, add bool) {
	checkLinearBack(dx, dy, x, l, h)
	if x.Rows == 0 {
		return
	}
	mark := e.Mark()
	room := e.room().linearBack(e, dx, dy, x, l)
	if !l.DW.IsNone() {
		e.gemm(true, false, 1, dy, x, 1, l.DW)
	}
	if !l.DBias.IsNone() {
		e.addGradient(l.DBias, false, View{}, 1, dy, 1, Dropout{}, room.grad)
	}
	if l.branch() {
		if !dx.IsNone() || !l.DA.IsNone() {
			parts := e.down(room.low, dy, l.B, true, room.rounded, Dropout{})
			e.kernel(kernelSumParts).view(room.dh).dims(room.dh).view(room.low).i32(parts).f32(l.Scale).
				launch(divideUp(room.dh.Len(), linearBlock), 1, 1, linearBlock, 0)
		}
		if !l.DB.IsNone() {
			e.addGradient(l.DB, true, h, h.Cols, dy, l.Scale, Dropout{}, room.grad)
		}
		if !l.DA.IsNone() {
			e.addGradient(l.DA, false, room.dh, room.dh.Cols, x, 1, l.Drop, room.grad)
		}
	}
	if !dx.IsNone() {
		e.inputBack(dx, dy, l, &room, add)
	}
	e.Reset(mark)
}

// inputBack sets dx, or adds to it: what passes through the branch, and dy·W.
func (e *cudaEngine) inputBack(dx, dy View, l *Linear, room *linearBackRoom, add bool) {
	w, f, beta := e.own(l.W), cudaFactor{}, float32(0)
	if add {
		beta = 1
	}
	if l.branch() {
		base := nothing
		if add {
			base = oldContents
		}
		e.up(dx, base, View{}, lowRankPart{h: room.dh, parts: 1}, l.A, false, 1, l.Drop)
		f, beta = e.factorOf(dy, room.rounded), 1
	} else {
		f = e.round(dy, room.rounded)
	}
	e.times(dx, f, w, 0, w.out, beta, room.weight)
}

// drop passes a Dropout: DROP_ARGUMENTS of kernels/lowrank.cuh.
func (c *cudaCall) drop(d Dropout) *cudaCall {
	key := d.Key.mixed()
	return c.f32(d.P).f32(1 / (1 - d.P)).u32(key[0]).u32(key[1]).u32(d.Key.Index).u32(d.Key.Step).u64(d.Row0)
}

// strides passes how far apart a branch's matrix has its ranks and its columns: A [R, in] by
// its rows, B [out, R] by its columns.
func (c *cudaCall) strides(v View, transposed bool) *cudaCall {
	if transposed {
		return c.i32(1).i32(v.Stride)
	}
	return c.i32(v.Stride).i32(1)
}

// down sets parts of drop(x)·aᵀ, or of x·b where the matrix is b [columns, R], and on the way
// rounds x, unless there is no room for it. It returns the number of parts.
func (e *cudaEngine) down(parts, x, a View, transposed bool, rounded View, d Dropout) int {
	stretch := lowStretch(x.Rows, x.Cols)
	rank := a.Rows
	if transposed {
		rank = a.Cols
	}
	n := divideUp(x.Cols, stretch)
	e.kernel(kernelDown).view(parts).view(x).dims(x).view(a).strides(a, transposed).i32(rank).view(rounded).
		i32(roundUp(x.Cols, 8)).i32(stretch).drop(d).
		launch(divideUp(x.Rows, lowRows), n, divideUp(rank, lowRank), linearBlock, lowShared)
	return n
}

// lowRankPart is a branch's input: h [rows, R] in parts that are summed, and where the sum is
// kept, unless that is the zero View.
type lowRankPart struct {
	h     View
	parts int
	keep  View
}

// What up adds to, besides parts of the product: nothing, or what y holds.
const (
	oldContents = -1
	nothing     = 0
)

// up sets y = base + bias + drop(scale·h·b), b being a branch's second matrix: B transposed
// going forward, A going back.
func (e *cudaEngine) up(y View, base int, bias View, h lowRankPart, b View, transposed bool, scale float64, d Dropout) {
	e.upFrom(y, y, base, bias, h, b, transposed, scale, d)
}

// upFrom is up with parts of a product, in from, as what it adds to.
func (e *cudaEngine) upFrom(y, from View, parts int, bias View, h lowRankPart, b View, transposed bool, scale float64, d Dropout) {
	rank, hStride := 0, 0
	if !b.IsNone() {
		if rank = b.Rows; transposed {
			rank = b.Cols
		}
		hStride = rank
	}
	k, tile := kernelUp64, 64
	if y.Rows <= 32 {
		k, tile = kernelUp16, 16
	}
	e.kernel(k).view(y).dims(y).view(from).i32(parts).view(bias).
		view(h.h).i32(hStride).i32(h.parts).i64(y.Rows*rank).view(h.keep).i32(h.keep.Stride).
		view(b).strides(b, transposed).i32(rank).f32(scale).drop(d).
		launch(divideUp(y.Cols, 64), divideUp(y.Rows, tile), 1, linearBlock, 0)
}

// addGradient adds scale·pᵀ·drop(q) to g [R, columns], or to g [columns, R] where it is
// transposed. p is [rows, R], or a column of ones where it is the zero View.
func (e *cudaEngine) addGradient(g View, transposed bool, p View, rank int, q View, scale float64, d Dropout, parts View) {
	k := kernelGrad
	if d.P > 0 {
		k = kernelGradDrop
	}
	stretch := gradStretch(q.Rows, rank, q.Cols)
	n := divideUp(q.Rows, stretch)
	e.kernel(k).view(parts).view(p).i32(p.Stride).i32(rank).view(q).dims(q).i32(stretch).drop(d).
		launch(divideUp(q.Cols, gradCols), n, divideUp(rank, lowRank), linearBlock, 0)
	e.kernel(kernelAddParts).view(g).i32(rank).i32(q.Cols).strides(g, transposed).view(parts).i32(n).f32(scale).
		launch(divideUp(rank*q.Cols, linearBlock), 1, 1, linearBlock, 0)
}
