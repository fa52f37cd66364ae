package gemm

import (
	"math"
	"testing"
)

// All that is cut off of a number, below the first, the last and some other bfloat16 of
// a binary magnitude, is rounded by the kernels for tame numbers to nearest, ties to
// even: of magnitudes in the middle and next to the ends of what counts as tame. So is 0.
func TestTameNumbersRoundExactly(t *testing.T) {
	if testing.Short() {
		t.Skip("millions of numbers, one after another")
	}
	table := [16]float32{1: 1, 2: -1}
	const rows = 3 // 0, the scales, and their opposites
	var src [rows * NR / 2]byte
	for i := range src {
		src[i] = byte(i / (NR / 2) * 0x11)
	}
	for _, kern := range available {
		got, want := frame(rows, NR, 0), frame(rows, NR, 0).with(0)
		for _, exponent := range []uint32{7, 127, 226} {
			for _, upper := range []uint32{0, 1, 2, 63, 64, 126, 127} {
				for lower := uint32(0); lower < 1<<16; lower += NR {
					var scale [NR]float32
					for c := range scale {
						x := math.Float32frombits(exponent<<23 | upper<<16 | lower + uint32(c))
						scale[c] = x
						want.Row(1)[c], want.Row(2)[c] = RoundBF16.Round(x), RoundBF16.Round(-x)
					}
					kern.unpack[tame](&got.Data[0], &src[0], &scale[0], &table[0], rows)
					same(t, kern.name, got.Dense, want.Dense)
				}
			}
		}
	}
}
