package lora

import (
	"github.com/socialrl/socialrl/lora/internal/gemm"
	"gorgonia.org/tensor"
)

// strided is a matrix whose element (i, j) is data[i*rowStride + j*colStride].
type strided[F float] struct {
	data                 []F
	rows, cols           int
	rowStride, colStride int
}

// stridedOf returns the elements of a dense matrix of element type F, whatever its
// layout: row-major, column-major, transposed or sliced.
func stridedOf[F float](t tensor.Tensor) (m strided[F], ok bool) {
	d, ok := t.(*tensor.Dense)
	if !ok || d.Dims() != 2 || len(d.Strides()) != 2 || d.IsMasked() {
		return m, false
	}
	data, ok := d.Data().([]F)
	if !ok {
		return m, false
	}
	shape, strides := d.Shape(), d.Strides()
	return strided[F]{data, shape[0], shape[1], strides[0], strides[1]}, true
}

// stridedProduct returns the three matrices of a product c = a·b.
func stridedProduct[F float](a, b, c tensor.Tensor) (x, y, z strided[F], ok bool) {
	x, okA := stridedOf[F](a)
	y, okB := stridedOf[F](b)
	z, okC := stridedOf[F](c)
	ok = okA && okB && okC && x.cols == y.rows && z.rows == x.rows && z.cols == y.cols
	return x, y, z, ok
}

// MatMul sets c = a·b, as plain loops for float64 and float32. Other types go the
// standard way.
func (e *refEngine) MatMul(a, b, c tensor.Tensor) error {
	if loopProduct[float64](a, b, c) || loopProduct[float32](a, b, c) {
		return nil
	}
	return e.StdEng.MatMul(a, b, c)
}

// loopProduct computes the product where the elements are of type F, summing in
// float64.
func loopProduct[F float](a, b, c tensor.Tensor) bool {
	x, y, z, ok := stridedProduct[F](a, b, c)
	if !ok {
		return false
	}
	for i := range z.rows {
		for j := range z.cols {
			sum := 0.0
			for k := range x.cols {
				sum += float64(x.data[i*x.rowStride+k*x.colStride]) * float64(y.data[k*y.rowStride+j*y.colStride])
			}
			z.data[i*z.rowStride+j*z.colStride] = F(sum)
		}
	}
	return true
}

// MatMul sets c = a·b: for matrices of float32 on the engine's kernels, the standard
// way for other types. The standard way takes a sliced matrix for a whole one, so
// that those, and layouts in which neither rows nor columns are contiguous, are left
// to plain loops.
func (e *cpuEngine) MatMul(a, b, c tensor.Tensor) error {
	if x, y, z, ok := stridedProduct[float32](a, b, c); ok && e.product(x, y, z) {
		return nil
	}
	return hostMatMul(&e.StdEng, a, b, c)
}

// hostMatMul sets c = a·b in the standard way, or with plain loops where that takes a
// sliced matrix for a whole one.
func hostMatMul(std *tensor.StdEng, a, b, c tensor.Tensor) error {
	sliced := a.RequiresIterator() || b.RequiresIterator() || c.RequiresIterator()
	if sliced && (loopProduct[float64](a, b, c) || loopProduct[float32](a, b, c)) {
		return nil
	}
	return std.MatMul(a, b, c)
}

// product sets z = x·y, unless a layout is beyond the kernels.
func (e *cpuEngine) product(x, y, z strided[float32]) bool {
	da, transA, okA := denseOf(x)
	db, transB, okB := denseOf(y)
	dc, transC, okC := denseOf(z)
	switch {
	case !okA || !okB || !okC:
		return false
	case transC: // zᵀ = yᵀ·xᵀ
		gemm.Gemm(!transB, !transA, 1, db, da, 0, dc, e.pool)
	default:
		gemm.Gemm(transA, transB, 1, da, db, 0, dc, e.pool)
	}
	return true
}

// denseOf returns a row-major matrix that is m, or whose transpose is m.
func denseOf(m strided[float32]) (d gemm.Dense, trans, ok bool) {
	switch {
	case m.colStride == 1 && (m.rowStride >= m.cols || m.rows == 1):
		return gemm.Dense{Data: m.data, Rows: m.rows, Cols: m.cols, Stride: max(m.rowStride, m.cols)}, false, true
	case m.rowStride == 1 && m.colStride >= m.rows:
		return gemm.Dense{Data: m.data, Rows: m.cols, Cols: m.rows, Stride: m.colStride}, true, true
	}
	return d, false, false
}
