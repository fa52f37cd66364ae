package lora

import (
	"github.com/socialrl/socialrl/lora/internal/gemm"
	"github.com/socialrl/socialrl/lora/internal/vec"
)

// Linear computes y = x·Wᵀ + bias + Scale·drop(x)·Aᵀ·Bᵀ.
func (e *cpuEngine) Linear(y, x View, l *Linear, h View) {
	checkLinear(y, x, l, h)
	with := gemm.Epilogue{Alpha: float32(l.Scale)}
	if !l.Bias.IsNone() {
		with.Bias = row(l.Bias, 0)
	}
	if l.branch() {
		mark := e.Mark()
		e.gemm(false, true, 1, e.dropped(x, l.Drop), l.A, 0, h)
		e.Reset(mark)
		with.Left, with.Right = dense(h), dense(l.B)
	}
	e.affine(y, x, cpuMatrix(l.W), with)
}

// affine sets y = x·wᵀ and the epilogue.
func (e *cpuEngine) affine(y, x View, w *cpuWeight, with gemm.Epilogue) {
	if w.packed != nil {
		gemm.MulTWith(dense(y), dense(x), w.packed, with, e.pool)
		return
	}
	if with.Bias == nil {
		e.mulT(y, x, w, 0, y.Cols, 1, 0)
	} else {
		gemm.Affine(dense(y), dense(x), dense(w.view), with.Bias, e.pool)
	}
	if with.Left.Cols > 0 {
		gemm.Gemm(false, true, with.Alpha, with.Left, with.Right, 1, dense(y), e.pool)
	}
}

// LinearBack is the gradient of Linear.
func (e *cpuEngine) LinearBack(dx, dy, x View, l *Linear, h View, add bool) {
	checkLinearBack(dx, dy, x, l, h)
	if !l.DW.IsNone() {
		e.gemm(true, false, 1, dy, x, 1, l.DW)
	}
	if !l.DBias.IsNone() {
		e.addColumns(l.DBias, dy)
	}
	mark := e.Mark()
	var dh View
	if l.branch() {
		dh = e.branchBack(dy, x, l, h)
	}
	if !dx.IsNone() {
		e.inputBack(dx, dy, l, dh, add)
	}
	e.Reset(mark)
}

// branchBack adds the gradients of the low-rank branch, and returns that of h in the
// arena.
func (e *cpuEngine) branchBack(dy, x View, l *Linear, h View) View {
	if !l.DB.IsNone() {
		e.gemm(true, false, float32(l.Scale), dy, h, 1, l.DB)
	}
	dh := e.Temp(dy.Rows, l.A.Rows)
	e.gemm(false, false, float32(l.Scale), dy, l.B, 0, dh)
	if !l.DA.IsNone() {
		mark := e.Mark()
		e.gemm(true, false, 1, dh, e.dropped(x, l.Drop), 1, l.DA)
		e.Reset(mark)
	}
	return dh
}

// inputBack sets dx, or adds to it: dy·W and what passes through the branch.
func (e *cpuEngine) inputBack(dx, dy View, l *Linear, dh View, add bool) {
	w, beta := cpuMatrix(l.W), float32(0)
	if add {
		beta = 1
	}
	if l.branch() && l.Drop.P == 0 && w.packed != nil {
		with := gemm.Epilogue{Left: dense(dh), Right: dense(l.A), Alpha: 1}
		gemm.MulWith(dense(dx), dense(dy), w.packed, beta, with, e.pool)
		return
	}
	e.mul(dx, dy, w, 0, dy.Cols, beta)
	switch {
	case !l.branch():
	case l.Drop.P == 0:
		e.gemm(false, false, 1, dh, l.A, 1, dx)
	default:
		din := e.Temp(dx.Rows, dx.Cols)
		e.gemm(false, false, 1, dh, l.A, 0, din)
		e.mask(din, din, l.Drop)
		e.Accumulate(dx, din)
	}
}

// dropped returns x after dropout: x itself, or a copy in the arena.
func (e *cpuEngine) dropped(x View, d Dropout) View {
	if d.P == 0 {
		return x
	}
	y := e.Temp(x.Rows, x.Cols)
	e.mask(y, x, d)
	return y
}

// mask sets y = x ∘ mask / (1 − P). y may be x.
func (e *cpuEngine) mask(y, x View, d Dropout) {
	e.args.v = [10]View{y, x}
	e.args.drop = d
	e.each(x.Rows, 4*x.Cols, func(e *cpuEngine, _, lo, hi int) {
		for t := lo; t < hi; t++ {
			dropRow(e.vec, row(e.args.v[0], t), row(e.args.v[1], t), t, &e.args.drop)
		}
	})
}

// dropRow applies dropout to row t of an input, some blocks of random words at a time.
func dropRow(k vec.Kernels, y, x []float32, t int, d *Dropout) {
	var words [512]uint32
	first := (d.Row0 + uint64(t)) * uint64(len(x))
	for len(x) > 0 {
		skip := int(first % 4)
		n := min(len(x), len(words)-skip)
		d.Key.fill(k, words[:(skip+n+3)/4*4], first/4)
		k.Dropout(y[:n], x[:n], words[skip:], float32(d.P), float32(1/(1-d.P)))
		x, y, first = x[n:], y[n:], first+uint64(n)
	}
}

// addColumns adds the sum of x's rows to the vector s, row after row.
func (e *cpuEngine) addColumns(s, x View) {
	e.args.v = [10]View{s, x}
	e.eachColumn(x.Cols, func(e *cpuEngine, _, lo, hi int) {
		sum := row(e.args.v[0], 0)[lo:hi]
		x := e.args.v[1].ColRange(lo, hi)
		e.vec.AddRows(sum, elements[float32](x), x.Stride, x.Rows)
	})
}
