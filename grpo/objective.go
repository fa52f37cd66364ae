package grpo

// Objective is the loss of one completion, up to its weight in the step.
type Objective struct {
	Surrogate Surrogate
	Clip      Clip
	Level     Level
	// Beta is the weight of the KL estimate; 0 leaves it out.
	Beta float64
	// RatioKL multiplies each token's KL estimate by its ratio ρ, which makes the
	// gradient that of the divergence itself when several passes are made over a
	// batch (DeepSeek-V3.2, 2025). At ρ = 1 the value is the same and the gradient
	// is not. TRL 1.16 does it by default, TRL 0.16.1 does not.
	RatioKL bool
}

// Completion is what the objective needs to know of one completion beside the
// policy's log-probabilities.
type Completion struct {
	Advantage float64
	Old       []float64 // log-probabilities when it was sampled; nil: the present ones
	Ref       []float64 // log-probabilities under the reference; nil: no KL term
}

// check panics unless all numbers are there for so many tokens.
func (c *Completion) check(tokens int) {
	if c.Old != nil && len(c.Old) != tokens || c.Ref != nil && len(c.Ref) != tokens {
		panic("grpo: log-probabilities of a completion differ in number")
	}
}

// TokenStats sums what the metrics need of a completion's tokens.
type TokenStats struct {
	Tokens int     // tokens
	Units  float64 // what clipped ratios are counted in: tokens, or completions at sequence level
	Low    float64 // of them cut at the lower bound
	High   float64 // of them cut at the upper bound
	KL     float64 // sum of the KL term before its weight
}

// Eval returns the sum over tokens of a completion's loss
//
//	l_t = surrogate(ρ_t, A, p_t) + Beta·k_t·(ρ_t if RatioKL)
//
// and sets d to its derivative with respect to each log-probability in logp, in
// closed form. All ratios are 1 where c.Old is nil, and the gradient still flows
// through them. It panics where lengths differ.
func (o *Objective) Eval(d, logp []float64, c Completion) (float64, TokenStats) {
	old := c.Old
	if old == nil {
		old = logp
	}
	c.check(len(logp))
	if len(d) != len(logp) {
		panic("grpo: log-probabilities of a completion differ in number")
	}
	level := levels[o.Level]
	rho := level.ratios(logp, old)
	dRho := make([]float64, len(rho))
	loss, stats := 0.0, TokenStats{Tokens: len(logp)}
	for t, p := range logp {
		term := o.Surrogate(rho[t], c.Advantage, p, o.Clip)
		if o.Beta != 0 && c.Ref != nil {
			stats.KL += o.addKL(&term, rho[t], p, c.Ref[t])
		}
		loss += term.Loss
		d[t], dRho[t] = term.DLogp, term.DRho
		stats.count(term)
	}
	level.back(d, dRho, rho)
	if level.whole {
		stats.average()
	}
	return loss, stats
}

// addKL adds the weighted KL estimate to a token's term and returns the estimate.
func (o *Objective) addKL(term *Term, rho, p, q float64) float64 {
	k, dk := KL(p, q)
	if o.RatioKL {
		term.DRho += o.Beta * k
		k, dk = k*rho, dk*rho
	}
	term.Loss += o.Beta * k
	term.DLogp += o.Beta * dk
	return k
}

func (s *TokenStats) count(t Term) {
	s.Units++
	if t.Low {
		s.Low++
	}
	if t.High {
		s.High++
	}
}

// average makes a completion count once: all its tokens have one ratio.
func (s *TokenStats) average() {
	n := max(1, s.Units)
	s.Units, s.Low, s.High = 1, s.Low/n, s.High/n
}
