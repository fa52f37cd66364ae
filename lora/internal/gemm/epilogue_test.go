package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// An epilogue has the bits of the products that it stands for, one after another.
func TestEpilogueEqualsProductsOneByOne(t *testing.T) {
	ns, ks := []int{1, 33, 160}, []int{0, 1, blockK + 5}
	if testing.Short() {
		ns, ks = ns[1:2], ks[2:]
	}
	eachVariant(t, func(t *testing.T, p *Pool) {
		for _, n := range ns {
			for _, k := range ks {
				checkEpilogues(t, p, n, k, []int{0, 1, 9, 29, 70}, []int{0, 1, 8, 65})
			}
		}
		if testing.Short() {
			return
		}
		checkEpilogues(t, p, 40, maxBlocks*pairK+7, []int{150}, []int{16}) // several parts of the reduction
		checkEpilogues(t, p, 40, 64, []int{maxRows + 5}, []int{3})         // several parts of the rows
		checkEpilogues(t, p, 40, 64, []int{20}, []int{blockK + 1})         // more than a block: apart
	})
}

func checkEpilogues(t *testing.T, p *Pool, n, k int, ms, ranks []int) {
	t.Helper()
	w := frame(n, k, 0).noise(2).Dense
	bits, _ := toBF16(w)
	codes := codedInt8(rand.New(rand.NewPCG(1, 2)), n, k, p.Order()).packed
	for kind, packed := range map[string]*Packed{"f32": PackF32(w), "bf16": PackBF16(bits, n, k), "int8": codes} {
		for _, m := range ms {
			for _, rank := range ranks {
				what := fmt.Sprintf("%s %dx%dx%d rank %d", kind, m, n, k, rank)
				checkMulTWith(t, p, what, packed, m, rank)
				checkMulWith(t, p, what, packed, m, rank)
			}
		}
	}
}

func checkMulTWith(t *testing.T, p *Pool, what string, w *Packed, m, rank int) {
	t.Helper()
	x, bias := frame(m, w.k, 3).noise(1), frame(1, w.n, 0).noise(3)
	with := Epilogue{Bias: bias.Row(0), Left: frame(m, rank, 1).noise(4).Dense, Right: frame(w.n, rank, 2).noise(5).Dense, Alpha: 1.5}
	want := frame(m, w.n, 0)
	for i := range m {
		copy(want.Row(i), bias.Row(0))
	}
	MulT(want.Dense, x.Dense, w, 1, 1, p)
	Gemm(false, true, 1.5, with.Left, with.Right, 1, want.Dense, p)
	y := frame(m, w.n, 2).with(float32(math.NaN()))
	MulTWith(y.Dense, x.Dense, w, with, p)
	same(t, what, y.Dense, want.Dense)
	y.checkGuards(t, what)
}

func checkMulWith(t *testing.T, p *Pool, what string, w *Packed, m, rank int) {
	t.Helper()
	dy := frame(m, w.n, 3).noise(1)
	with := Epilogue{Left: frame(m, rank, 1).noise(4).Dense, Right: frame(rank, w.k, 2).noise(5).Dense, Alpha: 1}
	for beta := range 2 {
		dx := frame(m, w.k, 2).noise(6)
		want := clone(dx.Dense)
		Mul(want, dy.Dense, w, 1, float32(beta), p)
		Gemm(false, false, 1, with.Left, with.Right, 1, want, p)
		MulWith(dx.Dense, dy.Dense, w, float32(beta), with, p)
		same(t, what+" back", dx.Dense, want)
		dx.checkGuards(t, what)
	}
}

func TestWrongEpiloguesPanic(t *testing.T) {
	p := open2(t, 1, "")
	d := func(rows, cols int) Dense { return frame(rows, cols, 0).Dense }
	w := PackF32(d(4, 3))
	forward := func(with Epilogue) func() { return func() { MulTWith(d(2, 4), d(2, 3), w, with, p) } }
	for what, f := range map[string]func(){
		"left of other rows":   forward(Epilogue{Left: d(3, 2), Right: d(4, 2)}),
		"right of other rank":  forward(Epilogue{Left: d(2, 2), Right: d(4, 3)}),
		"right of other rows":  forward(Epilogue{Left: d(2, 2), Right: d(5, 2)}),
		"short bias":           forward(Epilogue{Bias: make([]float32, 3)}),
		"bias onto the result": func() { MulWith(d(2, 3), d(2, 4), w, 1, Epilogue{Bias: make([]float32, 3)}, p) },
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
