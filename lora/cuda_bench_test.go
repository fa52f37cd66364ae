//go:build cuda && cgo

package lora_test

import (
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// BenchmarkCUDAAttention is attention over a group of 16 replies of 128 tokens to a prompt
// of 2048, in 28 heads of 128 over 4 of keys, as a forest and as the flat batch of whole
// sequences: see internal/cuda/bench/torch.py for PyTorch's time of the latter.
func BenchmarkCUDAAttention(b *testing.B) {
	const prompt, replies, length = 2048, 16, 128
	forest, rows := group(prompt, replies, length)
	var flat lora.Tree
	for i := range int32(replies) {
		at := i * (prompt + length)
		flat = append(flat, lora.Node{Parent: -1, KV: at, Len: prompt + length, Q: at, Rows: prompt + length})
	}
	for _, c := range []struct {
		name string
		tree lora.Tree
		rows int
	}{{"forest", forest, rows}, {"flat", flat, replies * (prompt + length)}} {
		b.Run(c.name+"/forward", func(b *testing.B) { benchCUDAAttention(b, c.tree, c.rows, false) })
		b.Run(c.name+"/both", func(b *testing.B) { benchCUDAAttention(b, c.tree, c.rows, true) })
	}
}

func benchCUDAAttention(b *testing.B, tree lora.Tree, rows int, back bool) {
	e, err := lora.Open("cuda:0")
	if err != nil {
		b.Skip(err)
	}
	defer e.Close()
	s := lora.HeadShape{Heads: 28, KVHeads: 4, HeadDim: 128}
	width, keys := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	q, k, v := randomView(e, rows, width), randomView(e, rows, keys), randomView(e, rows, keys)
	o, lse, do := e.NewView(rows, width), e.NewView(rows, s.Heads), randomView(e, rows, width)
	dq, dk, dv := e.NewView(rows, width), e.NewView(rows, keys), e.NewView(rows, keys)
	step := func() {
		e.Attention(o, lse, q, k, v, tree, s)
		if back {
			e.AttentionBack(dq, dk, dv, do, o, lse, q, k, v, tree, s)
		}
		if err := e.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	step()
	for b.Loop() {
		step()
	}
	flops := 4 * float64(pairs(tree)) * float64(width)
	if back {
		flops *= 3.5 // five products of the gradient, two of attention
	}
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e12, "TFLOP/s")
}
