//go:build cuda && cgo

package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

var (
	kernelSampleSeen   = cuda.Kernel("sample", "sample_seen")
	kernelSampleSlices = cuda.Kernel("sample", "sample_slices")
	kernelSampleCount  = cuda.Kernel("sample", "sample_count")
	kernelSampleSelect = cuda.Kernel("sample", "sample_select")
	kernelSampleDraw   = cuda.Kernel("sample", "sample_draw")
	kernelSampleFinish = cuda.Kernel("sample", "sample_finish")
)

// cudaSample is what Sample keeps between calls, so that they allocate nothing.
type cudaSample struct {
	rows    []cudaSampling
	seen    []int32  // tokens that penalties apply to, row by row
	masks   []uint64 // of the rows that have one
	results []float64

	levels   int  // histograms that the rows' selections take
	filtered bool // a row is filtered
}

// cudaSampling is SampleRow of kernels/sample.cu.
type cudaSampling struct {
	topP                         float64
	key                          [2]uint32
	index, step                  uint32
	inverse, penalty, minShift   float32
	topK                         int32
	seen, seenEnd, allowed, kind int32
}

// How a row is drawn from, as kernels/sample.cu counts.
const (
	sampleGreedy = iota
	samplePlain
	sampleFiltered
)

// Sample draws a token a row.
func (e *cudaEngine) Sample(tokens []int32, logProbs []float64, logits View, rows []Sampling) error {
	checkSample(tokens, logProbs, logits, rows)
	if len(rows) == 0 {
		return nil
	}
	defer e.Reset(e.Mark())
	room := e.room().sample(e, logits.Rows, logits.Cols)
	results, err := e.outbox(4 * len(rows))
	if err != nil {
		return deviceError(err)
	}
	for r := 0; r < len(rows); r += cudaSampleRows {
		end := min(r+cudaSampleRows, len(rows))
		e.draw(results.Add(16*int64(r)), logits.RowRange(r, end), rows[r:end], &room)
	}
	s := &e.sample
	s.results = grow(s.results, 2*len(rows))
	if err := fetch(e, s.results, results); err != nil {
		return err
	}
	for i := range rows {
		tokens[i], logProbs[i] = int32(s.results[2*i+1]), s.results[2*i]
	}
	for i, t := range tokens {
		if t < 0 {
			return errNothingToDraw(i)
		}
	}
	return nil
}

// draw launches what draws from up to cudaSampleRows rows.
func (e *cudaEngine) draw(results cuda.Ptr, logits View, rows []Sampling, room *sampleRoom) {
	s := &e.sample
	s.set(rows, logits.Cols)
	how, masks := stage(e, s.rows), stage(e, s.masks)
	if len(s.seen) > 0 {
		seen := e.stage32(s.seen)
		e.kernel(kernelSampleSeen).view(room.seen).ptr(seen).ptr(how).i32(logits.Cols).
			launch(len(rows), 1, 1, cudaSampleThreads, 0)
	}
	slices := divideUp(logits.Cols, cudaSampleSlice)
	read := func(c *cudaCall) *cudaCall {
		return c.view(logits).i32(logits.Cols).i32(logits.Stride).ptr(how).view(room.seen).ptr(masks)
	}
	read(e.kernel(kernelSampleSlices).view(room.parts).view(room.searches).view(room.bins)).
		launch(slices, len(rows), 1, cudaSampleThreads, 0)
	for range s.levels {
		read(e.kernel(kernelSampleCount).view(room.bins).view(room.searches).view(room.parts)).
			launch(slices, len(rows), 1, cudaSampleThreads, 0)
		read(e.kernel(kernelSampleSelect).view(room.searches).view(room.bins)).
			launch(len(rows), 1, 1, cudaSampleThreads, 0)
	}
	if s.filtered {
		read(e.kernel(kernelSampleDraw).view(room.parts).view(room.searches)).
			launch(slices, len(rows), 1, cudaSampleThreads, 0)
	}
	e.kernel(kernelSampleFinish).ptr(results).view(room.parts).i32(slices).view(logits).i32(logits.Stride).ptr(how).
		i32(len(rows)).launch(divideUp(len(rows), cudaSampleThreads/32), 1, 1, cudaSampleThreads, 0)
}

// set makes the rows ready for the device, for a vocabulary.
func (s *cudaSample) set(rows []Sampling, vocab int) {
	s.rows, s.seen, s.masks = grow(s.rows, len(rows)), s.seen[:0], s.masks[:0]
	s.levels, s.filtered = 0, false
	for i := range rows {
		s.rows[i] = s.sampling(&rows[i], vocab)
	}
	const step = 4096 // so that a growing list seldom changes the size of what is staged
	for len(s.seen)%step != 0 {
		s.seen = append(s.seen, 0)
	}
}

// sampling makes one row ready.
func (s *cudaSample) sampling(c *Sampling, vocab int) cudaSampling {
	r := cudaSampling{key: c.Key.mixed(), index: c.Key.Index, step: c.Key.Step, inverse: 1, minShift: minusInf, allowed: -1}
	if c.Penalty != 0 && c.Penalty != 1 && len(c.Seen) > 0 {
		r.penalty, r.seen = float32(c.Penalty), int32(len(s.seen))
		s.seen = append(s.seen, c.Seen...)
		r.seenEnd = int32(len(s.seen))
	}
	if c.Allowed != nil {
		r.allowed = int32(2 * len(s.masks)) // the device counts words of 32 bits
		s.masks = append(s.masks, c.Allowed[:(vocab+63)/64]...)
	}
	if c.Temperature == 0 {
		return r
	}
	r.kind, r.inverse = samplePlain, float32(1/c.Temperature)
	levels := 0
	if c.TopK > 0 && c.TopK < vocab {
		r.topK, r.kind, levels = int32(c.TopK), sampleFiltered, 3
	}
	if c.TopP > 0 && c.TopP < 1 {
		r.topP, r.kind = c.TopP, sampleFiltered
		levels = max(3, levels/3*5) // the first histogram of top-k serves again
	}
	if c.MinP > 0 {
		r.minShift, r.kind = float32(math.Log(c.MinP)), sampleFiltered
	}
	s.levels, s.filtered = max(s.levels, levels), s.filtered || r.kind == sampleFiltered
	return r
}
