package lora

import "github.com/socialrl/socialrl/lora/internal/gemm"

// quantizeInt8 quantises a matrix to 8 bits, symmetrically in blocks of 64 along
// each row (the last block of a row may be shorter):
//
//	scale = max|w| / 127;  code = w/scale rounded to nearest, ties to even;  value = code·scale
//
// The scales stand row after row.
func quantizeInt8(t Tensor) (codes []int8, scales []float32, err error) {
	values, err := t.Floats()
	if err != nil {
		return nil, nil, err
	}
	rows, cols := t.Shape[0], t.Shape[1]
	blocks := int8Blocks(cols)
	codes, scales = make([]int8, len(values)), make([]float32, rows*blocks)
	inParallel(len(scales), func(b int) {
		lo := b/blocks*cols + b%blocks*gemm.ScaleBlock
		hi := min(lo+gemm.ScaleBlock, (b/blocks+1)*cols)
		scales[b] = absmax(values[lo:hi]) / 127
		for i := lo; i < hi; i++ {
			codes[i] = int8Code(values[i], scales[b])
		}
	})
	return codes, scales, allFinite(t, scales, values)
}

// int8Blocks returns the number of blocks of a row.
func int8Blocks(cols int) int { return (cols + gemm.ScaleBlock - 1) / gemm.ScaleBlock }

// int8Code returns the code of x in a block of the given scale.
func int8Code(x, scale float32) int8 {
	if scale == 0 {
		return 0
	}
	// Adding and taking away 1.5·2²³ leaves the nearest whole number.
	const whole = 0x1.8p23
	return int8(max(-127, min(127, float32(x/scale+whole)-whole)))
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
