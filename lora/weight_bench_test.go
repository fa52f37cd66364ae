package lora_test

import (
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// BenchmarkNewWeight makes a weight of each kind of a bfloat16 matrix of
// Qwen2.5-0.5B.
func BenchmarkNewWeight(b *testing.B) {
	source := noiseTensor(lora.DTypeBF16, 4864, 896)
	for _, kind := range lora.Kinds() {
		b.Run(kind.String(), func(b *testing.B) {
			e := openBench(b)
			b.SetBytes(int64(source.Elems()))
			for b.Loop() {
				w, err := e.NewWeight(source, kind)
				if err != nil {
					b.Fatal(err)
				}
				w.Release()
			}
		})
	}
}

// BenchmarkDecodeLinear is the linear layers' share of a step of one and of four
// streams: 64 matrices in turn, more than a cache holds.
func BenchmarkDecodeLinear(b *testing.B) {
	source := noiseTensor(lora.DTypeBF16, 4864, 896)
	for _, kind := range lora.Kinds() {
		e := openBench(b)
		var layers [64]lora.Linear
		for i := range layers {
			w, err := e.NewWeight(source, kind)
			if err != nil {
				b.Fatal(err)
			}
			layers[i].W = w
		}
		for _, rows := range []int{1, 4} {
			x, y := randomView(e, rows, 896), e.NewView(rows, 4864)
			b.Run(kind.String()+map[int]string{1: "/1", 4: "/4"}[rows], func(b *testing.B) {
				b.SetBytes(int64(len(layers)) * layers[0].W.Bytes())
				for b.Loop() {
					for i := range layers {
						e.Linear(y, x, &layers[i], lora.View{})
					}
				}
				report(b, 2*float64(len(layers)*rows*source.Elems()))
			})
		}
	}
}
