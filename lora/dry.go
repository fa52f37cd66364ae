package lora

// dry is what [Dry] returns. What it lacks belongs to the other engine, which refuses
// views of this one.
type dry struct {
	Engine
	arenaCount
	needs scratcher
}

// Dry returns an engine that computes nothing in place of e: its operations only go
// through the arena as e's do, so that Stats().ArenaPeak says afterwards what the same
// calls take there. Views and weights of e may be arguments; no number is read or
// written. What a forward and a backward pass call is there, and nothing else.
func Dry(e Engine) Engine {
	d := &dry{Engine: e, arenaCount: arenaCount{size: 4}, needs: noScratch{}}
	if n, ok := e.(scratcher); ok {
		d.needs = n
	}
	if s, ok := e.(interface{ elementSize() int64 }); ok {
		d.size = s.elementSize()
	}
	return d
}

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
	attentionBackScratch(m arena, q View, s HeadShape)
	headScratch(m arena, h View, w Weight)
}

// noScratch is what an engine needs whose operations take no room.
type noScratch struct{}

func (noScratch) linearScratch(arena, View, *Linear)                 {}
func (noScratch) linearBackScratch(arena, View, View, View, *Linear) {}
func (noScratch) rmsNormBackScratch(arena, View)                     {}
func (noScratch) attentionBackScratch(arena, View, HeadShape)        {}
func (noScratch) headScratch(arena, View, Weight)                    {}

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

// Stats returns what was counted.
func (c *arenaCount) Stats() MemoryStats {
	return MemoryStats{Arena: int64(c.end) * c.size, ArenaPeak: int64(c.peak) * c.size}
}

// Name says in place of which engine this is.
func (d *dry) Name() string { return "dry " + d.Engine.Name() }

// The methods below are those of the engine interfaces without their work.

func (d *dry) Temp(rows, cols int) View { return d.arenaCount.Temp(rows, cols) }
func (d *dry) Mark() Mark               { return d.arenaCount.Mark() }
func (d *dry) Reset(to Mark)            { d.arenaCount.Reset(to) }
func (d *dry) Reserve(bytes int64)      { d.arenaCount.Reserve(bytes) }
func (d *dry) Stats() MemoryStats       { return d.arenaCount.Stats() }
func (d *dry) Sync() error              { return nil }
func (d *dry) Close() error             { return nil }

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

func (d *dry) RMSNormBack(_, _, x, _, _ View, _ float64)         { d.needs.rmsNormBackScratch(d, x) }
func (d *dry) RotaryTable(View, View, []int32, []float32)        {}
func (d *dry) Rotary(View, View, View, int, bool)                {}
func (d *dry) SwiGLU(View, View, View)                           {}
func (d *dry) SwiGLUBack(View, View, View, View, View)           {}
func (d *dry) Linear(_, x View, l *Linear, _ View)               { d.needs.linearScratch(d, x, l) }
func (d *dry) Attention(_, _, _, _, _ View, _ Tree, _ HeadShape) {}

func (d *dry) LinearBack(dx, dy, x View, l *Linear, _ View, _ bool) {
	d.needs.linearBackScratch(d, dx, dy, x, l)
}

func (d *dry) AttentionBack(_, _, _, _, _, _, q, _, _ View, _ Tree, s HeadShape) {
	d.needs.attentionBackScratch(d, q, s)
}

func (d *dry) LogProbs(_ *HeadOutput, h View, w Weight, _ []HeadTarget, _ float64) error {
	d.needs.headScratch(d, h, w)
	return nil
}

func (d *dry) LogProbsBack(_, _, h View, w Weight, _ []HeadTarget, _, _ []float64, _ float64) {
	d.needs.headScratch(d, h, w)
}
