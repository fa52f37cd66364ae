package lora

import "math"

// roundBF16 returns x rounded to the nearest bfloat16, ties to even. NaN stays NaN.
func roundBF16(x float32) float32 {
	b := math.Float32bits(x)
	if x != x {
		return math.Float32frombits(b | 1<<22)
	}
	b += 0x7fff + b>>16&1
	return math.Float32frombits(b &^ 0xffff)
}
