//go:build cuda && cgo

package lora

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

var kernelGather = cuda.Kernel("quant", "gather")

// cudaWeight is a matrix in a GPU's memory, or a view that is used as one. Rows start at
// multiples of 64 bytes and end in zeros. Codes of 4 bits stand two a byte in the order of
// their row, the first in the upper half.
type cudaWeight struct {
	kind     Kind
	out, in  int
	layout   cudaLayout
	memory   cuda.Ptr
	rounding int  // of codes of 4 bits, as gemm.Rounding counts
	view     View // of a weight made of one
	owner    *cudaEngine
}

func (w *cudaWeight) Kind() Kind   { return w.kind }
func (w *cudaWeight) Out() int     { return w.out }
func (w *cudaWeight) In() int      { return w.in }
func (w *cudaWeight) Bytes() int64 { return int64(w.layout.total) }

func (w *cudaWeight) Release() {
	if w.owner == nil {
		return
	}
	w.owner.weights -= w.Bytes()
	w.owner.dev.Free(w.memory)
	*w = cudaWeight{}
}

// ViewWeight makes a weight of a view.
func (e *cudaEngine) ViewWeight(v View) Weight {
	return &cudaWeight{out: v.Rows, in: v.Cols, view: v, owner: e}
}

// own returns w as a weight of this engine.
func (e *cudaEngine) own(w Weight) *cudaWeight {
	c, ok := w.(*cudaWeight)
	require(ok && c.owner == e, "lora: weight of another engine, or released")
	return c
}

// rows returns where the weight's rows begin, and the bytes from one to the next.
func (w *cudaWeight) rows() (p cuda.Ptr, pitch int) {
	if w.view.IsNone() {
		return w.memory, w.layout.pitch
	}
	return w.owner.address(w.view), 4 * w.view.Stride
}

// weight passes a weight as the kernels take it: MATRIX_ARGUMENTS of kernels/weight.cuh.
func (c *cudaCall) weight(w *cudaWeight) *cudaCall {
	p, pitch := w.rows()
	part := func(there bool, offset int) cuda.Ptr {
		if !there {
			return 0
		}
		return w.memory.Add(int64(offset))
	}
	l, nf4 := &w.layout, w.kind == NF4 || w.kind == NF4Single
	c.call.Shape(w.out, w.in)
	return c.ptr(p).i64(pitch).i32(w.out).i32(w.in).ptr(part(w.kind.Quantized(), l.scales)).
		ptr(part(w.kind == NF4, l.nested)).ptr(part(nf4, l.table)).i32(w.rounding)
}

// Gather sets dst[i] = w[ids[i]].
func (e *cudaEngine) Gather(dst View, w Weight, ids []int32) {
	c := e.own(w)
	checkGather(dst, c.out, c.in, ids)
	const block = 256
	for first := 0; first < len(ids); first += maxGridY {
		some := ids[first:min(first+maxGridY, len(ids))]
		to := dst.RowRange(first, first+len(some))
		at := e.stage32(some)
		e.kernel(kernelGather).view(to).i32(to.Stride).ptr(at).i32(int(c.kind)).weight(c).
			launch(divideUp(c.in, block), len(some), 1, block, 0)
	}
}

// maxGridY is the largest number of blocks along the second axis.
const maxGridY = 1<<16 - 1

// NewWeight copies the tensor to the device in pieces.
func (e *cudaEngine) NewWeight(t Tensor, kind Kind) (Weight, error) {
	out, in, err := weightShape(t, kind)
	if err != nil {
		return nil, err
	}
	load := e.loadNumbers
	switch {
	case kind == Int8:
		load = e.loadInt8
	case kind.Quantized() && (t.NF4 != nil || in%2 != 0):
		load = e.loadCodes // codes there are, or pairs that lie across rows
	case kind.Quantized():
		load = e.loadNF4
	}
	if err := t.stFloating(); err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	if t.NF4 != nil && kind.Quantized() && kind != Int8 {
		kind = t.NF4.kind()
	}
	w := &cudaWeight{kind: kind, out: out, in: in, layout: cudaLayoutOf(kind, out, in), owner: e}
	if w.memory, err = e.dev.Alloc(int64(w.layout.total)); err == nil {
		err = load(w, t)
	}
	if err == nil {
		err = e.dev.Err()
	}
	if err != nil {
		e.dev.Free(w.memory)
		return nil, fmt.Errorf("lora: tensor %q as %v: %w", t.Name, kind, err)
	}
	e.weights += w.Bytes()
	return w, nil
}

const (
	bandBytes = 4 << 20 // of a weight that are made at a time
	bandStep  = 32      // rows that one goroutine makes: of any even length, whole blocks of 64
)

// upload makes the weight's rows and copies them, a band at a time. fill makes rows of which
// the first is number row; it is called from several goroutines.
func (w *cudaWeight) upload(fill func(rows []byte, row, count int)) {
	pitch := w.layout.pitch
	if pitch == 0 {
		return
	}
	height := max(bandStep, bandBytes/pitch/bandStep*bandStep)
	band := make([]byte, min(height, w.out)*pitch)
	for row := 0; row < w.out; row += height {
		some := band[:min(height, w.out-row)*pitch]
		clear(some)
		var wait sync.WaitGroup
		for at := 0; at < len(some); at += bandStep * pitch {
			part := some[at:min(at+bandStep*pitch, len(some))]
			wait.Go(func() { fill(part, row+at/pitch, len(part)/pitch) })
		}
		wait.Wait()
		w.owner.dev.Upload(w.memory.Add(int64(row)*int64(pitch)), some)
	}
}

// put copies data to a part of the weight's memory.
func (w *cudaWeight) put(offset int, data []byte) {
	w.owner.dev.Upload(w.memory.Add(int64(offset)), data)
}

// loadNumbers loads float32 or bfloat16.
func (e *cudaEngine) loadNumbers(w *cudaWeight, t Tensor) error {
	pitch, in := w.layout.pitch, w.in
	if w.kind == BF16 && t.DType == DTypeBF16 {
		if 2*in == pitch {
			w.put(0, t.Data[:w.out*pitch])
			return nil
		}
		w.upload(func(rows []byte, row, count int) {
			for r := range count {
				copy(rows[r*pitch:], t.Data[2*(row+r)*in:][:2*in])
			}
		})
		return nil
	}
	w.upload(func(rows []byte, row, count int) {
		values := make([]float32, in)
		for r := range count {
			t.stDecode(values, (row+r)*in)
			if w.kind == F32 {
				copy(rows[r*pitch:], bytesOf(values))
				continue
			}
			for i, x := range values {
				binary.LittleEndian.PutUint16(rows[r*pitch+2*i:], bf16Bits(x))
			}
		}
	})
	return nil
}

// loadInt8 loads codes of 8 bits.
func (e *cudaEngine) loadInt8(w *cudaWeight, t Tensor) error {
	pitch, in, blocks := w.layout.pitch, w.in, int8Blocks(w.in)
	scales := make([]float32, w.out*blocks)
	w.upload(func(rows []byte, row, count int) {
		codes := make([]int8, in)
		for r := range count {
			int8Rows(t, codes, scales[(row+r)*blocks:], row+r, in)
			copy(rows[r*pitch:], bytesOf(codes))
		}
	})
	w.put(w.layout.scales, bytesOf(scales))
	return allFinite(t, scales)
}

// loadNF4 quantises to 4 bits rows of an even length.
func (e *cudaEngine) loadNF4(w *cudaWeight, t Tensor) error {
	s, err := newNF4State(t)
	if err != nil {
		return err
	}
	pitch, in := w.layout.pitch, w.in
	w.upload(func(rows []byte, row, count int) {
		codes := make([]byte, count*in)
		s.quantize(t, codes, row*in)
		for r := range count {
			packPairs(rows[r*pitch:], codes[r*in:(r+1)*in])
		}
	})
	if err := allFinite(t, s.Absmax); err != nil {
		return err
	}
	if w.kind == NF4 {
		s.nest()
	}
	w.putScales(s)
	return nil
}

// loadCodes loads codes of 4 bits as a tensor has them, or rows of an odd length.
func (e *cudaEngine) loadCodes(w *cudaWeight, t Tensor) error {
	q, err := QuantizeNF4(t, w.kind == NF4)
	if err == nil {
		err = q.NF4.check(q)
	}
	if err != nil {
		return err
	}
	pitch, in := w.layout.pitch, w.in
	w.upload(func(rows []byte, row, count int) {
		for r := range count {
			line := rows[r*pitch:]
			if in%2 == 0 {
				copy(line, q.Data[(row+r)*in/2:][:in/2])
				continue
			}
			for i := range in {
				element := (row+r)*in + i
				code := q.Data[element/2] >> (4 &^ (element % 2 * 4)) & 15
				line[i/2] |= code << (4 &^ (i % 2 * 4))
			}
		}
	})
	w.putScales(q.NF4)
	return nil
}

// putScales copies what codes of 4 bits mean.
func (w *cudaWeight) putScales(s *NF4State) {
	w.rounding = int(s.rounding())
	if s.Double() {
		w.put(w.layout.scales, s.AbsmaxCodes)
		w.put(w.layout.nested, bytesOf(s.NestedAbsmax))
	} else {
		w.put(w.layout.scales, bytesOf(s.Absmax))
	}
	table := make([]byte, 0, 4*cudaTable)
	for _, numbers := range [][]float32{s.Map[:], s.NestedMap[:], {s.Offset}} {
		for _, x := range numbers {
			table = binary.LittleEndian.AppendUint32(table, math.Float32bits(x))
		}
	}
	w.put(w.layout.table, table)
}
