package enginetest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// RunGradients holds the backward operations of the float64 engine to central
// differences of its forward operations. The loss is Σ (y + c)² with a constant c,
// which SumSquares returns in float64, so that dy = 2(y + c).
func RunGradients(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"norm", normGradients},
		{"rotary", rotaryGradients},
		{"swiglu", swiGLUGradients},
		{"linear", func(s *suite) { linearGradients(s, lora.Dropout{}) }},
		{"linear dropout", func(s *suite) {
			linearGradients(s, lora.Dropout{P: 0.3, Key: lora.Key{Seed: 4, Purpose: lora.ForDropout}, Row0: 3})
		}},
		{"attention", attentionGradients},
		{"gather", gatherGradients},
		{"head", headGradients},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := lora.Open("float64")
			if err != nil {
				t.Fatal(err)
			}
			test.run(&suite{T: t, ref: e, got: e, rng: rand.New(rand.NewPCG(3, 4))})
		})
	}
}

// view makes a matrix of normal numbers on the reference engine.
func (s *suite) view(rows, cols int) lora.View {
	v := s.ref.NewView(rows, cols)
	s.ref.Write(v, s.values(rows*cols))
	return v
}

// quadratic returns the loss of y as a function, and one that sets dy.
func (s *suite) quadratic(y, dy lora.View, forward func()) (loss func() float64, start func()) {
	c := s.view(y.Rows, y.Cols)
	set := func() {
		s.ref.Copy(dy, y)
		s.ref.Accumulate(dy, c)
	}
	loss = func() float64 {
		forward()
		set()
		sum, _ := s.ref.SumSquares(dy)
		return sum
	}
	start = func() {
		forward()
		set()
		s.ref.Scale(dy, 2)
	}
	return loss, start
}

// parameter is something whose gradient is checked: x and dx.
type parameter struct {
	name  string
	x, dx lora.View
}

// differences compares gradients with (loss(x+h) − loss(x−h)) / 2h. With h = 2⁻¹³ the
// difference's own error, h²·loss‴/6, is some 1e-8 of the loss's scale.
func (s *suite) differences(loss func() float64, params ...parameter) {
	s.Helper()
	const h = 1.0 / (1 << 13)
	scale := 1 + math.Abs(loss())
	delta := s.ref.NewView(1, 1)
	for _, p := range params {
		got := s.read(s.ref, p.dx)
		nudge := func(at lora.View, by float32) float64 {
			s.ref.Write(delta, []float32{by})
			s.ref.Accumulate(at, delta)
			return loss()
		}
		for i := range got {
			at := p.x.RowRange(i/p.x.Cols, i/p.x.Cols+1).ColRange(i%p.x.Cols, i%p.x.Cols+1)
			up := nudge(at, h)
			down := nudge(at, -2*h)
			nudge(at, h)
			want := (up - down) / (2 * h)
			if !(math.Abs(float64(got[i])-want) <= 1e-6*(scale+math.Abs(want))) {
				s.Fatalf("%s: gradient %d is %v, differences give %v", p.name, i, got[i], want)
			}
		}
	}
}

func normGradients(s *suite) {
	e := s.ref
	x, w, y, dy, dx, dw := s.view(3, 5), s.view(1, 5), e.NewView(3, 5), e.NewView(3, 5), e.NewView(3, 5), e.NewView(1, 5)
	loss, start := s.quadratic(y, dy, func() { e.RMSNorm(y, x, w, 0.1) })
	start()
	e.RMSNormBack(dx, dy, x, w, dw, 0.1)
	s.differences(loss, parameter{"dx", x, dx}, parameter{"dw", w, dw})
}

func rotaryGradients(s *suite) {
	e := s.ref
	x, y, dy, cos, sin := s.view(3, 8), e.NewView(3, 8), e.NewView(3, 8), e.NewView(3, 2), e.NewView(3, 2)
	e.RotaryTable(cos, sin, []int32{0, 1, 9}, []float32{1, 0.3})
	loss, start := s.quadratic(y, dy, func() {
		e.Copy(y, x)
		e.Rotary(y, cos, sin, 2, false)
	})
	start()
	e.Rotary(dy, cos, sin, 2, true)
	dx := e.NewView(3, 8)
	e.Copy(dx, dy)
	s.differences(loss, parameter{"dx", x, dx})
}

func swiGLUGradients(s *suite) {
	e := s.ref
	gate, up, y, dy := s.view(3, 4), s.view(3, 4), e.NewView(3, 4), e.NewView(3, 4)
	dgate, dup := e.NewView(3, 4), e.NewView(3, 4)
	loss, start := s.quadratic(y, dy, func() { e.SwiGLU(y, gate, up) })
	start()
	e.SwiGLUBack(dgate, dup, dy, gate, up)
	s.differences(loss, parameter{"dgate", gate, dgate}, parameter{"dup", up, dup})
}

func linearGradients(s *suite, drop lora.Dropout) {
	e := s.ref
	x, w, bias, a, b := s.view(3, 4), s.view(5, 4), s.view(1, 5), s.view(2, 4), s.view(5, 2)
	l := &lora.Linear{W: e.ViewWeight(w), Bias: bias, A: a, B: b, Scale: 0.7, Drop: drop,
		DW: e.NewView(5, 4), DBias: e.NewView(1, 5), DA: e.NewView(2, 4), DB: e.NewView(5, 2)}
	y, dy, h, dx := e.NewView(3, 5), e.NewView(3, 5), e.NewView(3, 2), e.NewView(3, 4)
	loss, start := s.quadratic(y, dy, func() { e.Linear(y, x, l, h) })
	start()
	e.LinearBack(dx, dy, x, l, h, false)
	s.differences(loss, parameter{"dx", x, dx}, parameter{"dW", w, l.DW}, parameter{"dBias", bias, l.DBias},
		parameter{"dA", a, l.DA}, parameter{"dB", b, l.DB})
}

func attentionGradients(s *suite) {
	shape := lora.HeadShape{Heads: 2, KVHeads: 1, HeadDim: 3}
	attentionDifferences(s, shape, lora.Tree{{Parent: -1, KV: 1, Len: 2, Q: 0, Rows: 2}, {Parent: 0, KV: 3, Len: 3, Q: 2, Rows: 3}, {Parent: 0, KV: 6, Len: 1, Q: 5, Rows: 1}})
	// Keys without queries, as of a prompt that was computed before.
	attentionDifferences(s, shape, lora.Tree{{Parent: -1, KV: 0, Len: 2}, {Parent: 0, KV: 2, Len: 3, Q: 0, Rows: 2}, {Parent: 0, KV: 5, Len: 2, Q: 2, Rows: 2}})
}

func attentionDifferences(s *suite, shape lora.HeadShape, tree lora.Tree) {
	e := s.ref
	q, k, v := s.view(6, 6), s.view(7, 3), s.view(7, 3)
	o, lse, do := e.NewView(6, 6), e.NewView(6, 2), e.NewView(6, 6)
	dq, dk, dv := e.NewView(6, 6), e.NewView(7, 3), e.NewView(7, 3)
	loss, start := s.quadratic(o, do, func() { e.Attention(o, lse, q, k, v, tree, shape) })
	start()
	e.AttentionBack(dq, dk, dv, do, o, lse, q, k, v, tree, shape)
	s.differences(loss, parameter{"dq", q, dq}, parameter{"dk", k, dk}, parameter{"dv", v, dv})
}

func gatherGradients(s *suite) {
	e := s.ref
	w, y, dy, dw := s.view(4, 3), e.NewView(5, 3), e.NewView(5, 3), e.NewView(4, 3)
	ids := []int32{1, 3, 1, 0, 1}
	loss, start := s.quadratic(y, dy, func() { e.Gather(y, e.ViewWeight(w), ids) })
	start()
	e.ScatterAdd(dw, dy, ids)
	s.differences(loss, parameter{"dw", w, dw})
}

// headGradients takes Σ d·log-probability as the loss.
func headGradients(s *suite) {
	e := s.ref
	h, w := s.view(3, 4), s.view(6, 4)
	targets := []lora.HeadTarget{{Row: 0, Token: 2}, {Row: 2, Token: 5}, {Row: 2, Token: 5}, {Row: 2, Token: 0}}
	d := []float64{0.5, -1, 2, 0.25}
	out := &lora.HeadOutput{LogProb: nans(4), LSE: nans(3)}
	weight := e.ViewWeight(w)
	loss := func() float64 {
		_ = e.LogProbs(out, h, weight, targets, 0.8)
		sum := 0.0
		for i, lp := range out.LogProb {
			sum += d[i] * lp
		}
		return sum
	}
	loss()
	dh, dw := e.NewView(3, 4), e.NewView(6, 4)
	e.LogProbsBack(dh, dw, h, weight, targets, out.LSE, d, 0.8)
	s.differences(loss, parameter{"dh", h, dh}, parameter{"dw", w, dw})
}
