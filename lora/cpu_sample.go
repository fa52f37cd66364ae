package lora

import (
	"math"
	"slices"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// sampleScratch is a worker's memory for one row of logits.
type sampleScratch struct {
	vec  vec.Kernels
	z    []float32 // logits after penalty, mask and temperature; −Inf where removed
	e    []float32 // exponentials
	heap []int32   // tokens, for top-k and top-p

	words [raceBlock]uint32 // random words of a block of tokens
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
	if !s.drawable(logits) {
		return -1
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

// drawable reports whether no logit is NaN or +Inf: it looks at each of them only
// where their sum is not finite.
func (s *sampleScratch) drawable(logits []float32) bool {
	if sum := s.vec.Sum(logits); sum-sum == 0 {
		return true
	}
	for _, x := range logits {
		if !(x <= math.MaxFloat32) {
			return false
		}
	}
	return true
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
	top := s.vec.Max(s.z)
	if top == minusInf {
		return -1
	}
	return int32(slices.Index(s.z, top))
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
	total := s.exponentials()
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

// exponentials sets heap to the tokens that are left, ascending, and e of each to its
// exponential relative to the largest, and returns their sum.
func (s *sampleScratch) exponentials() float64 {
	s.heap = s.heap[:0]
	for v, x := range s.z {
		if x != minusInf {
			s.e[len(s.heap)] = x
			s.heap = append(s.heap, int32(v))
		}
	}
	left := s.e[:len(s.heap)]
	s.vec.ExpSum(left, left, s.vec.Max(s.z))
	total := 0.0
	for _, x := range left {
		total += float64(x)
	}
	for i := len(left) - 1; i >= 0; i-- {
		s.e[s.heap[i]] = left[i] // heap[i] >= i: what is still to come is not overwritten
	}
	return total
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

// raceBlock is the number of tokens that are drawn for together; a multiple of 64.
const raceBlock = 512

// gumbel adds the key's noise and returns the token of the largest sum, the lower one
// on a tie, or -1. The largest logit goes first. Of the others the logarithms are only
// taken where a bound on the noise leaves the token a chance against the best so far.
func (s *sampleScratch) gumbel(k Key) int32 {
	best := s.largest()
	if best < 0 {
		return best
	}
	top := s.z[best] + k.Gumbel(uint64(best))
	for first := 0; first < len(s.z); first += raceBlock {
		z := s.z[first:min(first+raceBlock, len(s.z))]
		if s.vec.Max(z)+gumbelMax < top {
			continue
		}
		words := s.words[:(len(z)+3)/4*4]
		k.fill(s.vec, words, uint64(first/4))
		// The sum of logit and noise is rounded: those that fall short by so much less
		// than the best may still reach it.
		shift := top - float32(math.Abs(float64(top)))*0x1p-22
		s.vec.Race(s.e[:len(z)], z, words, shift)
		for i := 0; i < len(z); i += 64 {
			best, top = s.finalists(first, i, min(i+64, len(z)), best, top, shift)
		}
	}
	return best
}

// finalists lets tokens [lo, hi) of the block that begins at first compete with the
// best so far, of which the race's bounds are relative to shift.
func (s *sampleScratch) finalists(first, lo, hi int, best int32, top, shift float32) (int32, float32) {
	need := finalBound(top, shift)
	if s.vec.Max(s.e[lo:hi]) < need {
		return best, top
	}
	for i := lo; i < hi; i++ {
		if s.e[i] < need {
			continue
		}
		v := int32(first + i)
		if y := s.z[v] + gumbel(unit23(s.words[i])); y > top || y == top && v < best {
			best, top = v, y
			need = finalBound(top, shift)
		}
	}
	return best, top
}

// finalBound returns the bound of the race, relative to shift, below which no token
// reaches top; a little less for the rounding of the bounds.
func finalBound(top, shift float32) float32 {
	const slack = 1e-3
	top -= float32(math.Abs(float64(top))) * 0x1p-22
	return float32(math.Exp(float64(top-shift))) * (1 - slack)
}

// gumbelMax bounds the noise of any word.
const gumbelMax = 17

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

// sampleScratch is the room of Sample: none, workers have their own.
func (cpuRoom) sampleScratch(arena, View) {}
