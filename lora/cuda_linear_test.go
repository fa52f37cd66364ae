//go:build cuda && cgo

package lora

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// productEngine opens the engine in one of its precisions, and the reference beside it.
func productEngine(t *testing.T, bf16 bool) (got *cudaEngine, ref *refEngine) {
	t.Helper()
	e, err := newCUDAEngine(0, bf16)
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "no NVIDIA driver"), strings.Contains(err.Error(), "finds no NVIDIA GPU"):
		t.Skipf("SKIPPED, NOT TESTED ON A GPU: %v", err)
	default:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, newRefEngine()
}

// twin is one matrix on both engines: on the GPU inside a larger one, at an odd place.
type twin struct {
	got, ref View
	data     []float32
}

// products makes operands for both engines.
type products struct {
	*testing.T
	got *cudaEngine
	ref *refEngine
	rng *rand.Rand
}

func newProducts(t *testing.T, bf16 bool) *products {
	got, ref := productEngine(t, bf16)
	return &products{t, got, ref, rand.New(rand.NewPCG(3, 4))}
}

// matrix makes a matrix of normal numbers; shift 0 puts it where float4 may be read.
func (p *products) matrix(rows, cols, shift int) twin {
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(p.rng.NormFloat64())
	}
	return p.holding(rows, cols, shift, data)
}

// output makes a matrix of NaN.
func (p *products) output(rows, cols, shift int) twin {
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(math.NaN())
	}
	return p.holding(rows, cols, shift, data)
}

func (p *products) holding(rows, cols, shift int, data []float32) twin {
	outer := p.got.NewView(rows+1, roundUp(cols, 4)+8+shift)
	v := twin{outer.RowRange(0, rows).ColRange(shift, shift+cols), p.ref.NewView(rows, cols), data}
	p.got.Write(v.got, data)
	p.ref.Write(v.ref, data)
	return v
}

// weight makes a weight of a kind on both engines.
func (p *products) weight(kind Kind, out, in int) (got, ref Weight) {
	p.Helper()
	data := make([]float32, out*in)
	for i := range data {
		data[i] = float32(p.rng.NormFloat64())
	}
	t := NewF32("w", []int{out, in}, data)
	got, err := p.got.NewWeight(t, kind)
	if err != nil {
		p.Fatal(err)
	}
	if ref, err = p.ref.NewWeight(t, kind); err != nil {
		p.Fatal(err)
	}
	return got, ref
}

// numbers reads a view.
func numbers(t *testing.T, e interface{ Read([]float32, View) error }, v View) []float32 {
	t.Helper()
	data := make([]float32, v.Len())
	if err := e.Read(data, v); err != nil {
		t.Fatal(err)
	}
	return data
}

// near compares two results within a share of the root mean square of the wanted ones, which
// for sums of products of normal numbers is the size of every one of them.
func (p *products) near(what string, v twin, share float64) {
	p.Helper()
	got, want := numbers(p.T, p.got, v.got), numbers(p.T, p.ref, v.ref)
	square := 0.0
	for _, x := range want {
		square += float64(x) * float64(x)
	}
	size := math.Sqrt(square / float64(max(1, len(want))))
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= share*size) {
			p.Fatalf("%s: element (%d, %d) is %v, want %v within %.2g", what, i/v.got.Cols, i%v.got.Cols, got[i], want[i], share*size)
		}
	}
}

// tolerance is the error of a sum of products relative to its size: each factor that is
// rounded to bfloat16 brings 2⁻⁹ on average and the errors add like random steps, so that
// the sum's is as that of one product; 12 standard deviations of it, and as many of
// float32's for what is rounded nowhere.
func tolerance(bf16 bool, kind Kind) float64 {
	if bf16 && kind != F32 {
		return 12.0 / (1 << 9)
	}
	return 12.0 / (1 << 20)
}

// Every path of a product: streamed and large, columns split between warps and between
// blocks, sizes that fit no tile, all kinds, both precisions, rows and columns at odd places.
func TestCUDALinearPaths(t *testing.T) {
	shapes := []struct {
		rows, in, out, rank int
		why                 string
	}{
		{1, 64, 16, 0, "one tile"},
		{1, 192, 8, 3, "few rows of the weight, a branch"},
		{2, 33, 5, 1, "nothing fits"},
		{7, 640, 70, 16, "columns shared by warps"},
		{8, 1024, 33, 17, "a second tile of ranks"},
		{16, 1400, 40, 4, "columns split between blocks"},
		{17, 256, 130, 0, "a second tile of rows"},
		{32, 960, 24, 8, "the most rows that are streamed"},
		{33, 320, 150, 5, "the fewest that are not"},
		{70, 200, 90, 20, "large, nothing fits"},
	}
	for _, bf16 := range []bool{false, true} {
		p := newProducts(t, bf16)
		for i, s := range shapes {
			for _, kind := range Kinds() {
				t.Run(fmt.Sprintf("%s/%v/%s", p.got.Name(), kind, s.why), func(t *testing.T) {
					p.T = t
					p.linear(kind, s.rows, s.in, s.out, s.rank, i%2, tolerance(bf16, kind))
				})
			}
		}
	}
}

// linear compares a layer forward and backward.
func (p *products) linear(kind Kind, rows, in, out, rank, shift int, tolerance float64) {
	p.Helper()
	var got, ref Linear
	got.W, ref.W = p.weight(kind, out, in)
	defer got.W.Release()
	x, dy, y, dx, h := p.matrix(rows, in, shift), p.matrix(rows, out, shift), p.output(rows, out, 3*shift), p.output(rows, in, shift), p.output(rows, rank, 0)
	bias, dbias := p.matrix(1, out, shift), p.matrix(1, out, shift)
	got.Bias, ref.Bias, got.DBias, ref.DBias = bias.got, bias.ref, dbias.got, dbias.ref
	got.Scale, ref.Scale = 0.5, 0.5
	var da, db twin
	if rank > 0 {
		a, b := p.matrix(rank, in, shift), p.matrix(out, rank, shift)
		da, db = p.matrix(rank, in, shift), p.matrix(out, rank, shift)
		got.A, got.B, got.DA, got.DB = a.got, b.got, da.got, db.got
		ref.A, ref.B, ref.DA, ref.DB = a.ref, b.ref, da.ref, db.ref
		got.Drop = Dropout{P: 0.25, Key: Key{Seed: 5, Purpose: ForDropout, Index: 1}, Row0: 3}
		ref.Drop = got.Drop
	}
	p.got.Linear(y.got, x.got, &got, h.got)
	p.ref.Linear(y.ref, x.ref, &ref, h.ref)
	p.near("y", y, tolerance)
	p.near("h", h, 12.0/(1<<20))
	p.got.LinearBack(dx.got, dy.got, x.got, &got, h.got, false)
	p.ref.LinearBack(dx.ref, dy.ref, x.ref, &ref, h.ref, false)
	p.near("dx", dx, tolerance)
	p.got.LinearBack(dx.got, dy.got, x.got, &got, h.got, true)
	p.ref.LinearBack(dx.ref, dy.ref, x.ref, &ref, h.ref, true)
	p.near("dx added to", dx, tolerance)
	p.near("dbias", dbias, 12.0/(1<<20))
	if rank > 0 {
		p.near("dA", da, 12.0/(1<<20))
		p.near("dB", db, 12.0/(1<<20))
	}
}

// The branch drops the elements that the CPU drops, whatever their place in the stream of
// random numbers, on the way down and on the way back.
func TestCUDADropoutIsThatOfTheCPU(t *testing.T) {
	p := newProducts(t, true)
	for _, rows := range []int{1, 5, 33} {
		for _, in := range []int{4, 33, 130} { // of the stream's blocks of four: whole, begun anywhere, the middle
			d := Dropout{P: 0.4, Key: Key{Seed: 9, Purpose: ForDropout, Index: 2, Step: 5}, Row0: 1<<33 + 7}
			ones, identity := make([]float32, rows*in), make([]float32, in*in)
			want := make([]float32, rows*in)
			for i := range ones {
				ones[i] = 1
				if d.keeps(i/in, in, i%in) {
					want[i] = float32(1 / (1 - d.P))
				}
			}
			for i := range in {
				identity[i*in+i] = 1
			}
			x, eye := p.holding(rows, in, 1, ones), p.holding(in, in, 0, identity)
			y, dx, h := p.output(rows, in, 0), p.output(rows, in, 1), p.output(rows, in, 1)
			l := &Linear{W: p.got.ViewWeight(p.got.NewView(in, in)), A: eye.got, B: eye.got, Scale: 1, Drop: d}
			p.got.Linear(y.got, x.got, l, h.got)
			p.got.LinearBack(dx.got, x.got, x.got, l, h.got, false)
			for name, v := range map[string]twin{"h": h, "y": y, "dx": dx} {
				if got := numbers(t, p.got, v.got); !slices.Equal(got, want) {
					t.Errorf("%d rows of %d, %s: %v, want %v", rows, in, name, got, want)
				}
			}
		}
	}
}

// Products with a stretch of a weight's rows, as the vocabulary is taken, and with weights
// that are unpacked in several pieces.
func TestCUDAProductsOfStretches(t *testing.T) {
	old := cudaUnpackRoom
	defer func() { cudaUnpackRoom = old }()
	cudaUnpackRoom = 1 // as few rows as may be
	const rows, in, out, v0, v1 = 5, 40, 300, 64, 290
	for _, bf16 := range []bool{false, true} {
		p := newProducts(t, bf16)
		for _, kind := range Kinds() {
			w, ref := p.weight(kind, out, in)
			part := p.ref.ViewWeight(p.ref.NewView(v1-v0, in))
			ids := make([]int32, v1-v0)
			for i := range ids {
				ids[i] = int32(v0 + i)
			}
			p.ref.Gather(refMatrix(part), ref, ids)
			x, dy := p.matrix(rows, in, 1), p.matrix(rows, v1-v0, 1)
			y, dx := p.matrix(rows, v1-v0, 1), p.matrix(rows, in, 1)
			l := &Linear{W: part}

			before := append([]float32{}, y.data...)
			p.got.mulT(y.got, x.got, p.got.own(w), v0, v1, 0.5, 2)
			p.ref.Linear(y.ref, x.ref, l, View{})
			for i, z := range numbers(t, p.ref, y.ref) {
				before[i] = 0.5*z + 2*before[i]
			}
			p.ref.Write(y.ref, before)
			p.near(fmt.Sprintf("%v: mulT", kind), y, tolerance(bf16, kind))

			p.got.mul(dx.got, dy.got, p.got.own(w), v0, v1, 1)
			p.ref.LinearBack(dx.ref, dy.ref, x.ref, l, View{}, true)
			p.near(fmt.Sprintf("%v: mul", kind), dx, tolerance(bf16, kind))
		}
	}
}

// Neither few rows nor many allocate on the host, after the first time.
func TestCUDALinearAllocatesNothing(t *testing.T) {
	p := newProducts(t, true)
	w, _ := p.weight(NF4, 96, 128)
	a, b := p.matrix(4, 128, 0), p.matrix(96, 4, 0)
	for _, rows := range []int{1, 16, 40} {
		x, y, h := p.matrix(rows, 128, 0), p.matrix(rows, 96, 0), p.matrix(rows, 4, 0)
		l := &Linear{W: w, A: a.got, B: b.got, Scale: 1, DA: p.got.NewView(4, 128), DB: p.got.NewView(96, 4)}
		step := func() {
			p.got.Linear(y.got, x.got, l, h.got)
			p.got.LinearBack(x.got, y.got, x.got, l, h.got, true)
		}
		step()
		if n := testing.AllocsPerRun(5, step); n > 0 {
			t.Errorf("%d rows: %v allocations", rows, n)
		}
	}
}

// What a dry engine counts of layers' room in the arena is what they take there, streamed and
// large, with and without a branch and each gradient.
func TestCUDALinearScratchIsCounted(t *testing.T) {
	for _, bf16 := range []bool{false, true} {
		for _, kind := range Kinds() {
			for _, rows := range []int{1, 20, 70} {
				for _, rank := range []int{0, 4} {
					p := newProducts(t, bf16)
					e := p.got
					w, _ := p.weight(kind, 70, 200)
					x, y, h := e.NewView(rows, 200), e.NewView(rows, 70), e.NewView(rows, rank)
					l := &Linear{W: w, DBias: e.NewView(1, 70)}
					if rank > 0 {
						l.A, l.B, l.DA = e.NewView(rank, 200), e.NewView(70, rank), e.NewView(rank, 200)
						l.Drop.P = 0.5
					}
					dry := Dry(e)
					for _, back := range []bool{false, true} {
						for _, engine := range []Transformer{e, dry.(Transformer)} {
							if back {
								engine.LinearBack(x, y, x, l, h, true)
							} else {
								engine.Linear(y, x, l, h)
							}
						}
						if got, want := dry.Stats().ArenaPeak, e.Stats().ArenaPeak; got != want {
							t.Errorf("%s, %v, %d rows, rank %d, back %v: counted %d bytes, the arena's peak is %d", e.Name(), kind, rows, rank, back, got, want)
						}
					}
				}
			}
		}
	}
}
