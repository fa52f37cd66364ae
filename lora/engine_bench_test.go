package lora_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// The shapes are those of Qwen2.5-0.5B: 14 query heads, 2 key heads of 64, width 896; as
// they are for weights of float32, and relaxed as for others.
var benchHeads = map[string]lora.HeadShape{
	"float32": {Heads: 14, KVHeads: 2, HeadDim: 64},
	"relaxed": {Heads: 14, KVHeads: 2, HeadDim: 64, Relaxed: true},
}

func openBench(b *testing.B) lora.Engine {
	b.Helper()
	e, err := lora.Open("cpu")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	return e
}

func randomView(e lora.Engine, rows, cols int) lora.View {
	rng := rand.New(rand.NewPCG(1, 1))
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(rng.NormFloat64())
	}
	v := e.NewView(rows, cols)
	e.Write(v, data)
	return v
}

// pairs counts the (query, key) pairs of a tree.
func pairs(t lora.Tree) int {
	total := 0
	for i, n := range t {
		total += int(n.Rows) * int(2*n.Len-n.Rows+1) / 2
		for p := t[i].Parent; p >= 0; p = t[p].Parent {
			total += int(n.Rows) * int(t[p].Len)
		}
	}
	return total
}

// group is a prompt with branches: P tokens, G branches of C.
func group(p, g, c int32) (t lora.Tree, rows int) {
	t = lora.Tree{{Parent: -1, Len: p, Rows: p}}
	for i := range g {
		t = append(t, lora.Node{Parent: 0, KV: p + i*c, Len: c, Q: p + i*c, Rows: c})
	}
	return t, int(p + g*c)
}

func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct {
		name    string
		p, g, c int32
	}{{"512", 512, 0, 0}, {"900+8x80", 900, 8, 80}} {
		tree, rows := group(c.p, c.g, c.c)
		e := openBench(b)
		q, k, v := randomView(e, rows, 896), randomView(e, rows, 128), randomView(e, rows, 128)
		o, lse := e.NewView(rows, 896), e.NewView(rows, 14)
		dq, dk, dv := e.NewView(rows, 896), e.NewView(rows, 128), e.NewView(rows, 128)
		flops := 4 * float64(pairs(tree)) * 896
		for name, shape := range benchHeads {
			b.Run("forward/"+c.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					e.Attention(o, lse, q, k, v, tree, shape)
				}
				report(b, flops)
			})
			b.Run("backward/"+c.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					e.AttentionBack(dq, dk, dv, q, o, lse, q, k, v, tree, shape)
				}
				report(b, 2.5*flops)
			})
		}
	}
}

// BenchmarkDecode is one step of 16 branches of one prompt.
func BenchmarkDecode(b *testing.B) {
	e := openBench(b)
	tree := lora.Tree{{Parent: -1, Len: 900}}
	for i := range int32(16) {
		tree = append(tree, lora.Node{Parent: 0, KV: 900 + 80*i, Len: 40, Q: i, Rows: 1})
	}
	q, k, v := randomView(e, 16, 896), randomView(e, 900+16*80, 128), randomView(e, 900+16*80, 128)
	o, lse := e.NewView(16, 896), e.NewView(16, 14)
	for name, shape := range benchHeads {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				e.Attention(o, lse, q, k, v, tree, shape)
			}
			report(b, 4*float64(pairs(tree))*896)
		})
	}
}

func report(b *testing.B, flops float64) {
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	b.ReportAllocs()
}

func BenchmarkHead(b *testing.B) {
	const rows, width, vocab = 64, 896, 32768
	e := openBench(b)
	h, w, dh := randomView(e, rows, width), e.ViewWeight(randomView(e, vocab, width)), e.NewView(rows, width)
	targets, d := make([]lora.HeadTarget, rows), make([]float64, rows)
	for i := range targets {
		targets[i], d[i] = lora.HeadTarget{Row: int32(i), Token: int32(i * 31)}, 1
	}
	out := &lora.HeadOutput{LogProb: make([]float64, rows), LSE: make([]float64, rows), Entropy: make([]float64, rows)}
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			_ = e.LogProbs(out, h, w, targets, 1)
		}
		report(b, 2*rows*width*vocab)
	})
	b.Run("backward", func(b *testing.B) {
		for b.Loop() {
			e.LogProbsBack(dh, lora.View{}, h, w, targets, out.LSE, d, 1)
		}
		report(b, 4*rows*width*vocab)
	})
}

func BenchmarkSample(b *testing.B) {
	e := openBench(b)
	logits := randomView(e, 16, 151936)
	tokens, lp, rows := make([]int32, 16), make([]float64, 16), make([]lora.Sampling, 16)
	for _, c := range []struct {
		name string
		s    lora.Sampling
	}{{"plain", lora.Sampling{Temperature: 1}}, {"top-p", lora.Sampling{Temperature: 0.7, TopK: 20, TopP: 0.8}}} {
		for i := range rows {
			rows[i] = c.s
			rows[i].Key.Index = uint32(i)
		}
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				_ = e.Sample(tokens, lp, logits, rows)
			}
			b.ReportAllocs()
		})
	}
}

// BenchmarkLinear multiplies 512 rows with the matrices of the model, the output matrix
// among them, in both precisions that they are trained under; share is the rate over what
// the processor can do.
func BenchmarkLinear(b *testing.B) {
	const rows, width, wide, vocab = 512, 896, 4864, 151936
	for _, c := range []struct {
		out, in int
		kinds   []lora.Kind
	}{
		{width, width, []lora.Kind{lora.F32, lora.BF16}}, {wide, width, []lora.Kind{lora.F32, lora.BF16}},
		{width, wide, []lora.Kind{lora.F32, lora.BF16}}, {vocab, width, []lora.Kind{lora.BF16}},
	} {
		for _, kind := range c.kinds {
			b.Run(fmt.Sprintf("%dx%dx%d/%v", rows, c.out, c.in, kind), func(b *testing.B) {
				e := openBench(b)
				w, err := e.NewWeight(lora.NewF32("w", []int{c.out, c.in}, make([]float32, c.out*c.in)), kind)
				if err != nil {
					b.Fatal(err)
				}
				x, y := randomView(e, rows, c.in), e.NewView(rows, c.out)
				flops := 2 * float64(rows) * float64(c.out) * float64(c.in)
				limits := e.(lora.Measurer).Limits()
				b.SetBytes(w.Bytes())
				b.ResetTimer()
				for b.Loop() {
					e.Linear(y, x, &lora.Linear{W: w}, lora.View{})
				}
				report(b, flops)
				peak := limits.F32
				if kind != lora.F32 {
					peak = limits.Arithmetic()
				}
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/peak, "share")
			})
		}
	}
}
