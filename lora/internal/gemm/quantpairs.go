package gemm

// unpackPairsFunc expands pairs of rows of a panel, all of one scale a column, to pairs
// of bfloat16:
//
//	for i := range pairs {
//		for c := range NR {
//			lower, upper := table[code(2*i, c)] * scale[c], table[code(2*i+1, c)] * scale[c]
//			dst[i*NR+c] = bf16(lower) | bf16(upper)<<16
//		}
//	}
//
// For codes of 8 bits the table is not read: the code itself stands in its place.
type unpackPairsFunc func(dst *uint32, src *byte, scale, table *float32, pairs int)

// unpackPairs expands rows [k0, k0+k) of a panel, which begins with row n0 of W, to pairs
// dst [k/2][NR], their numbers rounded to bfloat16. k0 is even; behind an odd k, the last
// pair is completed by what follows.
func (p *Packed) unpackPairs(kern *kernels, dst []uint32, w *worker, n0, k0, k int) {
	q := p.quant
	expand := kern.dots.matrix.unpack[q.formOf(n0, 1)]
	if expand == nil || q.step%2 != 0 {
		p.pairUp(kern, dst, w, n0, k0, k)
		return
	}
	for k1 := k0 + k; k0 < k1; {
		all := q.readable(k0, k1)
		p.blockScales(kern, w.scales, n0, 1, k0, blocksIn(k0, all))
		for b := 0; k0 < all; b++ {
			end := min(all, (k0/q.step+1)*q.step)
			pairs := (end - k0 + 1) / 2
			expand(&dst[0], p.codeAt(n0, k0), &w.scales[b*NR], &q.table[0], pairs)
			dst = dst[pairs*NR:]
			k0 = end
		}
	}
}

// pairUp is unpackPairs by way of float32, some rows at a time.
func (p *Packed) pairUp(kern *kernels, dst []uint32, w *worker, n0, k0, k int) {
	numbers := asFloats(w.pairs)
	for r := 0; r < k; r += NR {
		rows := min(NR, k-r)
		clear(numbers[rows*NR:])
		p.unpack(kern, numbers, w.scales, n0, k0+r, rows)
		for i := range (rows + 1) / 2 {
			lower, upper := numbers[2*i*NR:][:NR], numbers[(2*i+1)*NR:][:NR]
			for c, x := range lower {
				dst[(r/2+i)*NR+c] = roundBF16(x) | roundBF16(upper[c])<<16
			}
		}
	}
}

// unpackPairRows lays out rows [k0, k0+k) of w, columns of one panel width, as pairs of
// rows, see pairRows.
func (j *product) unpackPairRows(dst []uint32, w *worker, panel, k0, k int) {
	cols := min(NR, j.w.k-panel*NR)
	tile := w.turned
	for r := 0; r < k; r += NR {
		j.w.unpackPairs(j.pool.kern, tile, w, j.first+k0+r, panel*NR, cols)
		j.pool.kern.dots.pairUp(&dst[r/2*NR], &tile[0])
	}
	j.endPairs(dst, k)
}
