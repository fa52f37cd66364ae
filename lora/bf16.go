package lora

import "math"

// bf16Bits returns x rounded to the nearest bfloat16, ties to even. NaN stays NaN.
func bf16Bits(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16 | 1<<6)
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// roundBF16 returns the bfloat16 nearest to x as a float32.
func roundBF16(x float32) float32 { return math.Float32frombits(uint32(bf16Bits(x)) << 16) }
