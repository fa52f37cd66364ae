package gemm

import (
	"runtime"
	"sync"
	"unsafe"
)

// quantized is a packed matrix in 4 or 8 bits. The number behind a code is
//
//	w[n,k] = round(table[code] * scale[(n*pitch+k)/ScaleBlock]) // 4 bits
//	w[n,k] = float32(code) * scale[(n*pitch+k)/ScaleBlock]      // 8 bits, signed
//
// A panel of 8-bit codes is [K][NR]. One of 4-bit codes is [K][NR/2] bytes: byte c
// holds column c in its lower half and column c+NR/2 in its upper half.
type quantized struct {
	codes  []byte
	bits   int
	table  *[16]float32
	round  Rounding
	scales Scales
	pitch  int
	step   int // neighbours along K, from multiples of it on, that share a scale in every row
}

// unpackFunc expands k rows of a panel, all of one scale a column:
//
//	for r := range k {
//		for c := range NR {
//			dst[r*NR+c] = round(table[code(r, c)] * scale[c])
//		}
//	}
//
// For codes of 8 bits the table is not read: the code itself stands in its place.
type unpackFunc func(dst *float32, src *byte, scale, table *float32, k int)

// PackNF4 packs a matrix [n, k] of 4-bit codes, row-major without gaps, two codes a
// byte with the first in the upper half. Each run of ScaleBlock codes, counted
// through the whole matrix, has one scale. The numbers are
//
//	w[i] = round(table[code[i]] * scale[i/ScaleBlock])
//
// in float32, and are computed when they are used. scales is kept, codes are not.
// It panics if codes or scales are too few.
func PackNF4(codes []byte, n, k int, table *[16]float32, scales Scales, round Rounding) *Packed {
	if n < 0 || k < 0 || len(codes) < (n*k+1)/2 || round < 0 || round >= roundings {
		panic("gemm: bad matrix of 4 bits")
	}
	scales.check((n*k + ScaleBlock - 1) / ScaleBlock)
	p := newPacked(n, k)
	p.quant = &quantized{bits: 4, table: table, round: round, scales: scales, pitch: k}
	p.packCodes(func(panel []byte, row int) {
		c := row % NR
		for kk := range k {
			i := row*k + kk
			code := codes[i/2] >> (4 &^ (i % 2 * 4)) & 15
			panel[kk*NR/2+c%(NR/2)] |= code << (c / (NR / 2) * 4)
		}
	})
	return p
}

// PackInt8 packs a matrix [n, k] of signed 8-bit codes, row-major without gaps. Each
// run of ScaleBlock codes within a row has one scale, row after row; the last run of
// a row may be shorter. The numbers are
//
//	w[n,k] = float32(code[n,k]) * scale[n*blocks + k/ScaleBlock] // blocks = ceil(k/ScaleBlock)
//
// and are computed when they are used. scales is kept, codes are not. It panics if
// codes or scales are too few.
func PackInt8(codes []int8, n, k int, scales []float32) *Packed {
	if n < 0 || k < 0 || len(codes) < n*k {
		panic("gemm: bad matrix of 8 bits")
	}
	blocks := (k + ScaleBlock - 1) / ScaleBlock
	p := newPacked(n, k)
	p.quant = &quantized{bits: 8, table: new([16]float32), scales: Scales{Values: scales}, pitch: blocks * ScaleBlock}
	p.quant.scales.check(n * blocks)
	p.packCodes(func(panel []byte, row int) {
		for kk, code := range codes[row*k : (row+1)*k] {
			panel[kk*NR+row%NR] = byte(code)
		}
	})
	return p
}

// packCodes makes room for the codes and calls put for every row with its panel.
// Panels are shared out among the processors.
func (p *Packed) packCodes(put func(panel []byte, row int)) {
	q := p.quant
	q.step = commonStep(q.pitch)
	size := p.depth * NR * q.bits / 8
	words := asWords(aligned(p.panels() * size / 4))
	q.codes = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 4*len(words))
	workers := min(runtime.GOMAXPROCS(0), p.panels())
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < p.panels(); i += workers {
				for row := i * NR; row < min((i+1)*NR, p.n); row++ {
					put(q.codes[i*size:(i+1)*size], row)
				}
			}
		})
	}
	wait.Wait()
}

// commonStep returns the largest power of two up to ScaleBlock that divides pitch.
func commonStep(pitch int) int {
	if pitch == 0 {
		return ScaleBlock
	}
	return min(pitch&-pitch, ScaleBlock)
}

// unpack expands rows [k0, k0+k) of a panel, which begins with row n0 of W, to
// dst [k][NR]. Columns beyond the last row of W become 0.
func (p *Packed) unpack(kern *kernels, dst []float32, n0, k0, k int) {
	q := p.quant
	expand := kern.unpack8
	if q.bits == 4 {
		expand = kern.unpack4[q.round]
	}
	var scale [NR]float32
	for k1 := k0 + k; k0 < k1; {
		end := min(k1, (k0/q.step+1)*q.step)
		for c := range min(NR, p.n-n0) {
			scale[c] = q.scales.At(((n0+c)*q.pitch + k0) / ScaleBlock)
		}
		expand(&dst[0], p.codeAt(n0, k0), &scale[0], &q.table[0], end-k0)
		dst = dst[(end-k0)*NR:]
		k0 = end
	}
}

// codeAt returns where the codes of column k of the panel of row n0 lie.
func (p *Packed) codeAt(n0, k int) *byte {
	return &p.quant.codes[(n0*p.depth+k*NR)*p.quant.bits/8]
}

// value returns element (i, k) of a quantised matrix.
func (p *Packed) value(i, k int) float32 {
	q := p.quant
	scale := q.scales.At((i*q.pitch + k) / ScaleBlock)
	at := (i/NR*NR*p.depth + k*NR) * q.bits / 8
	c := i % NR
	if q.bits == 8 {
		return float32(int8(q.codes[at+c])) * scale
	}
	code := q.codes[at+c%(NR/2)] >> (c / (NR / 2) * 4) & 15
	return q.round.Round(q.table[code] * scale)
}

// unpack4Generic is unpack4Go for every rounding.
var unpack4Generic = [roundings]unpackFunc{unpack4Go(RoundNone), unpack4Go(RoundBF16), unpack4Go(RoundF16)}

// unpack4Go is the unpackFunc of codes of 4 bits.
func unpack4Go(round Rounding) unpackFunc {
	return func(dst *float32, src *byte, scale, table *float32, k int) {
		d, s := unsafe.Slice(dst, k*NR), unsafe.Slice(src, k*NR/2)
		factor, number := (*[NR]float32)(unsafe.Pointer(scale)), (*[16]float32)(unsafe.Pointer(table))
		for r := range k {
			row, codes := d[r*NR:][:NR], s[r*NR/2:][:NR/2]
			for c, pair := range codes {
				row[c] = round.Round(number[pair&15] * factor[c])
				row[c+NR/2] = round.Round(number[pair>>4] * factor[c+NR/2])
			}
		}
	}
}

// unpack8Go is the unpackFunc of codes of 8 bits.
func unpack8Go(dst *float32, src *byte, scale, _ *float32, k int) {
	d, s := unsafe.Slice(dst, k*NR), unsafe.Slice(src, k*NR)
	factor := (*[NR]float32)(unsafe.Pointer(scale))
	for r := range k {
		row := d[r*NR:][:NR]
		for c, code := range s[r*NR:][:NR] {
			row[c] = float32(int8(code)) * factor[c]
		}
	}
}

// unpackTransposed lays out rows [k0, k0+k) of w, columns of one panel width, in
// blocks of NR × NR that pass through tile:
//
//	dst[r][c] = w[first+k0+r][panel*NR+c]
func (j *product) unpackTransposed(dst, tile []float32, panel, k0, k int) {
	cols := min(NR, j.w.k-panel*NR)
	for r := 0; r < k; r += NR {
		j.w.unpack(j.pool.kern, tile, j.first+k0+r, panel*NR, cols)
		transpose(j.pool.kern, asWords(dst[r*NR:]), NR, asWords(tile), NR, NR, NR)
	}
}
