package lora

import "math"

// RMSNorm normalises rows.
func (e *cpuEngine) RMSNorm(y, x, w View, eps float64) {
	checkRMSNorm(y, x, w)
	e.args.v, e.args.eps = [10]View{y, x, w}, eps
	e.each(x.Rows, x.Cols, func(e *cpuEngine, _, lo, hi int) {
		a := &e.args
		w := row(a.v[2], 0)
		var inverse [normRows]float64
		for ; lo < hi; lo += normRows {
			inverse := inverse[:min(normRows, hi-lo)]
			e.inverseRMS(inverse, a.v[1].RowRange(lo, lo+len(inverse)), a.eps)
			for i, r := range inverse {
				e.vec.ScaleMul(row(a.v[0], lo+i), float32(r), row(a.v[1], lo+i), w)
			}
		}
	})
}

// normRows is the number of rows that RMSNorm sums up together.
const normRows = 16

// inverseRMS sets 1 / sqrt(mean(x²) + eps) of each row of x.
func (e *cpuEngine) inverseRMS(inverse []float64, x View, eps float64) {
	e.vec.SquaresOfRows(inverse, elements[float32](x), x.Stride, x.Cols)
	for i, sum := range inverse {
		inverse[i] = 1 / math.Sqrt(sum/float64(x.Cols)+eps)
	}
}

// RMSNormBack is the gradient of RMSNorm.
func (e *cpuEngine) RMSNormBack(dx, dy, x, w, dw View, eps float64) {
	checkRMSNormBack(dx, dy, x, w, dw)
	mark := e.Mark()
	inverse := e.Temp(1, x.Rows)
	e.args.v, e.args.eps = [10]View{dx, dy, x, w, inverse}, eps
	e.each(x.Rows, x.Cols, rmsNormBackRows)
	if !dw.IsNone() {
		e.args.v = [10]View{dw, dy, x, inverse}
		e.eachColumn(x.Cols, rmsNormBackWeight)
	}
	e.Reset(mark)
}

// rmsNormBackRows computes dx and keeps each row's 1/rms.
func rmsNormBackRows(e *cpuEngine, _, lo, hi int) {
	for ; lo < hi; lo += normRows {
		e.rmsNormBack(lo, min(lo+normRows, hi))
	}
}

func (e *cpuEngine) rmsNormBack(lo, hi int) {
	var inverse, dots [normRows]float64
	a, n := &e.args, hi-lo
	dx, x := a.v[0].RowRange(lo, hi), a.v[2].RowRange(lo, hi)
	w, kept := row(a.v[3], 0), row(a.v[4], 0)[lo:hi]
	e.inverseRMS(inverse[:n], x, a.eps)
	for i := range n {
		e.vec.Mul(row(dx, i), row(a.v[1], lo+i), w)
	}
	e.vec.DotsOfRows(dots[:n], elements[float32](dx), dx.Stride, elements[float32](x), x.Stride, x.Cols)
	for i, r := range inverse[:n] {
		din := row(dx, i)
		kept[i] = float32(r)
		e.vec.Scale(din, float32(r), din)
		e.vec.Axpy(din, -float32(r*r*r*dots[i]/float64(x.Cols)), row(x, i))
	}
}

// rmsNormBackWeight adds to columns [lo, hi) of dw, row after row.
func rmsNormBackWeight(e *cpuEngine, _, lo, hi int) {
	a := &e.args
	dout, in := a.v[1].ColRange(lo, hi), a.v[2].ColRange(lo, hi)
	e.vec.AddProducts(row(a.v[0], 0)[lo:hi], elements[float32](dout), dout.Stride, elements[float32](in), in.Stride, row(a.v[3], 0))
}

// Rotary turns heads.
func (e *cpuEngine) Rotary(x, cos, sin View, heads int, inverse bool) {
	checkRotary(x, cos, sin, heads)
	e.args.v = [10]View{x, cos, sin}
	e.args.n, e.args.flag = heads, inverse
	e.each(x.Rows, x.Cols, func(e *cpuEngine, _, lo, hi int) {
		a := &e.args
		sign := float32(1)
		if a.flag {
			sign = -1
		}
		for t := lo; t < hi; t++ {
			e.vec.Rotate(row(a.v[0], t), row(a.v[1], t), row(a.v[2], t), sign)
		}
	})
}

// SwiGLU sets y = silu(gate) · up.
func (e *cpuEngine) SwiGLU(y, gate, up View) {
	checkSwiGLU(y, gate, up)
	e.args.v = [10]View{y, gate, up}
	e.each(y.Rows, 4*y.Cols, func(e *cpuEngine, _, lo, hi int) {
		for t := lo; t < hi; t++ {
			e.vec.SiLUMul(row(e.args.v[0], t), row(e.args.v[1], t), row(e.args.v[2], t))
		}
	})
}

// SwiGLUBack is the gradient of SwiGLU.
func (e *cpuEngine) SwiGLUBack(dgate, dup, dy, gate, up View) {
	checkSwiGLUBack(dgate, dup, dy, gate, up)
	e.args.v = [10]View{dgate, dup, dy, gate, up}
	e.each(dy.Rows, 4*dy.Cols, func(e *cpuEngine, _, lo, hi int) {
		v := &e.args.v
		for t := lo; t < hi; t++ {
			e.vec.SiLUMulBack(row(v[0], t), row(v[1], t), row(v[3], t), row(v[4], t), row(v[2], t))
		}
	})
}
