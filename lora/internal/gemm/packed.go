package gemm

import (
	"math"
	"unsafe"
)

// NR is the width of a panel: the columns that a kernel computes together.
// Ranges of a packed matrix begin at multiples of it.
const NR = 32

// Packed is a frozen matrix W [N, K] (N output features, K input features), held
// once in the order in which the kernels read it, as float32, bfloat16, or codes of 4
// or 8 bits with scales ([PackNF4], [PackInt8]).
//
// W is cut into panels of NR rows. A float32 panel is [K][NR], a bfloat16 panel
// is [K/2][NR][2]: two neighbours along K lie side by side; one of codes is
// [K][NR]. Missing rows of the
// last panel, and K up to the next multiple of NR, are zero.
//
// A Packed is immutable and safe for concurrent use.
type Packed struct {
	n, k  int
	depth int        // k rounded up to a multiple of NR
	f32   []float32  // panels, or nil
	bf16  []uint32   // panels of pairs, the lower k in the lower half, or nil
	quant *quantized // codes, or nil
}

// PackF32 packs w, whose rows are output features, as float32.
func PackF32(w Dense) *Packed {
	w.check()
	p := newPacked(w.Rows, w.Cols)
	p.f32 = aligned(p.panels() * p.depth * NR)
	src, dst := asWords(w.Data), asWords(p.f32)
	p.eachPanel(func(_, panel int) {
		r, rows := p.bandRows(panel)
		transpose(best(), dst[r*p.depth:], NR, src[min(r*w.Stride, len(src)):], w.Stride, rows, p.k)
	})
	return p
}

// PackBF16 packs the raw bits of a bfloat16 matrix [n, k], row-major without
// gaps. The values stay bfloat16 in memory and are widened to float32, exactly,
// when they are used. It panics if w is shorter than n*k.
func PackBF16(w []uint16, n, k int) *Packed {
	if n < 0 || k < 0 || len(w) < n*k {
		panic("gemm: bad bfloat16 matrix")
	}
	p := newBF16(n, k)
	if k == 0 {
		return p
	}
	p.eachPanel(func(_, panel int) {
		row, rows := p.bandRows(panel)
		p.packBand(w[row*k:(row+rows)*k], panel, rows)
	})
	return p
}

// newBF16 returns a bfloat16 matrix of zeros.
func newBF16(n, k int) *Packed {
	p := newPacked(n, k)
	p.bf16 = asWords(aligned(p.panels() * p.depth * NR / 2))
	return p
}

// packBand packs the rows of one panel: pairs are transposed as words where they lie
// in words.
func (p *Packed) packBand(w []uint16, panel, rows int) {
	dst := p.bf16[panel*NR*p.depth/2:]
	if pairs := p.k / 2; p.k%2 == 0 && uintptr(unsafe.Pointer(&w[0]))%4 == 0 {
		src := unsafe.Slice((*uint32)(unsafe.Pointer(&w[0])), rows*pairs)
		transpose(best(), dst, NR, src, pairs, rows, pairs)
		return
	}
	for r := range rows {
		for k, v := range w[r*p.k : (r+1)*p.k] {
			dst[k/2*NR+r] |= uint32(v) << (k % 2 * 16)
		}
	}
}

// newPacked returns the frame of a matrix of n × k.
func newPacked(n, k int) *Packed {
	return &Packed{n: n, k: k, depth: (k + NR - 1) / NR * NR}
}

// panels returns the number of panels.
func (p *Packed) panels() int { return (p.n + NR - 1) / NR }

// Rows returns N, the number of output features.
func (p *Packed) Rows() int { return p.n }

// Cols returns K, the number of input features.
func (p *Packed) Cols() int { return p.k }

// BF16 reports whether the values are held as bfloat16.
func (p *Packed) BF16() bool { return p.bf16 != nil }

// Quantized reports whether the values are held as codes of 4 or 8 bits.
func (p *Packed) Quantized() bool { return p.quant != nil }

// Bytes returns the memory that the values take, scales and padding included.
func (p *Packed) Bytes() int64 {
	n := int64(len(p.f32)+len(p.bf16)) * 4
	if p.quant != nil {
		n += int64(len(p.quant.codes)) + p.quant.scales.bytes()
	}
	return n
}

// Row copies row i of W, 0 <= i < Rows(), widened to float32, to dst[:Cols()].
func (p *Packed) Row(i int, dst []float32) {
	if i < 0 || i >= p.n || len(dst) < p.k {
		panic("gemm: bad row or short destination")
	}
	dst = dst[:p.k]
	if p.quant != nil {
		for k := range dst {
			dst[k] = p.value(i, k)
		}
		return
	}
	if p.bf16 == nil {
		panel := p.f32[i/NR*NR*p.depth:]
		for k := range dst {
			dst[k] = panel[k*NR+i%NR]
		}
		return
	}
	panel := p.bf16[i/NR*NR*p.depth/2:]
	for k := range dst {
		pair := panel[k/2*NR+i%NR]
		dst[k] = math.Float32frombits(pair >> (k % 2 * 16) << 16)
	}
}

// at returns where element (row, k) lies, both multiples of NR.
func (p *Packed) at(row, k int) *byte {
	i := row*p.depth + k*NR
	if p.bf16 != nil {
		return (*byte)(unsafe.Pointer(&p.bf16[i/2]))
	}
	return (*byte)(unsafe.Pointer(&p.f32[i]))
}

// after returns what lies some bytes behind an element of a bfloat16 matrix, as at has it,
// or its end.
func (p *Packed) after(row, k, bytes int) *byte {
	return (*byte)(unsafe.Pointer(&p.bf16[min((row*p.depth+k*NR)/2+bytes/4, len(p.bf16)-1)]))
}

// aligned returns n zeros that start on a cache line.
func aligned(n int) []float32 {
	const line = 64
	s := make([]float32, n+line/4)
	skip := 0
	if r := uintptr(unsafe.Pointer(&s[0])) % line; r != 0 {
		skip = int(line-r) / 4
	}
	return s[skip : skip+n : skip+n]
}

// asWords returns the bits of s, sharing its memory.
func asWords(s []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// asBytes returns where s begins.
func asBytes(s []float32) *byte { return (*byte)(unsafe.Pointer(unsafe.SliceData(s))) }

// asFloats is the inverse of asWords.
func asFloats(s []uint32) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}
