package lora

import "math"

// RMSNorm normalises rows.
func (e *refEngine) RMSNorm(y, x, w View, eps float64) {
	checkRMSNorm(y, x, w)
	weight := refRow(w, 0)
	for t := range x.Rows {
		in, out := refRow(x, t), refRow(y, t)
		r := refInverseRMS(in, eps)
		for d := range in {
			out[d] = in[d] * weight[d] * r
		}
	}
}

// RMSNormBack is the gradient of RMSNorm.
func (e *refEngine) RMSNormBack(dx, dy, x, w, dw View, eps float64) {
	checkRMSNormBack(dx, dy, x, w, dw)
	weight := refRow(w, 0)
	for t := range x.Rows {
		in, dout, din := refRow(x, t), refRow(dy, t), refRow(dx, t)
		r := refInverseRMS(in, eps)
		mean := 0.0
		for d := range in {
			mean += dout[d] * weight[d] * in[d] / float64(len(in))
		}
		for d := range in {
			din[d] = r*dout[d]*weight[d] - r*r*r*in[d]*mean
		}
		if dw.IsNone() {
			continue
		}
		grad := refRow(dw, 0)
		for d := range in {
			grad[d] += dout[d] * in[d] * r
		}
	}
}

// refInverseRMS returns 1 / sqrt(mean(x²) + eps).
func refInverseRMS(x []float64, eps float64) float64 {
	sum := 0.0
	for _, a := range x {
		sum += a * a
	}
	return 1 / math.Sqrt(sum/float64(len(x))+eps)
}

// RotaryTable fills the tables of cosines and sines.
func (e *refEngine) RotaryTable(cos, sin View, positions []int32, invFreq []float32) {
	checkRotaryTable(cos, sin, positions, invFreq)
	for t, pos := range positions {
		c, s := refRow(cos, t), refRow(sin, t)
		for i, f := range invFreq {
			angle := float64(float32(pos) * f)
			c[i], s[i] = math.Cos(angle), math.Sin(angle)
		}
	}
}

// Rotary turns heads.
func (e *refEngine) Rotary(x, cos, sin View, heads int, inverse bool) {
	checkRotary(x, cos, sin, heads)
	n := cos.Cols
	for t := range x.Rows {
		row, c, s := refRow(x, t), refRow(cos, t), refRow(sin, t)
		for h := range heads {
			head := row[h*2*n:][:2*n]
			for i := range n {
				turn := s[i]
				if inverse {
					turn = -turn
				}
				a, b := head[i], head[i+n]
				head[i], head[i+n] = a*c[i]-b*turn, b*c[i]+a*turn
			}
		}
	}
}

// SwiGLU sets y = silu(gate) · up.
func (e *refEngine) SwiGLU(y, gate, up View) {
	checkSwiGLU(y, gate, up)
	for t := range y.Rows {
		out, u := refRow(y, t), refRow(up, t)
		for j, a := range refRow(gate, t) {
			out[j] = a / (1 + math.Exp(-a)) * u[j]
		}
	}
}

// SwiGLUBack is the gradient of SwiGLU.
func (e *refEngine) SwiGLUBack(dgate, dup, dy, gate, up View) {
	checkSwiGLUBack(dgate, dup, dy, gate, up)
	for t := range dy.Rows {
		dg, du, g, u := refRow(dgate, t), refRow(dup, t), refRow(gate, t), refRow(up, t)
		for j, d := range refRow(dy, t) {
			a, b := g[j], u[j]
			sigmoid := 1 / (1 + math.Exp(-a))
			dg[j] = d * b * sigmoid * (1 + a*(1-sigmoid))
			du[j] = d * a * sigmoid
		}
	}
}

// Linear computes y = x·Wᵀ + bias + Scale·drop(x)·Aᵀ·Bᵀ.
func (e *refEngine) Linear(y, x View, l *Linear, h View) {
	checkLinear(y, x, l, h)
	w := refMatrix(l.W)
	for t := range x.Rows {
		out := refRow(y, t)
		for o := range out {
			out[o] = refDot(refRow(x, t), refRow(w, o))
			if !l.Bias.IsNone() {
				out[o] += refRow(l.Bias, 0)[o]
			}
		}
		if !l.branch() {
			continue
		}
		dropped := e.drop(refRow(x, t), t, l.Drop)
		hidden := refRow(h, t)
		for r := range hidden {
			hidden[r] = refDot(dropped, refRow(l.A, r))
		}
		for o := range out {
			out[o] += l.Scale * refDot(hidden, refRow(l.B, o))
		}
	}
}

// drop returns row t of an input after dropout.
func (e *refEngine) drop(row []float64, t int, d Dropout) []float64 {
	out := make([]float64, len(row))
	for j, x := range row {
		if d.keeps(t, len(row), j) {
			out[j] = x / (1 - d.P)
		}
	}
	return out
}

// keeps reports whether element (t, j) of an input with n columns survives.
func (d Dropout) keeps(t, n, j int) bool {
	return d.P == 0 || d.Key.Uniform((d.Row0+uint64(t))*uint64(n)+uint64(j)) >= float32(d.P)
}

// LinearBack is the gradient of Linear.
func (e *refEngine) LinearBack(dx, dy, x View, l *Linear, h View, add bool) {
	checkLinearBack(dx, dy, x, l, h)
	for t := range x.Rows {
		in, dout := refRow(x, t), refRow(dy, t)
		if !l.DW.IsNone() {
			refOuter(l.DW, 1, dout, in)
		}
		if !l.DBias.IsNone() {
			refAxpy(1, dout, refRow(l.DBias, 0))
		}
		din := make([]float64, len(in))
		for o, d := range dout {
			refAxpy(d, refRow(refMatrix(l.W), o), din)
		}
		if l.branch() {
			e.branchBack(din, dout, in, l, h, t)
		}
		if dx.IsNone() {
			continue
		}
		if !add {
			clear(refRow(dx, t))
		}
		refAxpy(1, din, refRow(dx, t))
	}
}

// branchBack adds what row t contributes through the low-rank branch.
func (e *refEngine) branchBack(din, dout, in []float64, l *Linear, h View, t int) {
	dh := make([]float64, l.A.Rows) // s·dy·B
	for o, d := range dout {
		refAxpy(l.Scale*d, refRow(l.B, o), dh)
	}
	if !l.DB.IsNone() {
		refOuter(l.DB, l.Scale, dout, refRow(h, t))
	}
	if !l.DA.IsNone() {
		refOuter(l.DA, 1, dh, e.drop(in, t, l.Drop))
	}
	dropped := make([]float64, len(in))
	for r, d := range dh {
		refAxpy(d, refRow(l.A, r), dropped)
	}
	refAxpy(1, e.drop(dropped, t, l.Drop), din)
}

// refDot returns a·b.
func refDot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// refAxpy adds y += a·x.
func refAxpy(a float64, x, y []float64) {
	for i := range x {
		y[i] += a * x[i]
	}
}

// refOuter adds dw += s·aᵀ·b.
func refOuter(dw View, s float64, a, b []float64) {
	for i, x := range a {
		refAxpy(s*x, b, refRow(dw, i))
	}
}
