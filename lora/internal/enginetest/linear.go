package enginetest

import (
	"math"

	"github.com/socialrl/socialrl/lora"
)

// layer is a linear layer on both engines with its gradients.
type layer struct {
	ref, got                    *lora.Linear
	w, bias, a, b               []float32
	dw, dbias, da, db           operand
	in, out, rank               int
	rounding                    float64 // of what meets w
	biased, branched, trainable bool
}

// layerOf makes a layer. rank 0 leaves the branch out.
func (s *suite) layerOf(in, out, rank int, biased, asView bool, kind lora.Kind, drop lora.Dropout) *layer {
	l := &layer{in: in, out: out, rank: rank, biased: biased, branched: rank > 0, trainable: asView}
	l.rounding = s.rounding(kind)
	l.ref, l.got = &lora.Linear{Scale: 1.5, Drop: drop}, &lora.Linear{Scale: 1.5, Drop: drop}
	l.w, l.bias = s.values(out*in), s.values(out)
	if asView {
		w := s.operand(out, in, l.w)
		l.ref.W, l.got.W = s.ref.ViewWeight(w.ref), s.got.ViewWeight(w.got)
		l.dw = s.random(out, in)
		l.ref.DW, l.got.DW = l.dw.ref, l.dw.got
	} else {
		l.ref.W, l.got.W = s.weights(tensorOf(lora.DTypeF32, out, in, l.w), kind)
		l.w = s.numbers(l.ref.W)
	}
	if biased {
		b := s.operand(1, out, l.bias)
		l.ref.Bias, l.got.Bias = b.ref, b.got
		l.dbias = s.random(1, out)
		l.ref.DBias, l.got.DBias = l.dbias.ref, l.dbias.got
	}
	if rank > 0 {
		l.a, l.b = s.values(rank*in), s.values(out*rank)
		a, b := s.operand(rank, in, l.a), s.operand(out, rank, l.b)
		l.ref.A, l.got.A, l.ref.B, l.got.B = a.ref, a.got, b.ref, b.got
		l.da, l.db = s.random(rank, in), s.random(out, rank)
		l.ref.DA, l.got.DA, l.ref.DB, l.got.DB = l.da.ref, l.da.got, l.db.ref, l.db.got
	}
	return l
}

// numbers returns what a weight of the reference engine stands for.
func (s *suite) numbers(w lora.Weight) []float32 {
	ids := make([]int32, w.Out())
	for i := range ids {
		ids[i] = int32(i)
	}
	v := s.ref.NewView(w.Out(), w.In())
	s.ref.Gather(v, w, ids)
	return s.read(s.ref, v)
}

// magnitudes returns the layer on the reference engine with all signs taken away:
// running it on magnitudes of the inputs gives the sums of magnitudes that bound
// rounding errors.
func (s *suite) magnitudes(l *layer) *lora.Linear {
	view := func(rows, cols int, data []float32) lora.View {
		v := s.ref.NewView(rows, cols)
		s.ref.Write(v, absolute(data))
		return v
	}
	m := &lora.Linear{Scale: 1.5, Drop: l.ref.Drop, W: s.ref.ViewWeight(view(l.out, l.in, l.w))}
	if l.biased {
		m.Bias, m.DBias = view(1, l.out, l.bias), view(1, l.out, l.dbias.data)
	}
	if l.trainable {
		m.DW = view(l.out, l.in, l.dw.data)
	}
	if l.branched {
		m.A, m.B = view(l.rank, l.in, l.a), view(l.out, l.rank, l.b)
		m.DA, m.DB = view(l.rank, l.in, l.da.data), view(l.out, l.rank, l.db.data)
	}
	return m
}

// scaled returns a view's numbers times a factor: a bound.
func (s *suite) scaled(v lora.View, factor float64) []float64 {
	if v.IsNone() {
		return nil
	}
	bound := make([]float64, v.Len())
	for i, x := range s.read(s.ref, v) {
		bound[i] = factor * float64(x)
	}
	return bound
}

// testLinear compares layers of all kinds: a sum of n terms of magnitude m carries
// an error of at most n·eps·m, and that of rounding one of its factors where the engine
// does that.
func testLinear(s *suite) {
	for _, rows := range sizes {
		s.linear(rows, s.layerOf(33, 40, 4, true, false, lora.F32, lora.Dropout{}), false)
	}
	for _, in := range []int{1, 31, 32, 65, 100} {
		for _, out := range []int{1, 2, 32, 33, 70} {
			for i, kind := range lora.Kinds() {
				s.linear(9, s.layerOf(in, out, 3*(i%2), in%2 == 0, false, kind, lora.Dropout{}), out%2 == 0)
			}
			s.linear(6, s.layerOf(in, out, in%3, out%2 == 0, true, lora.F32, lora.Dropout{}), in%2 == 0)
		}
	}
	for _, kind := range lora.Kinds() {
		s.linear(5, s.layerOf(500, 64, 16, true, false, kind, lora.Dropout{}), true)
	}
}

// testDropout compares layers whose branch drops inputs: the same elements.
func testDropout(s *suite) {
	for _, rows := range []int{1, 3, 33} {
		for _, p := range []float64{0.1, 0.5, 0.9} {
			for _, in := range []int{1, 7, 64} {
				drop := lora.Dropout{P: p, Key: lora.Key{Seed: 7, Purpose: lora.ForDropout, Index: 3, Step: 9}, Row0: uint64(rows)}
				s.linear(rows, s.layerOf(in, 20, 4, false, false, lora.F32, drop), rows == 3)
			}
		}
	}
}

// linear compares one layer forward and backward.
func (s *suite) linear(rows int, l *layer, add bool) {
	s.Helper()
	x, dy := s.random(rows, l.in), s.random(rows, l.out)
	y, h := s.output(rows, l.out), s.output(rows, l.rank)
	dx := s.output(rows, l.in)
	if add {
		dx = s.random(rows, l.in)
	}
	s.ref.Linear(y.ref, x.ref, l.ref, h.ref)
	s.got.Linear(y.got, x.got, l.got, h.got)
	s.ref.LinearBack(dx.ref, dy.ref, x.ref, l.ref, h.ref, add)
	s.got.LinearBack(dx.got, dy.got, x.got, l.got, h.got, add)

	m, e := s.magnitudes(l), s.ref
	view := func(rows, cols int, data []float32) lora.View {
		v := e.NewView(rows, cols)
		e.Write(v, absolute(data))
		return v
	}
	mx, mdy, mh := view(rows, l.in, x.data), view(rows, l.out, dy.data), e.NewView(rows, l.rank)
	my, mdx := e.NewView(rows, l.out), e.NewView(rows, l.in)
	if add {
		mdx = view(rows, l.in, dx.data)
	}
	e.Linear(my, mx, m, mh)
	e.LinearBack(mdx, mdy, mx, m, mh, add)

	n := eps * float64(l.in+l.rank+8)
	s.bounded("Linear", y, s.scaled(my, n+l.rounding))
	if l.branched {
		s.bounded("Linear h", h, s.scaled(mh, n))
	}
	s.bounded("LinearBack dx", dx, s.scaled(mdx, eps*float64(l.out+l.rank+8)+l.rounding))
	rowsBound := eps * float64(rows+l.in+l.out+l.rank+8)
	for _, g := range []struct {
		what string
		got  operand
		m    lora.View
	}{{"dW", l.dw, m.DW}, {"dBias", l.dbias, m.DBias}, {"dA", l.da, m.DA}, {"dB", l.db, m.DB}} {
		if !g.m.IsNone() {
			s.bounded("LinearBack "+g.what, g.got, s.scaled(g.m, rowsBound))
		}
	}
	s.unchanged("Linear", x, dy)
	s.withoutGradients(rows, l, x, dy, h)
}

// withoutGradients checks that absent gradients are left out: dx alone is the same,
// and nothing at all does nothing.
func (s *suite) withoutGradients(rows int, l *layer, x, dy, h operand) {
	s.Helper()
	bare := *l.got
	bare.DW, bare.DBias, bare.DA, bare.DB = lora.View{}, lora.View{}, lora.View{}, lora.View{}
	full, alone := s.output(rows, l.in), s.output(rows, l.in)
	s.got.LinearBack(full.got, dy.got, x.got, l.got, h.got, false)
	s.got.LinearBack(alone.got, dy.got, x.got, &bare, h.got, false)
	s.got.LinearBack(lora.View{}, dy.got, x.got, &bare, h.got, false)
	a, b := s.read(s.got, full.got), s.read(s.got, alone.got)
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			s.Fatalf("LinearBack: dx depends on the other gradients")
		}
	}
}

// testLinearSpecial checks that NaN and Inf reach what depends on them, and nothing
// else.
func testLinearSpecial(s *suite) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, special := range []float32{inf, -inf, nan} {
		for _, rows := range []int{1, 4, 40} {
			l := s.layerOf(37, 35, 4, true, false, lora.F32, lora.Dropout{})
			x := s.random(rows, 37)
			at := rows / 2 * 37
			x.data[at] = special
			s.ref.Write(x.ref, x.data)
			s.got.Write(x.got, x.data)
			y, h := s.output(rows, 35), s.output(rows, 4)
			s.ref.Linear(y.ref, x.ref, l.ref, h.ref)
			s.got.Linear(y.got, x.got, l.got, h.got)
			loose := func(int, float64) float64 { return 1e-3 } // which elements are finite is the point
			s.within("Linear with a special input", y, loose)
			s.within("Linear h with a special input", h, loose)
			for i, v := range s.read(s.got, y.got) {
				if finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0); finite == (i/35 == rows/2) {
					s.Fatalf("%v in row %d: element %d of the output is %v", special, rows/2, i, v)
				}
			}
		}
	}
}
