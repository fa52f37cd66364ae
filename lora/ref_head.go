package lora

import (
	"fmt"
	"math"
	"slices"
)

// LogProbs computes log-probabilities of targets.
func (e *refEngine) LogProbs(out *HeadOutput, h View, w Weight, targets []HeadTarget, temperature float64) error {
	checkLogProbs(out, h, w, targets, temperature)
	logits := make([]float64, w.Out())
	for n := range h.Rows {
		refLogits(logits, refRow(h, n), w, temperature)
		lse := refLogSumExp(logits)
		out.LSE[n] = lse
		for i, t := range targets {
			if int(t.Row) == n {
				out.LogProb[i] = logits[t.Token] - lse
			}
		}
		if out.Entropy != nil {
			out.Entropy[n] = 0
			for _, z := range logits {
				if p := math.Exp(z - lse); p != 0 {
					out.Entropy[n] -= p * (z - lse)
				}
			}
		}
	}
	return nil
}

// refLogits sets logits = h·wᵀ/temperature.
func refLogits(logits, h []float64, w Weight, temperature float64) {
	for v := range logits {
		logits[v] = refDot(h, refRow(refMatrix(w), v)) / temperature
	}
}

// LogProbsBack is the gradient of LogProbs.
func (e *refEngine) LogProbsBack(dh, dw, h View, w Weight, targets []HeadTarget, lse, d []float64, temperature float64) {
	checkLogProbsBack(dh, dw, h, w, targets, lse, d, temperature)
	dlogits := make([]float64, w.Out())
	for n := range h.Rows {
		total := 0.0
		for i, t := range targets {
			if int(t.Row) == n {
				total += d[i]
			}
		}
		refLogits(dlogits, refRow(h, n), w, temperature)
		for v, z := range dlogits {
			dlogits[v] = -total * math.Exp(z-lse[n]) / temperature
		}
		for i, t := range targets {
			if int(t.Row) == n {
				dlogits[t.Token] += d[i] / temperature
			}
		}
		clear(refRow(dh, n))
		for v, x := range dlogits {
			refAxpy(x, refRow(refMatrix(w), v), refRow(dh, n))
		}
		if !dw.IsNone() {
			refOuter(dw, 1, dlogits, refRow(h, n))
		}
	}
}

// Sample draws a token a row.
func (e *refEngine) Sample(tokens []int32, logProbs []float64, logits View, rows []Sampling) error {
	checkSample(tokens, logProbs, logits, rows)
	for i := range rows {
		token := refDraw(refRow(logits, i), rows[i])
		if token < 0 {
			return errNothingToDraw(i)
		}
		tokens[i] = int32(token)
		logProbs[i] = refLogProb(refRow(logits, i), token, rows[i].Temperature)
	}
	return nil
}

// errNothingToDraw says that a row's distribution is empty or not a number.
func errNothingToDraw(row int) error {
	return fmt.Errorf("lora: sample row %d: no token can be drawn: none is allowed, or a logit is NaN or +Inf", row)
}

// refLogProb returns the log-probability of a token under the plain distribution.
func refLogProb(logits []float64, token int, temperature float64) float64 {
	if temperature == 0 {
		temperature = 1
	}
	z := make([]float64, len(logits))
	for v, x := range logits {
		z[v] = x / temperature
	}
	return z[token] - refLogSumExp(z)
}

// refDraw returns the token drawn, or -1.
func refDraw(logits []float64, s Sampling) int {
	z := slices.Clone(logits)
	for _, x := range z {
		if math.IsNaN(x) || math.IsInf(x, 1) {
			return -1
		}
	}
	refPenalise(z, logits, s)
	for v := range z {
		if s.Allowed != nil && s.Allowed[v/64]>>(v%64)&1 == 0 {
			z[v] = math.Inf(-1)
		}
	}
	if s.Temperature > 0 {
		for v := range z {
			z[v] /= s.Temperature
		}
		refFilter(z, s)
		for v := range z {
			z[v] += float64(s.Key.Gumbel(uint64(v)))
		}
	}
	best := -1
	for v, x := range z {
		if !math.IsInf(x, -1) && (best < 0 || x > z[best]) {
			best = v
		}
	}
	return best
}

// refPenalise applies the repetition penalty, once a token.
func refPenalise(z, logits []float64, s Sampling) {
	if s.Penalty == 0 || s.Penalty == 1 {
		return
	}
	for _, v := range s.Seen {
		if logits[v] > 0 {
			z[v] = logits[v] / s.Penalty
		} else {
			z[v] = logits[v] * s.Penalty
		}
	}
}

// refFilter sets to −Inf what top-k, top-p and min-p remove, in this order.
func refFilter(z []float64, s Sampling) {
	order := make([]int, len(z))
	for v := range z {
		order[v] = v
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case z[a] > z[b]:
			return -1
		case z[a] < z[b]:
			return 1
		}
		return 0
	})
	keep := len(order)
	if s.TopK > 0 && s.TopK < keep {
		for keep = s.TopK; keep < len(order) && z[order[keep]] == z[order[s.TopK-1]]; keep++ {
		}
	}
	top := z[order[0]]
	if s.TopP > 0 && s.TopP < 1 {
		keep = refNucleus(z, order[:keep], s.TopP)
	}
	for s.MinP > 0 && keep > 1 && math.Exp(z[order[keep-1]]-top) < s.MinP {
		keep--
	}
	for _, v := range order[keep:] {
		z[v] = math.Inf(-1)
	}
}

// refNucleus returns how many tokens of the descending order reach p.
func refNucleus(z []float64, order []int, p float64) int {
	top, total := z[order[0]], 0.0
	for _, v := range order {
		total += math.Exp(z[v] - top)
	}
	sum := 0.0
	for i, v := range order {
		if sum >= p*total {
			return i
		}
		sum += math.Exp(z[v] - top)
	}
	return len(order)
}
