//go:build cuda && cgo

package lora

import (
	"errors"
	"slices"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

var (
	kernelZero       = cuda.Kernel("elementwise", "zero_elements")
	kernelCopy       = cuda.Kernel("elementwise", "copy_elements")
	kernelAccumulate = cuda.Kernel("elementwise", "accumulate_elements")
	kernelScale      = cuda.Kernel("elementwise", "scale_elements")
	kernelPick       = cuda.Kernel("elementwise", "pick_rows")
	kernelPut        = cuda.Kernel("elementwise", "put_rows")
	kernelScatter    = cuda.Kernel("elementwise", "scatter_rows")
	kernelSquares    = cuda.Kernel("elementwise", "sum_squares")
	kernelPartials   = cuda.Kernel("elementwise", "sum_partials")
)

// errNoMemory is the failure of an operation on a view for which no memory was left, once
// that has been reported.
var errNoMemory = errors.New("operation on a view for which there was no memory")

// flat returns contiguous views as single rows, which kernels go through fastest.
func flat(v View) View {
	if v.Rows > 1 && v.Contiguous() && v.Len() == int(int32(v.Len())) {
		return v.Reshape(1, v.Len())
	}
	return v
}

// flatPair is flat for two views of one shape, both or neither.
func flatPair(a, b View) (View, View) {
	x, y := flat(a), flat(b)
	if x.Rows != y.Rows {
		return a, b
	}
	return x, y
}

// sweep launches an elementwise kernel over a matrix.
func (c *cudaCall) sweep(rows, cols int) {
	if rows == 0 || cols == 0 {
		return
	}
	const widest, quad = 256, 4
	block := min(widest, (cols/quad+31)/32*32+32)
	x := c.e.blocks(cols, quad*block)
	y := min(rows, max(1, c.e.blocks(1<<30, 1)/x))
	c.launch(x, y, 1, block, 0)
}

// Zero sets every element to 0.
func (e *cudaEngine) Zero(v View) {
	v = flat(v)
	e.kernel(kernelZero).view(v).dims(v).sweep(v.Rows, v.Cols)
}

// Copy sets dst = src.
func (e *cudaEngine) Copy(dst, src View) {
	checkCopy(dst, src)
	e.combine(kernelCopy, dst, src)
}

// Accumulate sets dst += src.
func (e *cudaEngine) Accumulate(dst, src View) {
	checkCopy(dst, src)
	e.combine(kernelAccumulate, dst, src)
}

// combine launches a kernel on two views of one shape.
func (e *cudaEngine) combine(k cuda.KernelID, dst, src View) {
	dst, src = flatPair(dst, src)
	e.kernel(k).view(dst).dims(dst).view(src).i32(src.Stride).sweep(dst.Rows, dst.Cols)
}

// Scale sets v *= s.
func (e *cudaEngine) Scale(v View, s float64) {
	v = flat(v)
	e.kernel(kernelScale).view(v).dims(v).f32(s).sweep(v.Rows, v.Cols)
}

// SumSquares returns the sum of the squares: threads in a number that depends on the shape
// alone sum every so many elements, and their sums are added in a fixed order.
func (e *cudaEngine) SumSquares(v View) (float64, error) {
	const block, most = 256, 1024
	defer e.Reset(e.Mark())
	v = flat(v)
	blocks := max(1, min(most, (v.Cols+block-1)/block))
	partial := e.tempBytes(8 * int64(blocks+1))
	total := partial.Add(8 * int64(blocks))
	e.kernel(kernelSquares).ptr(partial).view(v).dims(v).launch(blocks, 1, 1, block, 0)
	e.kernel(kernelPartials).ptr(total).ptr(partial).i32(blocks).launch(1, 1, 1, block, 0)
	var sum [1]float64
	err := fetch(e, sum[:], total)
	return sum[0], err
}

// Pick sets dst[i] = src[rows[i]].
func (e *cudaEngine) Pick(dst, src View, rows []int32) {
	checkPick(dst, src, rows)
	ids := e.stage32(rows)
	e.kernel(kernelPick).view(dst).dims(dst).view(src).i32(src.Stride).ptr(ids).sweep(dst.Rows, dst.Cols)
}

// Put sets dst[rows[i]] = src[i].
func (e *cudaEngine) Put(dst, src View, rows []int32) {
	checkPut(dst, src, rows)
	ids := e.stage32(rows)
	e.kernel(kernelPut).view(dst).i32(src.Rows).i32(src.Cols).i32(dst.Stride).
		view(src).i32(src.Stride).ptr(ids).sweep(src.Rows, src.Cols)
}

// ScatterAdd adds dw[ids[i]] += d[i]. The rows of d are sorted by where they go, so that
// one thread adds all that an element receives, in the order of i.
func (e *cudaEngine) ScatterAdd(dw, d View, ids []int32) {
	checkScatterAdd(dw, d, ids)
	if len(ids) == 0 {
		return
	}
	s := &e.scatter
	s.sort(ids)
	n := len(s.rows)
	rows, starts, order := e.stage32(s.rows), e.stage32(s.starts), e.stage32(s.order)
	e.kernel(kernelScatter).view(dw).i32(dw.Stride).view(d).i32(d.Cols).i32(d.Stride).
		ptr(rows).ptr(starts).ptr(order).i32(n).sweep(n, d.Cols)
}

// scatterOrder holds the rows that receive something and, for each, what it receives. Its
// slices are reused.
type scatterOrder struct {
	keys   []uint64
	rows   []int32 // distinct, ascending
	starts []int32 // of each row's part of order, and the end
	order  []int32
}

// sort fills s for the rows that ids name.
func (s *scatterOrder) sort(ids []int32) {
	s.keys = grow(s.keys, len(ids))
	for i, id := range ids {
		s.keys[i] = uint64(id)<<32 | uint64(i)
	}
	slices.Sort(s.keys)
	s.rows, s.starts, s.order = s.rows[:0], s.starts[:0], s.order[:0]
	for i, key := range s.keys {
		if row := int32(key >> 32); i == 0 || s.rows[len(s.rows)-1] != row {
			s.rows, s.starts = append(s.rows, row), append(s.starts, int32(i))
		}
		s.order = append(s.order, int32(uint32(key)))
	}
	s.starts = append(s.starts, int32(len(ids)))
}
