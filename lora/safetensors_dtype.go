package lora

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
)

// DType is the type of a stored element. Its order is the one in which the
// format sorts tensors: later types come first in a file.
type DType uint8

// The element types of the safetensors format. [Tensor.Floats] converts DTypeF32,
// DTypeF16 and DTypeBF16; the bytes of the others are in Tensor.Data.
const (
	DTypeInvalid DType = iota // the zero value: no type
	DTypeBool                 // one byte, 0 or 1
	DTypeU8                   // unsigned 8-bit integer; also packed 4-bit codes
	DTypeI8                   // signed 8-bit integer
	DTypeF8E5M2               // 8-bit float, 5 bits of exponent
	DTypeF8E4M3               // 8-bit float, 4 bits of exponent
	DTypeF8E8M0               // 8-bit power of two
	DTypeI16                  // signed 16-bit integer
	DTypeU16                  // unsigned 16-bit integer
	DTypeF16                  // IEEE 754 half precision
	DTypeBF16                 // upper half of a float32
	DTypeI32                  // signed 32-bit integer
	DTypeU32                  // unsigned 32-bit integer
	DTypeF32                  // float32
	DTypeC64                  // complex of two float32
	DTypeF64                  // float64
	DTypeI64                  // signed 64-bit integer
	DTypeU64                  // unsigned 64-bit integer
)

// stDTypes holds each type's name in a header and its size in bytes.
var stDTypes = [...]struct {
	name string
	size int
}{
	DTypeInvalid: {"invalid", 0},
	DTypeBool:    {"BOOL", 1},
	DTypeU8:      {"U8", 1},
	DTypeI8:      {"I8", 1},
	DTypeF8E5M2:  {"F8_E5M2", 1},
	DTypeF8E4M3:  {"F8_E4M3", 1},
	DTypeF8E8M0:  {"F8_E8M0", 1},
	DTypeI16:     {"I16", 2},
	DTypeU16:     {"U16", 2},
	DTypeF16:     {"F16", 2},
	DTypeBF16:    {"BF16", 2},
	DTypeI32:     {"I32", 4},
	DTypeU32:     {"U32", 4},
	DTypeF32:     {"F32", 4},
	DTypeC64:     {"C64", 8},
	DTypeF64:     {"F64", 8},
	DTypeI64:     {"I64", 8},
	DTypeU64:     {"U64", 8},
}

// String returns the name that the format uses, for example "BF16".
func (d DType) String() string {
	if int(d) >= len(stDTypes) {
		d = DTypeInvalid
	}
	return stDTypes[d].name
}

// Size returns the bytes of one element, 0 for an unknown type.
func (d DType) Size() int {
	if int(d) >= len(stDTypes) {
		return 0
	}
	return stDTypes[d].size
}

// stDTypeOf returns the type of that name.
func stDTypeOf(name string) (DType, bool) {
	for d, t := range stDTypes {
		if d > 0 && t.name == name {
			return DType(d), true
		}
	}
	return DTypeInvalid, false
}

// Elems returns the number of elements, the product of the shape: 1 for a scalar.
func (t Tensor) Elems() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Floats returns the elements as float32, in a slice of their own. BF16 and F16
// convert exactly, and so do codes of 4 bits with their scales; other types than these and F32 are an error that names them.
func (t Tensor) Floats() ([]float32, error) {
	if err := t.stFloating(); err != nil {
		return nil, err
	}
	dst := make([]float32, t.Elems())
	t.stDecode(dst, 0)
	return dst, nil
}

// ReadFloats converts the len(dst) elements that begin at element first into dst,
// so that a large tensor can be taken in parts. Types as for [Tensor.Floats]. A
// range outside the tensor panics.
func (t Tensor) ReadFloats(dst []float32, first int) error {
	if err := t.stFloating(); err != nil {
		return err
	}
	if first < 0 || first > t.Elems()-len(dst) {
		panic("lora: Tensor.ReadFloats: range outside the tensor")
	}
	t.stDecode(dst, first)
	return nil
}

// Rows goes through a matrix in blocks of at most n rows: the index of the
// block's first row, and its elements as float32. The block is overwritten by the
// next one, so a tensor of any size is read in n rows' memory. More dimensions
// than two count as rows of the first; a vector is one row. Types as for
// [Tensor.Floats]; n below 1 panics.
func (t Tensor) Rows(n int) (iter.Seq2[int, []float32], error) {
	if n < 1 {
		panic("lora: Tensor.Rows: block of less than one row")
	}
	if err := t.stFloating(); err != nil {
		return nil, err
	}
	rows := 1
	if len(t.Shape) > 1 {
		rows = t.Shape[0]
	}
	return func(yield func(int, []float32) bool) {
		if rows == 0 {
			return
		}
		width := t.Elems() / rows
		block := make([]float32, min(n, rows)*width)
		for r := 0; r < rows; r += n {
			b := block[:min(n, rows-r)*width]
			t.stDecode(b, r*width)
			if !yield(r, b) {
				return
			}
		}
	}, nil
}

// stFloating refuses what does not convert to float32.
func (t Tensor) stFloating() error {
	switch t.DType {
	case DTypeF32, DTypeF16, DTypeBF16:
		return nil
	}
	if t.NF4 != nil {
		return t.NF4.check(t)
	}
	return fmt.Errorf("tensor %q has type %s: F32, F16 and BF16 convert to float32", t.Name, t.DType)
}

// stDecode converts elements first, first+1, ... of a floating tensor into dst.
func (t Tensor) stDecode(dst []float32, first int) {
	if t.NF4 != nil {
		t.NF4.decode(dst, t.Data, first)
		return
	}
	size := t.DType.Size()
	src := t.Data[first*size:][:len(dst)*size]
	switch t.DType {
	case DTypeF32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case DTypeF16:
		for i := range dst {
			dst[i] = stHalf(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case DTypeBF16:
		if aligned2(src) {
			for i, bits := range halves(src)[:len(dst)] {
				dst[i] = math.Float32frombits(uint32(bits) << 16)
			}
			return
		}
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	}
}

// stHalf converts IEEE 754 half precision: 1 sign, 5 exponent (bias 15) and 10
// fraction bits.
func stHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exp {
	case 0: // zero and subnormals: frac * 2^-24
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// NewF32 makes a float32 tensor with a copy of v. A shape that does not hold
// len(v) elements panics.
func NewF32(name string, shape []int, v []float32) Tensor {
	t := stNew(name, DTypeF32, shape, len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(x))
	}
	return t
}

// NewBF16 makes a bfloat16 tensor of v, rounded to nearest, ties to even; a NaN
// stays one. A shape that does not hold len(v) elements panics.
func NewBF16(name string, shape []int, v []float32) Tensor {
	t := stNew(name, DTypeBF16, shape, len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint16(t.Data[2*i:], stBF16(x))
	}
	return t
}

func stNew(name string, d DType, shape []int, elems int) Tensor {
	t := Tensor{Name: name, DType: d, Shape: append([]int{}, shape...)}
	if t.Elems() != elems {
		panic("lora: tensor shape does not match the number of elements")
	}
	t.Data = make([]byte, elems*d.Size())
	return t
}

// stBF16 rounds to the nearest bfloat16, ties to even.
func stBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 0x40 // quiet, and not the infinity that cutting might leave
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
