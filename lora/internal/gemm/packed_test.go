package gemm

import (
	"fmt"
	"math"
	"testing"
)

func TestRowReturnsWhatWasPacked(t *testing.T) {
	for _, n := range []int{1, 31, 32, 33, 70} {
		for _, k := range []int{1, 2, 5, 16, 33, 64, 70} {
			w := frame(n, k, 3).noise(1)
			bits, wide := toBF16(w.Dense)
			odd := append([]uint16{0}, bits...)[1:] // perhaps not aligned to pairs
			for name, c := range map[string]struct {
				packed *Packed
				want   Dense
			}{
				"f32":         {PackF32(w.Dense), w.Dense},
				"bf16":        {PackBF16(bits, n, k), wide},
				"bf16 at odd": {PackBF16(odd, n, k), wide},
			} {
				what := fmt.Sprintf("%s %dx%d", name, n, k)
				got := frame(n, k, 1)
				for i := range n {
					c.packed.Row(i, got.Row(i))
				}
				same(t, what, got.Dense, c.want)
				got.checkGuards(t, what)
			}
		}
	}
}

func TestBytesCountsPadding(t *testing.T) {
	bits := make([]uint16, 64*64)
	for _, c := range []struct {
		packed *Packed
		want   int64
		why    string
	}{
		{PackF32(View(make([]float32, 64*64), 64, 64)), 64 * 64 * 4, "whole panels take what the values take"},
		{PackBF16(bits, 64, 64), 64 * 64 * 2, "bfloat16 takes half"},
		{PackBF16(bits, 33, 33), 64 * 64 * 2, "both sizes are rounded up to 32"},
		{PackF32(Dense{}), 0, "empty"},
	} {
		if got := c.packed.Bytes(); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.why, got, c.want)
		}
	}
}

// Every bfloat16, subnormals, infinities and NaN included, is widened exactly.
func TestWideningIsExact(t *testing.T) {
	bits := make([]uint16, 1<<16)
	for i := range bits {
		bits[i] = uint16(i)
	}
	p := PackBF16(bits, 256, 256)
	row := make([]float32, 256)
	for i := range 256 {
		p.Row(i, row)
		for k, v := range row {
			if want := uint32(i*256+k) << 16; math.Float32bits(v) != want {
				t.Fatalf("%#x widened to %#x", want>>16, math.Float32bits(v))
			}
		}
	}
}
