package gemm

import (
	"slices"
	"unsafe"
)

// quantized is a packed matrix in 4 or 8 bits. The number behind a code is
//
//	w[n,k] = round(table[code] * scale[(n*pitch+k)/ScaleBlock]) // 4 bits
//	w[n,k] = float32(code) * scale[(n*pitch+k)/ScaleBlock]      // 8 bits, signed
//
// A panel of 8-bit codes by column is [K][NR]. One of 4-bit codes is [K][NR/2] bytes: byte
// c holds column c in its lower half and column c+NR/2 in its upper half.
type quantized struct {
	form    form
	order   CodeOrder
	codes   []byte
	table   *[16]float32
	digits  digits  // of the table, where codes lie in tiles
	largest float32 // of the table, in size
	scales  Scales  // in the order of panels if blocks is not 0
	pitch   int
	blocks  int    // of a row, or 0 where scales are in the order of the matrix
	step    int    // neighbours along K, from multiples of it on, that share a scale in every row
	tame    []bool // by panel, or nil: see form tame
}

// form is what codes are: a Rounding for codes of 4 bits that are rounded so, codes8, or
// tame: RoundBF16 of numbers that are +0 or neither subnormal nor huge. Those are rounded
// in two steps,
//
//	r := float32(x * 65535)
//	x = x*65536 - r // exact
//
// In units of its last place x is a whole number X of 24 bits. Then r is X·2¹⁶-X to the
// nearest multiple of 2¹⁶, and the difference is X to the nearest multiple. In a tie,
// X = h·2¹⁶+2¹⁵, r lies between X-h-1 and X-h multiples; X is even, so that taking the
// even one leaves the even one of h+1 and h. (Next to X = 2²³, where r has a bit more,
// the difference is 2²³ all the same.)
type form int

const (
	codes8 = form(roundings) // codes of 8 bits
	tame   = codes8 + 1
	forms  = tame + 1
)

// bits returns the bits of a code.
func (f form) bits() int {
	if f == codes8 {
		return 8
	}
	return 4
}

// number returns the number behind a code.
func (f form) number(code byte, table *[16]float32, scale float32) float32 {
	switch f {
	case codes8:
		return float32(int8(code)) * scale
	case tame:
		f = form(RoundBF16)
	}
	return Rounding(f).Round(table[code] * scale)
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

// codedFunc is a wideFunc over panels of codes. scale holds those of the first ScaleBlock
// columns of a, panel after panel, then those of the next.
type codedFunc func(k int, a *float32, b *byte, stride int, scale, table, c *float32, ldc, load int)

// PackNF4 packs a matrix [n, k] of 4-bit codes, row-major without gaps, two codes a
// byte with the first in the upper half. Each run of ScaleBlock codes, counted
// through the whole matrix, has one scale. The numbers are
//
//	w[i] = round(table[code[i]] * scale[i/ScaleBlock])
//
// in float32, and are computed when they are used, by pools of the given order. codes are
// not kept, scales may be. It panics if codes or scales are too few.
func PackNF4(codes []byte, n, k int, table *[16]float32, scales Scales, round Rounding, order CodeOrder) *Packed {
	if n < 0 || k < 0 || len(codes) < (n*k+1)/2 {
		panic("gemm: bad matrix of 4 bits")
	}
	return PackNF4Bands(n, k, table, round, order, func(band []byte, row int) {
		for i := range band {
			at := row*k + i
			band[i] = codes[at/2] >> (4 &^ (at % 2 * 4)) & 15
		}
	}, func() Scales { return scales })
}

// newNF4 returns a matrix of 4-bit codes, all zero, without scales.
func newNF4(n, k int, table *[16]float32, round Rounding, order CodeOrder) *Packed {
	if n < 0 || k < 0 || round < 0 || round >= roundings {
		panic("gemm: bad matrix of 4 bits")
	}
	p := newPacked(n, k)
	p.quant = &quantized{form: form(round), table: table, pitch: k}
	p.makeCodes(order)
	return p
}

// PackInt8 packs a matrix [n, k] of signed 8-bit codes, row-major without gaps. Each
// run of ScaleBlock codes within a row has one scale, row after row; the last run of
// a row may be shorter. The numbers are
//
//	w[n,k] = float32(code[n,k]) * scale[n*blocks + k/ScaleBlock] // blocks = ceil(k/ScaleBlock)
//
// and are computed when they are used, by pools of the given order. Neither codes nor
// scales are kept. It panics if there are too few of them.
func PackInt8(codes []int8, n, k int, scales []float32, order CodeOrder) *Packed {
	if n < 0 || k < 0 || len(codes) < n*k {
		panic("gemm: bad matrix of 8 bits")
	}
	return PackInt8Bands(n, k, scales, order, func(band []int8, row int) { copy(band, codes[row*k:]) })
}

// newInt8 returns a matrix of 8-bit codes, all zero.
func newInt8(n, k int, scales []float32, order CodeOrder) *Packed {
	if n < 0 || k < 0 {
		panic("gemm: bad matrix of 8 bits")
	}
	blocks := (k + ScaleBlock - 1) / ScaleBlock
	p := newPacked(n, k)
	(&Scales{Values: scales}).check(n * blocks)
	p.quant = &quantized{form: codes8, table: new([16]float32), pitch: blocks * ScaleBlock}
	p.makeCodes(order)
	return p
}

// makeCodes makes room for the codes, in the order given where that can be, see [CodeOrder].
// Behind them, kernels may read as much as two blocks of a panel in 4 bits take.
func (p *Packed) makeCodes(order CodeOrder) {
	const spare = ScaleBlock * NR
	q := p.quant
	digits, largest := digitsOf(q.table)
	if p.k%ScaleBlock == 0 && q.form != form(RoundF16) && largest-largest == 0 {
		q.order, q.digits, q.largest = order, digits, largest
	}
	q.step = commonStep(q.pitch)
	bytes := p.panels() * p.depth * NR * q.form.bits() / 8
	q.codes = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(aligned((bytes+spare)/4)))), bytes+spare)[:bytes]
}

// commonStep returns the largest power of two up to ScaleBlock that divides pitch.
func commonStep(pitch int) int {
	if pitch == 0 {
		return ScaleBlock
	}
	return min(pitch&-pitch, ScaleBlock)
}

// setScales keeps the scales of all blocks.
func (p *Packed) setScales(s Scales) {
	q := p.quant
	if q.blocks = rowBlocks(q.pitch, s.Values == nil); q.blocks > 0 {
		q.inPanels(p, s)
	} else {
		q.scales = s
	}
}

// formOf returns the form of the codes of neighbouring panels, from that of row n0 on.
func (q *quantized) formOf(n0, panels int) form {
	if q.tame == nil || slices.Contains(q.tame[n0/NR:][:panels], false) {
		return q.form
	}
	return tame
}

// unpack expands rows [k0, k0+k) of a panel, which begins with row n0 of W, to
// dst [k][NR]. scale is scratch for maxScales.
func (p *Packed) unpack(kern *kernels, dst, scale []float32, n0, k0, k int) {
	q := p.quant
	expand := kern.unpack[q.formOf(n0, 1)]
	for k1 := k0 + k; k0 < k1; {
		all := q.readable(k0, k1)
		p.blockScales(kern, scale, n0, 1, k0, blocksIn(k0, all))
		for b := 0; k0 < all; b++ {
			end := min(all, (k0/q.step+1)*q.step)
			expand(&dst[0], p.codeAt(n0, k0), &scale[b*NR], &q.table[0], end-k0)
			dst = dst[(end-k0)*NR:]
			k0 = end
		}
	}
}

// readable returns the end of the columns from k0 on, at most k1, whose scales are read
// together: to the end where rows begin new blocks, those of one scale elsewhere.
func (q *quantized) readable(k0, k1 int) int {
	if q.blocks > 0 {
		return k1
	}
	return min(k1, (k0/q.step+1)*q.step)
}

// codeAt returns where the codes of column k of the panel of row n0 lie.
func (p *Packed) codeAt(n0, k int) *byte {
	return &p.quant.codes[(n0*p.depth+k*NR)*p.quant.form.bits()/8]
}

// value returns element (i, k) of a quantised matrix.
func (p *Packed) value(i, k int) float32 {
	q, c := p.quant, i%NR
	if q.order == InTiles {
		return q.form.number(p.codeInTiles(i, k), q.table, p.scale(i, k))
	}
	row := q.codes[(i/NR*NR*p.depth+k*NR)*q.form.bits()/8:]
	code := row[c%(NR/2)] >> (c / (NR / 2) * 4) & 15
	if q.form == codes8 {
		code = row[c]
	}
	return q.form.number(code, q.table, p.scale(i, k))
}

// blocksIn returns the number of blocks that columns [k0, k1) of a row are part of.
func blocksIn(k0, k1 int) int { return (k1+ScaleBlock-1)/ScaleBlock - k0/ScaleBlock }

func unpack4Go(dst *float32, src *byte, scale, table *float32, k int) {
	unpackNibbles(form(RoundNone), dst, src, scale, table, k)
}

func unpack4BF16Go(dst *float32, src *byte, scale, table *float32, k int) {
	unpackNibbles(form(RoundBF16), dst, src, scale, table, k)
}

func unpack4F16Go(dst *float32, src *byte, scale, table *float32, k int) {
	unpackNibbles(form(RoundF16), dst, src, scale, table, k)
}

// unpackNibbles is the unpackFunc of codes of 4 bits.
func unpackNibbles(f form, dst *float32, src *byte, scale, table *float32, k int) {
	d, s := unsafe.Slice(dst, k*NR), unsafe.Slice(src, k*NR/2)
	factor, numbers := (*[NR]float32)(unsafe.Pointer(scale)), (*[16]float32)(unsafe.Pointer(table))
	for r := range k {
		row, codes := d[r*NR:][:NR], s[r*NR/2:][:NR/2]
		for c, pair := range codes {
			row[c] = f.number(pair&15, numbers, factor[c])
			row[c+NR/2] = f.number(pair>>4, numbers, factor[c+NR/2])
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
			row[c] = codes8.number(code, nil, factor[c])
		}
	}
}

// unpackTransposed lays out rows [k0, k0+k) of w, columns of one panel width, in
// blocks of NR × NR that pass through the worker's scratch memory:
//
//	dst[r][c] = w[first+k0+r][panel*NR+c]
func (j *product) unpackTransposed(dst []float32, w *worker, panel, k0, k int) {
	tile := asFloats(w.pairs)
	cols := min(NR, j.w.k-panel*NR)
	for r := 0; r < k; r += NR {
		j.w.unpack(j.pool.kern, tile, w.scales[:], j.first+k0+r, panel*NR, cols)
		transpose(j.pool.kern, asWords(dst[r*NR:]), NR, asWords(tile), NR, NR, NR)
	}
}
