package lora

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/go-json-experiment/json"
)

// The names that bitsandbytes gives to the parts of a matrix in 4 bits, after that of
// the codes.
const (
	nf4StateSuffix        = ".quant_state.bitsandbytes__nf4"
	nf4AbsmaxSuffix       = ".absmax"
	nf4MapSuffix          = ".quant_map"
	nf4NestedAbsmaxSuffix = ".nested_absmax"
	nf4NestedMapSuffix    = ".nested_quant_map"
)

// nf4Header is the text of quant_state.
type nf4Header struct {
	Type         string  `json:"quant_type"`
	Block        int     `json:"blocksize"`
	DType        string  `json:"dtype"`
	Shape        []int   `json:"shape"`
	NestedBlock  int     `json:"nested_blocksize"`
	NestedDType  string  `json:"nested_dtype"`
	NestedOffset float32 `json:"nested_offset"`
	double       bool    `json:"-"`
}

// NF4 returns the matrix of that name where the set holds it in 4 bits as
// bitsandbytes stores it, and whether it does. Its parts are name (the codes),
// name.absmax, name.quant_map, name.nested_absmax and name.nested_quant_map (double
// quantisation only) and name.quant_state.bitsandbytes__nf4 (JSON); that the last is
// there says that the matrix is in 4 bits. A part that is missing, of another type
// or of another size than the matrix asks for, and blocks of other sizes than 64
// and 256, are errors that name it.
func (s *Safetensors) NF4(name string) (t Tensor, ok bool, err error) {
	state, ok := s.Tensor(name + nf4StateSuffix)
	if !ok {
		return Tensor{}, false, nil
	}
	h, err := nf4ReadHeader(state)
	if err == nil {
		_, h.double = s.Tensor(name + nf4NestedAbsmaxSuffix)
		t, err = s.nf4Tensor(name, h)
	}
	if err != nil {
		return Tensor{}, true, fmt.Errorf("%s: %w", s.File(name+nf4StateSuffix), err)
	}
	return t, true, nil
}

// NF4Parts returns the names of what stands beside the codes of a matrix in 4 bits,
// with the names that double quantisation adds at the end.
func NF4Parts(name string, double bool) []string {
	parts := []string{name + nf4StateSuffix, name + nf4AbsmaxSuffix, name + nf4MapSuffix}
	if double {
		parts = append(parts, name+nf4NestedAbsmaxSuffix, name+nf4NestedMapSuffix)
	}
	return parts
}

// nf4DTypes are the types that quant_state knows.
var nf4DTypes = map[string]DType{"float32": DTypeF32, "bfloat16": DTypeBF16, "float16": DTypeF16}

func nf4ReadHeader(t Tensor) (h nf4Header, err error) {
	if t.DType != DTypeU8 {
		return h, fmt.Errorf("tensor %q has type %s, want U8", t.Name, t.DType)
	}
	if err := json.Unmarshal(t.Data, &h); err != nil {
		return h, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	refuse := func(key string, value any, allowed string) error {
		return fmt.Errorf("tensor %q: %s: %v: must be %s", t.Name, key, value, allowed)
	}
	switch {
	case h.Type != "nf4":
		return h, refuse("quant_type", h.Type, "nf4")
	case h.Block != nf4Block:
		return h, refuse("blocksize", h.Block, fmt.Sprint(nf4Block))
	case nf4DTypes[h.DType] == DTypeInvalid:
		return h, refuse("dtype", h.DType, "float32, bfloat16 or float16")
	case len(h.Shape) != 2 || !nf4Sized(h.Shape):
		return h, refuse("shape", h.Shape, "two lengths that are not negative")
	}
	return h, nil
}

// nf4Sized reports whether the shape's product is a sound number of elements.
func nf4Sized(shape []int) bool {
	const most = 1 << 40
	return shape[0] >= 0 && shape[1] >= 0 && (shape[1] == 0 || shape[0] <= most/shape[1])
}

// nf4Tensor puts the parts together.
func (s *Safetensors) nf4Tensor(name string, h nf4Header) (Tensor, error) {
	r := nf4Reader{set: s}
	q := &NF4State{Offset: h.NestedOffset, Round: nf4DTypes[h.DType]}
	codes := r.part(name, DTypeU8)
	copy(q.Map[:], r.floats(name+nf4MapSuffix, len(q.Map)))
	if h.double {
		if h.NestedBlock != nf4NestedBlock || h.NestedDType != "float32" {
			return Tensor{}, fmt.Errorf("tensor %q: nested_blocksize and nested_dtype are %d and %q: must be %d and float32",
				name+nf4StateSuffix, h.NestedBlock, h.NestedDType, nf4NestedBlock)
		}
		q.AbsmaxCodes = slices.Clone(r.part(name+nf4AbsmaxSuffix, DTypeU8).Data)
		q.NestedAbsmax = r.floats(name+nf4NestedAbsmaxSuffix, -1)
		copy(q.NestedMap[:], r.floats(name+nf4NestedMapSuffix, len(q.NestedMap)))
	} else {
		q.Absmax = r.floats(name+nf4AbsmaxSuffix, -1)
	}
	if r.err != nil {
		return Tensor{}, r.err
	}
	t := Tensor{Name: name, DType: DTypeU8, Shape: h.Shape, Data: codes.Data, NF4: q}
	return t, q.check(t)
}

// nf4Reader finds parts and remembers the first failure.
type nf4Reader struct {
	set *Safetensors
	err error
}

// part returns a tensor of the set.
func (r *nf4Reader) part(name string, want DType) Tensor {
	t, ok := r.set.Tensor(name)
	switch {
	case r.err != nil:
	case !ok:
		r.err = fmt.Errorf("tensor %q is missing", name)
	case t.DType != want:
		r.err = fmt.Errorf("tensor %q has type %s, want %s", name, t.DType, want)
	default:
		return t
	}
	return Tensor{}
}

// floats returns the numbers of a tensor of the set, n of them unless n is negative.
func (r *nf4Reader) floats(name string, n int) []float32 {
	t := r.part(name, DTypeF32)
	if r.err == nil && n >= 0 && t.Elems() != n {
		r.err = fmt.Errorf("tensor %q has shape %v, want %d elements", name, t.Shape, n)
	}
	if r.err != nil {
		return nil
	}
	v := make([]float32, t.Elems())
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return v
}
