package gemm

import "math"

// ScaleBlock is the number of values that share a scale.
const ScaleBlock = 64

// nestedBlock is the number of 8-bit scales that share a scale of their own.
const nestedBlock = 256

// Scales holds the scale of every block of a quantised matrix: as they are in
// Values, or, where Values is nil, in 8 bits:
//
//	scale[b] = Map[Codes[b]]*Nested[b/256] + Offset // product and sum each rounded
type Scales struct {
	Values []float32
	Codes  []byte
	Map    *[256]float32
	Nested []float32
	Offset float32
}

// Len returns the number of blocks.
func (s *Scales) Len() int { return len(s.Values) + len(s.Codes) }

// At returns the scale of block b.
func (s *Scales) At(b int) float32 { return s.at(b, b) }

// at returns the scale of block b that is held at index i.
func (s *Scales) at(i, b int) float32 {
	if s.Values != nil {
		return s.Values[i]
	}
	return float32(s.Map[s.Codes[i]]*s.Nested[b/nestedBlock]) + s.Offset
}

// every sets dst to the scales of elements i, i+pitch, i+2*pitch, ...
func (s *Scales) every(dst []float32, i, pitch int) {
	if s.Values != nil {
		for c := range dst {
			dst[c] = s.Values[uint(i)/ScaleBlock]
			i += pitch
		}
		return
	}
	codes, numbers, nested, offset := s.Codes, s.Map, s.Nested, s.Offset
	for c := range dst {
		b := uint(i) / ScaleBlock
		dst[c] = float32(numbers[codes[b]]*nested[b/nestedBlock]) + offset
		i += pitch
	}
}

// bytes returns the memory in use.
func (s *Scales) bytes() int64 {
	n := int64(len(s.Values)+len(s.Nested))*4 + int64(len(s.Codes))
	if s.Map != nil {
		n += int64(len(s.Map)) * 4
	}
	return n
}

// check panics unless there are scales for a number of blocks.
func (s *Scales) check(blocks int) {
	ok := len(s.Values) >= blocks
	if s.Values == nil {
		ok = len(s.Codes) >= blocks && len(s.Nested)*nestedBlock >= blocks && (s.Map != nil || blocks == 0)
	}
	if !ok {
		panic("gemm: too few scales")
	}
}

// Rounding says to which type the numbers behind codes are rounded, to nearest
// with ties to even. They are computed with as float32 in any case.
type Rounding int

// The types that numbers are rounded to.
const (
	RoundNone Rounding = iota // float32, as the product leaves them
	RoundBF16                 // bfloat16
	RoundF16                  // IEEE 754 half precision
	roundings
)

// Round returns a finite x rounded.
func (r Rounding) Round(x float32) float32 {
	switch r {
	case RoundBF16:
		b := math.Float32bits(x)
		return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
	case RoundF16:
		return roundHalf(x)
	}
	return x
}

// roundHalf rounds to 11 significant bits, and to multiples of 2⁻²⁴ below 2⁻¹⁴.
func roundHalf(x float32) float32 {
	b := math.Float32bits(x)
	sign, size := b&(1<<31), b&^(1<<31)
	switch a := math.Float32frombits(size); {
	case a >= 65520: // halfway to 2¹⁶, which does not exist
		size = math.Float32bits(float32(math.Inf(1)))
	case a < 0x1p-14:
		size = math.Float32bits(float32(a+0.5) - 0.5) // the unit of float32 from 0.5 on is 2⁻²⁴
	default:
		size = (size + 0xfff + size>>13&1) &^ 0x1fff
	}
	return math.Float32frombits(sign | size)
}
