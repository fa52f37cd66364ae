package enginetest

import (
	"math"

	"github.com/socialrl/socialrl/lora"
)

// testRMSNorm compares the norm and its gradient. The sum of squares is exact to
// float64 or grows by one rounding a term; everything else is a product.
func testRMSNorm(s *suite) {
	for _, rows := range sizes {
		for _, cols := range []int{1, 2, 33, 64, 127} {
			s.rmsNorm(rows, cols, 1e-6)
		}
	}
	s.rmsNorm(3, 16, 0.5)
}

func (s *suite) rmsNorm(rows, cols int, normEps float64) {
	x, w, dy := s.random(rows, cols), s.random(1, cols), s.random(rows, cols)
	y, dx, dxOnly, dw := s.output(rows, cols), s.output(rows, cols), s.output(rows, cols), s.random(1, cols)
	s.on(func(e lora.Engine, pick func(operand) lora.View) {
		e.RMSNorm(pick(y), pick(x), pick(w), normEps)
		e.RMSNormBack(pick(dx), pick(dy), pick(x), pick(w), pick(dw), normEps)
		e.RMSNormBack(pick(dxOnly), pick(dy), pick(x), pick(w), lora.View{}, normEps)
	})
	n := float64(cols) + 8
	s.relative("RMSNorm", y, n)
	boundX, boundW := make([]float64, rows*cols), make([]float64, cols)
	for t := range rows {
		square, mean := 0.0, 0.0
		for d := range cols {
			a := math.Abs(float64(x.data[t*cols+d]))
			square += a * a / float64(cols)
			mean += a * math.Abs(float64(dy.data[t*cols+d]*w.data[d])) / float64(cols)
		}
		r := 1 / math.Sqrt(square+normEps)
		for d := range cols {
			a, g := math.Abs(float64(x.data[t*cols+d])), math.Abs(float64(dy.data[t*cols+d]))
			boundX[t*cols+d] = n * eps * (r*g*math.Abs(float64(w.data[d])) + r*r*r*a*mean)
			boundW[d] += (n + float64(rows)) * eps * g * a * r
		}
	}
	for d := range boundW {
		boundW[d] += float64(rows) * eps * math.Abs(float64(dw.data[d]))
	}
	s.bounded("RMSNormBack dx", dx, boundX)
	s.bounded("RMSNormBack dx without dw", dxOnly, boundX)
	s.bounded("RMSNormBack dw", dw, boundW)
	s.unchanged("RMSNorm", x, w, dy)
}

// testRotary compares tables and turns. An angle is rounded to float32 before the
// cosine is taken, so that large positions are held to the same bound.
func testRotary(s *suite) {
	for _, rows := range sizes {
		for _, n := range []int{1, 4, 17, 32} {
			for _, heads := range []int{1, 3} {
				s.rotary(rows, n, heads)
			}
		}
	}
}

func (s *suite) rotary(rows, n, heads int) {
	positions, freq := make([]int32, rows), make([]float32, n)
	for t := range positions {
		positions[t] = int32(s.rng.IntN(1 << s.rng.IntN(18)))
	}
	for i := range freq {
		freq[i] = float32(math.Pow(10000, -float64(i)/float64(n)))
	}
	cos, sin := s.output(rows, n), s.output(rows, n)
	x := s.random(rows, heads*2*n)
	s.on(func(e lora.Engine, pick func(operand) lora.View) {
		e.RotaryTable(pick(cos), pick(sin), positions, freq)
	})
	one := func(int, float64) float64 { return 2 * eps }
	s.within("RotaryTable cos", cos, one)
	s.within("RotaryTable sin", sin, one)

	bound := make([]float64, len(x.data))
	for i := range bound {
		pair := i - i%(2*n) + i%n
		bound[i] = 6 * eps * (math.Abs(float64(x.data[pair])) + math.Abs(float64(x.data[pair+n])))
	}
	turn := func(inverse bool) {
		s.on(func(e lora.Engine, pick func(operand) lora.View) {
			e.Rotary(pick(x), pick(cos), pick(sin), heads, inverse)
		})
	}
	turn(false)
	s.bounded("Rotary", x, bound)
	turn(true)
	for i := range bound {
		bound[i] *= 4 // two turns, and each bound is of a length that stays
	}
	s.bounded("Rotary and back", x, bound)
	for i, a := range s.read(s.ref, x.ref) {
		if math.Abs(float64(a-x.data[i])) > bound[i] {
			s.Fatalf("turning back gives %v, want %v", a, x.data[i])
		}
	}
}

// testSwiGLU compares the gated unit, over the whole range of the exponential.
func testSwiGLU(s *suite) {
	for _, rows := range sizes {
		for _, cols := range []int{1, 5, 64, 67} {
			s.swiGLU(s.values(rows*cols), rows, cols)
		}
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	edges := []float32{0, 1e-30, -1e-30, 88, -80, 89, -86, 100, -87.2, inf, nan, 3, -3, 20, -20, 0.5}
	s.swiGLU(edges, 2, 8)
	wide := make([]float32, 4000)
	for i := range wide {
		wide[i] = float32(i-2000) * 0.04
	}
	s.swiGLU(wide, 4, 1000)
}

func (s *suite) swiGLU(gates []float32, rows, cols int) {
	gate, up, dy := s.operand(rows, cols, gates), s.random(rows, cols), s.random(rows, cols)
	y, dgate, dup := s.output(rows, cols), s.output(rows, cols), s.output(rows, cols)
	gate2, up2 := s.operand(rows, cols, gates), s.operand(rows, cols, up.data)
	s.on(func(e lora.Engine, pick func(operand) lora.View) {
		e.SwiGLU(pick(y), pick(gate), pick(up))
		e.SwiGLUBack(pick(dgate), pick(dup), pick(dy), pick(gate), pick(up))
		e.SwiGLUBack(pick(gate2), pick(up2), pick(dy), pick(gate2), pick(up2))
	})
	bound := make([]float64, rows*cols)
	for i, g := range gates {
		a := float64(g)
		sigmoid := 1 / (1 + math.Exp(-a))
		bound[i] = 10 * eps * math.Abs(float64(dy.data[i])*float64(up.data[i])) * sigmoid * (1 + math.Abs(a))
	}
	s.relative("SwiGLU", y, 10)
	s.bounded("SwiGLUBack dgate", dgate, bound)
	s.relative("SwiGLUBack dup", dup, 10)
	s.bounded("SwiGLUBack dgate in place", gate2, bound)
	s.relative("SwiGLUBack dup in place", up2, 10)
	s.unchanged("SwiGLU", gate, up, dy)
}

// testAdamW compares the update with the formula, over several steps.
func testAdamW(s *suite) {
	for _, shape := range [][2]int{{1, 1}, {1, 37}, {8, 33}, {65, 5}, {0, 4}} {
		p, m, v := s.random(shape[0], shape[1]), s.operand(shape[0], shape[1], make([]float32, shape[0]*shape[1])), s.operand(shape[0], shape[1], make([]float32, shape[0]*shape[1]))
		wantP := append([]float32(nil), p.data...)
		wantM, wantV := make([]float64, len(wantP)), make([]float64, len(wantP))
		for step := 1; step <= 4; step++ {
			g := s.random(shape[0], shape[1])
			a := lora.AdamWStep{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: step}
			s.on(func(e lora.Engine, pick func(operand) lora.View) {
				e.AdamWStep(pick(p), pick(g), pick(m), pick(v), a)
			})
			for i := range wantP {
				grad := 0.5 * float64(g.data[i])
				wantM[i] = 0.9*wantM[i] + 0.1*grad
				wantV[i] = 0.999*wantV[i] + 0.001*grad*grad
				mHat := wantM[i] / (1 - math.Pow(0.9, float64(step)))
				vHat := wantV[i] / (1 - math.Pow(0.999, float64(step)))
				wantP[i] = float32(float64(wantP[i])*(1-1e-2*0.1) - 1e-2*mHat/(math.Sqrt(vHat)+1e-8))
			}
			n := float64(step)
			// The moment may cancel: its error is that of the sum of magnitudes, and
			// reaches the parameter times the learning rate over sqrt(v).
			s.within("AdamW m", m, func(int, float64) float64 { return 16 * n * eps })
			s.relative("AdamW v", v, 16*n)
			s.within("AdamW p", p, func(i int, w float64) float64 {
				return 16*n*eps*(math.Abs(w)+1e-2) + 1e-2*16*n*eps/math.Sqrt(wantV[i]/(1-math.Pow(0.999, n)))
			})
			for i, x := range s.read(s.ref, p.ref) {
				if math.Abs(float64(x-wantP[i])) > 4*n*eps*(math.Abs(float64(x))+1e-2) {
					s.Fatalf("step %d: the float64 engine gives %v, the formula %v", step, x, wantP[i])
				}
			}
		}
	}
}
