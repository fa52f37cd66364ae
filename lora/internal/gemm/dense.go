package gemm

// Dense is a view of a row-major float32 matrix: element (i, j), with
// 0 <= i < Rows and 0 <= j < Cols, is Data[i*Stride+j].
//
// Stride is in elements and at least Cols; Data must reach the last element. An
// empty matrix needs no data.
type Dense struct {
	Data               []float32
	Rows, Cols, Stride int
}

// View returns data as a matrix of rows × cols without gaps.
func View(data []float32, rows, cols int) Dense {
	return Dense{Data: data, Rows: rows, Cols: cols, Stride: cols}
}

// Row returns row i of d, sharing its memory.
func (d Dense) Row(i int) []float32 {
	return d.Data[i*d.Stride : i*d.Stride+d.Cols : i*d.Stride+d.Cols]
}

// check panics unless d is a well-formed matrix.
func (d Dense) check() {
	if d.Rows < 0 || d.Cols < 0 || d.Stride < d.Cols {
		panic("gemm: bad matrix shape")
	}
	if d.Rows > 0 && d.Cols > 0 && len(d.Data) < (d.Rows-1)*d.Stride+d.Cols {
		panic("gemm: matrix data too short")
	}
}

// shape returns the rows and columns of d, or of its transpose.
func (d Dense) shape(transposed bool) (rows, cols int) {
	if transposed {
		return d.Cols, d.Rows
	}
	return d.Rows, d.Cols
}
