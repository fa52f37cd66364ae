package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// quantizeInt8 quantises a matrix to 8 bits, symmetrically in blocks of 64 along
// each row (the last block of a row may be shorter):
//
//	scale = max|w| / 127;  code = w/scale rounded to nearest, ties to even;  value = code·scale
//
// The scales stand row after row.
func quantizeInt8(t Tensor) (codes []int8, scales []float32, err error) {
	if err := t.stFloating(); err != nil {
		return nil, nil, err
	}
	rows, cols := t.Shape[0], t.Shape[1]
	blocks := int8Blocks(cols)
	codes, scales = make([]int8, rows*cols), make([]float32, rows*blocks)
	inParallel(rows, func(row int) {
		int8Rows(t, codes[row*cols:(row+1)*cols], scales[row*blocks:], row, cols)
	})
	return codes, scales, allFinite(t, scales)
}

// int8Rows sets the codes of whole rows of width cols, from row on, and their scales.
func int8Rows(t Tensor, codes []int8, scales []float32, row, cols int) {
	var block [gemm.ScaleBlock]float32
	for at, b := 0, 0; at < len(codes); b++ {
		n := min(gemm.ScaleBlock, cols-at%cols)
		values := block[:n]
		t.stDecode(values, row*cols+at)
		scales[b] = absmax(values) / 127
		int8Codes(codes[at:at+n], values, scales[b])
		at += n
	}
}

// int8Blocks returns the number of blocks of a row.
func int8Blocks(cols int) int { return (cols + gemm.ScaleBlock - 1) / gemm.ScaleBlock }

// int8Codes sets the codes of a block of the given scale; they mean nothing where that
// is not finite.
func int8Codes(codes []int8, values []float32, scale float32) {
	if scale == 0 {
		clear(codes)
		return
	}
	// Adding 1.5·2²³ leaves the nearest whole number in the lower bits.
	const whole = 0x1.8p23
	values = values[:len(codes)]
	for i, x := range values {
		nearest := int32(math.Float32bits(x/scale+whole)) - int32(math.Float32bits(whole))
		codes[i] = int8(max(-127, min(127, nearest)))
	}
}

// roundInt8 returns the matrix as its codes of 8 bits have it.
func roundInt8(t Tensor) ([]float32, error) {
	codes, scales, err := quantizeInt8(t)
	if err != nil {
		return nil, err
	}
	cols := t.Shape[1]
	values := make([]float32, len(codes))
	for i, code := range codes {
		values[i] = float32(code) * scales[i/cols*int8Blocks(cols)+i%cols/gemm.ScaleBlock]
	}
	return values, nil
}
