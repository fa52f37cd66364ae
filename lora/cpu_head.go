package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// The head's products are taken in chunks of rows × vocabulary, so that a chunk of
// logits stays in the caches and [N, V] never exists.
const (
	headRows  = 512     // rows of a chunk
	headBlock = 2048    // tokens that a row's sums take in one step
	headChunk = 1 << 20 // logits of a chunk: 4 MiB
)

// headColumns returns the tokens of a chunk for a number of rows, a multiple of
// headBlock.
func headColumns(rows int) int {
	return max(1, headChunk/max(rows, 1)/headBlock) * headBlock
}

// headChunkShape returns the rows and tokens of the largest chunk of logits.
func headChunkShape(rows, vocab int) (int, int) {
	rows = min(headRows, rows)
	return rows, min(headColumns(rows), vocab)
}

// targetIndex lists the targets of each row.
type targetIndex struct {
	start []int32 // first entry of each row in order; one more at the end
	order []int32 // target numbers, row by row, in the caller's order within a row
}

// set indexes targets over a number of rows.
func (x *targetIndex) set(targets []HeadTarget, rows int) {
	x.start, x.order = grow(x.start, rows+2), grow(x.order, len(targets))
	clear(x.start)
	for _, t := range targets {
		x.start[t.Row+2]++
	}
	for i := 2; i < len(x.start); i++ {
		x.start[i] += x.start[i-1]
	}
	for i, t := range targets {
		x.order[x.start[t.Row+1]] = int32(i)
		x.start[t.Row+1]++
	}
}

// of returns the targets on a row.
func (x *targetIndex) of(row int) []int32 { return x.order[x.start[row]:x.start[row+1]] }

// running is the state of a row's log-sum-exp and entropy: with p = exp(z − top),
// sum = Σ p and moment = Σ p·(z − top).
type running struct{ top, sum, moment float64 }

// take adds a block of logits.
func (s *running) take(k vec.Kernels, z, scratch []float32, entropy bool) {
	top := max(k.Max(z), float32(s.top))
	if shift := float64(top) - s.top; shift > 0 {
		c := 0.0
		if s.sum > 0 {
			c = math.Exp(-shift)
			s.moment = (s.moment - s.sum*shift) * c
		}
		s.sum *= c
	}
	s.top = float64(top)
	p := scratch[:len(z)]
	s.sum += float64(k.ExpSum(p, z, top))
	if entropy {
		s.moment += momentSum(p, z, top)
	}
}

// momentSum returns Σ p·(z − top), terms with p = 0 left out.
func momentSum(p, z []float32, top float32) float64 {
	sum := 0.0
	for i, x := range p {
		if x != 0 {
			sum += float64(x * (z[i] - top))
		}
	}
	return sum
}

// lse returns the logarithm of the denominator.
func (s *running) lse() float64 { return s.top + math.Log(s.sum) }

// entropy returns the entropy in nats.
func (s *running) entropy() float64 { return math.Log(s.sum) - s.moment/s.sum }

// LogProbs computes log-probabilities of targets.
func (e *cpuEngine) LogProbs(out *HeadOutput, h View, w Weight, targets []HeadTarget, temperature float64) error {
	checkLogProbs(out, h, w, targets, temperature)
	e.targets.set(targets, h.Rows)
	e.reserveSample(headBlock)
	e.states = grow(e.states, h.Rows)
	for i := range e.states {
		e.states[i] = running{top: math.Inf(-1)}
	}
	e.headChunks(h, cpuMatrix(w), temperature, func(c headPart) {
		e.args.head, e.args.out, e.args.targets = c, out, targets
		e.each(c.z.Rows, 4*c.z.Cols, logProbRows)
	})
	for i, t := range targets {
		out.LogProb[i] -= e.states[t.Row].lse()
	}
	for n := range e.states {
		out.LSE[n] = e.states[n].lse()
		if out.Entropy != nil {
			out.Entropy[n] = e.states[n].entropy()
		}
	}
	return nil
}

// headPart is one chunk of logits: of rows from row on and tokens from token on.
type headPart struct {
	z          View
	row, token int
}

// headChunks computes logits/temperature chunk by chunk, for each chunk of rows all
// of the vocabulary in order, and hands each chunk to f.
func (e *cpuEngine) headChunks(h View, w *cpuWeight, temperature float64, f func(headPart)) {
	rows, cols := headChunkShape(h.Rows, w.Out())
	mark := e.Mark()
	chunk := e.Temp(1, rows*cols)
	for r := 0; r < h.Rows; r += rows {
		part := h.RowRange(r, min(r+rows, h.Rows))
		for v := 0; v < w.Out(); v += cols {
			end := min(v+cols, w.Out())
			z := chunk.ColRange(0, part.Rows*(end-v)).Reshape(part.Rows, end-v)
			e.mulT(z, part, w, v, end, float32(1/temperature), 0)
			f(headPart{z, r, v})
		}
	}
	e.Reset(mark)
}

// logProbRows takes a chunk into the sums of rows [lo, hi), and notes the targets'
// logits.
func logProbRows(e *cpuEngine, worker, lo, hi int) {
	a := &e.args
	scratch := e.workers[worker].sample.e
	for i := lo; i < hi; i++ {
		z, n := row(a.head.z, i), a.head.row+i
		for _, t := range e.targets.of(n) {
			if v := int(a.targets[t].Token) - a.head.token; v >= 0 && v < len(z) {
				a.out.LogProb[t] = float64(z[v])
			}
		}
		for b := 0; b < len(z); b += headBlock {
			e.states[n].take(e.vec, z[b:min(b+headBlock, len(z))], scratch, a.out.Entropy != nil)
		}
	}
}

// LogProbsBack is the gradient of LogProbs. Logits are computed again, and become
// their own gradients chunk by chunk.
func (e *cpuEngine) LogProbsBack(dh, dw, h View, w Weight, targets []HeadTarget, lse, d []float64, temperature float64) {
	checkLogProbsBack(dh, dw, h, w, targets, lse, d, temperature)
	e.targets.set(targets, h.Rows)
	c := cpuMatrix(w)
	e.headChunks(h, c, temperature, func(p headPart) {
		e.args.head, e.args.targets, e.args.numbers = p, targets, [2][]float64{lse, d}
		e.args.eps = 1 / temperature
		e.each(p.z.Rows, 4*p.z.Cols, logitGradientRows)
		end, beta := p.token+p.z.Cols, float32(1)
		if p.token == 0 {
			beta = 0
		}
		e.mul(dh.RowRange(p.row, p.row+p.z.Rows), p.z, c, p.token, end, beta)
		if !dw.IsNone() {
			e.gemm(true, false, 1, p.z, h.RowRange(p.row, p.row+p.z.Rows), 1, dw.RowRange(p.token, end))
		}
	})
}

// logitGradientRows turns the logits of rows [lo, hi) of a chunk into gradients.
func logitGradientRows(e *cpuEngine, _, lo, hi int) {
	a := &e.args
	lse, d, inverse := a.numbers[0], a.numbers[1], a.eps
	for i := lo; i < hi; i++ {
		z, n := row(a.head.z, i), a.head.row+i
		total := 0.0
		for _, t := range e.targets.of(n) {
			total += d[t]
		}
		e.vec.ExpSum(z, z, float32(lse[n]))
		e.vec.Scale(z, float32(-total*inverse), z)
		for _, t := range e.targets.of(n) {
			if v := int(a.targets[t].Token) - a.head.token; v >= 0 && v < len(z) {
				z[v] += float32(d[t] * inverse)
			}
		}
	}
}
