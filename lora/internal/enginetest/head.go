package enginetest

import (
	"math"

	"github.com/socialrl/socialrl/lora"
)

// testHead compares log-probabilities, entropies and their gradients, with several
// targets on a row, and rows without any.
func testHead(s *suite) {
	for _, rows := range []int{0, 1, 2, 7, 33} {
		for _, vocab := range []int{1, 31, 32, 33, 200} {
			s.head(rows, 17, vocab, 1, false, lora.F32)
		}
	}
	s.head(3, 8, 5000, 0.7, true, lora.F32)  // several blocks of the vocabulary
	s.head(3, 8, 2049, 1.3, false, lora.F32) // a last block of one token
	s.head(530, 4, 40, 2, true, lora.F32)    // several chunks of rows
	for _, kind := range lora.Kinds()[1:] {
		s.head(9, 33, 100, 0.25, false, kind)
	}
	s.head(9, 33, 100, 1, true, lora.F32)
}

// headCase is one call's operands.
type headCase struct {
	rows, dim, vocab int
	temperature      float64
	rounding         float64 // of what meets the weight
	h                operand
	ref, got         lora.Weight
	w                []float32 // as the reference engine holds it
	targets          []lora.HeadTarget
	d                []float64
}

func (s *suite) headCase(rows, dim, vocab int, temperature float64, asView bool, kind lora.Kind) *headCase {
	c := &headCase{rows: rows, dim: dim, vocab: vocab, temperature: temperature, rounding: s.rounding(kind), h: s.random(rows, dim)}
	if asView {
		w := s.random(vocab, dim)
		c.ref, c.got = s.ref.ViewWeight(w.ref), s.got.ViewWeight(w.got)
	} else {
		c.ref, c.got = s.weights(tensorOf(lora.DTypeF32, vocab, dim, s.values(vocab*dim)), kind)
	}
	all, ids := s.ref.NewView(vocab, dim), make([]int32, vocab)
	for i := range ids {
		ids[i] = int32(i)
	}
	s.ref.Gather(all, c.ref, ids)
	c.w = s.read(s.ref, all)
	for range min(2*rows, 40) {
		c.targets = append(c.targets, lora.HeadTarget{Row: int32(s.rng.IntN(rows)), Token: int32(s.rng.IntN(vocab))})
		c.d = append(c.d, s.rng.NormFloat64())
	}
	return c
}

func (s *suite) head(rows, dim, vocab int, temperature float64, asView bool, kind lora.Kind) {
	s.Helper()
	c := s.headCase(rows, dim, vocab, temperature, asView, kind)
	outputs := func() *lora.HeadOutput {
		return &lora.HeadOutput{LogProb: nans(len(c.targets)), LSE: nans(rows), Entropy: nans(rows)}
	}
	want, got, plain := outputs(), outputs(), outputs()
	plain.Entropy = nil
	err := s.ref.LogProbs(want, c.h.ref, c.ref, c.targets, temperature)
	if err == nil {
		err = s.got.LogProbs(got, c.h.got, c.got, c.targets, temperature)
	}
	if err == nil {
		err = s.got.LogProbs(plain, c.h.got, c.got, c.targets, temperature)
	}
	if err != nil {
		s.Fatalf("LogProbs: %v", err)
	}
	bound := c.scoreBounds()
	for i, t := range c.targets {
		logProb, _, _ := headBounds(bound[t.Row], vocab, 0)
		s.number("LogProb", got.LogProb[i], want.LogProb[i], logProb)
		s.number("LogProb without entropy", plain.LogProb[i], got.LogProb[i], 0)
	}
	for n := range rows {
		_, lse, entropy := headBounds(bound[n], vocab, want.LSE[n])
		s.number("LSE", got.LSE[n], want.LSE[n], lse)
		s.number("Entropy", got.Entropy[n], want.Entropy[n], entropy)
	}
	s.headBack(c, want.LSE, bound)
}

// headBounds returns bounds of the errors of a row's log-probabilities, the logarithm of
// its denominator and its entropy, from that of its logits.
func headBounds(score float64, vocab int, lse float64) (logProb, denominator, entropy float64) {
	sums := (float64(vocab) + 16) * eps
	return 2*score + sums, score + sums + eps*math.Abs(lse),
		(2*score + sums) * (2 + math.Log(float64(vocab)) + 2*math.Abs(lse))
}

// scoreBounds returns, for each row, a bound of the error of its logits: the largest
// Σ|h||w|/T times (D+4)·eps and the rounding of h.
func (c *headCase) scoreBounds() []float64 {
	bound := make([]float64, c.rows)
	for n := range bound {
		for v := range c.vocab {
			_, size := dots(slice(c.h.data, n, c.dim, 0, c.dim), slice(c.w, v, c.dim, 0, c.dim))
			bound[n] = max(bound[n], (float64(c.dim+4)*eps+c.rounding)*size/c.temperature)
		}
	}
	return bound
}

// headBack compares the gradients: a probability's relative error is that of the
// exponent, and each sum carries its terms' errors and eps for each term.
func (s *suite) headBack(c *headCase, lse, bound []float64) {
	s.Helper()
	dh, dhOnly, dw := s.output(c.rows, c.dim), s.output(c.rows, c.dim), s.random(c.vocab, c.dim)
	s.ref.LogProbsBack(dh.ref, dw.ref, c.h.ref, c.ref, c.targets, lse, c.d, c.temperature)
	s.got.LogProbsBack(dh.got, dw.got, c.h.got, c.got, c.targets, lse, c.d, c.temperature)
	s.ref.LogProbsBack(dhOnly.ref, lora.View{}, c.h.ref, c.ref, c.targets, lse, c.d, c.temperature)
	s.got.LogProbsBack(dhOnly.got, lora.View{}, c.h.got, c.got, c.targets, lse, c.d, c.temperature)
	size := make([]float64, c.rows) // Σ|d| of each row's targets
	for i, t := range c.targets {
		size[t.Row] += math.Abs(c.d[i])
	}
	boundH, boundW := make([]float64, c.rows*c.dim), make([]float64, c.vocab*c.dim)
	for i, x := range dw.data {
		boundW[i] = float64(c.rows+1) * eps * math.Abs(float64(x))
	}
	for n := range c.rows {
		h := slice(c.h.data, n, c.dim, 0, c.dim)
		for v := range c.vocab {
			w := slice(c.w, v, c.dim, 0, c.dim)
			z, _ := dots(h, w)
			p := math.Exp(z/c.temperature - lse[n])
			for _, t := range c.targets {
				if int(t.Row) == n && int(t.Token) == v {
					p = 1 // the target's own term
				}
			}
			d := size[n] / c.temperature * p // a bound of the logit's gradient
			e := d * (2*bound[n] + eps*(math.Abs(lse[n])+float64(c.vocab+c.rows)+16))
			for i := range c.dim {
				boundH[n*c.dim+i] += (e + d*c.rounding) * math.Abs(w[i])
				boundW[v*c.dim+i] += e * math.Abs(h[i])
			}
		}
	}
	s.bounded("LogProbsBack dh", dh, boundH)
	s.bounded("LogProbsBack dh without dw", dhOnly, boundH)
	s.bounded("LogProbsBack dw", dw, boundW)
	s.unchanged("LogProbsBack", c.h)
}

// number compares one number.
func (s *suite) number(what string, got, want, bound float64) {
	s.Helper()
	if got != want && !(math.Abs(got-want) <= bound) {
		s.Fatalf("%s is %v, want %v ± %.3g", what, got, want, bound)
	}
}

// nans returns n NaN.
func nans(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}
