//go:build cuda && cgo

package lora

import "github.com/socialrl/socialrl/lora/internal/cuda"

// The kernels that stream a weight of a kind against up to so many rows.
var (
	kernelStreamPlain = map[Kind][2]cuda.KernelID{
		F32:       {cuda.Kernel("plain", "stream_f32_1"), cuda.Kernel("plain", "stream_f32_8")},
		BF16:      {cuda.Kernel("plain", "stream_bf16_f32_1"), cuda.Kernel("plain", "stream_bf16_f32_8")},
		NF4:       {cuda.Kernel("plain", "stream_nf4_f32_1"), cuda.Kernel("plain", "stream_nf4_f32_8")},
		NF4Single: {cuda.Kernel("plain", "stream_nf4_f32_1"), cuda.Kernel("plain", "stream_nf4_f32_8")},
		Int8:      {cuda.Kernel("plain", "stream_int8_f32_1"), cuda.Kernel("plain", "stream_int8_f32_8")},
	}
	kernelStreamRounded = map[Kind][3]cuda.KernelID{
		BF16:      {cuda.Kernel("stream", "stream_bf16_8"), cuda.Kernel("stream", "stream_bf16_16"), cuda.Kernel("stream", "stream_bf16_32")},
		NF4:       {cuda.Kernel("stream", "stream_nf4_8"), cuda.Kernel("stream", "stream_nf4_16"), cuda.Kernel("stream", "stream_nf4_32")},
		NF4Single: {cuda.Kernel("stream", "stream_nf4_8"), cuda.Kernel("stream", "stream_nf4_16"), cuda.Kernel("stream", "stream_nf4_32")},
		Int8:      {cuda.Kernel("stream", "stream_int8_8"), cuda.Kernel("stream", "stream_int8_16"), cuda.Kernel("stream", "stream_int8_32")},
	}
)

// streamKernel returns the kernel for a plan.
func (e *cudaEngine) streamKernel(kind Kind, p *cudaStream) cuda.KernelID {
	if e.room().rounds(kind) {
		return kernelStreamRounded[kind][p.count/16]
	}
	return kernelStreamPlain[kind][p.count/8]
}

// streamLinear is Linear for few rows: one pass over the weight that takes the branch's way
// down along, and where sums are left to add, a second kernel.
func (e *cudaEngine) streamLinear(y, x View, l *Linear, h View, p *cudaStream, room *linearRoom) {
	parts, bias := room.parts, l.Bias
	alone := parts.IsNone() && !l.branch()
	to, stride := parts, y.Cols
	if parts.IsNone() {
		to, stride = y, y.Stride
	}
	if !alone {
		bias = View{}
	}
	e.streamProduct(to, stride, y, x, bias, l, p, room.low)
	if alone {
		return
	}
	low := lowRankPart{}
	if l.branch() {
		low = lowRankPart{h: room.low, parts: p.lowParts, keep: h}
	}
	from, count := y, oldContents
	if !parts.IsNone() {
		from, count = parts, p.splits
	}
	e.upFrom(y, from, count, l.Bias, low, l.B, true, l.Scale, Dropout{})
}

// streamProduct launches the pass over the weight. It writes y's numbers to rows of a stride
// in to, for each stretch of columns a part.
func (e *cudaEngine) streamProduct(to View, stride int, y, x, bias View, l *Linear, p *cudaStream, low View) {
	w := e.own(l.W)
	lowBlocks, rank, shared := 0, 0, p.shared
	if l.branch() {
		shared = max(shared, lowShared)
		rank = l.A.Rows
		lowBlocks = p.lowParts * divideUp(rank, lowRank)
	}
	blocks := divideUp(w.out, streamWarps/p.across*p.tile)
	if e.room().rounds(w.kind) { // whose blocks go through many tiles
		blocks = min(blocks, max(1, 2*e.dev.SMs()/p.splits))
	}
	e.kernel(e.streamKernel(w.kind, p)).view(to).i64(y.Len()).i32(stride).i32(0).i32(w.out).view(bias).
		view(x).i32(x.Rows).i32(x.Stride).i32(p.stretch).i32(p.across).
		i32(lowBlocks).view(low).view(l.A).i32(l.A.Stride).i32(rank).i32(p.lowWidth).drop(l.Drop).weight(w).
		launch(lowBlocks+blocks, p.splits, divideUp(x.Rows, p.count), 32*streamWarps, shared)
}
