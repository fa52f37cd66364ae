package vec

// AddRows adds rows of a matrix to y, one after another. Row r begins at x[r*stride].
//
//	for r := range rows { for j := range y { y[j] += x[r*stride+j] } }
func (k Kernels) AddRows(y, x []float32, stride, rows int) {
	if n := len(y); n > 0 && rows > 0 {
		k.addRows(y, x[:(rows-1)*stride+n], stride, rows)
	}
}

// AddProducts adds the products of the rows of two matrices and of a factor each to y,
// one row after another.
//
//	for r, f := range s { for j := range y { y[j] += a[r*sa+j] * b[r*sb+j] * f } }
func (k Kernels) AddProducts(y, a []float32, sa int, b []float32, sb int, s []float32) {
	if n, rows := len(y), len(s); n > 0 && rows > 0 {
		k.addProducts(y, a[:(rows-1)*sa+n], sa, b[:(rows-1)*sb+n], sb, s)
	}
}

// Rotate turns the pairs of each head of a row, whose halves are as long as cos:
//
//	for h := range len(x) / (2*n) {
//		for i := range cos {
//			a, b, s := x[2*h*n+i], x[(2*h+1)*n+i], sign*sin[i]
//			x[2*h*n+i], x[(2*h+1)*n+i] = a*cos[i]-b*s, b*cos[i]+a*s
//		}
//	}
func (k Kernels) Rotate(x, cos, sin []float32, sign float32) {
	if n := len(cos); n > 0 && len(x) >= 2*n {
		k.rotate(x, cos, sin[:n], sign)
	}
}

// SquaresOfRows sets the sum of the squared elements of each row, of n elements from
// a[r*stride] on. Sums are float64, where squares are exact, in an order that is the
// same for all variants.
//
//	for r := range sums { for i := range n { sums[r] += float64(a[r*stride+i]) * float64(a[r*stride+i]) } }
func (k Kernels) SquaresOfRows(sums []float64, a []float32, stride, n int) {
	if rows := len(sums); rows > 0 && n > 0 {
		k.squares64(sums, a[:(rows-1)*stride+n], stride, n)
		return
	}
	clear(sums)
}

// DotsOfRows sets the scalar products of the rows of two matrices, as
// [Kernels.SquaresOfRows] does.
//
//	for r := range sums { for i := range n { sums[r] += float64(a[r*sa+i]) * float64(b[r*sb+i]) } }
func (k Kernels) DotsOfRows(sums []float64, a []float32, sa int, b []float32, sb, n int) {
	if rows := len(sums); rows > 0 && n > 0 {
		k.dots64(sums, a[:(rows-1)*sa+n], sa, b[:(rows-1)*sb+n], sb, n)
		return
	}
	clear(sums)
}

// AdamW are the constants of an update of the optimiser AdamW.
type AdamW struct {
	Scale            float64 // of the gradient
	Beta1, Rest1     float64 // decay of the first moment, and 1 - Beta1
	Beta2, Rest2     float64 // of the second
	Unbias1, Unbias2 float64 // 1 / (1 - Beta1^t), 1 / (1 - Beta2^t)
	Rate             float64 // learning rate
	Keep             float64 // what decay leaves of a parameter
	Eps              float64 // beside the root of the second moment
}

// Step updates parameters and moments. The arithmetic between loads and stores is
// float64, each operation rounded.
//
//	for j := range p {
//		x := float64(g[j]) * Scale
//		m1 := Beta1*float64(m[j]) + Rest1*x
//		v1 := Beta2*float64(v[j]) + Rest2*x*x
//		p[j] = float32(float64(p[j])*Keep - Rate*m1*Unbias1/(math.Sqrt(v1*Unbias2)+Eps))
//		m[j], v[j] = float32(m1), float32(v1)
//	}
func (k Kernels) Step(p, m, v, g []float32, c *AdamW) {
	if n := len(p); n > 0 {
		k.adamW(p, m[:n], v[:n], g[:n], c)
	}
}

// Dropout drops the elements whose random number is below p and multiplies the others
// by keep.
//
//	for i := range y {
//		y[i] = 0
//		if (float32(words[i]>>9) + 0.5) / (1 << 23) >= p { y[i] = x[i] * keep }
//	}
func (k Kernels) Dropout(y, x []float32, words []uint32, p, keep float32) {
	if n := len(y); n > 0 {
		k.drop(y, x[:n], words[:n], p, keep)
	}
}
