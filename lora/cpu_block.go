package lora

import "math"

// RMSNorm normalises rows.
func (e *cpuEngine) RMSNorm(y, x, w View, eps float64) {
	checkRMSNorm(y, x, w)
	e.args.v, e.args.eps = [10]View{y, x, w}, eps
	e.each(x.Rows, x.Cols, func(e *cpuEngine, _, lo, hi int) {
		a := &e.args
		w := row(a.v[2], 0)
		for t := lo; t < hi; t++ {
			in, out := row(a.v[1], t), row(a.v[0], t)
			e.vec.ScaleMul(out, float32(inverseRMS(in, a.eps)), in, w)
		}
	})
}

// inverseRMS returns 1 / sqrt(mean(x²) + eps).
func inverseRMS(x []float32, eps float64) float64 {
	return 1 / math.Sqrt(sumSquares(x)/float64(len(x))+eps)
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
	a := &e.args
	w, inverse := row(a.v[3], 0), row(a.v[4], 0)
	for t := lo; t < hi; t++ {
		din, dout, in := row(a.v[0], t), row(a.v[1], t), row(a.v[2], t)
		r := inverseRMS(in, a.eps)
		e.vec.Mul(din, dout, w)
		c := float32(r * r * r * dot64(din, in) / float64(len(in)))
		inverse[t] = float32(r)
		e.vec.Scale(din, float32(r), din)
		e.vec.Axpy(din, -c, in)
	}
}

// rmsNormBackWeight adds to columns [lo, hi) of dw, row after row.
func rmsNormBackWeight(e *cpuEngine, _, lo, hi int) {
	a := &e.args
	dout, in := a.v[1].ColRange(lo, hi), a.v[2].ColRange(lo, hi)
	e.vec.AddProducts(row(a.v[0], 0)[lo:hi], elements[float32](dout), dout.Stride, elements[float32](in), in.Stride, row(a.v[3], 0))
}

// RotaryTable fills the tables of cosines and sines.
func (e *cpuEngine) RotaryTable(cos, sin View, positions []int32, invFreq []float32) {
	checkRotaryTable(cos, sin, positions, invFreq)
	e.args.v = [10]View{cos, sin}
	e.args.ids, e.args.freq = positions, invFreq
	e.each(cos.Rows, 16*cos.Cols, func(e *cpuEngine, _, lo, hi int) {
		a := &e.args
		for t := lo; t < hi; t++ {
			c, s := row(a.v[0], t), row(a.v[1], t)
			for i, f := range a.freq {
				sine, cosine := math.Sincos(float64(float32(a.ids[t]) * f))
				c[i], s[i] = float32(cosine), float32(sine)
			}
		}
	})
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
