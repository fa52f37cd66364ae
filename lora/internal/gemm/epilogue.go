package gemm

import "unsafe"

// Epilogue is what a product adds to each part of its result while that is in the
// cache: a vector to every row, and a product of low rank,
//
//	y[M,N] += bias[N] + Alpha · Left[M,R] · op(Right)
//
// where op(Right) is Rightᵀ of Right [N, R] in [MulTWith] and Right [R, N] itself in
// [MulWith]. The sum begins with the bias and ends with the product of low rank, each
// in the order in which products of their own would add them, and so bit by bit.
// The zero Epilogue adds nothing.
type Epilogue struct {
	Bias  []float32 // nil: none
	Left  Dense     // no columns: none
	Right Dense
	Alpha float32
}

// MulTWith multiplies by the transpose of a packed matrix, a linear layer:
//
//	y[M,N] = x[M,K] · W[N,K]ᵀ + with
//
// y must not overlap x or a part of the epilogue.
func MulTWith(y, x Dense, w *Packed, with Epilogue, p *Pool) {
	p.multiplyWith(product{
		y: y, left: x, alpha: 1,
		source: panelSource(w), w: w,
		m: x.Rows, n: w.n, k: w.k, leftCols: x.Cols,
	}, with, true)
}

// MulWith multiplies by a packed matrix, the backward pass of a linear layer with
// respect to its input:
//
//	dx[M,K] = dy[M,N] · W[N,K] + beta · dx + with
//
// An epilogue with a bias does not go with beta other than 0.
func MulWith(dx, dy Dense, w *Packed, beta float32, with Epilogue, p *Pool) {
	if with.Bias != nil && beta != 0 {
		panic("gemm: a product onto its own result has no bias")
	}
	p.multiplyWith(product{
		y: dx, left: dy, alpha: 1, beta: beta,
		source: transposedSource(w), w: w,
		m: dy.Rows, n: w.k, k: w.n, leftCols: dy.Cols,
	}, with, false)
}

// multiplyWith runs a product with an epilogue. Where it is of no reduction, or its
// low rank is none, the parts are computed one by one.
func (p *Pool) multiplyWith(j product, with Epilogue, transposed bool) {
	if with.Bias != nil {
		j.bias = with.Bias[:j.n]
	}
	apart := with.Left.Cols > blockK || j.k == 0
	if with.Left.Cols > 0 && !apart {
		j.setTail(with, transposed)
	}
	p.multiply(j)
	if with.Left.Cols > 0 && apart {
		Gemm(false, transposed, with.Alpha, with.Left, with.Right, 1, j.y, p)
	}
}

// tail is the product of low rank that ends a product's sums.
type tail struct {
	left, right Dense
	transposed  bool // right is [n, rank], else [rank, n]
	alpha       float32
}

// rank returns the length of the tail's reduction, 0 if there is none.
func (t *tail) rank() int { return t.left.Cols }

// setTail checks an epilogue's product of low rank and makes it the tail of j.
func (j *product) setTail(with Epilogue, transposed bool) {
	with.Left.check()
	with.Right.check()
	rank, n := with.Right.Rows, with.Right.Cols
	if transposed {
		rank, n = n, rank
	}
	if with.Left.Rows != j.m || rank != with.Left.Cols || n != j.n {
		panic("gemm: shapes do not match")
	}
	j.tail = tail{left: with.Left, right: with.Right, transposed: transposed, alpha: with.Alpha}
}

// ends reports whether the part in progress ends the reduction and a tail follows.
func (j *product) ends() bool { return j.tail.rank() > 0 && j.k0+j.depth == j.k }

// packTail copies rows [lo, hi) of the tail's left factor, times alpha, leftStride apart.
func (j *product) packTail(lo, hi int) {
	for r := lo; r < hi; r++ {
		row := j.pool.tail[r*leftStride:][:j.tail.rank()]
		copy(row, j.tail.left.Row(j.row+r))
		if j.tail.alpha != 1 {
			j.pool.vec.Scale(row, j.tail.alpha, row)
		}
	}
}

// finish adds the tail to rows [r0, r1) of panels [p0, p1), whose sums are in y.
func (j *product) finish(worker, r0, r1, p0, p1 int) {
	if !j.ends() {
		return
	}
	kern, t := j.pool.kern, &j.tail
	scratch := j.pool.workers[worker].scratch
	tall := evenly(r1-r0, kern.mr, 1)
	for panel := p0; panel < p1; panel++ {
		cols := min(NR, j.n-panel*NR)
		t.layOut(kern, scratch, panel, cols)
		right := (*byte)(unsafe.Pointer(&scratch[0]))
		tiles := kern.tiles(floats, cols)
		for r := r0; r < r1; r += tall {
			y := j.out(r, panel)
			tiles[min(tall, r1-r)](t.rank(), &j.pool.tail[r*leftStride], right, y, j.y.Stride, y, j.y.Stride, cols, right)
		}
	}
}

// layOut writes a panel of the tail's right factor, [rank][NR].
func (t *tail) layOut(kern *kernels, dst []float32, panel, cols int) {
	if t.transposed {
		src := asWords(t.right.Data[panel*NR*t.right.Stride:])
		transpose(kern, asWords(dst), NR, src, t.right.Stride, cols, t.rank())
		return
	}
	for r := range t.rank() {
		copy(dst[r*NR:r*NR+cols], t.right.Data[r*t.right.Stride+panel*NR:])
	}
}

// begin writes the bias to rows [r0, r1) of panels [p0, p1), for kernels that take their
// sums up from y only.
func (j *product) begin(r0, r1, p0, p1 int) {
	if !j.biased() {
		return
	}
	c0, c1 := p0*NR, min(p1*NR, j.n)
	for r := r0; r < r1; r++ {
		copy(j.y.Row(j.row + r)[c0:c1], j.bias[c0:c1])
	}
}

// biased reports whether the sums of the part in progress begin with the bias.
func (j *product) biased() bool { return j.bias != nil && j.k0 == 0 }

// takesUp reports whether a kernel that knows y only continues from it: from the sums of
// the parts before, or from what begin wrote.
func (j *product) takesUp() bool { return j.load || j.biased() }
