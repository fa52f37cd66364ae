package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachVariant runs f once for every variant of this machine, with one and with
// three workers.
func eachVariant(t *testing.T, f func(t *testing.T, p *Pool)) {
	for _, v := range Variants() {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", v, workers), func(t *testing.T) { f(t, open2(t, workers, v)) })
		}
	}
}

func open2(t testing.TB, workers int, variant string) *Pool {
	t.Helper()
	p, err := NewPool(workers, variant)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// guard stands where no kernel may write.
const guard = 12345.678

// framed is a matrix with a stride longer than its rows, guard words in the gaps
// and at both ends.
type framed struct {
	Dense
	all []float32
}

func frame(rows, cols, extra int) framed {
	const margin = 40
	stride := cols + extra
	all := make([]float32, 2*margin+rows*stride)
	for i := range all {
		all[i] = guard
	}
	return framed{Dense{Data: all[margin : len(all)-margin], Rows: rows, Cols: cols, Stride: stride}, all}
}

// noise fills the matrix from a seed.
func (f framed) noise(seed uint64) framed {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range f.Rows {
		for j := range f.Row(i) {
			f.Row(i)[j] = float32(r.NormFloat64())
		}
	}
	return f
}

// with fills the matrix with one value.
func (f framed) with(v float32) framed {
	for i := range f.Rows {
		for j := range f.Row(i) {
			f.Row(i)[j] = v
		}
	}
	return f
}

// checkGuards fails if a word outside the matrix was written.
func (f framed) checkGuards(t *testing.T, what string) {
	t.Helper()
	inside := func(i int) bool {
		i -= 40
		return i >= 0 && f.Stride > 0 && i/f.Stride < f.Rows && i%f.Stride < f.Cols
	}
	for i, v := range f.all {
		if !inside(i) && v != guard {
			t.Fatalf("%s: wrote outside, at %d", what, i-40)
		}
	}
}

func clone(d Dense) Dense {
	out := View(make([]float32, d.Rows*d.Cols), d.Rows, d.Cols)
	for i := range d.Rows {
		copy(out.Row(i), d.Row(i))
	}
	return out
}

func transposed(d Dense) Dense {
	out := View(make([]float32, d.Rows*d.Cols), d.Cols, d.Rows)
	for i := range d.Rows {
		for j, v := range d.Row(i) {
			out.Data[j*out.Stride+i] = v
		}
	}
	return out
}

// toBF16 rounds to bfloat16 (toward zero, which any bit pattern survives) and
// returns the bits and their values.
func toBF16(d Dense) ([]uint16, Dense) {
	bits, values := make([]uint16, 0, d.Rows*d.Cols), clone(d)
	for i := range values.Data {
		b := math.Float32bits(values.Data[i]) >> 16
		bits = append(bits, uint16(b))
		values.Data[i] = math.Float32frombits(b << 16)
	}
	return bits, values
}

// reference is alpha*a·b + beta*c0 in float64, with the sum of magnitudes of
// each element.
type reference struct {
	k         int
	rounded   bool // the left factor is rounded to bfloat16 on variants that multiply such
	cols      int
	sum, size []float64
}

// product64 computes a reference from a [M,K] and the transpose of b [N,K].
func product64(alpha float32, a, bT Dense, beta float32, c0 Dense) reference {
	r := reference{k: a.Cols, cols: bT.Rows}
	for i := range a.Rows {
		for j := range bT.Rows {
			sum, size := 0.0, 0.0
			if beta != 0 {
				sum = float64(beta) * float64(c0.Row(i)[j])
				size = math.Abs(sum)
			}
			b := bT.Row(j)
			for k, v := range a.Row(i) {
				term := float64(alpha) * float64(v) * float64(b[k])
				sum, size = sum+term, size+math.Abs(term)
			}
			r.sum, r.size = append(r.sum, sum), append(r.size, size)
		}
	}
	return r
}

// check compares got. An element that sums K products and c0 in float32 is off
// by at most (K+3)·u times the sum of magnitudes, u = 2^-24 (Higham, Accuracy
// and Stability of Numerical Algorithms, section 3.1). Rounding one factor to 8
// significant bits adds at most 2^-8 times that sum.
func (r reference) check(t *testing.T, what string, got Dense, p *Pool) {
	t.Helper()
	unit := float64(r.k+3) * 0x1p-24 * 1.01
	if r.rounded && p.kern.dots != nil {
		unit += 0x1p-8
	}
	for i, want := range r.sum {
		limit := unit * r.size[i]
		g := got.Row(i / r.cols)[i%r.cols]
		if d := math.Abs(float64(g) - want); !(d <= limit) {
			t.Fatalf("%s: element (%d,%d) is %v, want %v ± %g", what, i/r.cols, i%r.cols, g, want, limit)
		}
	}
}

// everyPool returns pools of every variant with one worker and with three.
func everyPool(t *testing.T) []*Pool {
	var pools []*Pool
	for _, v := range Variants() {
		pools = append(pools, open2(t, 1, v), open2(t, 3, v))
	}
	return pools
}

// checkAll runs f on a copy of y with every pool and compares the results.
func (r reference) checkAll(t *testing.T, what string, pools []*Pool, y framed, f func(y Dense, p *Pool)) {
	t.Helper()
	for _, p := range pools {
		what := fmt.Sprintf("%s, %s with %d workers", what, p.Variant(), p.Workers())
		got := frame(y.Rows, y.Cols, 5)
		for i := range y.Rows {
			copy(got.Row(i), y.Row(i))
		}
		f(got.Dense, p)
		r.check(t, what, got.Dense, p)
		got.checkGuards(t, what)
	}
}

// bf16 returns r for a right factor that is held as bfloat16.
func (r reference) bf16() reference {
	r.rounded = true
	return r
}

// same fails unless both matrices agree bit by bit.
func same(t *testing.T, what string, got, want Dense) {
	t.Helper()
	for i := range want.Rows {
		for j, w := range want.Row(i) {
			if g := got.Row(i)[j]; math.Float32bits(g) != math.Float32bits(w) {
				t.Fatalf("%s: element (%d,%d) is %v, want %v", what, i, j, g, w)
			}
		}
	}
}
