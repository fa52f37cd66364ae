package gemm

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A matrix is packed band by band, a band being the NR rows of a panel, by as many
// goroutines as there are processors. Each has room for one band, so that a matrix that
// has to be converted on its way is never there a second time.

// eachPanel calls f for every panel, with the index of the goroutine that calls.
func (p *Packed) eachPanel(f func(worker, panel int)) {
	workers := min(runtime.GOMAXPROCS(0), p.panels())
	var next atomic.Int64
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < p.panels(); i = int(next.Add(1)) - 1 {
				f(w, i)
			}
		})
	}
	wait.Wait()
}

// bandRows returns the first row of a panel and how many of the matrix it holds.
func (p *Packed) bandRows(panel int) (first, rows int) { return panel * NR, min(NR, p.n-panel*NR) }

// eachBand has fill write every band, row-major without gaps, and then calls put with
// it. fill is given the band's first row.
func eachBand[T any](p *Packed, fill func(band []T, row int), put func(band []T, panel, rows int)) {
	bands := make([][]T, min(runtime.GOMAXPROCS(0), p.panels()))
	p.eachPanel(func(worker, panel int) {
		row, rows := p.bandRows(panel)
		if bands[worker] == nil {
			bands[worker] = make([]T, NR*p.k)
		}
		band := bands[worker][:rows*p.k]
		fill(band, row)
		put(band, panel, rows)
	})
}

// PackF32Bands packs a matrix [n, k] as [PackF32] does. fill writes the rows of a band,
// from a given one on, as many as fit; it is called from several goroutines.
func PackF32Bands(n, k int, fill func(band []float32, row int)) *Packed {
	p := newPacked(n, k)
	p.f32 = aligned(p.panels() * p.depth * NR)
	eachBand(p, fill, func(band []float32, panel, rows int) {
		transpose(best(), asWords(p.f32[panel*NR*p.depth:]), NR, asWords(band), k, rows, k)
	})
	return p
}

// PackBF16Bands packs a matrix [n, k] as [PackBF16] does; fill is as for
// [PackF32Bands].
func PackBF16Bands(n, k int, fill func(band []uint16, row int)) *Packed {
	p := newBF16(n, k)
	eachBand(p, fill, p.packBand)
	return p
}

// PackInt8Bands packs a matrix [n, k] as [PackInt8] does; fill is as for
// [PackF32Bands], and sets the scales of its rows too.
func PackInt8Bands(n, k int, scales []float32, order CodeOrder, fill func(band []int8, row int)) *Packed {
	p := newInt8(n, k, scales, order)
	eachBand(p, fill, func(band []int8, panel, rows int) {
		dst := p.quant.codes[panel*NR*p.depth:]
		if p.quant.order == InTiles {
			p.quant.inTiles(dst, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(band))), len(band)), rows, k)
			return
		}
		for r := range rows {
			for i, code := range band[r*k : (r+1)*k] {
				dst[i*NR+r] = byte(code)
			}
		}
	})
	p.setScales(Scales{Values: scales})
	return p
}

// PackNF4Bands packs a matrix [n, k] as [PackNF4] does; fill is as for
// [PackF32Bands] and writes one code a byte. The scales are asked for when all codes
// are there.
func PackNF4Bands(n, k int, table *[16]float32, round Rounding, order CodeOrder, fill func(band []byte, row int), scales func() Scales) *Packed {
	p := newNF4(n, k, table, round, order)
	eachBand(p, fill, func(band []byte, panel, rows int) {
		dst := p.quant.codes[panel*NR/2*p.depth:]
		if p.quant.order == InTiles {
			p.quant.inTiles(dst, band, rows, k)
			return
		}
		packNibbles(dst, band, rows, k)
	})
	s := scales()
	s.check((n*k + ScaleBlock - 1) / ScaleBlock)
	p.setScales(s)
	return p
}

// packNibbles packs a band of 4-bit codes: byte c of a column's NR/2 holds row c in its
// lower half and row c+NR/2 in its upper half.
func packNibbles(dst, band []byte, rows, k int) {
	const half = NR / 2
	for c := range min(half, rows) {
		lower := band[c*k : (c+1)*k]
		if c+half >= rows {
			for i, code := range lower {
				dst[i*half+c] = code
			}
			continue
		}
		upper := band[(c+half)*k:][:len(lower)]
		for i, code := range lower {
			dst[i*half+c] = code | upper[i]<<4
		}
	}
}
