package grpo

import "math"

// Level says of what the probability ratio is taken: of each token, or of the whole
// completion.
type Level string

// The levels of the ratio.
const (
	// TokenLevel: ρ_t = exp(p_t − o_t), with p and o the log-probabilities under the
	// policy and under the policy that sampled (Shao et al., 2024).
	TokenLevel Level = "token"
	// SequenceLevel: ρ = exp(mean_t(p_t − o_t)) for every token of the completion,
	// the geometric mean of the token ratios (Zheng et al., GSPO, 2025, equation 7).
	SequenceLevel Level = "sequence"
)

// ratioLevel computes ratios and the gradient through them.
type ratioLevel struct {
	// ratios returns ρ for each token.
	ratios func(logp, old []float64) []float64
	// back adds to d the derivative with respect to each log-probability, given
	// the derivative dRho with respect to each token's ρ.
	back func(d, dRho, rho []float64)
	// whole is set where a completion counts once in the shares of clipped ratios,
	// instead of once a token.
	whole bool
}

var levels = map[Level]ratioLevel{
	TokenLevel:    {ratios: TokenRatios, back: tokenRatiosBack},
	SequenceLevel: {ratios: SequenceRatios, back: sequenceRatiosBack, whole: true},
}

// TokenRatios returns ρ_t = exp(p_t − o_t).
func TokenRatios(logp, old []float64) []float64 {
	rho := make([]float64, len(logp))
	for t := range rho {
		rho[t] = math.Exp(logp[t] - old[t])
	}
	return rho
}

// dρ_t/dp_t = ρ_t.
func tokenRatiosBack(d, dRho, rho []float64) {
	for t := range d {
		d[t] += dRho[t] * rho[t]
	}
}

// SequenceRatios returns ρ = exp(1/T · Σ (p_t − o_t)), the same number for each of
// the T tokens.
func SequenceRatios(logp, old []float64) []float64 {
	sum := 0.0
	for t := range logp {
		sum += logp[t] - old[t]
	}
	r := math.Exp(sum / float64(max(1, len(logp))))
	rho := make([]float64, len(logp))
	for t := range rho {
		rho[t] = r
	}
	return rho
}

// dρ/dp_t = ρ/T, and every token's loss depends on ρ.
func sequenceRatiosBack(d, dRho, rho []float64) {
	sum := 0.0
	for _, v := range dRho {
		sum += v
	}
	for t := range d {
		d[t] += sum * rho[t] / float64(len(d))
	}
}
