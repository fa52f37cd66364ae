package lora

import "github.com/socialrl/socialrl/lora/internal/gemm"

// cpuRoom knows the room that operations of an engine on the host's processor take.
type cpuRoom struct {
	split bool // attention's gradient goes by split factors where that is allowed
}

var _ scratcher = cpuRoom{}

// roomOf returns the room of a variant.
func roomOf(variant string) cpuRoom { return cpuRoom{split: gemm.SplitsOf(variant)} }

// rowsForSpeed is where the unpacking of a weight is worth its product.
func (cpuRoom) rowsForSpeed() int { return 256 }

// linearScratch is the room of Linear: its input after dropout.
func (cpuRoom) linearScratch(m arena, x View, l *Linear) {
	defer m.Reset(m.Mark())
	if l.branch() && l.Drop.P > 0 {
		m.Temp(x.Rows, x.Cols)
	}
}

// linearBackScratch is the room of LinearBack: the gradient of the low-rank
// activations and, with dropout, the input after it and then its gradient.
func (cpuRoom) linearBackScratch(m arena, dx, dy, x View, l *Linear) {
	if !l.branch() {
		return
	}
	defer m.Reset(m.Mark())
	m.Temp(dy.Rows, l.A.Rows)
	if l.Drop.P == 0 {
		return
	}
	if !l.DA.IsNone() {
		mark := m.Mark()
		m.Temp(x.Rows, x.Cols)
		m.Reset(mark)
	}
	if !dx.IsNone() {
		m.Temp(dx.Rows, dx.Cols)
	}
}

// rmsNormBackScratch is the room of RMSNormBack: a number for each row.
func (cpuRoom) rmsNormBackScratch(m arena, x View) {
	defer m.Reset(m.Mark())
	m.Temp(1, x.Rows)
}

// attentionScratch is the room of Attention: none, workers have their own.
func (cpuRoom) attentionScratch(arena, View, Tree, HeadShape) {}

// attentionBackScratch is the room of AttentionBack: queries, their gradients and those
// of outputs, head by head.
func (c cpuRoom) attentionBackScratch(m arena, q View, t Tree, s HeadShape) {
	defer m.Reset(m.Mark())
	if !c.split || !s.Relaxed {
		backRoom(m, q.Rows, s)
		return
	}
	var l treeLayout
	l.set(t, q.Rows)
	splitRoom(m, splitPositions(t, &l, s.Heads/s.KVHeads, nil), s)
}

// headScratch is the room of LogProbs and LogProbsBack: a chunk of logits.
func (cpuRoom) headScratch(m arena, h View, w Weight) {
	defer m.Reset(m.Mark())
	rows, cols := headChunkShape(h.Rows, w.Out())
	m.Temp(1, rows*cols)
}
