package lora

import (
	"github.com/socialrl/socialrl/lora/internal/gemm"
	"github.com/socialrl/socialrl/lora/internal/vec"
)

// Linear computes y = x·Wᵀ + bias + Scale·drop(x)·Aᵀ·Bᵀ.
func (e *cpuEngine) Linear(y, x View, l *Linear, h View) {
	checkLinear(y, x, l, h)
	e.affine(y, x, cpuMatrix(l.W), l.Bias)
	if !l.branch() {
		return
	}
	mark := e.Mark()
	e.gemm(false, true, 1, e.dropped(x, l.Drop), l.A, 0, h)
	e.gemm(false, true, float32(l.Scale), h, l.B, 1, y)
	e.Reset(mark)
}

// affine sets y = x·wᵀ + bias.
func (e *cpuEngine) affine(y, x View, w *cpuWeight, bias View) {
	switch {
	case bias.IsNone():
		e.mulT(y, x, w, 0, y.Cols, 1, 0)
	case w.packed == nil:
		gemm.Affine(dense(y), dense(x), dense(w.view), row(bias, 0), e.pool)
	default:
		e.fill(y, bias)
		e.mulT(y, x, w, 0, y.Cols, 1, 1)
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
	if !dx.IsNone() {
		beta := float32(0)
		if add {
			beta = 1
		}
		e.mul(dx, dy, cpuMatrix(l.W), 0, dy.Cols, beta)
	}
	if l.branch() {
		e.branchBack(dx, dy, x, l, h)
	}
}

// branchBack adds the gradients that pass through the low-rank branch.
func (e *cpuEngine) branchBack(dx, dy, x View, l *Linear, h View) {
	mark := e.Mark()
	if !l.DB.IsNone() {
		e.gemm(true, false, float32(l.Scale), dy, h, 1, l.DB)
	}
	dh := e.Temp(dy.Rows, l.A.Rows)
	e.gemm(false, false, float32(l.Scale), dy, l.B, 0, dh)
	if !l.DA.IsNone() {
		e.gemm(true, false, 1, dh, e.dropped(x, l.Drop), 1, l.DA)
	}
	switch {
	case dx.IsNone():
	case l.Drop.P == 0:
		e.gemm(false, false, 1, dh, l.A, 1, dx)
	default:
		din := e.Temp(dx.Rows, dx.Cols)
		e.gemm(false, false, 1, dh, l.A, 0, din)
		e.mask(din, din, l.Drop)
		e.Accumulate(dx, din)
	}
	e.Reset(mark)
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

// fill sets every row of y to the vector b.
func (e *cpuEngine) fill(y, b View) {
	e.args.v = [10]View{y, b}
	e.each(y.Rows, y.Cols, func(e *cpuEngine, _, lo, hi int) {
		for t := lo; t < hi; t++ {
			copy(row(e.args.v[0], t), row(e.args.v[1], 0))
		}
	})
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
