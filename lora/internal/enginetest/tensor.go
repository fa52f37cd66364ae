package enginetest

import (
	"math"

	"gorgonia.org/tensor"
)

// testTensor checks that the engine is a gorgonia engine: products of every layout
// and type, and that other operations still work.
func testTensor(s *suite) {
	for _, shape := range [][3]int{{1, 1, 1}, {2, 3, 4}, {17, 33, 5}, {40, 64, 65}} {
		m, k, n := shape[0], shape[1], shape[2]
		for layout := range 8 {
			s.product32(m, k, n, layout&1 != 0, layout&2 != 0, layout&4 != 0)
			s.product64(m, k, n, layout&1 != 0, layout&2 != 0)
		}
	}
	a, b := s.values(200), s.values(200)
	sliced(s, a, b, eps)
	sliced(s, wide(a), wide(b), 0x1p-52)
	s.otherOperations()
}

// matrix makes a tensor on the engine of which element (i, j) is data[i*cols+j];
// transposed stores it the other way round.
func matrix[T float32 | float64](s *suite, rows, cols int, data []T, transposed bool) *tensor.Dense {
	if !transposed {
		return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(append([]T(nil), data...)), tensor.WithEngine(s.got))
	}
	flipped := make([]T, len(data))
	for i := range rows {
		for j := range cols {
			flipped[j*rows+i] = data[i*cols+j]
		}
	}
	t := tensor.New(tensor.WithShape(cols, rows), tensor.WithBacking(flipped), tensor.WithEngine(s.got))
	if err := t.T(); err != nil {
		s.Fatal(err)
	}
	return t
}

// product checks c = a·b by the definition; factor times the sum of magnitudes
// bounds the error.
func product[T float32 | float64](s *suite, m, k, n int, a, b, c []T, factor float64) {
	s.Helper()
	for i := range m {
		for j := range n {
			want, size := 0.0, 0.0
			for r := range k {
				x := float64(a[i*k+r]) * float64(b[r*n+j])
				want, size = want+x, size+math.Abs(x)
			}
			if got := float64(c[i*n+j]); !(math.Abs(got-want) <= factor*float64(k+1)*size) {
				s.Fatalf("tensor.MatMul %d × %d × %d: element (%d, %d) is %v, want %v", m, k, n, i, j, got, want)
			}
		}
	}
}

func (s *suite) product32(m, k, n int, transA, transB, reuse bool) {
	s.Helper()
	a, b := s.values(m*k), s.values(k*n)
	var opts []tensor.FuncOpt
	if reuse {
		opts = append(opts, tensor.WithReuse(matrix(s, m, n, s.values(m*n), false)))
	}
	c, err := tensor.MatMul(matrix(s, m, k, a, transA), matrix(s, k, n, b, transB), opts...)
	if err != nil {
		s.Fatal(err)
	}
	product(s, m, k, n, a, b, flat[float32](c), eps)
}

func (s *suite) product64(m, k, n int, transA, transB bool) {
	s.Helper()
	a, b := wide(s.values(m*k)), wide(s.values(k*n))
	c, err := tensor.MatMul(matrix(s, m, k, a, transA), matrix(s, k, n, b, transB))
	if err != nil {
		s.Fatal(err)
	}
	product(s, m, k, n, a, b, flat[float64](c), 0x1p-52)
}

// flat returns a tensor's elements; a matrix of one element gives a bare number.
func flat[T float32 | float64](t tensor.Tensor) []T {
	if x, ok := t.Data().(T); ok {
		return []T{x}
	}
	return t.Data().([]T)
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// sliced checks factors that are part of a larger matrix: a range of columns, and one
// of rows.
func sliced[T float32 | float64](s *suite, a, b []T, factor float64) {
	s.Helper()
	const m, k, n, width, height = 9, 12, 7, 20, 15
	left, err := matrix(s, m, width, a[:m*width], false).Slice(nil, tensor.S(4, 4+k))
	if err != nil {
		s.Fatal(err)
	}
	right, err := matrix(s, height, n, b[:height*n], false).Slice(tensor.S(2, 2+k), nil)
	if err != nil {
		s.Fatal(err)
	}
	c, err := tensor.MatMul(left, right)
	if err != nil {
		s.Fatal(err)
	}
	var cut []T
	for i := range m {
		cut = append(cut, a[i*width+4:][:k]...)
	}
	product(s, m, k, n, cut, b[2*n:][:k*n], flat[T](c), factor)
}

// otherOperations checks operations that the engine leaves to the standard one.
func (s *suite) otherOperations() {
	a, b := matrix(s, 2, 2, []float32{1, 2, 3, 4}, false), matrix(s, 2, 2, []float32{10, 20, 30, 40}, false)
	sum, err := tensor.Add(a, b)
	if err != nil {
		s.Fatalf("tensor.Add on the engine: %v", err)
	}
	if got := flat[float32](sum); got[0] != 11 || got[3] != 44 {
		s.Errorf("tensor.Add gives %v", got)
	}
	v, err := tensor.MatVecMul(a, tensor.New(tensor.WithBacking([]float32{1, 1}), tensor.WithEngine(s.got)))
	if err != nil {
		s.Fatal(err)
	}
	if got := flat[float32](v); got[0] != 3 || got[1] != 7 {
		s.Errorf("tensor.MatVecMul gives %v", got)
	}
}
