//go:build cuda && cgo

package lora

import "github.com/socialrl/socialrl/lora/internal/cuda"

// transferPiece is the number of elements that are moved at once where rows have gaps.
const transferPiece = 1 << 18

// Write copies numbers into the view. Where its rows have gaps, the numbers go to the
// device without them and are spread there.
func (e *cudaEngine) Write(dst View, src []float32) {
	require(len(src) == dst.Len(), "lora: Write: lengths differ")
	if dst.Contiguous() && len(src) > transferPiece {
		e.dev.Upload(e.address(dst), bytesOf(src))
		return
	}
	for rows := range pieces(dst) {
		packed := stage(e, src[:rows.Len()])
		e.kernel(kernelCopy).view(rows).dims(rows).ptr(packed).i32(rows.Cols).sweep(rows.Rows, rows.Cols)
		src = src[rows.Len():]
	}
}

// Read copies the view's numbers out.
func (e *cudaEngine) Read(dst []float32, src View) error {
	require(len(dst) == src.Len(), "lora: Read: lengths differ")
	if src.Contiguous() {
		return fetch(e, dst, e.address(src))
	}
	for rows := range pieces(src) {
		packed, err := e.outbox(rows.Len())
		if err != nil {
			return deviceError(err)
		}
		e.kernel(kernelCopy).ptr(packed).i32(rows.Rows).i32(rows.Cols).i32(rows.Cols).
			view(rows).i32(rows.Stride).sweep(rows.Rows, rows.Cols)
		if err := fetch(e, dst[:rows.Len()], packed); err != nil {
			return err
		}
		dst = dst[rows.Len():]
	}
	return deviceError(e.dev.Err())
}

// pieces goes through a view by ranges of rows of some transferPiece elements.
func pieces(v View) func(yield func(View) bool) {
	return func(yield func(View) bool) {
		step := max(1, transferPiece/max(v.Cols, 1))
		for r := 0; r < v.Rows && v.Cols > 0; r += step {
			if !yield(v.RowRange(r, min(r+step, v.Rows))) {
				return
			}
		}
	}
}

// outbox returns memory of the device, for elements on their way out. It is kept.
func (e *cudaEngine) outbox(elements int) (cuda.Ptr, error) {
	if elements > e.outboxSize {
		e.dev.Free(e.outboxAt)
		e.outboxSize = 0
		p, err := e.dev.Alloc(4 * int64(max(elements, transferPiece)))
		if err != nil {
			return 0, err
		}
		e.outboxAt, e.outboxSize = p, max(elements, transferPiece)
	}
	return e.outboxAt, nil
}
