package gemm

// MulT multiplies by the transpose of a packed matrix, the forward pass of a
// linear layer:
//
//	y[M,N] = alpha * x[M,K] · W[N,K]ᵀ + beta * y
//
// Where beta is 0, y is overwritten without being read. See the package comment
// for the order of summation. y must not overlap x. M = 0 does nothing.
func MulT(y, x Dense, w *Packed, alpha, beta float32, p *Pool) {
	MulTRange(y, x, w, 0, w.n, alpha, beta, p)
}

// MulTRange is MulT restricted to rows [n0, n1) of W, columns of the result:
//
//	y[M,n1-n0] = alpha * x[M,K] · W[n0:n1,K]ᵀ + beta * y
//
// n0 is a multiple of NR. The values equal those of MulT bit by bit.
func MulTRange(y, x Dense, w *Packed, n0, n1 int, alpha, beta float32, p *Pool) {
	w.checkRange(n0, n1)
	p.multiply(product{
		y: y, left: x, alpha: alpha, beta: beta,
		source: panelSource(w), w: w, first: n0,
		m: x.Rows, n: n1 - n0, k: w.k, leftCols: x.Cols,
	})
}

// Mul multiplies by a packed matrix, the backward pass of a linear layer with
// respect to its input:
//
//	dx[M,K] = alpha * dy[M,N] · W[N,K] + beta * dx
//
// It reads the same packed copy as MulT. dx must not overlap dy.
func Mul(dx, dy Dense, w *Packed, alpha, beta float32, p *Pool) {
	MulRange(dx, dy, w, 0, w.n, alpha, beta, p)
}

// MulRange is Mul restricted to rows [n0, n1) of W, the reduction:
//
//	dx[M,K] = alpha * dy[M,n1-n0] · W[n0:n1,K] + beta * dx
//
// n0 is a multiple of NR. Ascending ranges with beta = 1 after the first give
// the result of Mul bit by bit.
func MulRange(dx, dy Dense, w *Packed, n0, n1 int, alpha, beta float32, p *Pool) {
	w.checkRange(n0, n1)
	p.multiply(product{
		y: dx, left: dy, alpha: alpha, beta: beta,
		source: transposedSource(w), w: w, first: n0,
		m: dy.Rows, n: w.k, k: n1 - n0, leftCols: dy.Cols,
	})
}

// Gemm multiplies plain matrices:
//
//	c[M,N] = alpha * op(a)[M,K] · op(b)[K,N] + beta * c
//
// where op transposes if the flag is set. Where beta is 0, c is overwritten
// without being read. c must not overlap a or b.
func Gemm(transA, transB bool, alpha float32, a, b Dense, beta float32, c Dense, p *Pool) {
	b.check()
	m, ka := a.shape(transA)
	kb, n := b.shape(transB)
	source := denseRows
	if transB {
		source = denseTransposed
	}
	p.multiply(product{
		y: c, left: a, leftT: transA, alpha: alpha, beta: beta,
		source: source, b: b,
		m: m, n: n, k: kb, leftCols: ka,
	})
}

// Affine multiplies plain matrices and adds a vector to every row, a linear layer:
//
//	y[M,N] = x[M,K] · w[N,K]ᵀ + bias[N]
//
// with the bits that y filled with the vector and beta = 1 would give. y must not
// overlap x, w or bias.
func Affine(y, x, w Dense, bias []float32, p *Pool) {
	y.check()
	w.check()
	p.multiply(product{
		y: y, left: x, alpha: 1, bias: bias[:w.Rows],
		source: denseTransposed, b: w,
		m: x.Rows, n: w.Rows, k: w.Cols, leftCols: x.Cols,
	})
}

// panelSource returns how MulT reads w.
func panelSource(w *Packed) source {
	switch {
	case w.Quantized():
		return panelsQuant
	case w.BF16():
		return panelsBF16
	}
	return panels
}

// transposedSource returns how Mul reads w.
func transposedSource(w *Packed) source {
	switch {
	case w.Quantized():
		return panelsQuantTransposed
	case w.BF16():
		return panelsBF16Transposed
	}
	return panelsTransposed
}

// checkRange panics unless [n0, n1) is a range of rows that begins with a panel.
func (p *Packed) checkRange(n0, n1 int) {
	if n0 < 0 || n0%NR != 0 || n1 < n0 || n1 > p.n {
		panic("gemm: bad range of rows")
	}
}
