package gemm

import (
	"math"
	"unsafe"
)

// Variants with tiles multiply float32 matrices, nearly as exactly, as sums of two of
// bfloat16:
//
//	high = bf16(x), low = bf16(x - high) // x within 2⁻¹⁷ of its size
//	x·w ≈ high(x)·high(w) + high(x)·low(w) + low(x)·high(w) // within 2⁻¹⁵
//
// The factors are laid out by the caller's choice ([Pool.SplitRows] and its like), once for
// several products ([Pool.MulSplit]). Infinite factors give NaN.

// splits is what a variant has for that.
type splits struct {
	rows   func(high, low *uint32, src *float32, n int)       // of a multiple of 32 numbers, see splitRowsGo
	pairs  func(high, low *uint32, even, odd *float32, n int) // of a multiple of 16, see splitPairsGo
	matrix [2][2]splitFunc                                    // by tiles of rows and of columns less one
}

// splitFunc multiplies split factors as a [matrixFunc] does those of bfloat16: a step adds
// the products of high by high, of high by low and of low by high numbers, in this order.
// It goes through some panels of b, bnext bytes apart, whose results lie cnext elements
// apart; where add is not 0, sums begin with what they hold. count is for its own use.
type splitFunc func(shape *byte, panels, blocks, steps int, ahigh, alow *uint32, lda int, bhigh, blow *uint32, bnext int, c *float32, ldc, cnext, add, count int)

// Left is a split left factor [M, K]: rows of pairs along K, stride words apart.
type Left struct {
	high, low       []uint32
	m, steps, lines int // steps of tileK numbers; lines of a row
}

// Right is a split right factor [K, N]: panels of NR columns, [K/2][NR] pairs along K each.
type Right struct {
	high, low     []uint32
	steps, panels int
}

// Splits reports whether the pool's variant has products of split matrices.
func (p *Pool) Splits() bool { return p.kern.splits != nil }

// SplitsOf reports whether a variant, by its name or "" for the best, has products of
// split matrices, whether it runs here or not.
func SplitsOf(variant string) bool {
	return variant == tilesVariant || variant == "" && best().splits != nil
}

// LeftSize returns the number of words that a [Left] of m × k takes.
func LeftSize(m, k int) int { return 2 * m * leftLines(k) * tileRows }

// leftLines returns the cache lines of a row: such that neighbours fall on different sets.
func leftLines(k int) int { return (k+tileK-1)/tileK | 1 }

// RightSize returns the number of words that a [Right] of k × n takes.
func RightSize(k, n int) int { return (k + tileK - 1) / tileK * tileK * ((n + NR - 1) / NR * NR) }

// NewLeft makes a left factor of m × k in memory of [LeftSize] words that begins on a
// cache line.
func NewLeft(mem []float32, m, k int) Left {
	n := LeftSize(m, k)
	words := asWords(mem[:n])
	return Left{high: words[:n/2], low: words[n/2:], m: m, steps: (k + tileK - 1) / tileK, lines: leftLines(k)}
}

// NewRight makes a right factor of k × n in memory of [RightSize] words that begins on a
// cache line.
func NewRight(mem []float32, k, n int) Right {
	size := RightSize(k, n)
	words := asWords(mem[:size])
	return Right{high: words[:size/2], low: words[size/2:], steps: (k + tileK - 1) / tileK, panels: (n + NR - 1) / NR}
}

// Part returns m rows of a left factor from row first on, and their first k columns.
func (l Left) Part(first, m, k int) Left {
	at := first * l.lines * tileRows
	l.high, l.low = l.high[at:], l.low[at:]
	l.m, l.steps = m, (k+tileK-1)/tileK
	return l
}

// at returns where row r of a left factor and its step begin.
func (l *Left) at(r, step int) (high, low *uint32) {
	i := (r*l.lines + step) * tileRows
	return &l.high[i], &l.low[i]
}

// at returns where a step of a panel of a right factor begins.
func (r *Right) at(panel, step int) (high, low *uint32) {
	i := (panel*r.steps + step) * tileRows * NR
	return &r.high[i], &r.low[i]
}

// SplitRows lays the rows of x out as rows of a left factor from row first on. x has as
// many columns as fill whole steps: a multiple of 32.
func (p *Pool) SplitRows(to *Left, first int, x Dense) {
	checkSteps(x.Cols)
	for r := range x.Rows {
		high, low := to.at(first+r, 0)
		p.kern.splits.rows(high, low, &x.Row(r)[0], x.Cols)
	}
}

// SplitPairs lays two rows of the reduction, 2*pair and 2*pair+1, of a right factor out.
// Both have whole panels of columns: a multiple of 32.
func (p *Pool) SplitPairs(to *Right, pair int, even, odd []float32) {
	checkSteps(len(even))
	for panel := range len(even) / NR {
		i := (panel*to.steps*tileRows + pair) * NR
		p.kern.splits.pairs(&to.high[i], &to.low[i], &even[panel*NR], &odd[panel*NR], NR)
	}
}

// SplitColumns lays the rows of x out as one panel of columns of a right factor: x has NR
// rows and a multiple of 32 columns. scratch holds as many words as x.
func (p *Pool) SplitColumns(to *Right, panel int, x Dense, scratch []uint32) {
	checkSteps(x.Cols)
	words := x.Cols / 2
	high, low := scratch[:NR*words], scratch[NR*words:]
	for r := range NR {
		p.kern.splits.rows(&high[r*words], &low[r*words], &x.Row(r)[0], x.Cols)
	}
	i := panel * to.steps * tileRows * NR
	transpose(p.kern, to.high[i:], NR, high, words, NR, words)
	transpose(p.kern, to.low[i:], NR, low, words, NR, words)
}

// MulSplit multiplies split factors:
//
//	c[i,j] = Σ_k a[i,k]·b[k0+k,j0+j] + add·c[i,j]
//
// over all rows of a, its reduction, and cols columns of b from j0 on. k0 and j0 are
// multiples of 32. Column j of c lies in panel j/NR, apart elements after the one before;
// rows of a panel are ldc apart.
func (p *Pool) MulSplit(c []float32, ldc, apart int, a *Left, b *Right, k0, j0, cols int, add bool) {
	p.mulPanels(c, ldc, apart, a, b, k0, j0, cols/NR, NR, add)
	if rest := cols % NR; rest > 0 {
		whole := cols - rest
		p.mulPanels(c[whole/NR*apart:], ldc, apart, a, b, k0, j0+whole, 1, rest, add)
	}
}

// mulPanels is MulSplit for panels of one width.
func (p *Pool) mulPanels(c []float32, ldc, apart int, a *Left, b *Right, k0, j0, panels, width int, add bool) {
	if panels == 0 {
		return
	}
	w := &p.workers[0]
	bhigh, blow := b.at(j0/NR, k0/tileK)
	for r := 0; r < a.m; {
		rows, blocks := min(a.m-r, matrixRows), max(1, (a.m-r)/matrixRows)
		w.shape.set(rows, width)
		ahigh, alow := a.at(r, 0)
		kernel := p.kern.splits.matrix[btoi(rows > tileRows)][btoi(width > tileRows)]
		kernel(&w.shape[0], panels, blocks, a.steps, ahigh, alow, a.lines*tileRows,
			bhigh, blow, b.steps*tileRows*NR*4, &c[r*ldc], ldc, apart, btoi(add), 0)
		r += blocks * rows
	}
}

// Transpose sets dst to the transpose of x.
func (p *Pool) Transpose(dst, x Dense) {
	dst.check()
	x.check()
	if dst.Rows != x.Cols || dst.Cols != x.Rows {
		panic("gemm: shapes do not match")
	}
	if len(x.Data) > 0 {
		transpose(p.kern, asWords(dst.Data), dst.Stride, asWords(x.Data), x.Stride, x.Rows, x.Cols)
	}
}

func checkSteps(n int) {
	if n%tileK != 0 {
		panic("gemm: rows to split are no whole steps")
	}
}

// splitRowsGo splits n numbers, two neighbours a word.
func splitRowsGo(high, low *uint32, src *float32, n int) {
	h, l, s := unsafe.Slice(high, n/2), unsafe.Slice(low, n/2), unsafe.Slice(src, n)
	for i := range h {
		h[i], l[i] = splitPair(s[2*i], s[2*i+1])
	}
}

// splitPairsGo splits two rows of n numbers, one of each a word.
func splitPairsGo(high, low *uint32, even, odd *float32, n int) {
	h, l := unsafe.Slice(high, n), unsafe.Slice(low, n)
	e, o := unsafe.Slice(even, n), unsafe.Slice(odd, n)
	for i := range h {
		h[i], l[i] = splitPair(e[i], o[i])
	}
}

// splitPair returns the words of two numbers.
func splitPair(x, y float32) (high, low uint32) {
	hx, hy := roundBF16(x), roundBF16(y)
	return hx | hy<<16, restBF16(x, hx) | restBF16(y, hy)<<16
}

// restBF16 returns what x leaves of its rounded self, rounded; nothing where that is NaN.
func restBF16(x float32, high uint32) uint32 {
	rest := x - math.Float32frombits(high<<16)
	if rest != rest {
		return 0
	}
	return roundBF16(rest)
}
