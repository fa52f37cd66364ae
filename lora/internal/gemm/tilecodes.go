package gemm

import (
	"encoding/binary"
	"unsafe"
)

// CodeOrder is the order in which a matrix holds its codes.
type CodeOrder int

const (
	// ByColumn is the order of all variants but those with tiles: a panel is [K][NR].
	ByColumn CodeOrder = iota
	// InTiles is the order of variants with tiles: of a panel, codes of 8 bits are
	// [K/ScaleBlock][2][ScaleBlock/4][NR/2][4], 4 neighbours along K side by side. Codes of 4
	// bits are [K/ScaleBlock][2][ScaleBlock/8][NR/2][4] bytes, the first half of a block in the
	// lower half of the bytes, the second in the upper. Matrices whose rows are not whole
	// blocks, those of half precision, and those whose table is not finite are in the other
	// order all the same.
	InTiles
)

// Order returns the order of codes that the pool's variant multiplies.
func (p *Pool) Order() CodeOrder {
	if p.kern.dots != nil && p.kern.dots.matrix != nil {
		return InTiles
	}
	return ByColumn
}

// unpackHalfFunc expands one half (0 or 1) of a block of codes by row, rows 64 bytes apart,
// to bfloat16:
//
//	for r := range NR {
//		for i := range ScaleBlock / 2 {
//			dst[r][i] = bf16(table[code(r, half*ScaleBlock/2 + i)] * scale[r])
//		}
//	}
//
// For codes of 8 bits the table is not read: the code itself stands in its place. Of codes
// of 4 bits, byte i holds number i in its lower half and number i+ScaleBlock/2 in its upper
// half.
type unpackHalfFunc func(dst *uint32, src *byte, scale, table *float32, half int)

// inTiles puts the codes of a band into a panel in the order InTiles, four at a time.
func (q *quantized) inTiles(dst, band []byte, rows, k int) {
	const half = ScaleBlock / 2
	words := binary.LittleEndian
	for r := range rows {
		for b := 0; b < k; b += ScaleBlock {
			codes := band[r*k+b:][:ScaleBlock]
			at, _ := q.inTile(r, b)
			if q.form == codes8 {
				for i := 0; i < ScaleBlock; i += 4 {
					words.PutUint32(dst[at+i*tileRows:], words.Uint32(codes[i:]))
				}
				continue
			}
			for i := 0; i < half; i += 4 {
				words.PutUint32(dst[at+i*tileRows:], words.Uint32(codes[i:])|words.Uint32(codes[half+i:])<<4)
			}
		}
	}
}

// inTile returns where in a panel in the order InTiles a code lies, and by how much it is
// shifted.
func (q *quantized) inTile(row, k int) (at, shift int) {
	const half = ScaleBlock / 2
	size, block, i := ScaleBlock*NR*q.form.bits()/8, k/ScaleBlock, k%ScaleBlock
	if q.form != codes8 {
		i, shift = i%half, i/half*4
	}
	return block*size + row/tileRows*size/2 + i/4*4*tileRows + row%tileRows*4 + i%4, shift
}

// codeInTiles returns code (i, k) of a matrix in the order InTiles.
func (p *Packed) codeInTiles(i, k int) byte {
	q := p.quant
	at, shift := q.inTile(i%NR, k)
	code := q.codes[i/NR*NR*p.depth*q.form.bits()/8+at]
	if q.form != codes8 {
		code = code >> shift & 15
	}
	return code
}

// zipCodes lays out rows [k0, k0+k) of w, codes in tiles, columns of one panel width, as
// pairs of rows.
func (j *product) zipCodes(dst []uint32, w *worker, panel, k0, k int) {
	for r := 0; r < k; r += NR {
		n0 := j.first + k0 + r
		j.w.blockScales(j.pool.kern, w.scales, n0, 1, panel*NR, 1)
		j.expandHalf(w, n0, panel*NR)
		j.pool.kern.dots.matrix.zip(&dst[r/2*NR], &w.turned[0])
	}
}

// expandHalf expands the half block of a panel that begins with row n0 and column k.
func (j *product) expandHalf(w *worker, n0, k int) {
	q, kern := j.w.quant, j.pool.kern
	block, half := k/ScaleBlock*ScaleBlock, k%ScaleBlock/NR
	for g := range NR / tileRows { // codes of 4 bits fill half of the rows of w.pairs
		codes := unsafe.Add(unsafe.Pointer(j.w.codeAt(n0, block)), g*ScaleBlock*tileRows*q.form.bits()/8)
		kern.transpose(&w.pairs[g*tileRows*tileRows], tileRows, (*uint32)(codes), tileRows)
	}
	rows := (*byte)(unsafe.Pointer(&w.pairs[0]))
	kern.dots.matrix.half[btoi(q.form == codes8)](&w.turned[0], rows, &w.scales[0], &q.table[0], half)
}

// unpackPairs expands rows [k0, k0+k) of a panel of codes by column, which begins with row
// n0 of W, to pairs of bfloat16 [k/2][NR], by way of float32. Behind an odd k, the last
// pair is completed by 0.
func (j *product) unpackPairs(dst []uint32, w *worker, n0, k0, k int) {
	numbers := asFloats(w.pairs)
	for r := 0; r < k; r += NR {
		rows := min(NR, k-r)
		clear(numbers[rows*NR:])
		j.w.unpack(j.pool.kern, numbers, w.scales, n0, k0+r, rows)
		for i := range (rows + 1) / 2 {
			j.pool.kern.dots.matrix.pairs(&dst[(r/2+i)*NR], &numbers[2*i*NR], &numbers[(2*i+1)*NR], NR)
		}
	}
}

// unpackPairRows lays out rows [k0, k0+k) of w, codes by column, columns of one panel
// width, as pairs of rows, see pairRows.
func (j *product) unpackPairRows(dst []uint32, w *worker, panel, k0, k int) {
	cols := min(NR, j.w.k-panel*NR)
	for r := 0; r < k; r += NR {
		j.unpackPairs(w.turned, w, j.first+k0+r, panel*NR, cols)
		j.pool.kern.dots.pairUp(&dst[r/2*NR], &w.turned[0], &w.turned[0])
	}
}

// layCodes lays out rows [k0, k0+k) of a panel of the right factor in pairs, codes of any
// order.
func (j *product) layCodes(dst []uint32, w *worker, panel, k0, k int) {
	switch turned := j.source == panelsQuantTransposed; {
	case turned && j.w.quant.order == InTiles:
		j.zipCodes(dst, w, panel, k0, k)
	case turned:
		j.unpackPairRows(dst, w, panel, k0, k)
	default:
		j.unpackPairs(dst, w, j.first+panel*NR, k0, k)
	}
	j.endPairs(dst, k)
}

// unpackHalfGo is the unpackHalfFunc of a form in plain Go.
func unpackHalfGo(f form, dst *uint32, src *byte, scale, table *float32, half int) {
	const n = ScaleBlock / 2
	d := unsafe.Slice((*uint16)(unsafe.Pointer(dst)), NR*n)
	codes, factors := unsafe.Slice(src, NR*ScaleBlock), unsafe.Slice(scale, NR)
	for r := range NR {
		for i := range n {
			code := codes[r*ScaleBlock+half*n*btoi(f == codes8)+i]
			if f != codes8 {
				code = code >> (4 * half) & 15
			}
			d[r*n+i] = uint16(roundBF16(f.number(code, (*[16]float32)(unsafe.Pointer(table)), factors[r])))
		}
	}
}

// zipRowsGo pairs neighbouring rows of 32 numbers in bfloat16:
//
//	for i := range NR / 2 {
//		for k := range NR {
//			dst[i*NR+k] = src[2*i][k] | src[2*i+1][k]<<16
//		}
//	}
func zipRowsGo(dst, src *uint32) {
	d, s := unsafe.Slice(dst, NR*NR/2), unsafe.Slice((*uint16)(unsafe.Pointer(src)), NR*NR)
	for i := range NR / 2 {
		for k := range NR {
			d[i*NR+k] = uint32(s[2*i*NR+k]) | uint32(s[(2*i+1)*NR+k])<<16
		}
	}
}

// pairsGo rounds two rows of n numbers to pairs of bfloat16.
func pairsGo(dst *uint32, even, odd *float32, n int) {
	d, e, o := unsafe.Slice(dst, n), unsafe.Slice(even, n), unsafe.Slice(odd, n)
	for i := range d {
		d[i] = roundBF16(e[i]) | roundBF16(o[i])<<16
	}
}
