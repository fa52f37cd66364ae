package lora

import (
	"fmt"
	"unsafe"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// cpuWeight is a packed matrix, or a view that is used as one.
type cpuWeight struct {
	packed *gemm.Packed // nil for a weight made of a view
	view   View
	kind   Kind
	owner  *cpuEngine
}

func (w *cpuWeight) Kind() Kind { return w.kind }

func (w *cpuWeight) Out() int {
	if w.packed == nil {
		return w.view.Rows
	}
	return w.packed.Rows()
}

func (w *cpuWeight) In() int {
	if w.packed == nil {
		return w.view.Cols
	}
	return w.packed.Cols()
}

func (w *cpuWeight) Bytes() int64 {
	if w.packed == nil {
		return 0
	}
	return w.packed.Bytes()
}

func (w *cpuWeight) Release() {
	if w.packed != nil {
		w.owner.weights -= w.Bytes()
	}
	*w = cpuWeight{}
}

// NewWeight packs the tensor, on all processors and without a copy of the whole.
func (e *cpuEngine) NewWeight(t Tensor, kind Kind) (Weight, error) {
	out, in, err := weightShape(t, kind)
	if err != nil {
		return nil, err
	}
	w := &cpuWeight{kind: kind, owner: e}
	switch {
	case kind == Int8:
		w.packed, err = packInt8(t, out, in, e.pool.Order())
	case kind.Quantized():
		w.packed, w.kind, err = packNF4(t, kind, out, in, e.pool.Order())
	case kind == BF16 && t.DType == DTypeBF16 && aligned2(t.Data):
		w.packed = gemm.PackBF16(halves(t.Data), out, in)
	default:
		w.packed, err = packConverted(t, kind, out, in)
	}
	if err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	e.weights += w.Bytes()
	return w, nil
}

// packConverted packs a tensor that has to be converted first.
func packConverted(t Tensor, kind Kind, out, in int) (*gemm.Packed, error) {
	if err := t.stFloating(); err != nil {
		return nil, err
	}
	if kind == F32 {
		return gemm.PackF32Bands(out, in, func(band []float32, row int) { t.stDecode(band, row*in) }), nil
	}
	return gemm.PackBF16Bands(out, in, func(band []uint16, row int) {
		const part = 1 << 10
		var values [part]float32
		for at := 0; at < len(band); at += part {
			some := values[:min(part, len(band)-at)]
			t.stDecode(some, row*in+at)
			for i, x := range some {
				band[at+i] = bf16Bits(x)
			}
		}
	}), nil
}

// packInt8 packs a tensor as codes of 8 bits.
func packInt8(t Tensor, out, in int, order gemm.CodeOrder) (*gemm.Packed, error) {
	if err := t.stFloating(); err != nil {
		return nil, err
	}
	blocks := int8Blocks(in)
	scales := make([]float32, out*blocks)
	packed := gemm.PackInt8Bands(out, in, scales, order, func(band []int8, row int) {
		int8Rows(t, band, scales[row*blocks:], row, in)
	})
	return packed, allFinite(t, scales)
}

// packNF4 packs a tensor as codes of 4 bits, and returns the kind that they have.
func packNF4(t Tensor, kind Kind, out, in int, order gemm.CodeOrder) (*gemm.Packed, Kind, error) {
	if t.NF4 != nil || in%2 != 0 { // codes there are, or blocks that bands would cut
		q, err := QuantizeNF4(t, kind == NF4)
		if err == nil {
			err = q.NF4.check(q)
		}
		if err != nil {
			return nil, kind, err
		}
		return gemm.PackNF4(q.Data, out, in, &q.NF4.Map, q.NF4.scales(), q.NF4.rounding(), order), q.NF4.kind(), nil
	}
	s, err := newNF4State(t)
	if err != nil {
		return nil, kind, err
	}
	packed := gemm.PackNF4Bands(out, in, &s.Map, s.rounding(), order, func(band []byte, row int) {
		s.quantize(t, band, row*in)
	}, func() gemm.Scales {
		if err = allFinite(t, s.Absmax); err == nil && kind == NF4 {
			s.nest()
		}
		return s.scales()
	})
	return packed, kind, err
}

// aligned2 reports whether data may be read as 16-bit numbers: it begins at an even
// address, and the machine is little-endian as the file is.
func aligned2(data []byte) bool {
	one := uint16(1)
	little := *(*byte)(unsafe.Pointer(&one)) == 1
	return little && len(data) > 0 && uintptr(unsafe.Pointer(unsafe.SliceData(data)))%2 == 0
}

// halves returns data as 16-bit numbers, sharing its memory.
func halves(data []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(data))), len(data)/2)
}
