package grpo

import "math"

// KL returns the estimate k3 of the divergence of the policy from the reference at
// one sampled token, and its derivative with respect to p:
//
//	k = exp(q − p) − (q − p) − 1,  dk/dp = 1 − exp(q − p)
//
// p and q are the token's log-probabilities under policy and reference. k is never
// negative, exactly 0 where p = q, and its mean over tokens that the policy sampled
// is the divergence KL(policy, reference) in nats. Source: Schulman, "Approximating
// KL divergence", 2020; Shao et al., DeepSeekMath, 2024, equation 4.
func KL(p, q float64) (k, dk float64) {
	e := math.Expm1(q - p)
	return max(0, e-(q-p)), -e
}
