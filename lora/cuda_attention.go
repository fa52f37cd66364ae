//go:build cuda && cgo

package lora

import (
	"errors"
	"math"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

var (
	kernelKeepPlan  = cuda.Kernel("attention", "attention_keep")
	kernelPackKeys  = cuda.Kernel("attention", "attention_pack")
	kernelMerge     = cuda.Kernel("attention", "attention_merge")
	kernelPackRows  = cuda.Kernel("attention_back", "attention_pack_rows")
	kernelMergeKeys = cuda.Kernel("attention_back", "attention_merge_keys")

	kernelPacked     = columnKernels("attention", "attention_packed_")
	kernelDirect     = columnKernels("attention", "attention_direct_")
	kernelKeys       = columnKernels("attention_back", "attention_keys_")
	kernelQueries    = columnKernels("attention_back", "attention_queries_")
	kernelAttendF32  = columnKernels("attention_f32", "attention_f32_")
	kernelKeysF32    = columnKernels("attention_f32", "attention_keys_f32_")
	kernelQueriesF32 = columnKernels("attention_f32", "attention_queries_f32_")
)

// byColumns holds a kernel for each number of columns of a tile.
type byColumns [4]cuda.KernelID

// columnKernels names the kernels for 32, 64, 128 and 256 columns.
func columnKernels(module, prefix string) (k byColumns) {
	for i, cols := range []string{"32", "64", "128", "256"} {
		k[i] = cuda.Kernel(module, prefix+cols)
	}
	return k
}

// of returns the kernel for a number of columns.
func (k *byColumns) of(cols int) cuda.KernelID {
	i := 0
	for c := 32; c < cols; c *= 2 {
		i++
	}
	return k[i]
}

// errHeadDim is the failure of attention with heads that no kernel is made for.
var errHeadDim = errors.New("attention with a head dimension above 256")

const log2e = 1.4426950408889634

// cudaAttention holds the plans of the last calls, so that the blocks of a model, which
// attend over one tree, share one.
type cudaAttention struct {
	forward, back devicePlan
}

// devicePlan is a plan with its copy on the device, which lasts until another is made.
type devicePlan struct {
	attentionPlan
	at   cuda.Ptr
	size int // words that fit there
	kept bool
}

// planFor returns the device's copy of the plan for a call, which it makes where the last
// call was another.
func (e *cudaEngine) planFor(p *devicePlan, t Tree, rows int, s HeadShape, cut attentionCut) cuda.Ptr {
	group := s.Heads / s.KVHeads
	if p.kept && p.matches(t, rows, group, cut) {
		return p.at
	}
	p.kept = false
	p.build(t, rows, group, cut)
	n := len(p.words)
	if n > p.size {
		e.dev.Free(p.at)
		p.at, p.size = 0, 0
		at, err := e.dev.Alloc(4 * int64(2*n))
		if err != nil {
			e.dev.Fail(err)
			return 0
		}
		p.at, p.size = at, 2*n
	}
	staged := e.stage32(p.words)
	e.kernel(kernelKeepPlan).ptr(p.at).ptr(staged).i32(n).launch(e.blocks(n, 256), 1, 1, 256, 0)
	p.kept = e.dev.Err() == nil
	return p.at
}

// tile16 returns the bytes of a tile in bfloat16: rows of cols numbers and 16 bytes more.
func tile16(rows, cols int) int { return 2 * rows * (cols + 8) }

// tile32 returns the bytes of a tile in float32.
func tile32(rows, cols int) int { return 4 * rows * (cols + 4) }

// stages returns how many blocks of keys a kernel has in shared memory: one while another
// arrives, or a single one where heads are large.
func (c *attentionCut) stages() int {
	if c.cols > 128 {
		return 1
	}
	return 2
}

// exponent returns what turns a score into an exponent of 2.
func exponent(s HeadShape) float64 { return log2e / math.Sqrt(float64(s.HeadDim)) }

// attends reports whether there is something to attend to, and kernels that can.
func (e *cudaEngine) attends(q View, s HeadShape) bool {
	if s.HeadDim > maxHeadDim {
		e.dev.Fail(errHeadDim)
		return false
	}
	return q.Rows > 0
}

// Attention over the keys that the tree shows to each row. See kernels/attention.cu.
func (e *cudaEngine) Attention(o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttention(o, lse, q, k, v, t, s)
	if !e.attends(q, s) {
		return
	}
	defer e.Reset(e.Mark())
	cut := e.room().attentionCut(q.Rows, s, false)
	plan := e.planFor(&e.attend.forward, t, q.Rows, s, cut)
	if e.attend.forward.totalItems == 0 {
		return
	}
	room := e.room().attention(e, q, t, s)
	if cut.packed {
		e.packKeys(room.k, room.v, room.found, k, v, plan, slotsRoom(t), &cut, s)
	}
	packed := q.Rows * s.Heads / s.KVHeads
	c := e.beginAttention(&cut).view(o).i32(o.Stride).view(lse).i32(lse.Stride).view(q).i32(q.Stride)
	if cut.packed {
		c.view(room.k).view(room.v).view(room.found)
	} else {
		c.view(k).i32(k.Stride)
	}
	c.view(v).i32(v.Stride).view(room.o).view(room.ends).ptr(plan).
		i32(packed).i32(s.Heads/s.KVHeads).i32(s.HeadDim).f32(exponent(s)).
		launch(cut.items(packed), s.KVHeads, 1, 128, e.attentionShared(&cut))
	if cut.splits > 0 {
		e.kernel(kernelMerge).view(o).i32(o.Stride).view(lse).i32(lse.Stride).view(room.o).view(room.ends).ptr(plan).
			i32(packed).i32(s.Heads/s.KVHeads).i32(s.HeadDim).i32(cut.tileRows).
			launch(divideUp(packed, 8), s.KVHeads, 1, 256, 0)
	}
}

// beginAttention begins the launch of the forward kernel.
func (e *cudaEngine) beginAttention(cut *attentionCut) *cudaCall {
	switch {
	case !e.bf16:
		return e.kernel(kernelAttendF32.of(cut.cols))
	case cut.packed:
		return e.kernel(kernelPacked.of(cut.cols))
	}
	return e.kernel(kernelDirect.of(cut.cols))
}

// attentionShared returns the shared memory of the forward kernel: queries, keys and
// values, and probabilities.
func (e *cudaEngine) attentionShared(cut *attentionCut) int {
	if !e.bf16 {
		return 3*tile32(cut.tileRows, cut.cols) + tile32(cut.tileRows, cut.tileRows)
	}
	return tile16(cut.tileRows+2*cut.stages()*blockSlots, cut.cols)
}

// packKeys gathers keys and values, rounded.
func (e *cudaEngine) packKeys(k16, v16, found, k, v View, plan cuda.Ptr, slots int, cut *attentionCut, s HeadShape) {
	e.kernel(kernelPackKeys).view(k16).view(v16).view(found).view(k).i32(k.Stride).view(v).i32(v.Stride).ptr(plan).
		i32(s.HeadDim).i32(cut.cols).launch(slots/blockSlots, s.KVHeads, 1, 128, 0)
}

// AttentionBack is the gradient of Attention. See kernels/attention_back.cu.
func (e *cudaEngine) AttentionBack(dq, dk, dv, do, o, lse, q, k, v View, t Tree, s HeadShape) {
	checkAttentionBack(dq, dk, dv, do, o, lse, q, k, v, t, s)
	if !e.attends(q, s) {
		return
	}
	defer e.Reset(e.Mark())
	b := cudaBack{e: e, q: q, do: do, k: k, v: v, shape: s, cut: e.room().attentionCut(q.Rows, s, true),
		rows: q.Rows * s.Heads / s.KVHeads, padded: paddedRows(q.Rows, s)}
	b.plan = e.planFor(&e.attend.back, t, q.Rows, s, b.cut)
	if e.attend.back.totalItems == 0 {
		return
	}
	b.room = e.room().attentionBack(e, q, t, s)
	b.prepare(o, lse)
	b.keys(dk, dv)
	b.queries(dq)
}

// cudaBack is a call of AttentionBack under way.
type cudaBack struct {
	e            *cudaEngine
	q, do, k, v  View
	shape        HeadShape
	cut          attentionCut
	plan         cuda.Ptr
	room         attentionBackRoom
	rows, padded int // packed rows, and those in memory
}

// prepare packs what the kernels read.
func (b *cudaBack) prepare(o, lse View) {
	s, room := b.shape, &b.room
	b.e.kernel(kernelPackRows).view(room.q).view(room.do).view(room.lse).view(room.delta).
		view(b.q).i32(b.q.Stride).view(b.do).i32(b.do.Stride).view(o).i32(o.Stride).view(lse).i32(lse.Stride).ptr(b.plan).
		i32(b.rows).i32(b.padded).i32(s.Heads/s.KVHeads).i32(s.HeadDim).i32(b.cut.cols).
		launch(b.padded/8, s.KVHeads, 1, 256, 0)
	if b.cut.packed {
		b.e.packKeys(room.k, room.v, room.found, b.k, b.v, b.plan, int(b.e.attend.back.words[planSlots]), &b.cut, s)
	}
}

// inputs passes what both kernels read first.
func (b *cudaBack) inputs(c *cudaCall) *cudaCall {
	room := &b.room
	if b.cut.packed {
		return c.view(room.q).view(room.do).view(room.lse).view(room.delta).view(room.k).view(room.v).ptr(b.plan)
	}
	return c.view(b.q).i32(b.q.Stride).view(b.do).i32(b.do.Stride).view(b.k).i32(b.k.Stride).view(b.v).i32(b.v.Stride).
		view(room.lse).view(room.delta).ptr(b.plan)
}

// scales passes the factors of scores and gradients.
func (b *cudaBack) scales(c *cudaCall) *cudaCall {
	return c.i32(b.shape.HeadDim).f32(exponent(b.shape)).f32(1 / math.Sqrt(float64(b.shape.HeadDim)))
}

// keys computes dk and dv.
func (b *cudaBack) keys(dk, dv View) {
	s, p := b.shape, &b.e.attend.back
	outputs := func(k cuda.KernelID) *cudaCall {
		return b.inputs(b.e.kernel(k).view(dk).i32(dk.Stride).view(dv).i32(dv.Stride).view(b.room.partial))
	}
	if b.cut.packed {
		threads, rows := 128, 32
		if b.cut.cols > 128 {
			threads, rows = 256, 16
		}
		shared := tile16(2*b.cut.keyTile+2*b.cut.stages()*rows, b.cut.cols) + 8*b.cut.stages()*rows
		b.scales(outputs(kernelKeys.of(b.cut.cols)).i32(b.padded)).launch(p.keyItems, s.KVHeads, 1, threads, shared)
	} else {
		shared := 4*tile32(b.cut.keyTile, b.cut.cols) + 2*tile32(b.cut.keyTile, b.cut.keyTile)
		b.scales(outputs(kernelKeysF32.of(b.cut.cols)).i32(b.rows).i32(b.padded).i32(s.Heads/s.KVHeads)).
			launch(p.keyItems, s.KVHeads, 1, 128, shared)
	}
	if p.partials > 0 {
		b.e.kernel(kernelMergeKeys).view(dk).i32(dk.Stride).view(dv).i32(dv.Stride).view(b.room.partial).ptr(b.plan).
			i32(s.HeadDim).i32(b.cut.keyTile).launch(divideUp(int(p.words[planSlots]), 8), s.KVHeads, 1, 256, 0)
	}
}

// queries computes dq.
func (b *cudaBack) queries(dq View) {
	s, items := b.shape, b.e.attend.back.totalItems
	if !b.cut.packed {
		shared := 4*tile32(b.cut.tileRows, b.cut.cols) + tile32(b.cut.tileRows, b.cut.tileRows)
		c := b.inputs(b.e.kernel(kernelQueriesF32.of(b.cut.cols)).view(dq).i32(dq.Stride))
		b.scales(c.i32(b.rows).i32(b.padded).i32(s.Heads/s.KVHeads)).launch(items, s.KVHeads, 1, 128, shared)
		return
	}
	shared := tile16(2*b.cut.tileRows+2*b.cut.stages()*blockSlots, b.cut.cols)
	c := b.inputs(b.e.kernel(kernelQueries.of(b.cut.cols)).view(dq).i32(dq.Stride))
	b.scales(c.i32(b.rows).i32(b.padded).i32(s.Heads/s.KVHeads)).launch(items, s.KVHeads, 1, 2*b.cut.tileRows, shared)
}
