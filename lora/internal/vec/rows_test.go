package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// equal fails unless both slices agree bit by bit, NaN with NaN.
func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, w := range want {
		if g := got[i]; math.Float32bits(g) != math.Float32bits(w) && !(g != g && w != w) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, g, w)
		}
	}
}

// spoil puts special values among the numbers.
func spoil(r *rand.Rand, s []float32) {
	inf := float32(math.Inf(1))
	if len(s) > 3 {
		s[r.IntN(len(s))], s[len(s)-1], s[r.IntN(len(s))] = inf, float32(math.NaN()), 0
	}
}

// The sums over rows have the bits of the loops, rows being any distance apart.
func TestSumsOverRowsEqualTheLoops(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			rows, sa, sb := n%7, n+n%3, n+n%5
			_, a := slice(r, max(0, rows-1)*sa+n)
			_, b := slice(r, max(0, rows-1)*sb+n)
			_, s := slice(r, rows)
			spoil(r, a)
			all, y := slice(r, n)
			want := slices.Clone(y)
			k.AddRows(y, a, sa, rows)
			addRowsGo(want, a, sa, rows)
			equal(t, fmt.Sprint("AddRows ", n), y, want)
			k.AddProducts(y, a, sa, b, sb, s)
			addProductsGo(want, a, sa, b, sb, s)
			equal(t, fmt.Sprint("AddProducts ", n), y, want)
			checkGuards(t, "sums over rows", all, n)
		})
	})
}

func TestRotateEqualsTheLoop(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			for heads := range 4 {
				all, x := slice(r, 2*n*heads)
				_, c := slice(r, n)
				_, s := slice(r, n)
				spoil(r, x)
				want := slices.Clone(x)
				k.Rotate(x, c, s, -1)
				if n > 0 {
					rotateGo(want, c, s, -1)
				}
				equal(t, fmt.Sprintf("%d pairs, %d heads", n, heads), x, want)
				checkGuards(t, "Rotate", all, len(x))
			}
		})
	})
}

// Sums in float64 have the bits of the loops, whatever the number of rows.
func TestSumsInFloat64EqualTheLoops(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			for rows := range 10 {
				sa, sb := n+n%3, n+n%5
				_, a := slice(r, max(0, rows-1)*sa+n)
				_, b := slice(r, max(0, rows-1)*sb+n)
				if rows > 2 && n > 0 {
					a[sa] = float32(math.NaN())
				}
				sums, want := make([]float64, rows+1), make([]float64, rows)
				sums[rows] = guard
				for i, f := range []func(sums []float64, k Kernels){
					func(sums []float64, k Kernels) { k.SquaresOfRows(sums, a, sa, n) },
					func(sums []float64, k Kernels) { k.DotsOfRows(sums, a, sa, b, sb, n) },
				} {
					f(sums[:rows], k)
					f(want, Kernels{})
					for j := range want {
						if sums[j] != want[j] && sums[j] == sums[j] {
							t.Fatalf("sum %d of %d rows of %d, row %d: %v, want %v", i, rows, n, j, sums[j], want[j])
						}
					}
				}
				if sums[rows] != guard {
					t.Fatal("wrote beyond the last row")
				}
			}
		})
	})
}

// The error of a sum of n exact products is at most n · 2^-53 times that of magnitudes.
func TestSumsInFloat64AreAccurate(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	_, a := slice(r, 1001)
	_, b := slice(r, 1001)
	dot, size := 0.0, 0.0
	for i := range a {
		x := float64(a[i]) * float64(b[i])
		dot, size = dot+x, size+math.Abs(x)
	}
	if got := dot64Go(a, b); math.Abs(got-dot) > 2*1001*0x1p-53*size {
		t.Errorf("%v, want %v", got, dot)
	}
}

func TestAdamWEqualsTheLoop(t *testing.T) {
	c := &AdamW{Scale: 0.7, Beta1: 0.9, Rest1: 1 - 0.9, Beta2: 0.999, Rest2: 1 - 0.999, Unbias1: 5.3, Unbias2: 400, Rate: 3e-3, Keep: 1 - 3e-5, Eps: 1e-8}
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			allP, p := slice(r, n)
			allM, m := slice(r, n)
			allV, v := slice(r, n)
			_, g := slice(r, n)
			for i := range v {
				v[i] *= v[i]
			}
			spoil(r, g)
			wp, wm, wv := slices.Clone(p), slices.Clone(m), slices.Clone(v)
			k.Step(p, m, v, g, c)
			adamWGo(wp, wm, wv, g, c)
			equal(t, fmt.Sprint("p ", n), p, wp)
			equal(t, fmt.Sprint("m ", n), m, wm)
			equal(t, fmt.Sprint("v ", n), v, wv)
			checkGuards(t, "p", allP, n)
			checkGuards(t, "m", allM, n)
			checkGuards(t, "v", allV, n)
		})
	})
}

func TestDropoutEqualsTheLoop(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			all, y := slice(r, n)
			_, x := slice(r, n)
			spoil(r, x)
			words, want := make([]uint32, n), make([]float32, n)
			for i := range words {
				words[i] = r.Uint32()
				if i%5 == 0 {
					words[i] = 0x26666600 - uint32(i%3)<<9 // around p
				}
			}
			dropGo(want, x, words, 0.15, 1.5)
			k.Dropout(y, x, words, 0.15, 1.5)
			equal(t, fmt.Sprint("length ", n), y, want)
			checkGuards(t, "Dropout", all, n)
		})
	})
}

func TestRowsNeedRoom(t *testing.T) {
	k, _ := New("")
	long, short := make([]float32, 5), make([]float32, 4)
	for name, f := range map[string]func(){
		"AddRows":     func() { k.AddRows(long, make([]float32, 9), 5, 2) },
		"AddProducts": func() { k.AddProducts(long, make([]float32, 10), 5, make([]float32, 9), 5, make([]float32, 2)) },
		"Rotate":      func() { k.Rotate(make([]float32, 10), long, short, 1) },
		"DotsOfRows":  func() { k.DotsOfRows(make([]float64, 2), make([]float32, 9), 5, make([]float32, 10), 5, 5) },
		"Step":        func() { k.Step(long, long, long, short, &AdamW{}) },
		"Dropout":     func() { k.Dropout(long, long, make([]uint32, 4), 0.5, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func BenchmarkRows(b *testing.B) {
	for _, name := range Variants() {
		k, _ := New(name)
		r := rand.New(rand.NewPCG(1, 1))
		_, x := slice(r, 4864)
		_, y := slice(r, 4864)
		_, m := slice(r, 4864)
		_, v := slice(r, 4864)
		words, sums := make([]uint32, 4864), make([]float64, 38)
		for i := range v {
			v[i] *= v[i]
		}
		for _, op := range []struct {
			name string
			run  func()
		}{
			{"AddRows", func() { k.AddRows(y[:128], x, 128, 38) }},
			{"AddProducts", func() { k.AddProducts(y[:128], x, 128, m, 128, v[:38]) }},
			{"Rotate", func() { k.Rotate(y, m[:16], v[:16], 1) }},
			{"SquaresOfRows", func() { k.SquaresOfRows(sums, x, 128, 128) }},
			{"DotsOfRows", func() { k.DotsOfRows(sums, x, 128, m, 128, 128) }},
			{"AdamW", func() { k.Step(y, m, v, x, &AdamW{Scale: 1, Beta1: 0.9, Beta2: 0.9, Keep: 1, Eps: 1}) }},
			{"Dropout", func() { k.Dropout(y, x, words, 0.1, 1.1) }},
		} {
			b.Run(name+"/"+op.name, func(b *testing.B) {
				for b.Loop() {
					op.run()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4864, "ns/element")
			})
		}
	}
}
