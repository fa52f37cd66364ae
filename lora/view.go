package lora

// Buffer is a piece of an engine's memory. Only the engine that made it can look
// inside.
type Buffer interface {
	// Len returns the number of elements.
	Len() int
}

// View is a matrix of Rows × Cols elements in an engine's memory: element (i, j)
// stands at index Off + i*Stride + j of Buf. A vector is a view of one row. Views
// are small and passed by value; they own nothing. The zero View stands for "none"
// where an operation allows it.
type View struct {
	Buf    Buffer
	Off    int
	Rows   int
	Cols   int
	Stride int
}

// IsNone reports whether v is the zero View.
func (v View) IsNone() bool { return v.Buf == nil }

// Len returns the number of elements, Rows × Cols.
func (v View) Len() int { return v.Rows * v.Cols }

// Contiguous reports whether the rows follow each other without a gap.
func (v View) Contiguous() bool { return v.Stride == v.Cols || v.Rows <= 1 }

// RowRange returns rows [r0, r1) of v. It panics where they do not exist.
func (v View) RowRange(r0, r1 int) View {
	if r0 < 0 || r1 < r0 || r1 > v.Rows {
		panic("lora: row range out of bounds")
	}
	v.Off += r0 * v.Stride
	v.Rows = r1 - r0
	return v
}

// ColRange returns columns [c0, c1) of v. It panics where they do not exist.
func (v View) ColRange(c0, c1 int) View {
	if c0 < 0 || c1 < c0 || c1 > v.Cols {
		panic("lora: column range out of bounds")
	}
	v.Off += c0
	v.Cols = c1 - c0
	return v
}

// Reshape returns the elements of a contiguous view as rows × cols. It panics where
// v has gaps or another number of elements.
func (v View) Reshape(rows, cols int) View {
	if !v.Contiguous() || rows*cols != v.Rows*v.Cols {
		panic("lora: view cannot be reshaped")
	}
	v.Rows, v.Cols, v.Stride = rows, cols, cols
	return v
}
