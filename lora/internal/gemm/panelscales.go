package gemm

import (
	"math"
	"unsafe"
)

// Where every row begins a new block, scales are held in the order in which kernels
// read them, [panel][blocks of a row][NR], and read a number of blocks of a panel at a
// time. Missing rows of the last panel have a scale of their own, which nothing uses.

// maxScales is the number of scales that a worker holds: those of the longest reduction
// block of the widest group of panels.
const maxScales = blockK / ScaleBlock * maxGroup * NR

// ScalesHeld returns the number of scales that a matrix [n, k] of 4-bit codes keeps: one
// a block, and of missing rows too where they are in the order of panels. nested says
// whether they are in 8 bits.
func ScalesHeld(n, k int, nested bool) int {
	if rowBlocks(k, nested) > 0 {
		return (n + NR - 1) / NR * NR * (k / ScaleBlock)
	}
	return (n*k + ScaleBlock - 1) / ScaleBlock
}

// rowBlocks returns the number of blocks of a row of pitch elements, or 0 where scales
// are held in the order of the matrix: where rows begin inside of blocks, or have more
// of them than a nestedFunc reads.
func rowBlocks(pitch int, nested bool) int {
	if blocks := pitch / ScaleBlock; pitch%ScaleBlock == 0 && (!nested || blocks <= nestedBlock) {
		return blocks
	}
	return 0
}

// scalesFunc copies the scales of some blocks of a panel:
//
//	for b := range blocks {
//		for c := range NR {
//			dst[b*stride+c] = src[b*NR+c]
//		}
//	}
//
// What lies ahead bytes behind what is read is going to be read.
type scalesFunc func(dst, src *float32, blocks, stride, ahead int)

// nestedFunc is a scalesFunc for scales in 8 bits: block b of the panel's row c is block
// first+c*row+b of the matrix.
//
//	number := numbers[codes[b*NR+c]]
//	dst[b*stride+c] = number*nested[(first+c*row+b)/nestedBlock] + offset // each rounded
//
// nested may be read up to nestedSpare numbers beyond its last. row is at most nestedBlock.
type nestedFunc func(dst *float32, codes *byte, blocks, stride int, numbers, nested *float32, first, row int, offset float32, ahead int)

// nestedSpare is the number of scales of scales that follow the last.
const nestedSpare = NR

// inPanels puts the scales of a matrix of n rows in the order of its panels.
func (q *quantized) inPanels(p *Packed, s Scales) {
	blocks := q.blocks
	q.scales = Scales{Map: s.Map, Nested: withSpare(s.Nested), Offset: s.Offset}
	if s.Values != nil {
		q.scales.Values = aligned(p.panels() * blocks * NR)
	} else {
		n := p.panels() * blocks * NR
		q.scales.Codes = make([]byte, n, n+NR) // see nestedPanelsFunc
	}
	q.tame = make([]bool, p.panels())
	p.eachPanel(func(_, panel int) {
		row, rows := p.bandRows(panel)
		if s.Values != nil {
			interleave(q.scales.Values[panel*blocks*NR:], s.Values[row*blocks:], rows, blocks)
		} else {
			interleave(q.scales.Codes[panel*blocks*NR:], s.Codes[row*blocks:], rows, blocks)
		}
		q.tame[panel] = q.form == form(RoundBF16) && s.tame(q.table, row*blocks, (row+rows)*blocks)
	})
}

// withSpare returns a copy of nested with nestedSpare numbers behind it.
func withSpare(nested []float32) []float32 {
	return append(make([]float32, 0, len(nested)+nestedSpare), nested...)
}

// interleave sets dst[b*NR+r] to src[r*blocks+b].
func interleave[T any](dst, src []T, rows, blocks int) {
	for r := range rows {
		for b, x := range src[r*blocks : (r+1)*blocks] {
			dst[b*NR+r] = x
		}
	}
}

// tame reports whether all numbers of blocks [lo, hi) are +0 or of a size at which
// scaling by 2¹⁶ rounds them exactly, see form tame.
func (s *Scales) tame(table *[16]float32, lo, hi int) bool {
	const least, most = 0x1p-120, 0x1p100
	small, large := float32(most), float32(0)
	for _, x := range table {
		if math.Float32bits(x) != 0 {
			size := float32(math.Abs(float64(x)))
			small, large = min(small, size), max(large, size)
		}
	}
	for b := lo; b < hi; b++ {
		if x := s.At(b); !(x > 0 && x*small >= least && x*large <= most) {
			return false
		}
	}
	return true
}

// blockScales sets dst [blocks][panels*NR] to the scales of some blocks of neighbouring
// panels: those of row n0 and column k, and what follows.
func (p *Packed) blockScales(kern *kernels, dst []float32, n0, panels, k, blocks int) {
	q := p.quant
	s, width := &q.scales, panels*NR
	if q.blocks == 0 {
		have := min(width, p.n-n0)
		clear(dst[have:width])
		s.every(dst[:have], n0*q.pitch+k, q.pitch)
		return
	}
	for i := range panels {
		row, out := n0+i*NR, dst[i*NR:][:(blocks-1)*width+NR]
		at, ahead := row*q.blocks+k/ScaleBlock*NR, width*q.blocks
		if s.Values != nil {
			src := s.Values[at:][:blocks*NR]
			kern.scales(&out[0], &src[0], blocks, width, 4*ahead)
			continue
		}
		src := s.Codes[at:][:blocks*NR]
		kern.nested(&out[0], &src[0], blocks, width, &s.Map[0], &s.Nested[0],
			row*q.blocks+k/ScaleBlock, q.blocks, s.Offset, ahead)
	}
}

// panelScales is blockScales for one panel, whichever the order of the scales.
func (p *Packed) panelScales(kern *kernels, dst []float32, n0, k, blocks int) {
	if p.quant.blocks > 0 {
		p.blockScales(kern, dst, n0, 1, k, blocks)
		return
	}
	for b := range blocks {
		p.blockScales(kern, dst[b*NR:(b+1)*NR], n0, 1, k+b*ScaleBlock, 1)
	}
}

// scale returns the scale of element (i, k).
func (p *Packed) scale(i, k int) float32 {
	q := p.quant
	if q.blocks == 0 {
		return q.scales.At((i*q.pitch + k) / ScaleBlock)
	}
	b := k / ScaleBlock
	return q.scales.at((i/NR*q.blocks+b)*NR+i%NR, i*q.blocks+b)
}

func scalesGo(dst, src *float32, blocks, stride, _ int) {
	d, s := unsafe.Slice(dst, (blocks-1)*stride+NR), unsafe.Slice(src, blocks*NR)
	for b := range blocks {
		copy(d[b*stride:][:NR], s[b*NR:])
	}
}

func nestedGo(dst *float32, codes *byte, blocks, stride int, numbers, nested *float32, first, row int, offset float32, _ int) {
	d, s := unsafe.Slice(dst, (blocks-1)*stride+NR), unsafe.Slice(codes, blocks*NR)
	table, outer := (*[nestedBlock]float32)(unsafe.Pointer(numbers)), unsafe.Slice(nested, (first+NR*row)/nestedBlock+1)
	for b := range blocks {
		out := d[b*stride:][:NR]
		for c, code := range s[b*NR:][:NR] {
			out[c] = float32(table[code]*outer[(first+c*row+b)/nestedBlock]) + offset
		}
	}
}
