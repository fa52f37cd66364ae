//go:build cuda && cgo

package lora

import "github.com/socialrl/socialrl/lora/internal/cuda"

var (
	kernelRMSNorm           = cuda.Kernel("block", "rms_norm")
	kernelRMSNormNarrow     = cuda.Kernel("block", "rms_norm_narrow")
	kernelRMSNormBack       = cuda.Kernel("block", "rms_norm_back")
	kernelRMSNormBackNarrow = cuda.Kernel("block", "rms_norm_back_narrow")
	kernelRMSNormWeight     = cuda.Kernel("block", "rms_norm_back_weight")
	kernelAddPartials       = cuda.Kernel("block", "add_partials")
	kernelRotaryTable       = cuda.Kernel("block", "rotary_table")
	kernelRotary            = cuda.Kernel("block", "rotary")
	kernelSwiGLU            = cuda.Kernel("block", "swiglu")
	kernelSwiGLUBack        = cuda.Kernel("block", "swiglu_back")
)

// The sizes of the norms' kernels.
const (
	normThreads = 256 // of a block that does a row
	normNarrow  = 512 // columns up to which a warp does a row
)

// norm launches a kernel that does a row of x a block, the first for wide rows.
func (e *cudaEngine) norm(wide, narrow cuda.KernelID, x View, args func(*cudaCall)) {
	k, threads := wide, normThreads
	if x.Cols <= normNarrow {
		k, threads = narrow, 32
	}
	c := e.kernel(k)
	args(c)
	if x.Len() > 0 {
		c.launch(x.Rows, 1, 1, threads, 0)
	}
}

// RMSNorm normalises rows.
func (e *cudaEngine) RMSNorm(y, x, w View, eps float64) {
	checkRMSNorm(y, x, w)
	e.norm(kernelRMSNorm, kernelRMSNormNarrow, x, func(c *cudaCall) {
		c.view(y).i32(y.Stride).view(x).i32(x.Stride).view(w).i32(x.Rows).i32(x.Cols).f32(eps)
	})
}

// RMSNormBack is the gradient of RMSNorm. That of the weight is added up over pieces of
// rows, and over the pieces in their order.
func (e *cudaEngine) RMSNormBack(dx, dy, x, w, dw View, eps float64) {
	checkRMSNormBack(dx, dy, x, w, dw)
	defer e.Reset(e.Mark())
	inverse, partial := e.room().normBack(e, x)
	e.norm(kernelRMSNormBack, kernelRMSNormBackNarrow, x, func(c *cudaCall) {
		c.view(dx).i32(dx.Stride).view(dy).i32(dy.Stride).view(x).i32(x.Stride).view(w).view(inverse).
			i32(x.Rows).i32(x.Cols).f32(eps)
	})
	if dw.IsNone() || x.Len() == 0 {
		return
	}
	e.kernel(kernelRMSNormWeight).view(partial).view(dy).i32(dy.Stride).view(x).i32(x.Stride).view(inverse).
		i32(x.Rows).i32(x.Cols).i32(normWeightRows).launch(divideUp(x.Cols, 32), partial.Rows, 1, normThreads, 0)
	e.kernel(kernelAddPartials).view(dw).view(partial).i32(partial.Rows).i32(partial.Cols).
		launch(e.blocks(x.Cols, normThreads), 1, 1, normThreads, 0)
}

// RotaryTable fills the tables of cosines and sines.
func (e *cudaEngine) RotaryTable(cos, sin View, positions []int32, invFreq []float32) {
	checkRotaryTable(cos, sin, positions, invFreq)
	where, freq := e.stage32(positions), stage(e, invFreq)
	e.kernel(kernelRotaryTable).view(cos).i32(cos.Stride).view(sin).i32(sin.Stride).ptr(where).ptr(freq).
		i32(cos.Rows).i32(cos.Cols).sweep(cos.Rows, cos.Cols)
}

// Rotary turns heads.
func (e *cudaEngine) Rotary(x, cos, sin View, heads int, inverse bool) {
	checkRotary(x, cos, sin, heads)
	sign := 1.0
	if inverse {
		sign = -1
	}
	e.kernel(kernelRotary).view(x).i32(x.Stride).view(cos).i32(cos.Stride).view(sin).i32(sin.Stride).
		i32(x.Rows).i32(heads).i32(cos.Cols).f32(sign).sweep(x.Rows, x.Cols/2)
}

// SwiGLU sets y = silu(gate) · up.
func (e *cudaEngine) SwiGLU(y, gate, up View) {
	checkSwiGLU(y, gate, up)
	e.kernel(kernelSwiGLU).view(y).i32(y.Stride).view(gate).i32(gate.Stride).view(up).i32(up.Stride).
		i32(y.Rows).i32(y.Cols).sweep(y.Rows, y.Cols)
}

// SwiGLUBack is the gradient of SwiGLU.
func (e *cudaEngine) SwiGLUBack(dgate, dup, dy, gate, up View) {
	checkSwiGLUBack(dgate, dup, dy, gate, up)
	e.kernel(kernelSwiGLUBack).view(dgate).i32(dgate.Stride).view(dup).i32(dup.Stride).view(dy).i32(dy.Stride).
		view(gate).i32(gate.Stride).view(up).i32(up.Stride).i32(dy.Rows).i32(dy.Cols).sweep(dy.Rows, dy.Cols)
}
