//go:build cuda && cgo

package lora_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// headRun is one call of the head and of its gradient on one engine.
type headRun struct {
	out    *lora.HeadOutput
	dh, dw []float32
}

// runHead computes the head of rows h and a weight w [vocab, dim] on an engine.
func runHead(t *testing.T, name string, h, w []float32, dim int, targets []lora.HeadTarget, d []float64, temperature float64) headRun {
	t.Helper()
	e, err := lora.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	rows, vocab := len(h)/dim, len(w)/dim
	hv, wv := e.NewView(rows, dim), e.NewView(vocab, dim)
	e.Write(hv, h)
	e.Write(wv, w)
	r := headRun{&lora.HeadOutput{LogProb: make([]float64, len(targets)), LSE: make([]float64, rows), Entropy: make([]float64, rows)},
		make([]float32, len(h)), make([]float32, len(w))}
	weight := e.ViewWeight(wv)
	if err := e.LogProbs(r.out, hv, weight, targets, temperature); err != nil {
		t.Fatal(err)
	}
	dh, dw := e.NewView(rows, dim), e.NewView(vocab, dim)
	e.LogProbsBack(dh, dw, hv, weight, targets, r.out.LSE, d, temperature)
	for _, o := range []struct {
		dst []float32
		src lora.View
	}{{r.dh, dh}, {r.dw, dw}} {
		if err := e.Read(o.dst, o.src); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// Rows and vocabularies on both sides of where the work is cut: blocks of 2048 tokens,
// chunks of 1024 rows and of some million logits. Many targets share a row and a token,
// and many rows have none.
func TestCUDAHeadAcrossChunks(t *testing.T) {
	requireGPU(t)
	for _, c := range []struct{ rows, vocab, dim int }{
		{3, 2047, 5}, {3, 2048, 5}, {3, 2049, 5}, {2, 4097, 3}, {1025, 40, 3}, {1030, 6147, 2}, {1, 152064, 2},
	} {
		t.Run(fmt.Sprint(c.rows, "x", c.vocab), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(6, uint64(c.vocab)))
			h, w := make([]float32, c.rows*c.dim), make([]float32, c.vocab*c.dim)
			for i := range h {
				h[i] = float32(rng.NormFloat64())
			}
			for i := range w {
				w[i] = float32(rng.NormFloat64())
			}
			var targets []lora.HeadTarget
			var d []float64
			for i := range 40 {
				target := lora.HeadTarget{Row: int32(rng.IntN(c.rows)), Token: int32(rng.IntN(c.vocab))}
				if i%4 == 3 {
					target = targets[i-1] // once more
				}
				targets, d = append(targets, target), append(d, rng.NormFloat64())
			}
			compareHeads(t, runHead(t, "cuda:0", h, w, c.dim, targets, d, 0.7), runHead(t, "cpu", h, w, c.dim, targets, d, 0.7), d)
		})
	}
}

// compareHeads holds a run to another. Logits of a few terms, none above 30, are known
// within 2⁻¹⁸, which is also the relative error of a probability; entropies weigh that
// with logarithms below 40. Sums over the vocabulary add the error of their own order.
func compareHeads(t *testing.T, got, want headRun, d []float64) {
	t.Helper()
	const logit = 0x1p-18
	near := func(what string, got, want []float64, bound float64) {
		t.Helper()
		for i := range want {
			if !(math.Abs(got[i]-want[i]) <= bound) {
				t.Fatalf("%s %d is %v, the CPU's %v", what, i, got[i], want[i])
			}
		}
	}
	near("log-probability", got.out.LogProb, want.out.LogProb, 2*logit)
	near("LSE", got.out.LSE, want.out.LSE, logit)
	near("entropy", got.out.Entropy, want.out.Entropy, 80*logit)
	total := 0.0
	for _, x := range d {
		total += math.Abs(x)
	}
	// |dlogit| sums to at most 2·Σ|d|/T over all rows, and no element of h or w exceeds 6.
	bound := 2 * total / 0.7 * 6 * 4 * logit
	near("dh", wide(got.dh), wide(want.dh), bound)
	near("dw", wide(got.dw), wide(want.dw), bound)
}

// wide returns numbers as float64.
func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// The head takes of the arena what a dry engine counts.
func TestCUDAHeadMemory(t *testing.T) {
	requireGPU(t)
	const vocab, dim = 4100, 8
	for _, name := range []string{"cuda:0", "cuda:0:f32"} {
		for _, kind := range []lora.Kind{lora.BF16, lora.NF4} {
			for _, rows := range []int{1, 70} {
				e, err := lora.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				w, err := e.NewWeight(lora.Tensor{Name: "head", DType: lora.DTypeBF16, Shape: []int{vocab, dim}, Data: make([]byte, 2*vocab*dim)}, kind)
				if err != nil {
					t.Fatal(err)
				}
				out := &lora.HeadOutput{LSE: make([]float64, rows)}
				run := func(e lora.Engine) int64 {
					h, dh := e.NewView(rows, dim), e.NewView(rows, dim)
					if err := e.LogProbs(out, h, w, nil, 1); err != nil {
						t.Fatal(err)
					}
					e.LogProbsBack(dh, lora.View{}, h, w, nil, out.LSE, nil, 1)
					return e.Stats().ArenaPeak
				}
				got, want := run(e), run(lora.Dry(e))
				if got != want || got == 0 {
					t.Errorf("%s, %v, %d rows: %d bytes of the arena, a dry run counts %d", name, kind, rows, got, want)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}
