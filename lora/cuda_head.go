//go:build cuda && cgo

package lora

import "github.com/socialrl/socialrl/lora/internal/cuda"

var (
	kernelHeadSums     = cuda.Kernel("head", "head_sums")
	kernelHeadFinish   = cuda.Kernel("head", "head_finish")
	kernelHeadGradient = cuda.Kernel("head", "head_gradient")
)

// cudaHead is what the head keeps between calls, so that they allocate nothing.
type cudaHead struct {
	targets targetIndex
	tokens  []int32   // of the targets, row by row
	values  []float32 // derivatives over the temperature, row by row
	rows    []cudaHeadRow
	results []float64
}

// cudaHeadRow is HeadRow of kernels/head.cu.
type cudaHeadRow struct{ minusLSE, rest, scale float32 }

// cudaTargets are the targets on the device: entries start[n] to start[n+1] are those of
// row n.
type cudaTargets struct{ start, order, tokens cuda.Ptr }

// stageTargets indexes the targets and brings them to the device.
func (e *cudaEngine) stageTargets(targets []HeadTarget, rows int) cudaTargets {
	s := &e.head
	s.targets.set(targets, rows)
	s.tokens = grow(s.tokens, len(targets))
	for i, t := range s.targets.order {
		s.tokens[i] = targets[t].Token
	}
	return cudaTargets{e.stage32(s.targets.start[:rows+1]), e.stage32(s.targets.order), e.stage32(s.tokens)}
}

// cudaHeadPart is a chunk of the head's work: rows from row on, tokens from token to end.
type cudaHeadPart struct {
	rows, row  int
	token, end int
	z          View // logits
}

// grid is the launch of a kernel over a chunk.
func (p *cudaHeadPart) launch(c *cudaCall) {
	c.launch(divideUp(p.z.Cols, cudaHeadBlock), p.rows, 1, cudaHeadThreads, 0)
}

// headRows returns the next chunk of rows of h, without logits, rounded where they have to
// be. The zero part begins; ok is false behind the last.
func (e *cudaEngine) headRows(p *cudaHeadPart, h View, height int, room *headRoom) (f cudaFactor, ok bool) {
	p.row += p.rows
	p.rows = min(height, h.Rows-p.row)
	p.token, p.end = 0, 0
	if p.rows <= 0 {
		return f, false
	}
	return e.round(h.RowRange(p.row, p.row+p.rows), room.h), true
}

// headLogits computes the next chunk of logits over the temperature for rows h of a part.
// It returns false behind the last.
func (e *cudaEngine) headLogits(p *cudaHeadPart, h cudaFactor, w *cudaWeight, width int, temperature float64, room *headRoom) bool {
	p.token = p.end
	p.end = min(p.token+width, w.out)
	if p.token == p.end {
		return false
	}
	cols := p.end - p.token
	stride := roundUp(cols, 4)
	p.z = room.chunk.ColRange(0, p.rows*stride).Reshape(p.rows, stride).ColRange(0, cols)
	e.timesT(p.z, h, w, p.token, p.end, float32(1/temperature), 0, room.weight)
	return true
}

// LogProbs computes log-probabilities of targets. Sums over blocks of the vocabulary are
// joined in float64; the results come back in one piece.
func (e *cudaEngine) LogProbs(out *HeadOutput, h View, w Weight, targets []HeadTarget, temperature float64) error {
	checkLogProbs(out, h, w, targets, temperature)
	if h.Rows == 0 {
		return nil
	}
	defer e.Reset(e.Mark())
	c, n := e.own(w), len(targets)
	room := e.room().head(e, h.Rows, c.out, c.in, c.kind)
	height, width := e.room().headChunk(h.Rows, c.out, c.in, c.kind)
	results, err := e.outbox(2 * (n + 2*h.Rows))
	if err != nil {
		return deviceError(err)
	}
	lse, blocks := results.Add(8*int64(n)), divideUp(c.out, cudaHeadBlock)
	entropy := cuda.Ptr(0)
	if out.Entropy != nil {
		entropy = lse.Add(8 * int64(h.Rows))
	}
	at := e.stageTargets(targets, h.Rows)
	var p cudaHeadPart
	for f, ok := e.headRows(&p, h, height, &room); ok; f, ok = e.headRows(&p, h, height, &room) {
		for e.headLogits(&p, f, c, width, temperature, &room) {
			p.launch(e.kernel(kernelHeadSums).view(room.sums).ptr(results).view(p.z).i32(p.z.Cols).i32(p.z.Stride).
				i32(p.row).i32(p.token).i32(blocks).ptr(at.start).ptr(at.order).ptr(at.tokens))
		}
		e.kernel(kernelHeadFinish).ptr(results).ptr(lse).ptr(entropy).view(room.sums).ptr(at.start).ptr(at.order).
			i32(p.row).i32(p.rows).i32(blocks).launch(divideUp(p.rows, cudaHeadThreads/32), 1, 1, cudaHeadThreads, 0)
	}
	return e.headResults(out, results, n, h.Rows)
}

// headResults brings the results back.
func (e *cudaEngine) headResults(out *HeadOutput, results cuda.Ptr, targets, rows int) error {
	size := targets + rows + len(out.Entropy)
	e.head.results = grow(e.head.results, size)
	if err := fetch(e, e.head.results, results); err != nil {
		return err
	}
	copy(out.LogProb, e.head.results)
	copy(out.LSE, e.head.results[targets:])
	copy(out.Entropy, e.head.results[targets+rows:])
	return nil
}

// LogProbsBack is the gradient of LogProbs. Logits are computed again, and become their
// own gradients chunk by chunk.
func (e *cudaEngine) LogProbsBack(dh, dw, h View, w Weight, targets []HeadTarget, lse, d []float64, temperature float64) {
	checkLogProbsBack(dh, dw, h, w, targets, lse, d, temperature)
	c := e.own(w)
	if h.Rows == 0 || c.out == 0 {
		e.Zero(dh)
		return
	}
	defer e.Reset(e.Mark())
	room := e.room().head(e, h.Rows, c.out, c.in, c.kind)
	height, width := e.room().headChunk(h.Rows, c.out, c.in, c.kind)
	at := e.stageTargets(targets, h.Rows)
	rows, values := e.stageDerivatives(lse, d, temperature)
	keep := 0
	if !dw.IsNone() {
		keep = 1
	}
	var p cudaHeadPart
	for f, ok := e.headRows(&p, h, height, &room); ok; f, ok = e.headRows(&p, h, height, &room) {
		for e.headLogits(&p, f, c, width, temperature, &room) {
			dz := e.factorOf(p.z, room.gradients)
			p.launch(e.kernel(kernelHeadGradient).view(p.z).view(room.gradients).i32(keep).i32(p.z.Cols).i32(p.z.Stride).
				i32(dz.stride).i32(p.row).i32(p.token).ptr(rows).ptr(at.start).ptr(at.tokens).ptr(values))
			e.headBack(dh, dw, h, c, &p, dz, &room)
		}
	}
}

// headBack takes the gradients of a chunk of logits into those of its rows and tokens.
func (e *cudaEngine) headBack(dh, dw, h View, w *cudaWeight, p *cudaHeadPart, dz cudaFactor, room *headRoom) {
	beta := float32(1)
	if p.token == 0 {
		beta = 0
	}
	e.times(dh.RowRange(p.row, p.row+p.rows), dz, w, p.token, p.end, beta, room.weight)
	if !dw.IsNone() {
		e.gemm(true, false, 1, p.z, h.RowRange(p.row, p.row+p.rows), 1, dw.RowRange(p.token, p.end))
	}
}

// stageDerivatives brings to the device what the gradient needs of rows and targets, the
// latter in the order in which they are indexed. The denominators' logarithms go in two
// parts, as their rounding would be an error of all probabilities.
func (e *cudaEngine) stageDerivatives(lse, d []float64, temperature float64) (rows, values cuda.Ptr) {
	s, inverse := &e.head, 1/temperature
	s.rows, s.values = grow(s.rows, len(lse)), grow(s.values, len(d))
	for i, t := range s.targets.order {
		s.values[i] = float32(d[t] * inverse)
	}
	for n, x := range lse {
		total := 0.0
		for _, t := range s.targets.of(n) {
			total += d[t]
		}
		most := float32(-x)
		s.rows[n] = cudaHeadRow{most, float32(-x - float64(most)), float32(-total * inverse)}
	}
	return stage(e, s.rows), stage(e, s.values)
}
