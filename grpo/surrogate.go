package grpo

// Clip bounds the probability ratio ρ.
type Clip struct {
	// Low is the distance below 1 at which ρ is clipped.
	Low float64
	// High is the distance above 1 at which ρ is clipped; for [CISPO] it is the
	// largest ρ itself. Yu et al., DAPO, 2025, set it apart from Low ("clip higher").
	High float64
}

// Term is one token's part of the policy loss.
type Term struct {
	Loss  float64 // the value
	DRho  float64 // derivative with respect to ρ
	DLogp float64 // derivative with respect to p where it does not pass through ρ
	Low   bool    // ρ was cut at its lower bound, and with it the gradient
	High  bool    // ρ was cut at its upper bound
}

// Surrogate is a token's policy loss as a function of its ratio rho, its
// completion's advantage and its log-probability p.
type Surrogate func(rho, advantage, p float64, c Clip) Term

// Clipped is the pessimistic clipped surrogate of PPO:
//
//	loss = −min(ρ·A, clip(ρ, 1 − Low, 1 + High)·A)
//
// Where the clipped product is the smaller, the token has no gradient. Source:
// Schulman et al., PPO, 2017, equation 7.
func Clipped(rho, advantage, _ float64, c Clip) Term {
	lo, hi := 1-c.Low, 1+c.High
	t := Term{Low: rho < lo && advantage < 0, High: rho > hi && advantage > 0}
	switch {
	case t.Low:
		t.Loss = -lo * advantage
	case t.High:
		t.Loss = -hi * advantage
	default:
		t.Loss, t.DRho = -rho*advantage, -advantage
	}
	return t
}

// Truncated is REINFORCE with a truncated importance weight that is held constant,
// so that no token loses its gradient:
//
//	loss = −min(ρ, High)·A·p,  d/dp = −min(ρ, High)·A
//
// Source: MiniMax-M1, 2025, equations 4 and 5 (CISPO); there is no lower bound.
func Truncated(rho, advantage, p float64, c Clip) Term {
	w := -min(rho, c.High) * advantage
	return Term{Loss: w * p, DLogp: w, High: rho > c.High && advantage > 0}
}
