package lora

import "gorgonia.org/tensor"

// dry is what [Dry] and [OpenDry] return.
type dry struct {
	tensor.Engine
	holder
	arenaCount
	needs scratcher
	name  string
}

var _ Engine = (*dry)(nil)

// holder is the part of [Memory] that makes what lasts.
type holder interface {
	NewView(rows, cols int) View
	FreeView(View)
	NewWeight(t Tensor, kind Kind) (Weight, error)
	ViewWeight(v View) Weight
	Stats() MemoryStats
}

// Dry returns an engine that computes nothing in place of e: its operations only go
// through the arena as e's do, so that Stats().ArenaPeak says afterwards what the same
// calls take there. Views and weights are e's own; no number is read or written.
func Dry(e Engine) Engine {
	d := &dry{Engine: e, holder: e, arenaCount: arenaCount{size: 4}, needs: noScratch{}, name: "dry " + e.Name()}
	if of, ok := e.(*dry); ok {
		d.needs, d.name, d.size = of.needs, of.name, of.size
		return d
	}
	d.needs = scratcherOf(e)
	if s, ok := e.(interface{ elementSize() int64 }); ok {
		d.size = s.elementSize()
	}
	return d
}

// scratcherOf returns what knows the needs of an engine.
func scratcherOf(e Engine) scratcher {
	switch n := e.(type) {
	case *dry:
		return n.needs
	case scratcher:
		return n
	case interface{ room() cudaRoom }:
		return n.room()
	case interface{ room() cpuRoom }:
		return n.room()
	}
	return noScratch{}
}

// RowsForSpeed returns the number of rows from which on an engine's products run at about
// their full speed: a batch of several times as many can as well be computed in parts.
func RowsForSpeed(e Engine) int { return scratcherOf(e).rowsForSpeed() }

// arena is the part of [Memory] that hands out room for a while.
type arena interface {
	Temp(rows, cols int) View
	Mark() Mark
	Reset(Mark)
}

// scratcher is an engine whose operations take room in the arena for themselves; each
// of these functions takes it in m and gives it back.
type scratcher interface {
	linearScratch(m arena, x View, l *Linear)
	linearBackScratch(m arena, dx, dy, x View, l *Linear)
	rmsNormBackScratch(m arena, x View)
	attentionScratch(m arena, q View, t Tree, s HeadShape)
	attentionBackScratch(m arena, q View, t Tree, s HeadShape)
	headScratch(m arena, h View, w Weight)
	sampleScratch(m arena, logits View)

	rowsForSpeed() int // see RowsForSpeed
}

// noScratch is what an engine needs whose operations take no room.
type noScratch struct{}

func (noScratch) rowsForSpeed() int                                  { return 1 }
func (noScratch) linearScratch(arena, View, *Linear)                 {}
func (noScratch) linearBackScratch(arena, View, View, View, *Linear) {}
func (noScratch) rmsNormBackScratch(arena, View)                     {}
func (noScratch) attentionScratch(arena, View, Tree, HeadShape)      {}
func (noScratch) attentionBackScratch(arena, View, Tree, HeadShape)  {}
func (noScratch) headScratch(arena, View, Weight)                    {}
func (noScratch) sampleScratch(arena, View)                          {}

// arenaCount is an arena without memory.
type arenaCount struct {
	size      int64 // bytes of an element
	end, peak int
}

// dryBuffer is the memory of a view that has none.
type dryBuffer struct{}

// Len returns 0.
func (dryBuffer) Len() int { return 0 }

// Temp counts a matrix.
func (c *arenaCount) Temp(rows, cols int) View {
	c.end += arenaElements(rows, cols)
	c.peak = max(c.peak, c.end)
	return View{Buf: dryBuffer{}, Rows: rows, Cols: cols, Stride: cols}
}

// Mark returns the arena's present end.
func (c *arenaCount) Mark() Mark { return Mark(c.end) }

// Reset takes back what was counted since the mark.
func (c *arenaCount) Reset(to Mark) { c.end = int(to) }

// Reserve does nothing.
func (c *arenaCount) Reserve(int64) {}

// Name says in place of which engine this is.
func (d *dry) Name() string { return d.name }

// Stats returns what was counted in the arena, beside what the holder holds.
func (d *dry) Stats() MemoryStats {
	s := d.holder.Stats()
	s.Arena, s.ArenaPeak = int64(d.end)*d.size, int64(d.peak)*d.size
	return s
}

// The methods below are those of the engine interfaces without their work.

func (d *dry) Sync() error  { return nil }
func (d *dry) Close() error { return nil }

func (d *dry) Write(View, []float32)      {}
func (d *dry) Read([]float32, View) error { return nil }

func (d *dry) Zero(View)                         {}
func (d *dry) Copy(View, View)                   {}
func (d *dry) Accumulate(View, View)             {}
func (d *dry) Scale(View, float64)               {}
func (d *dry) SumSquares(View) (float64, error)  { return 0, nil }
func (d *dry) Gather(View, Weight, []int32)      {}
func (d *dry) ScatterAdd(View, View, []int32)    {}
func (d *dry) Pick(View, View, []int32)          {}
func (d *dry) Put(View, View, []int32)           {}
func (d *dry) RMSNorm(View, View, View, float64) {}

func (d *dry) RMSNormBack(_, _, x, _, _ View, _ float64)  { d.needs.rmsNormBackScratch(d, x) }
func (d *dry) RotaryTable(View, View, []int32, []float32) {}
func (d *dry) Rotary(View, View, View, int, bool)         {}
func (d *dry) SwiGLU(View, View, View)                    {}
func (d *dry) SwiGLUBack(View, View, View, View, View)    {}
func (d *dry) Linear(_, x View, l *Linear, _ View)        { d.needs.linearScratch(d, x, l) }

func (d *dry) LinearBack(dx, dy, x View, l *Linear, _ View, _ bool) {
	d.needs.linearBackScratch(d, dx, dy, x, l)
}

func (d *dry) Attention(_, _, q, _, _ View, t Tree, s HeadShape) {
	d.needs.attentionScratch(d, q, t, s)
}

func (d *dry) AttentionBack(_, _, _, _, _, _, q, _, _ View, t Tree, s HeadShape) {
	d.needs.attentionBackScratch(d, q, t, s)
}

func (d *dry) LogProbs(_ *HeadOutput, h View, w Weight, _ []HeadTarget, _ float64) error {
	d.needs.headScratch(d, h, w)
	return nil
}

func (d *dry) LogProbsBack(_, _, h View, w Weight, _ []HeadTarget, _, _ []float64, _ float64) {
	d.needs.headScratch(d, h, w)
}

func (d *dry) Sample(_ []int32, _ []float64, logits View, _ []Sampling) error {
	d.needs.sampleScratch(d, logits)
	return nil
}

func (d *dry) AdamWStep(View, View, View, View, AdamWStep) {}
