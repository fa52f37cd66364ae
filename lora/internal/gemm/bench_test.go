package gemm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// shapes are M × N × K of a 0.5B transformer at 512 tokens, a square, and
// decoding.
var shapes = [][3]int{
	{512, 896, 896}, {512, 4864, 896}, {512, 896, 4864}, {2048, 2048, 2048},
	{1, 4864, 896}, {8, 4864, 896}, {16, 4864, 896},
}

// report runs f, which does ops operations and reads bytes of weights, and
// reports the median rate.
func report(b *testing.B, ops, bytes float64, f func()) {
	f()
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		f()
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	seconds := times[len(times)/2].Seconds()
	b.ReportMetric(ops/seconds/1e9, "GFLOP/s")
	if bytes > 0 {
		b.ReportMetric(bytes/seconds/1e9, "GB/s")
	}
}

// onLines returns a matrix without gaps that begins on a cache line, as those of a model
// do.
func onLines(rows, cols int) framed {
	return framed{Dense: View(aligned(rows*cols), rows, cols)}
}

// eachPool runs f for every variant with one worker and with all.
func eachPool(b *testing.B, f func(b *testing.B, p *Pool)) {
	for _, v := range Variants() {
		for _, workers := range []int{1, 0} {
			p := open2(b, workers, v)
			b.Run(fmt.Sprintf("%s/%d", v, p.Workers()), func(b *testing.B) { f(b, p) })
		}
	}
}

func BenchmarkPeak(b *testing.B) {
	eachPool(b, func(b *testing.B, p *Pool) {
		var rates []float64
		for b.Loop() {
			rates = append(rates, Peak(p)/1e9)
		}
		slices.Sort(rates)
		b.ReportMetric(rates[len(rates)/2], "GFLOP/s")
	})
}

// everyForm returns what packs a matrix in each form that models are kept in, for pools
// of an order of codes.
func everyForm(n, k int) map[string]func(CodeOrder) *Packed {
	w, r := frame(n, k, 0).noise(2), rand.New(rand.NewPCG(1, 1))
	bits, _ := toBF16(w.Dense)
	return map[string]func(CodeOrder) *Packed{
		"f32":         func(CodeOrder) *Packed { return PackF32(w.Dense) },
		"bf16":        func(CodeOrder) *Packed { return PackBF16(bits, n, k) },
		"int8":        func(o CodeOrder) *Packed { return codedInt8(r, n, k, o).packed },
		"nf4":         func(o CodeOrder) *Packed { return codedNF4(r, n, k, RoundNone, true, o).packed },
		"nf4 to bf16": func(o CodeOrder) *Packed { return codedNF4(r, n, k, RoundBF16, true, o).packed },
	}
}

func BenchmarkMulT(b *testing.B) {
	for _, s := range shapes {
		m, n, k := s[0], s[1], s[2]
		x, y := onLines(m, k).noise(1), onLines(m, n)
		for name, pack := range everyForm(n, k) {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", m, n, k, name), func(b *testing.B) {
				eachPool(b, func(b *testing.B, p *Pool) {
					packed := pack(p.Order())
					report(b, 2*float64(m)*float64(n)*float64(k), float64(packed.Bytes()), func() {
						MulT(y.Dense, x.Dense, packed, 1, 0, p)
					})
				})
			})
		}
	}
}

func BenchmarkMul(b *testing.B) {
	for _, s := range shapes[:3] {
		m, n, k := s[0], s[1], s[2]
		dx, dy := onLines(m, k), onLines(m, n).noise(1)
		for name, pack := range everyForm(n, k) {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", m, n, k, name), func(b *testing.B) {
				eachPool(b, func(b *testing.B, p *Pool) {
					packed := pack(p.Order())
					report(b, 2*float64(m)*float64(n)*float64(k), 0, func() { Mul(dx.Dense, dy.Dense, packed, 1, 0, p) })
				})
			})
		}
	}
}

// Plain matrices: a square, and the products of an adapter of rank 8.
func BenchmarkGemm(b *testing.B) {
	for _, c := range []struct {
		m, n, k int
		ta, tb  bool
	}{
		{1024, 1024, 1024, false, false}, {1024, 1024, 1024, true, true},
		{512, 8, 896, false, true}, {512, 896, 8, false, true}, {8, 896, 512, true, false},
	} {
		a, bb, y := onLines(c.m, c.k).noise(1).Dense, onLines(c.k, c.n).noise(2).Dense, onLines(c.m, c.n).Dense
		if c.ta {
			a = transposed(a)
		}
		if c.tb {
			bb = transposed(bb)
		}
		b.Run(fmt.Sprintf("%dx%dx%d/%v/%v", c.m, c.n, c.k, c.ta, c.tb), func(b *testing.B) {
			eachPool(b, func(b *testing.B, p *Pool) {
				report(b, 2*float64(c.m)*float64(c.n)*float64(c.k), 0, func() { Gemm(c.ta, c.tb, 1, a, bb, 0, y, p) })
			})
		})
	}
}

// Decoding reads weights that no cache holds: 64 matrices in turn, as the layers
// of a model follow each other.
func BenchmarkStream(b *testing.B) {
	const n, k = 4864, 896
	for name, pack := range everyForm(n, k) {
		b.Run(name, func(b *testing.B) {
			made := map[CodeOrder][]*Packed{}
			layersOf := func(order CodeOrder) []*Packed {
				for len(made[order]) < 64 {
					made[order] = append(made[order], pack(order))
				}
				return made[order]
			}
			for _, m := range []int{1, 2, 4, 8, 16, 24, 32, 48, 64} {
				x, y := onLines(m, k).noise(1).Dense, onLines(m, n).Dense
				b.Run(fmt.Sprint(m), func(b *testing.B) {
					eachPool(b, func(b *testing.B, p *Pool) {
						layers := layersOf(p.Order())
						bytes := float64(len(layers)) * float64(layers[0].Bytes())
						report(b, 2*float64(len(layers))*float64(m)*n*k, bytes, func() {
							for _, w := range layers {
								MulT(y, x, w, 1, 0, p)
							}
						})
					})
				})
			}
		})
	}
}
