package gemm

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// maxMR bounds the rows of a register tile over all variants.
const maxMR = 16

// maxGroup bounds the panels of a wide tile.
const maxGroup = 4

// tileFunc adds to a tile of fixed height (the index in its table), cols columns
// wide, the product of k columns of rows and one block of a panel:
//
//	for i := range rows {
//		for j := range cols {
//			acc := from[i*ldfrom+j]         // 0 if from is nil
//			for r := range k {
//				acc += a[i*leftStride+r] * b[r*NR+j]
//			}
//			c[i*ldc+j] = acc
//		}
//	}
//
// from may be c. k >= 1, 1 <= cols <= NR. For bfloat16, b[r*NR+j] is the half r%2 of the pair
// (r/2)*NR+j; b begins with a whole pair.
type tileFunc func(k int, a *float32, b *byte, from *float32, ldfrom int, c *float32, ldc, cols int, ahead *byte)

// wideFunc is a tileFunc over several whole panels, stride bytes apart, whose
// results lie side by side and take up from c if load is 1.
type wideFunc func(k int, a *float32, b *byte, stride int, c *float32, ldc, load int)

// kernels is one variant of everything that is written in assembly.
type kernels struct {
	name   string
	vec    string              // variant of package vec
	mr     int                 // tallest tile
	f32    [maxMR + 1]tileFunc // by height, 1..mr
	narrow [maxMR + 1]tileFunc // at most NR/2 columns, or nil
	bf16   [maxMR + 1]tileFunc // bfloat16 panels, or nil: then they are widened first
	shares bool                // bf16 fetches at half the speed what lies at ahead, if that is not b
	wide   [2][maxMR + 1]wideFunc
	group  [maxMR + 1]int // panels of the wide tile of that height

	dots   *dots   // products of bfloat16, or nil
	splits *splits // products of numbers split into two of bfloat16, or nil

	block      int // transpose handles block × block
	transpose  func(dst *uint32, ds int, src *uint32, ss int)
	widen      func(dst *float32, src *uint32, n int)
	widenPairs func(dst *float32, src *byte, n int)

	strided *stridedKernels // products in place

	unpack [forms]unpackFunc              // codes
	coded  [2][forms][maxMR + 1]codedFunc // codes, expanded in registers: one panel, panels as for wide; or nil

	scales scalesFunc // of codes
	nested nestedFunc // of codes, in 8 bits

	peak    func(rounds int) // see Peak
	peakOps float64          // operations of a round
}

// kind is what a kernel multiplies.
type kind int

const (
	floats  kind = iota // float32
	bfloats             // float32 by bfloat16, which is widened
	pairs               // pairs of bfloat16, see dots
)

// tiles returns the table for the kind of panel and the number of columns.
func (k *kernels) tiles(of kind, cols int) *[maxMR + 1]tileFunc {
	switch {
	case of == bfloats:
		return &k.bf16
	case of == pairs:
		return &k.dots.tiles
	case cols <= NR/2 && k.narrow[1] != nil:
		return &k.narrow
	}
	return &k.f32
}

// wideTile returns the kernel for several panels at once and their number, or
// nil if there is none for that height.
func (k *kernels) wideTile(of kind, rows int) (wideFunc, int) {
	if of == pairs {
		return k.dots.wide[rows], k.group[rows]
	}
	return k.wide[of][rows], k.group[rows]
}

// generic is the variant in plain Go.
var generic = kernels{
	name:       "generic",
	vec:        "generic",
	mr:         4,
	f32:        [maxMR + 1]tileFunc{1: tileGo1, 2: tileGo2, 3: tileGo3, 4: tileGo4},
	block:      8,
	transpose:  transposeGo,
	widen:      widenGo,
	widenPairs: widenPairsGo,
	strided:    &stridedGeneric,
	unpack:     [forms]unpackFunc{unpack4Go, unpack4BF16Go, unpack4F16Go, unpack8Go, unpack4BF16Go},
	scales:     scalesGo,
	nested:     nestedGo,
	peak:       peakGo,
	peakOps:    4 * 2,
}

// available lists the variants that run here, the best first.
var available = supported()

func supported() []*kernels {
	have := vec.Variants()
	return slices.DeleteFunc(written(), func(k *kernels) bool { return !slices.Contains(have, k.vec) })
}

// Variants returns the names of the variants that this build and machine can
// run, the best first: some of "amxbf16", "avx512bf16", "avx512", "avx2" and "generic".
//
// amxbf16 needs a system that keeps tiles for those that ask, which is Linux from 5.16 on.
// avx512bf16 comes before avx512 on processors of AMD, and behind it elsewhere: its
// instruction does four times the work of a fused multiply-add of float32 at half the
// rate on Zen 4 and Zen 5, at a quarter on the processors of Intel that have it.
func Variants() []string {
	names := make([]string, len(available))
	for i, k := range available {
		names[i] = k.name
	}
	return names
}

// best returns the fastest variant.
func best() *kernels { return available[0] }

// lookup finds a variant by name; "" is the best.
func lookup(name string) (*kernels, error) {
	if name == "" {
		return best(), nil
	}
	for _, k := range available {
		if k.name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("gemm: no variant %q here, have %s", name, strings.Join(Variants(), ", "))
}

func tileGo1(k int, a *float32, b *byte, from *float32, ldfrom int, c *float32, ldc, cols int, _ *byte) {
	tileGo(1, k, a, b, from, ldfrom, c, ldc, cols)
}

func tileGo2(k int, a *float32, b *byte, from *float32, ldfrom int, c *float32, ldc, cols int, _ *byte) {
	tileGo(2, k, a, b, from, ldfrom, c, ldc, cols)
}

func tileGo3(k int, a *float32, b *byte, from *float32, ldfrom int, c *float32, ldc, cols int, _ *byte) {
	tileGo(3, k, a, b, from, ldfrom, c, ldc, cols)
}

func tileGo4(k int, a *float32, b *byte, from *float32, ldfrom int, c *float32, ldc, cols int, _ *byte) {
	tileGo(4, k, a, b, from, ldfrom, c, ldc, cols)
}

// tileGo is the tile in plain Go, four columns at a time. The conversions keep
// compilers from fusing, so that all heights round alike everywhere.
func tileGo(rows, k int, a *float32, b *byte, from *float32, ldfrom int, c *float32, ldc, cols int) {
	as := unsafe.Slice(a, (rows-1)*leftStride+k)
	bs := unsafe.Slice((*float32)(unsafe.Pointer(b)), k*NR)
	cs := unsafe.Slice(c, (rows-1)*ldc+cols)
	var sums []float32
	if from != nil {
		sums = unsafe.Slice(from, (rows-1)*ldfrom+cols)
	}
	for i := range rows {
		row := as[i*leftStride:][:k]
		for j := 0; j < cols; j += 4 {
			var acc [4]float32
			if from != nil {
				copy(acc[:min(4, cols-j)], sums[i*ldfrom+j:])
			}
			quad(row, bs[j:], &acc)
			copy(cs[i*ldc+j:i*ldc+cols], acc[:])
		}
	}
}

// quad adds to up to four neighbouring elements of one row.
func quad(row, b []float32, acc *[4]float32) {
	a0, a1, a2, a3 := acc[0], acc[1], acc[2], acc[3]
	for _, x := range row {
		w := b[:4]
		a0 += float32(x * w[0])
		a1 += float32(x * w[1])
		a2 += float32(x * w[2])
		a3 += float32(x * w[3])
		b = b[min(NR, len(b)):]
	}
	*acc = [4]float32{a0, a1, a2, a3}
}
