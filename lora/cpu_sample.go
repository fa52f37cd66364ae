package lora

import (
	"math"
	"math/bits"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// sampleScratch is a worker's memory for one row of logits.
type sampleScratch struct {
	vec  vec.Kernels
	z    []float32 // logits after penalty, mask and temperature; −Inf where removed
	e    []float32 // exponentials
	heap []int32   // tokens, for top-k and top-p
}

// Sample draws a token a row.
func (e *cpuEngine) Sample(tokens []int32, logProbs []float64, logits View, rows []Sampling) error {
	checkSample(tokens, logProbs, logits, rows)
	e.reserveSample(logits.Cols)
	e.args.v = [10]View{logits}
	e.args.rows, e.args.tokens, e.args.numbers[0] = rows, tokens, logProbs
	e.each(logits.Rows, pieceSize, func(e *cpuEngine, worker, lo, hi int) {
		a, s := &e.args, &e.workers[worker].sample
		for i := lo; i < hi; i++ {
			z := row(a.v[0], i)
			a.tokens[i] = s.draw(z, &a.rows[i])
			if a.tokens[i] >= 0 {
				a.numbers[0][i] = s.logProb(z, int(a.tokens[i]), a.rows[i].Temperature)
			}
		}
	})
	for i, t := range tokens {
		if t < 0 {
			return errNothingToDraw(i)
		}
	}
	return nil
}

// reserveSample makes room for rows of n logits on every worker.
func (e *cpuEngine) reserveSample(n int) {
	n = max(n, headBlock)
	for i := range e.workers {
		s := &e.workers[i].sample
		s.vec = e.vec
		s.z, s.e, s.heap = grow(s.z, n), grow(s.e, n), grow(s.heap, n)
	}
}

// draw returns the token drawn, or -1.
func (s *sampleScratch) draw(logits []float32, c *Sampling) int32 {
	for _, x := range logits {
		if !(x <= math.MaxFloat32) {
			return -1
		}
	}
	s.z = s.z[:len(logits)]
	copy(s.z, logits)
	s.penalise(logits, c)
	s.allow(c.Allowed)
	if c.Temperature == 0 {
		return s.largest()
	}
	if c.Temperature != 1 {
		inverse := float32(1 / c.Temperature)
		s.vec.Scale(s.z, inverse, s.z)
	}
	if c.TopK > 0 && c.TopK < len(s.z) {
		s.topK(c.TopK)
	}
	if c.TopP > 0 && c.TopP < 1 {
		s.topP(c.TopP)
	}
	if c.MinP > 0 {
		s.drop(s.vec.Max(s.z) + float32(math.Log(c.MinP)))
	}
	return s.gumbel(c.Key)
}

var minusInf = float32(math.Inf(-1))

// penalise applies the repetition penalty, once a token.
func (s *sampleScratch) penalise(logits []float32, c *Sampling) {
	if c.Penalty == 0 || c.Penalty == 1 {
		return
	}
	for _, v := range c.Seen {
		if logits[v] > 0 {
			s.z[v] = logits[v] / float32(c.Penalty)
		} else {
			s.z[v] = logits[v] * float32(c.Penalty)
		}
	}
}

// allow removes what the mask forbids.
func (s *sampleScratch) allow(mask []uint64) {
	if mask == nil {
		return
	}
	for v := range s.z {
		if mask[v/64]>>(v%64)&1 == 0 {
			s.z[v] = minusInf
		}
	}
}

// largest returns the token of the largest logit, or -1.
func (s *sampleScratch) largest() int32 {
	best, top := int32(-1), minusInf
	for v, x := range s.z {
		if x > top {
			best, top = int32(v), x
		}
	}
	return best
}

// drop removes what lies below the threshold.
func (s *sampleScratch) drop(threshold float32) {
	for v, x := range s.z {
		if x < threshold {
			s.z[v] = minusInf
		}
	}
}

// topK keeps the k largest logits and what equals the smallest of them: a heap holds
// the k largest so far, the smallest at its root.
func (s *sampleScratch) topK(k int) {
	s.heap = s.heap[:k]
	for i := range s.heap {
		s.heap[i] = int32(i)
	}
	for i := k/2 - 1; i >= 0; i-- {
		s.siftDown(i, s.smaller)
	}
	for v := k; v < len(s.z); v++ {
		if s.z[v] > s.z[s.heap[0]] {
			s.heap[0] = int32(v)
			s.siftDown(0, s.smaller)
		}
	}
	s.drop(s.z[s.heap[0]])
}

// topP keeps the most probable tokens, the lower token first on a tie, as long as
// those before them sum to less than p: a heap gives them in order.
func (s *sampleScratch) topP(p float64) {
	top := s.vec.Max(s.z)
	s.heap = s.heap[:0]
	total := 0.0
	s.vec.ExpSum(s.e[:len(s.z)], s.z, top)
	for v, x := range s.z {
		if x == minusInf {
			continue
		}
		total += float64(s.e[v])
		s.heap = append(s.heap, int32(v))
	}
	for i := len(s.heap)/2 - 1; i >= 0; i-- {
		s.siftDown(i, s.larger)
	}
	for sum := 0.0; sum < p*total && len(s.heap) > 0; {
		sum += float64(s.e[s.heap[0]])
		last := len(s.heap) - 1
		s.heap[0] = s.heap[last]
		s.heap = s.heap[:last]
		s.siftDown(0, s.larger)
	}
	for _, v := range s.heap {
		s.z[v] = minusInf
	}
}

// smaller orders tokens by logit, ascending.
func (s *sampleScratch) smaller(a, b int32) bool { return s.z[a] < s.z[b] }

// larger orders tokens by logit, descending, the lower token first on a tie.
func (s *sampleScratch) larger(a, b int32) bool {
	return s.z[a] > s.z[b] || s.z[a] == s.z[b] && a < b
}

// siftDown restores the heap below entry i: before(parent, child) or equal.
func (s *sampleScratch) siftDown(i int, before func(a, b int32) bool) {
	h := s.heap
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && before(h[c+1], h[c]) {
			c++
		}
		if !before(h[c], h[i]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// gumbel adds the key's noise and returns the token of the largest sum, or -1. The
// logarithms are only taken where the bound on the noise leaves the token a chance.
func (s *sampleScratch) gumbel(k Key) int32 {
	best, top := int32(-1), minusInf
	var words [4]uint32
	block := -1
	for v, x := range s.z {
		if !(x+gumbelMax > top) {
			continue
		}
		if v/4 != block {
			block = v / 4
			words = k.Philox(uint64(block))
		}
		w := words[v%4]
		if x+gumbelBound(w) < top {
			continue
		}
		if y := x + gumbel(unit23(w)); y > top {
			best, top = int32(v), y
		}
	}
	return best
}

// gumbelMax bounds the noise of any word.
const gumbelMax = 17

// gumbelBound bounds the noise of a word w of random bits. With u = unit23(w),
// −log(−log u) ≤ −log(1 − u), and 1 − u ≥ 2⁻ⁿ⁻¹ where u begins with n ones. A little is
// added for the rounding of the bound itself.
func gumbelBound(w uint32) float32 {
	const slack = 1e-3
	ones := bits.LeadingZeros32(^(w | 0x1ff))
	return float32(ones+1)*math.Ln2 + slack
}

// logProb returns the log-probability of a token under the plain distribution.
func (s *sampleScratch) logProb(logits []float32, token int, temperature float64) float64 {
	if temperature == 0 {
		temperature = 1
	}
	inverse := float32(1 / temperature)
	copy(s.z, logits)
	if inverse != 1 {
		s.vec.Scale(s.z, inverse, s.z)
	}
	state := running{top: math.Inf(-1)}
	for b := 0; b < len(s.z); b += headBlock {
		state.take(s.vec, s.z[b:min(b+headBlock, len(s.z))], s.e, false)
	}
	return float64(s.z[token]) - state.lse()
}
