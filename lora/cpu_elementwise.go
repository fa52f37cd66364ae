package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// Zero sets every element to 0.
func (e *cpuEngine) Zero(v View) {
	e.args.v[0] = v
	e.each(v.Rows, v.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			clear(row(e.args.v[0], i))
		}
	})
}

// Copy sets dst = src.
func (e *cpuEngine) Copy(dst, src View) {
	checkCopy(dst, src)
	e.args.v[0], e.args.v[1] = dst, src
	e.each(dst.Rows, dst.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(row(e.args.v[0], i), row(e.args.v[1], i))
		}
	})
}

// Accumulate sets dst += src.
func (e *cpuEngine) Accumulate(dst, src View) {
	checkCopy(dst, src)
	e.args.v[0], e.args.v[1] = dst, src
	e.each(dst.Rows, dst.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			y := row(e.args.v[0], i)
			e.vec.Add(y, y, row(e.args.v[1], i))
		}
	})
}

// Scale sets v *= s.
func (e *cpuEngine) Scale(v View, s float64) {
	e.args.v[0], e.args.s[0] = v, float32(s)
	e.each(v.Rows, v.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			y := row(e.args.v[0], i)
			e.vec.Scale(y, e.args.s[0], y)
		}
	})
}

// SumSquares returns the sum of the squares: a partial sum for every row, then the
// rows in order.
func (e *cpuEngine) SumSquares(v View) (float64, error) {
	e.sums = grow(e.sums, v.Rows)
	e.args.v[0] = v
	e.each(v.Rows, v.Cols, func(e *cpuEngine, _, lo, hi int) {
		v := e.args.v[0].RowRange(lo, hi)
		e.vec.SquaresOfRows(e.sums[lo:hi], elements[float32](v), v.Stride, v.Cols)
	})
	total := 0.0
	for _, s := range e.sums {
		total += s
	}
	return total, nil
}

// Gather sets dst[i] = w[ids[i]].
func (e *cpuEngine) Gather(dst View, w Weight, ids []int32) {
	checkGather(dst, w.Out(), w.In(), ids)
	c := cpuMatrix(w)
	if c.packed == nil {
		e.Pick(dst, c.view, ids)
		return
	}
	e.args.v[0], e.args.weight, e.args.ids = dst, c, ids
	e.each(dst.Rows, dst.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			e.args.weight.packed.Row(int(e.args.ids[i]), row(e.args.v[0], i))
		}
	})
}

// ScatterAdd adds dw[ids[i]] += d[i]. Pieces are ranges of columns, since several i
// may share a row.
func (e *cpuEngine) ScatterAdd(dw, d View, ids []int32) {
	checkScatterAdd(dw, d, ids)
	e.args.v[0], e.args.v[1], e.args.ids = dw, d, ids
	e.eachColumn(dw.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i, id := range e.args.ids {
			y := row(e.args.v[0], int(id))[lo:hi]
			e.vec.Add(y, y, row(e.args.v[1], i)[lo:hi])
		}
	})
}

// Pick sets dst[i] = src[rows[i]].
func (e *cpuEngine) Pick(dst, src View, rows []int32) {
	checkPick(dst, src, rows)
	e.args.v[0], e.args.v[1], e.args.ids = dst, src, rows
	e.each(dst.Rows, dst.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(row(e.args.v[0], i), row(e.args.v[1], int(e.args.ids[i])))
		}
	})
}

// Put sets dst[rows[i]] = src[i].
func (e *cpuEngine) Put(dst, src View, rows []int32) {
	checkPut(dst, src, rows)
	e.args.v[0], e.args.v[1], e.args.ids = dst, src, rows
	e.each(src.Rows, src.Cols, func(e *cpuEngine, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(row(e.args.v[0], int(e.args.ids[i])), row(e.args.v[1], i))
		}
	})
}

// AdamWStep updates a parameter. The arithmetic between loads and stores is float64.
func (e *cpuEngine) AdamWStep(p, g, m, v View, s AdamWStep) {
	checkAdamW(p, g, m, v, s)
	e.args.v = [10]View{p, g, m, v}
	e.args.adamw = vec.AdamW{
		Scale: s.GradScale,
		Beta1: s.Beta1, Rest1: 1 - s.Beta1, Unbias1: 1 / (1 - math.Pow(s.Beta1, float64(s.Step))),
		Beta2: s.Beta2, Rest2: 1 - s.Beta2, Unbias2: 1 / (1 - math.Pow(s.Beta2, float64(s.Step))),
		Rate: s.LR, Keep: 1 - s.LR*s.WeightDecay, Eps: s.Eps,
	}
	e.each(p.Rows, p.Cols, func(e *cpuEngine, _, lo, hi int) {
		a := &e.args
		for i := lo; i < hi; i++ {
			e.vec.Step(row(a.v[0], i), row(a.v[2], i), row(a.v[3], i), row(a.v[1], i), &a.adamw)
		}
	})
}
