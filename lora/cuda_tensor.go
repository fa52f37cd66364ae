//go:build cuda && cgo

package lora

import (
	"gorgonia.org/tensor"
)

// MatMul sets c = a·b: on the GPU for matrices of float32 of whatever layout, as the CPU
// engine does it for other types. Tensors live in host memory, so that the factors are
// copied to the device and the product back; it is there when MatMul returns.
func (e *cudaEngine) MatMul(a, b, c tensor.Tensor) error {
	x, y, z, ok := stridedProduct[float32](a, b, c)
	if !ok {
		return hostMatMul(&e.StdEng, a, b, c)
	}
	defer e.Reset(e.Mark())
	product := e.Temp(z.rows, z.cols)
	e.gemm(false, false, 1, e.upload(x), e.upload(y), 0, product)
	packed := make([]float32, product.Len())
	if err := e.Read(packed, product); err != nil {
		return err
	}
	for i, number := range packed {
		z.data[i/z.cols*z.rowStride+i%z.cols*z.colStride] = number
	}
	return nil
}

// upload copies a matrix of the host into the arena.
func (e *cudaEngine) upload(m strided[float32]) View {
	v := e.Temp(m.rows, m.cols)
	if m.colStride == 1 && m.rowStride == m.cols {
		e.Write(v, m.data[:v.Len()])
		return v
	}
	packed := make([]float32, 0, v.Len())
	for i := range m.rows {
		for j := range m.cols {
			packed = append(packed, m.data[i*m.rowStride+j*m.colStride])
		}
	}
	e.Write(v, packed)
	return v
}
