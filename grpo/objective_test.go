package grpo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestKL(t *testing.T) {
	k, dk := KL(-1, -1)
	if k != 0 || dk != 0 {
		t.Errorf("equal log-probabilities: %v, %v, want exactly 0, 0", k, dk)
	}
	k, dk = KL(-1, -2)
	if want := math.Exp(-1) + 1 - 1; !closeTo(k, want, 1e-15) || !closeTo(dk, 1-math.Exp(-1), 1e-15) {
		t.Errorf("KL(-1, -2) = %v, %v, want %v, %v", k, dk, want, 1-math.Exp(-1))
	}
	for _, gap := range []float64{1e-18, 1e-12, 1e-9, 1e-5} {
		if k, _ := KL(-1, -1+gap); k < 0 {
			t.Errorf("KL is %v at a gap of %v: never negative", k, gap)
		}
	}
}

// The mean of k3 over the policy's own distribution is the divergence.
func TestKLIsUnbiased(t *testing.T) {
	p, q := []float64{0.5, 0.3, 0.2}, []float64{0.2, 0.2, 0.6}
	mean, want := 0.0, 0.0
	for i := range p {
		k, _ := KL(math.Log(p[i]), math.Log(q[i]))
		mean += p[i] * k
		want += p[i] * math.Log(p[i]/q[i])
	}
	if !closeTo(mean, want, 1e-15) {
		t.Errorf("mean of k3 is %v, divergence is %v", mean, want)
	}
}

func TestRatios(t *testing.T) {
	logp, old := []float64{-1, -2, -3}, []float64{-1.5, -2, -1.9}
	allClose(t, TokenRatios(logp, old), []float64{math.Exp(0.5), 1, math.Exp(-1.1)}, 1e-15)
	r := math.Exp((0.5 + 0 - 1.1) / 3)
	allClose(t, SequenceRatios(logp, old), []float64{r, r, r}, 1e-15)
}

func TestClipped(t *testing.T) {
	c := Clip{Low: 0.2, High: 0.3}
	for _, x := range []struct {
		why     string
		rho, a  float64
		loss, d float64
		low, hi bool
	}{
		{"inside the region the ratio counts", 1.1, 2, -2.2, -2, false, false},
		{"a good token is not raised beyond the upper bound", 1.5, 2, -2.6, 0, false, true},
		{"a bad token that has risen is pulled down however far", 1.5, -2, 3, 2, false, false},
		{"a bad token is not lowered beyond the lower bound", 0.5, -2, 1.6, 0, true, false},
		{"a good token that has fallen is pulled up however far", 0.5, 2, -1, -2, false, false},
		{"without advantage there is nothing", 1.5, 0, 0, 0, false, false},
	} {
		got := Clipped(x.rho, x.a, -1, c)
		if !closeTo(got.Loss, x.loss, 1e-15) || got.DRho != x.d || got.DLogp != 0 || got.Low != x.low || got.High != x.hi {
			t.Errorf("%s: %+v, want loss %v, derivative %v, clipped %v %v", x.why, got, x.loss, x.d, x.low, x.hi)
		}
	}
}

func TestTruncated(t *testing.T) {
	c := Clip{High: 2}
	if got := Truncated(3, 0.5, -1.5, c); got != (Term{Loss: 1.5, DLogp: -1, High: true}) {
		t.Errorf("a ratio above the cap counts as the cap and keeps its gradient: %+v", got)
	}
	if got := Truncated(1.5, -1, -2, c); got != (Term{Loss: -3, DLogp: 1.5}) {
		t.Errorf("a ratio below the cap counts as it is: %+v", got)
	}
}

// Weights of tokens in two micro-batches of two completions with 2, 4 and 0, 3
// tokens.
func TestNormalisers(t *testing.T) {
	w := Window{MicroBatches: 2, Tokens: 9, MaxLength: 10}
	for _, c := range []struct {
		name  string
		n     Normaliser
		first []float64
		other []float64
	}{
		{"per completion", PerCompletion, []float64{1. / 2 / 4, 1. / 4 / 4}, []float64{1. / 4, 1. / 3 / 4}},
		{"per micro-batch", PerMicroBatch, []float64{1. / 6 / 2, 1. / 6 / 2}, []float64{1. / 3 / 2, 1. / 3 / 2}},
		{"per window", PerWindow, []float64{1. / 9, 1. / 9}, []float64{1. / 9, 1. / 9}},
		{"per limit", PerLimit, []float64{1. / 40, 1. / 40}, []float64{1. / 40, 1. / 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			allClose(t, c.n([]int{2, 4}, w), c.first, 1e-15)
			allClose(t, c.n([]int{0, 3}, w), c.other, 1e-15)
		})
	}
}

// A step's loss does not depend on how it is split into micro-batches where the
// denominator spans the step.
func TestPerWindowIgnoresSplit(t *testing.T) {
	one := []Row{{Tokens: 3}, {Tokens: 5}, {Tokens: 2}, {Tokens: 7}}
	two := slices.Clone(one)
	for i := range two {
		two[i].Micro = i % 2
	}
	Weigh(one, PerWindow, 10)
	Weigh(two, PerWindow, 10)
	for i := range one {
		if one[i].Weight != two[i].Weight || one[i].Weight != 1./17 {
			t.Errorf("row %d has weights %v and %v, want 1/17", i, one[i].Weight, two[i].Weight)
		}
	}
}

func TestParseVariant(t *testing.T) {
	for _, v := range Variants() {
		got, err := ParseVariant(v.Name)
		if err != nil || got.Name != v.Name || got.Surrogate == nil || got.Normaliser == nil {
			t.Errorf("ParseVariant(%q) = %+v, %v", v.Name, got, err)
		}
	}
	_, err := ParseVariant("ppo")
	const want = `grpo: no loss is called "ppo" (known: [bnpo cispo dapo dr_grpo grpo])`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// The closed-form derivative of every combination of surrogate, level and KL equals
// central differences. CISPO holds its weight constant, so there the difference is
// taken at a fixed weight.
func TestObjectiveDerivative(t *testing.T) {
	for _, v := range []struct {
		name string
		s    Surrogate
	}{{"clipped", Clipped}, {"smooth", func(rho, a, p float64, _ Clip) Term {
		return Term{Loss: -a * rho * rho * p, DRho: -2 * a * rho * p, DLogp: -a * rho * rho}
	}}} {
		for _, level := range []Level{TokenLevel, SequenceLevel} {
			for _, beta := range []float64{0, 0.3} {
				for _, ratioKL := range []bool{false, true} {
					o := Objective{Surrogate: v.s, Clip: Clip{0.2, 0.3}, Level: level, Beta: beta, RatioKL: ratioKL}
					t.Run(fmt.Sprintf("%s %s beta=%v ratioKL=%v", v.name, level, beta, ratioKL), func(t *testing.T) {
						checkDerivative(t, o, 1.7)
						checkDerivative(t, o, -0.6)
					})
				}
			}
		}
	}
}

func checkDerivative(t *testing.T, o Objective, advantage float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	const n, h = 9, 1e-6
	logp := make([]float64, n)
	c := Completion{Advantage: advantage, Old: make([]float64, n), Ref: make([]float64, n)}
	for i := range logp {
		logp[i] = -rng.ExpFloat64()
		c.Old[i] = logp[i] + 0.4*rng.NormFloat64()
		c.Ref[i] = logp[i] + 0.4*rng.NormFloat64()
	}
	d := make([]float64, n)
	o.Eval(d, logp, c)
	at := func(i int, step float64) float64 {
		moved := slices.Clone(logp)
		moved[i] += step
		loss, _ := o.Eval(make([]float64, n), moved, c)
		return loss
	}
	for i := range d {
		if want := (at(i, h) - at(i, -h)) / (2 * h); !closeTo(d[i], want, 1e-7*max(1, math.Abs(want))) {
			t.Errorf("derivative %d is %v, central difference %v", i, d[i], want)
		}
	}
}

// CISPO's derivative is the weight times the advantage, whatever the ratio.
func TestCISPODerivative(t *testing.T) {
	o := Objective{Surrogate: Truncated, Clip: Clip{High: 1.5}, Level: TokenLevel}
	logp, old := []float64{-1, -2}, []float64{-1.2, -3}
	d := make([]float64, 2)
	o.Eval(d, logp, Completion{Advantage: 2, Old: old})
	allClose(t, d, []float64{-2 * math.Exp(0.2), -2 * 1.5}, 1e-15)
}

// Without old log-probabilities the ratio is exactly 1 and the gradient is that of
// the plain policy gradient: A for each token.
func TestOnPolicyGradient(t *testing.T) {
	for _, level := range []Level{TokenLevel, SequenceLevel} {
		o := Objective{Surrogate: Clipped, Clip: Clip{0.2, 0.2}, Level: level}
		d := make([]float64, 3)
		loss, stats := o.Eval(d, []float64{-1, -0.3, -7}, Completion{Advantage: 0.5})
		allClose(t, d, []float64{-0.5, -0.5, -0.5}, 1e-15)
		if loss != -1.5 || stats.Low != 0 || stats.High != 0 {
			t.Errorf("%s: loss %v, %+v", level, loss, stats)
		}
	}
}

// At ratio 1 the factor on the KL term leaves its value and changes its gradient.
func TestRatioKLGradientAtRatioOne(t *testing.T) {
	logp, ref := []float64{-1}, []float64{-1.5}
	plain := Objective{Surrogate: Clipped, Level: TokenLevel, Beta: 1}
	factor := plain
	factor.RatioKL = true
	dPlain, dFactor := make([]float64, 1), make([]float64, 1)
	a, _ := plain.Eval(dPlain, logp, Completion{Ref: ref})
	b, _ := factor.Eval(dFactor, logp, Completion{Ref: ref})
	k, dk := KL(-1, -1.5)
	if a != k || b != k {
		t.Errorf("losses %v and %v, want %v", a, b, k)
	}
	allClose(t, []float64{dPlain[0], dFactor[0]}, []float64{dk, dk + k}, 1e-15)
	// dk + k = p − q: the score-function gradient of the divergence.
	allClose(t, dFactor, []float64{0.5}, 1e-12)
}
