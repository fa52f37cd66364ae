package main

import "github.com/socialrl/socialrl/lora"

// work counts what a pass through the model computes.
type work struct {
	rows    int // tokens
	targets int // rows that the vocabulary is computed for
	pairs   int // rows and rows that they attend to
}

// sequenceWork is the work of n tokens in a row of which the last is read.
func sequenceWork(n int) work { return work{rows: n, targets: 1, pairs: n * (n + 1) / 2} }

// layerWeights returns the number of weights of all linear layers in the blocks.
func (b *bench) layerWeights() float64 {
	c := b.config
	heads := c.HeadDim * (2*c.Heads + 2*c.KVHeads)
	return float64(c.Layers) * float64(c.HiddenSize) * float64(heads+3*c.IntermediateSize)
}

// forward returns the floating-point operations of a forward pass: two for each
// weight and row, and for each pair and query head two products of a head's width.
func (b *bench) forward(w work) float64 {
	c := b.config
	head := float64(c.VocabSize) * float64(c.HiddenSize)
	pair := float64(c.Layers) * float64(c.Heads*c.HeadDim)
	return 2*float64(w.rows)*b.layerWeights() + 2*float64(w.targets)*head + 4*float64(w.pairs)*pair
}

// training returns the operations of a forward and a backward pass under an adapter:
// frozen layers pass gradients on and have none, so that their backward costs as much
// as their forward; the head computes its logits twice; attention goes back with five
// products for two.
func (b *bench) training(w work) float64 {
	c := b.config
	head := float64(c.VocabSize) * float64(c.HiddenSize)
	pair := float64(c.Layers) * float64(c.Heads*c.HeadDim)
	return 4*float64(w.rows)*b.layerWeights() + 6*float64(w.targets)*head + 14*float64(w.pairs)*pair
}

// arithmetic returns the operations a second that bound passes through the model.
func (b *bench) arithmetic() float64 {
	if b.kind == lora.F32 {
		return b.report.Limits.F32
	}
	return b.report.Limits.Arithmetic()
}

// streamed returns the bytes of weights that a step of decoding reads: all but an
// embedding that is not the head as well.
func (b *bench) streamed() int64 {
	bytes := b.base.Engine().Stats().Weights
	if !b.config.TieEmbeddings {
		each := int64(2)
		if b.kind == lora.F32 {
			each = 4
		}
		bytes -= each * int64(b.config.VocabSize) * int64(b.config.HiddenSize)
	}
	return bytes
}
