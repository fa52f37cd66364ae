package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/socialrl/socialrl/lora"
)

// shape is a product y [m, n] = x [m, k] · w [n, k]ᵀ.
type shape struct{ m, n, k int }

// products returns the jobs that measure one product each: those of the model's
// blocks over many rows, a square, the head, and one of few rows whose weights stay in
// the caches.
func (b *bench) products() []job {
	c, m := b.config, b.read
	large := []shape{{m, c.HiddenSize, c.HiddenSize}, {m, c.IntermediateSize, c.HiddenSize}, {m, c.HiddenSize, c.IntermediateSize}, {b.square, b.square, b.square}}
	var jobs []job
	add := func(kind lora.Kind, note string, streamed bool, s shape) {
		name := fmt.Sprintf("gemm %dx%dx%d%s", s.m, s.n, s.k, note)
		jobs = append(jobs, job{name: name, kind: kind, run: func(b *bench, ctx context.Context, j job) ([]line, error) {
			return b.product(ctx, j, s, streamed)
		}})
	}
	for _, s := range large {
		add(lora.F32, "", true, s)
	}
	for _, s := range append(large, shape{m, c.VocabSize, c.HiddenSize}) {
		add(lora.BF16, "", true, s)
	}
	add(lora.BF16, " in cache", false, shape{8, c.IntermediateSize, c.HiddenSize})
	add(lora.BF16, "", true, shape{8, c.IntermediateSize, c.HiddenSize})
	return jobs
}

// streamedBytes is how much weight is gone through before a matrix comes again in rows
// that read weights from memory: more than caches hold.
const streamedBytes = 512 << 20

// product measures a linear layer.
func (b *bench) product(ctx context.Context, j job, s shape, streamed bool) ([]line, error) {
	eng, err := lora.Open(b.device)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	copies := 1
	if streamed {
		copies = max(1, streamedBytes/(s.n*s.k*map[lora.Kind]int{lora.F32: 4, lora.BF16: 2}[j.kind]))
	}
	layers, err := b.layers(ctx, eng, j.kind, s, min(copies, 512))
	if err != nil {
		return nil, err
	}
	x, y := eng.NewView(s.m, s.k), eng.NewView(s.m, s.n)
	eng.Write(x, b.noise(s.m*s.k))
	count := b.perRepetition(s)
	seconds, err := b.repeat(ctx, passes(eng, layers, x, y, count))
	if err != nil {
		return nil, err
	}
	flops := 2 * float64(s.m) * float64(s.n) * float64(s.k)
	bytes := layers[0].W.Bytes()
	limit, of := b.productLimit(j.kind, flops, float64(bytes), streamed)
	l := newLine(j.name, "GFLOP/s", rates(flops*float64(count)/1e9, seconds), limit/1e9, of)
	l.Bytes = bytes
	return []line{l}, nil
}

// layers makes several weights of one shape.
func (b *bench) layers(ctx context.Context, eng lora.Engine, kind lora.Kind, s shape, n int) ([]lora.Linear, error) {
	source := lora.NewF32("w", []int{s.n, s.k}, b.noise(s.n*s.k))
	if kind == lora.BF16 {
		source = lora.NewBF16("w", []int{s.n, s.k}, b.noise(s.n*s.k))
	}
	layers := make([]lora.Linear, n)
	for i := range layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w, err := eng.NewWeight(source, kind)
		if err != nil {
			return nil, err
		}
		layers[i].W = w
	}
	return layers, nil
}

// perRepetition returns how many products a repetition takes: of small ones as many
// as last some milliseconds.
func (b *bench) perRepetition(s shape) int {
	flops := 1e9 * min(1, b.time.Seconds())
	return max(1, int(flops/(2*float64(s.m)*float64(s.n)*float64(s.k))))
}

// passes returns what computes the next n products, through the layers in turn.
func passes(eng lora.Engine, layers []lora.Linear, x, y lora.View, n int) func() error {
	next := 0
	return func() error {
		for range n {
			eng.Linear(y, x, &layers[next], lora.View{})
			next = (next + 1) % len(layers)
		}
		return eng.Sync()
	}
}

// productLimit returns the rate that arithmetic and, where weights are streamed, memory
// leave a product, in operations a second, and which of the two it is.
func (b *bench) productLimit(kind lora.Kind, flops, bytes float64, streamed bool) (float64, string) {
	l := b.report.Limits
	compute := l.F32
	if kind != lora.F32 {
		compute = l.Arithmetic()
	}
	if memory := l.Read * flops / bytes; streamed && memory < compute {
		return memory, ofRead
	}
	return compute, ofArithmetic
}

// noise returns n numbers between -1 and 1.
func (b *bench) noise(n int) []float32 {
	rng := rand.New(rand.NewPCG(b.seed, uint64(n)))
	out := make([]float32, n)
	for i := range out {
		out[i] = 2*rng.Float32() - 1
	}
	return out
}
