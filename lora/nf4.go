package lora

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// NF4State turns the codes of a matrix in 4 bits into numbers:
//
//	value[i] = round(Map[code[i]] · scale[i/64])
//	scale[b] = Absmax[b], or with double quantisation
//	scale[b] = NestedMap[AbsmaxCodes[b]] · NestedAbsmax[b/256] + Offset
//
// for the elements i of the matrix in row-major order, each operation in float32.
// Dettmers et al., QLoRA, 2023, as bitsandbytes stores it.
type NF4State struct {
	// Map holds the number behind each code, ascending.
	Map [16]float32
	// Absmax holds the scale of each block of 64 elements, the largest magnitude in
	// it; nil with double quantisation.
	Absmax []float32
	// AbsmaxCodes holds the scales in 8 bits. A weight made of the tensor keeps them.
	AbsmaxCodes []byte
	// NestedMap holds the number behind each code of a scale.
	NestedMap [256]float32
	// NestedAbsmax holds the scale of each block of 256 scales.
	NestedAbsmax []float32
	// Offset is added to every scale: the mean of all.
	Offset float32
	// Round is the type that values are rounded to: DTypeF32, which rounds no more,
	// DTypeBF16 or DTypeF16.
	Round DType
}

// nf4Map holds the numbers of NF4: quantiles of the normal distribution, scaled to
// [-1, 1], with an exact 0.
var nf4Map = [16]float32{
	-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
	-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
}

// nf4NestedMap is the signed dynamic map of 8 bits (Dettmers et al., 8-bit
// Optimizers via Block-wise Quantization, 2022): for each power of ten from 10⁻⁶ to
// 1 the midpoints of 2ⁱ equal parts of [0.1, 1], i = 0..6, with both signs; 0 and 1.
var nf4NestedMap = sync.OnceValue(func() (m [256]float32) {
	numbers := []float32{0, 1}
	for i := range 7 {
		parts := 1 << i
		for j := range parts {
			middle := 0.1 + 0.9*(float64(j)+0.5)/float64(parts)
			x := float32(middle * math.Pow10(i-6))
			numbers = append(numbers, x, -x)
		}
	}
	slices.Sort(numbers)
	copy(m[:], numbers)
	return m
})

const (
	nf4Block       = gemm.ScaleBlock // elements that share a scale
	nf4NestedBlock = 256             // scales that share one
)

// QuantizeNF4 returns a matrix of floating type in 4 bits: Data holds two codes a
// byte, the first in the upper half, and NF4 the scales, themselves in 8 bits where
// double is set. The nearest number wins, the lower one of two as near. Values
// round to the tensor's own type where that is BF16 or F16, as bitsandbytes does.
// A matrix already in 4 bits is returned as it is. An element that is not finite is
// an error that names it.
func QuantizeNF4(t Tensor, double bool) (Tensor, error) {
	if t.NF4 != nil {
		return t, nil
	}
	s, err := newNF4State(t)
	if err != nil {
		return Tensor{}, err
	}
	codes := make([]byte, (t.Elems()+1)/2)
	inParallel(len(s.Absmax), func(b int) {
		var pair [nf4Block]byte
		lo := b * nf4Block
		some := pair[:min(nf4Block, t.Elems()-lo)]
		s.quantize(t, some, lo)
		packPairs(codes[lo/2:], some)
	})
	if err := allFinite(t, s.Absmax); err != nil {
		return Tensor{}, err
	}
	if double {
		s.nest()
	}
	return Tensor{Name: t.Name, DType: DTypeU8, Shape: t.Shape, Data: codes, NF4: s}, nil
}

// newNF4State returns the state of a matrix of floating type, with room for its scales.
func newNF4State(t Tensor) (*NF4State, error) {
	if err := t.stFloating(); err != nil {
		return nil, err
	}
	return &NF4State{Map: nf4Map, Absmax: make([]float32, (t.Elems()+nf4Block-1)/nf4Block), Round: t.DType}, nil
}

// quantize sets the codes of elements first, first+1, ... of a tensor, one a byte, and
// the scales of their blocks. first is the beginning of a block.
func (s *NF4State) quantize(t Tensor, codes []byte, first int) {
	var block [nf4Block]float32
	for at := 0; at < len(codes); at += nf4Block {
		n := min(nf4Block, len(codes)-at)
		values := block[:n]
		t.stDecode(values, first+at)
		top := absmax(values)
		s.Absmax[(first+at)/nf4Block] = top
		nf4Codes(codes[at:at+n], values, top)
	}
}

// packPairs packs codes two a byte, the first in the upper half.
func packPairs(dst, codes []byte) {
	for i, code := range codes {
		if i%2 == 0 {
			dst[i/2] = code << 4
		} else {
			dst[i/2] |= code
		}
	}
}

// nf4Codes sets the codes of a block of the given scale; they mean nothing where that
// is not finite.
func nf4Codes(codes []byte, values []float32, scale float32) {
	if scale == 0 {
		scale = 1
	}
	if !isFinite(scale) {
		return
	}
	values = values[:len(codes)]
	for i, x := range values {
		codes[i] = nf4Code(x / scale)
	}
}

// nf4Code returns the code of y, within [-1, 1].
func nf4Code(y float32) byte {
	code := nf4Guess[int((y+1)*(nf4Buckets/2))]
	if code >= nf4Unsure {
		return nf4Nearest(code-nf4Unsure, y)
	}
	return code
}

// nf4Nearest returns code or the one above it, whichever is closer to y.
func nf4Nearest(code byte, y float32) byte {
	if nf4Map[code+1]-y < y-nf4Map[code] {
		code++
	}
	return code
}

const (
	// nf4Buckets is the number of equal parts of [-1, 1]. In most of them one code is
	// the nearest; the others hold the middle between two neighbours.
	nf4Buckets = 1 << 11
	nf4Unsure  = 16 // added to the lower of two codes
)

// nf4Guess holds each part's code; the last entry is for 1 itself. Parts are taken with
// a margin on both sides, for the rounding of a number's own part.
var nf4Guess = func() (guess [nf4Buckets + 1]byte) {
	const margin = 0.25
	for i := range guess {
		at := func(x float64) float32 { return float32(min(max(x*2/nf4Buckets-1, -1), 1)) }
		lower := nearest(nf4Map[:], at(float64(i)-margin))
		guess[i] = byte(lower)
		if nearest(nf4Map[:], at(float64(i)+1+margin)) != lower {
			guess[i] += nf4Unsure
		}
	}
	return guess
}()

// nearest returns the index of the number closest to x, the lower of two as close.
func nearest(ascending []float32, x float32) int {
	lo, hi := 0, len(ascending)-1
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; x < ascending[mid] {
			hi = mid
		} else {
			lo = mid
		}
	}
	if ascending[hi]-x < x-ascending[lo] {
		return hi
	}
	return lo
}

// nest replaces the scales by codes of 8 bits.
func (s *NF4State) nest() {
	scales := s.Absmax
	sum := 0.0
	for _, x := range scales {
		sum += float64(x)
	}
	if len(scales) > 0 {
		s.Offset = float32(sum / float64(len(scales)))
	}
	blocks := (len(scales) + nf4NestedBlock - 1) / nf4NestedBlock
	s.Absmax, s.AbsmaxCodes, s.NestedMap = nil, make([]byte, len(scales)), nf4NestedMap()
	s.NestedAbsmax = make([]float32, blocks)
	inParallel(blocks, func(b int) {
		lo, hi := b*nf4NestedBlock, min((b+1)*nf4NestedBlock, len(scales))
		s.NestedAbsmax[b] = s.nestBlock(s.AbsmaxCodes[lo:hi], scales[lo:hi])
	})
}

// nestBlock sets the codes of a block of scales and returns the scale of the block.
func (s *NF4State) nestBlock(codes []byte, scales []float32) float32 {
	var moved [nf4NestedBlock]float32
	block := moved[:len(scales)]
	for i, x := range scales {
		block[i] = x - s.Offset
	}
	top := absmax(block)
	for i, x := range block {
		if top > 0 {
			x /= top
		}
		codes[i] = byte(nearest(s.NestedMap[:], x))
	}
	return top
}

// absmax returns the largest magnitude; a NaN counts as larger than all others. The
// bits of positive numbers are ordered as the numbers are.
func absmax(v []float32) float32 {
	const sign = 1 << 31
	var a, b, c, d uint32 // of every fourth number, so that none waits for another
	for ; len(v) >= 4; v = v[4:] {
		a = max(a, math.Float32bits(v[0])&^sign)
		b = max(b, math.Float32bits(v[1])&^sign)
		c = max(c, math.Float32bits(v[2])&^sign)
		d = max(d, math.Float32bits(v[3])&^sign)
	}
	for _, x := range v {
		a = max(a, math.Float32bits(x)&^sign)
	}
	return math.Float32frombits(max(a, b, c, d))
}

func isFinite(x float32) bool { return math.Float32bits(x)&0x7f800000 != 0x7f800000 }

// allFinite names the first element of a tensor that is NaN or infinite; there is none
// where the largest magnitudes of its blocks are finite.
func allFinite(t Tensor, tops []float32) error {
	if isFinite(absmax(tops)) {
		return nil
	}
	values, err := t.Floats()
	if err != nil {
		return err
	}
	return everyFinite(t, values)
}

// everyFinite names the first of a tensor's numbers that is NaN or infinite.
func everyFinite(t Tensor, values []float32) error {
	for i, x := range values {
		if !isFinite(x) {
			return fmt.Errorf("tensor %q: element %d is %v: only finite numbers can be quantised", t.Name, i, x)
		}
	}
	return nil
}

// inParallel calls f for every block of values.
func inParallel(blocks int, f func(b int)) {
	const piece = 1 << 8
	var wait sync.WaitGroup
	for lo := 0; lo < blocks; lo += piece {
		wait.Go(func() {
			for b := lo; b < min(lo+piece, blocks); b++ {
				f(b)
			}
		})
	}
	wait.Wait()
}

// Double reports whether the scales are kept in 8 bits.
func (s *NF4State) Double() bool { return s.AbsmaxCodes != nil }

// kind returns the kind of weight that the state makes.
func (s *NF4State) kind() Kind {
	if s.Double() {
		return NF4
	}
	return NF4Single
}

// scales returns the scales as package gemm takes them.
func (s *NF4State) scales() gemm.Scales {
	if !s.Double() {
		return gemm.Scales{Values: s.Absmax}
	}
	return gemm.Scales{Codes: s.AbsmaxCodes, Map: &s.NestedMap, Nested: s.NestedAbsmax, Offset: s.Offset}
}

// rounding returns what Round asks for.
func (s *NF4State) rounding() gemm.Rounding {
	switch s.Round {
	case DTypeBF16:
		return gemm.RoundBF16
	case DTypeF16:
		return gemm.RoundF16
	}
	return gemm.RoundNone
}

// decode computes elements first, first+1, ... of the matrix.
func (s *NF4State) decode(dst []float32, codes []byte, first int) {
	scales, rounding := s.scales(), s.rounding()
	for n := 0; n < len(dst); {
		i := first + n
		end := min(len(dst), n+nf4Block-i%nf4Block)
		scale := scales.At(i / nf4Block)
		for ; n < end; n++ {
			i := first + n
			code := codes[i/2] >> (4 &^ (i % 2 * 4)) & 15
			dst[n] = rounding.Round(s.Map[code] * scale)
		}
	}
}

// check returns an error unless codes and scales are there for a number of elements.
func (s *NF4State) check(t Tensor) error {
	elems := t.Elems()
	blocks := (elems + nf4Block - 1) / nf4Block
	switch {
	case t.DType != DTypeU8 || len(t.Data) != (elems+1)/2:
		return fmt.Errorf("tensor %q: %d bytes of %s, shape %v in 4 bits takes %d of U8", t.Name, len(t.Data), t.DType, t.Shape, (elems+1)/2)
	case s.Round != DTypeF32 && s.Round != DTypeBF16 && s.Round != DTypeF16:
		return fmt.Errorf("tensor %q: values in 4 bits round to %s, allowed are F32, BF16 and F16", t.Name, s.Round)
	case s.Double() && (len(s.AbsmaxCodes) != blocks || len(s.NestedAbsmax) != (blocks+nf4NestedBlock-1)/nf4NestedBlock):
		return fmt.Errorf("tensor %q: %d scales and %d of their own, shape %v has %d blocks", t.Name, len(s.AbsmaxCodes), len(s.NestedAbsmax), t.Shape, blocks)
	case !s.Double() && len(s.Absmax) != blocks:
		return fmt.Errorf("tensor %q: %d scales, shape %v has %d blocks", t.Name, len(s.Absmax), t.Shape, blocks)
	}
	for _, numbers := range [][]float32{s.Map[:], s.Absmax, s.NestedMap[:], s.NestedAbsmax, {s.Offset}} {
		if err := everyFinite(t, numbers); err != nil {
			return fmt.Errorf("in its scales: %w", err)
		}
	}
	return nil
}
