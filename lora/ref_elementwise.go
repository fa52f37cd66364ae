package lora

import "math"

// Zero sets every element to 0.
func (e *refEngine) Zero(v View) {
	for i := range v.Rows {
		clear(refRow(v, i))
	}
}

// Copy sets dst = src.
func (e *refEngine) Copy(dst, src View) {
	checkCopy(dst, src)
	for i := range dst.Rows {
		copy(refRow(dst, i), refRow(src, i))
	}
}

// Accumulate sets dst += src.
func (e *refEngine) Accumulate(dst, src View) {
	checkCopy(dst, src)
	for i := range dst.Rows {
		d := refRow(dst, i)
		for j, x := range refRow(src, i) {
			d[j] += x
		}
	}
}

// Scale sets v *= s.
func (e *refEngine) Scale(v View, s float64) {
	for i := range v.Rows {
		row := refRow(v, i)
		for j := range row {
			row[j] *= s
		}
	}
}

// SumSquares returns the sum of the squares.
func (e *refEngine) SumSquares(v View) (float64, error) {
	sum := 0.0
	for i := range v.Rows {
		for _, x := range refRow(v, i) {
			sum += x * x
		}
	}
	return sum, nil
}

// Gather sets dst[i] = w[ids[i]].
func (e *refEngine) Gather(dst View, w Weight, ids []int32) {
	checkGather(dst, w.Out(), w.In(), ids)
	for i, id := range ids {
		copy(refRow(dst, i), refRow(refMatrix(w), int(id)))
	}
}

// ScatterAdd adds dw[ids[i]] += d[i].
func (e *refEngine) ScatterAdd(dw, d View, ids []int32) {
	checkScatterAdd(dw, d, ids)
	for i, id := range ids {
		row := refRow(dw, int(id))
		for j, x := range refRow(d, i) {
			row[j] += x
		}
	}
}

// Pick sets dst[i] = src[rows[i]].
func (e *refEngine) Pick(dst, src View, rows []int32) {
	checkPick(dst, src, rows)
	for i, r := range rows {
		copy(refRow(dst, i), refRow(src, int(r)))
	}
}

// Put sets dst[rows[i]] = src[i].
func (e *refEngine) Put(dst, src View, rows []int32) {
	checkPut(dst, src, rows)
	for i, r := range rows {
		copy(refRow(dst, int(r)), refRow(src, i))
	}
}

// AdamWStep updates a parameter.
func (e *refEngine) AdamWStep(p, g, m, v View, s AdamWStep) {
	checkAdamW(p, g, m, v, s)
	c1 := 1 - math.Pow(s.Beta1, float64(s.Step))
	c2 := 1 - math.Pow(s.Beta2, float64(s.Step))
	for i := range p.Rows {
		pr, mr, vr := refRow(p, i), refRow(m, i), refRow(v, i)
		for j, grad := range refRow(g, i) {
			grad *= s.GradScale
			mr[j] = s.Beta1*mr[j] + (1-s.Beta1)*grad
			vr[j] = s.Beta2*vr[j] + (1-s.Beta2)*grad*grad
			pr[j] = pr[j]*(1-s.LR*s.WeightDecay) - s.LR*(mr[j]/c1)/(math.Sqrt(vr[j]/c2)+s.Eps)
		}
	}
}
