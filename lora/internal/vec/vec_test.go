package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func eachVariant(t *testing.T, f func(t *testing.T, k Kernels)) {
	for _, name := range Variants() {
		t.Run(name, func(t *testing.T) {
			k, err := New(name)
			if err != nil || k.Variant() != name {
				t.Fatal(k.Variant(), err)
			}
			f(t, k)
		})
	}
}

const guard = 12345.678

// slice returns n random numbers between guard words, at an odd offset.
func slice(r *rand.Rand, n int) (all, s []float32) {
	all = make([]float32, n+40)
	for i := range all {
		all[i] = guard
	}
	s = all[19 : 19+n]
	for i := range s {
		s[i] = float32(r.NormFloat64() * 3)
	}
	return all, s
}

// lengths visits every length up to several unrolled steps of the widest
// vectors, and some long ones.
func lengths(f func(r *rand.Rand, n int)) {
	for n := range 200 {
		f(rand.New(rand.NewPCG(uint64(n), 1)), n)
	}
	for _, n := range []int{896, 1000, 4864} {
		f(rand.New(rand.NewPCG(uint64(n), 1)), n)
	}
}

// near fails unless got is within limit of want.
func near(t *testing.T, what string, got float32, want, limit float64) {
	t.Helper()
	if d := math.Abs(float64(got) - want); !(d <= limit) {
		t.Errorf("%s: %v, want %v ± %g", what, got, want, limit)
	}
}

func TestSumsEqualTheLoops(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			_, a := slice(r, n)
			_, b := slice(r, n)
			var dot, dotSize, sum, sumSize, squares float64
			for i := range a {
				x, y := float64(a[i]), float64(b[i])
				dot, dotSize = dot+x*y, dotSize+math.Abs(x*y)
				sum, sumSize = sum+x, sumSize+math.Abs(x)
				squares += x * x
			}
			u := float64(n) * 0x1p-24 // the bound of the package comment
			if k.Variant() != "generic" {
				u = (float64(n)/16 + 8) * 0x1p-24
			}
			if k.Variant() == "avx2" {
				u *= 2 // half as many parts
			}
			near(t, fmt.Sprint("Dot ", n), k.Dot(a, b), dot, u*dotSize)
			near(t, fmt.Sprint("Sum ", n), k.Sum(a), sum, u*sumSize)
			near(t, fmt.Sprint("SumSquares ", n), k.SumSquares(a), squares, u*squares)
		})
	})
}

func TestMaxPassesOverNaN(t *testing.T) {
	nan := float32(math.NaN())
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			_, a := slice(r, n)
			for i := range a {
				a[i] -= 100 // a zero from a masked lane would win
			}
			if n > 3 {
				a[r.IntN(n)], a[n-1] = nan, nan
			}
			if got, want := k.Max(a), largestGo(a); got != want {
				t.Errorf("length %d: %v, want %v", n, got, want)
			}
		})
		if got := k.Max([]float32{nan, nan}); got != negInf {
			t.Errorf("only NaN: %v", got)
		}
	})
}

// operations lists every function that writes, with its loop in float64 and the
// number of roundings it may make.
var operations = []struct {
	name     string
	roundoff float64
	run      func(k Kernels, y, a, b []float32)
	want     func(y, a, b float64) float64
}{
	{"Axpy", 3, // the product may be twice the size of sum and addend
		func(k Kernels, y, a, b []float32) { k.Axpy(y, 0.3, a) },
		func(y, a, b float64) float64 { return y + float64(float32(0.3))*a }},
	{"Scale", 1, func(k Kernels, y, a, b []float32) { k.Scale(y, 0.3, a) },
		func(y, a, b float64) float64 { return float64(float32(0.3)) * a }},
	{"Add", 1, func(k Kernels, y, a, b []float32) { k.Add(y, a, b) },
		func(y, a, b float64) float64 { return a + b }},
	{"Mul", 1, func(k Kernels, y, a, b []float32) { k.Mul(y, a, b) },
		func(y, a, b float64) float64 { return a * b }},
	{"ScaleMul", 2, func(k Kernels, y, a, b []float32) { k.ScaleMul(y, 0.3, a, b) },
		func(y, a, b float64) float64 { return float64(float32(0.3)) * a * b }},
	{"ExpSum", 2, func(k Kernels, y, a, b []float32) { k.ExpSum(y, a, 0) },
		func(y, a, b float64) float64 { return math.Exp(a) }},
	{"SiLUMul", 6, func(k Kernels, y, a, b []float32) { k.SiLUMul(y, a, b) },
		func(y, a, b float64) float64 { return a / (1 + math.Exp(-a)) * b }},
}

func TestMapsEqualTheLoopsAndStayInside(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		for _, op := range operations {
			lengths(func(r *rand.Rand, n int) {
				all, y := slice(r, n)
				_, a := slice(r, n)
				_, b := slice(r, n)
				before := append([]float32{}, y...)
				op.run(k, y, a, b)
				for i := range y {
					want := op.want(float64(before[i]), float64(a[i]), float64(b[i]))
					size := math.Max(math.Abs(want), math.Abs(float64(before[i]))) // a sum may cancel
					near(t, fmt.Sprintf("%s, length %d, element %d", op.name, n, i), y[i], want, op.roundoff*0x1p-24*size*1.01)
				}
				checkGuards(t, op.name, all, n)
			})
		}
	})
}

func checkGuards(t *testing.T, what string, all []float32, n int) {
	t.Helper()
	for i, v := range all {
		if (i < 19 || i >= 19+n) && v != guard {
			t.Fatalf("%s, length %d: wrote at %d", what, n, i-19)
		}
	}
}

func TestSiLUMulBackIsTheDerivative(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			allG, dg := slice(r, n)
			allU, du := slice(r, n)
			_, g := slice(r, n)
			_, u := slice(r, n)
			_, dy := slice(r, n)
			k.SiLUMulBack(dg, du, g, u, dy)
			for i := range g {
				x, d := float64(g[i]), float64(dy[i])
				s := 1 / (1 + math.Exp(-x))
				near(t, fmt.Sprint("du, length ", n), du[i], d*x*s, 8*0x1p-24*math.Abs(d*x*s))
				scale := math.Abs(d * s * float64(u[i]))
				near(t, fmt.Sprint("dg, length ", n), dg[i], d*s*(1+x*(1-s))*float64(u[i]), 12*0x1p-24*scale*(1+math.Abs(x)))
			}
			checkGuards(t, "dg", allG, n)
			checkGuards(t, "du", allU, n)
		})
	})
}

func TestSoftmaxBackIsTheDerivative(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			allP, p := slice(r, n)
			allDP, dp := slice(r, n)
			_, lse := slice(r, n)
			_, d := slice(r, n)
			scores, before := slices.Clone(p), slices.Clone(dp)
			k.SoftmaxBack(p, dp, lse, d)
			for i := range p {
				want := math.Exp(float64(scores[i] - lse[i]))
				near(t, fmt.Sprint("p, length ", n), p[i], want, 0x1p-23*want)
				diff := float64(before[i] - d[i])
				near(t, fmt.Sprint("dp, length ", n), dp[i], want*diff, 4*0x1p-24*math.Abs(want*diff))
			}
			checkGuards(t, "p", allP, n)
			checkGuards(t, "dp", allDP, n)
		})
	})
}

func TestRaceBoundsTheNoise(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			allY, y := slice(r, n)
			_, x := slice(r, n)
			words := make([]uint32, n)
			for i := range words {
				words[i] = r.Uint32() | r.Uint32()>>1 // many begin with ones
			}
			k.Race(y, x, words, 0.5)
			for i := range y {
				u := (float64(words[i]>>9) + 0.5) / (1 << 23)
				want := math.Exp(float64(x[i]-0.5)) / (1 - u)
				near(t, fmt.Sprint("length ", n), y[i], want, 5*0x1p-24*want)
			}
			checkGuards(t, "y", allY, n)
		})
	})
}

// The three vectors that the authors of the generator published, and every length
// of a run against single blocks, over the carry into the upper half of the counter.
func TestPhilox(t *testing.T) {
	for _, c := range []struct {
		counter     uint64
		index, step uint32
		key         [2]uint32
		want        [4]uint32
	}{
		{0, 0, 0, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{math.MaxUint64, math.MaxUint32, math.MaxUint32, [2]uint32{math.MaxUint32, math.MaxUint32},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0x85a308d3_243f6a88, 0x13198a2e, 0x03707344, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := PhiloxBlock(c.counter, c.index, c.step, c.key); got != c.want {
			t.Errorf("counter %x: %08x, want %08x", c.counter, got, c.want)
		}
	}
	eachVariant(t, func(t *testing.T, k Kernels) {
		for blocks := range 40 {
			words := make([]uint32, 4*blocks+4)
			words[4*blocks] = 0xdeadbeef
			first := uint64(math.MaxUint32 - 17)
			k.Philox(words[:4*blocks], first, 7, 11, [2]uint32{3, 5})
			for b := range blocks {
				if want := PhiloxBlock(first+uint64(b), 7, 11, [2]uint32{3, 5}); [4]uint32(words[4*b:]) != want {
					t.Fatalf("block %d of %d: %08x, want %08x", b, blocks, words[4*b:4*b+4], want)
				}
			}
			if words[4*blocks] != 0xdeadbeef {
				t.Fatalf("%d blocks: wrote beyond the end", blocks)
			}
		}
	})
}

// The bound of ExpSum's comment, over the whole range of results.
func TestExpIsAccurate(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		x := make([]float32, 0, 800_000)
		for v := float32(-106); v < 90; v += 1.0 / 4096 {
			x = append(x, v)
		}
		y := make([]float32, len(x))
		k.ExpSum(y, x, 0)
		worst := 0.0
		for i, got := range y {
			want := math.Exp(float64(x[i]))
			switch {
			case want > math.MaxFloat32*(1+0x1p-25):
				if !math.IsInf(float64(got), 1) {
					t.Fatalf("exp(%v) is %v, want +Inf", x[i], got)
				}
			case want < 0x1p-126:
				near(t, fmt.Sprintf("exp(%v)", x[i]), got, want, 0x1p-149)
			default:
				worst = max(worst, math.Abs(float64(got)-want)/want)
			}
		}
		if worst >= 0x1p-23 {
			t.Errorf("largest relative error %.3g · 2^-23", worst/0x1p-23)
		}
		t.Logf("largest relative error %.3f · 2^-24", worst/0x1p-24)
	})
}

func TestExpOfSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachVariant(t, func(t *testing.T, k Kernels) {
		x := []float32{-inf, inf, nan, 0, 1e30, -1e30}
		y := make([]float32, len(x))
		k.ExpSum(y, x, 0)
		for i, want := range []float32{0, inf, nan, 1, inf, 0} {
			if y[i] != want && !(y[i] != y[i] && want != want) {
				t.Errorf("exp(%v) is %v, want %v", x[i], y[i], want)
			}
		}
		if sum := k.ExpSum(y[:3], []float32{-inf, 0, -inf}, 0); sum != 1 {
			t.Errorf("sum %v, want 1: masked entries count nothing", sum)
		}
	})
}

func TestExpSumReturnsTheSumOfWhatItWrote(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		lengths(func(r *rand.Rand, n int) {
			_, x := slice(r, n)
			y := make([]float32, n)
			got, want := k.ExpSum(y, x, 2), 0.0
			for _, v := range y {
				want += float64(v)
			}
			near(t, fmt.Sprint("length ", n), got, want, float64(n)*0x1p-24*want)
		})
	})
}

// An element's result is the same at any place in a slice of any length.
func TestElementsAreIndependent(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	_, a := slice(r, 50)
	_, b := slice(r, 50)
	eachVariant(t, func(t *testing.T, k Kernels) {
		for _, op := range operations {
			whole := make([]float32, 50)
			op.run(k, whole, a, b)
			for lo := range 50 {
				for hi := lo + 1; hi <= 50; hi++ {
					part := make([]float32, hi-lo)
					op.run(k, part, a[lo:hi], b[lo:hi])
					for i, v := range part {
						if v != whole[lo+i] {
							t.Fatalf("%s: element %d of [%d,%d) differs", op.name, lo+i, lo, hi)
						}
					}
				}
			}
		}
	})
}

func TestOutputMayBeAnInput(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	eachVariant(t, func(t *testing.T, k Kernels) {
		for _, op := range operations {
			_, a := slice(r, 37)
			_, b := slice(r, 37)
			want := append([]float32{}, a...)
			op.run(k, want, append([]float32{}, a...), b)
			op.run(k, a, a, b)
			for i := range a {
				if a[i] != want[i] {
					t.Fatalf("%s: element %d differs in place", op.name, i)
				}
			}
		}
	})
}

func TestShortSlicesPanic(t *testing.T) {
	k, _ := New("")
	long, short := make([]float32, 5), make([]float32, 4)
	for name, f := range map[string]func(){
		"Dot":         func() { k.Dot(long, short) },
		"Axpy":        func() { k.Axpy(long, 1, short) },
		"ScaleMul":    func() { k.ScaleMul(long, 1, long, short) },
		"SiLUMulBack": func() { k.SiLUMulBack(long, long, long, short, long) },
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

func TestNothingAllocates(t *testing.T) {
	eachVariant(t, func(t *testing.T, k Kernels) {
		if n := testing.AllocsPerRun(10, func() {
			var a, b [33]float32
			k.ExpSum(a[:], b[:], 1)
			b[0] = k.Dot(a[:], b[:])
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestNewRefusesUnknownVariants(t *testing.T) {
	if _, err := New("mmx"); err == nil {
		t.Error("no error")
	}
}

func Example() {
	k, _ := New("generic")
	scores := []float32{1, 2, 3}
	p := make([]float32, 3)
	sum := k.ExpSum(p, scores, k.Max(scores))
	k.Scale(p, 1/sum, p)
	fmt.Printf("%.3f\n", p)
	// Output: [0.090 0.245 0.665]
}

func BenchmarkKernels(b *testing.B) {
	for _, name := range Variants() {
		k, _ := New(name)
		r := rand.New(rand.NewPCG(1, 1))
		_, x := slice(r, 4864)
		_, y := slice(r, 4864)
		_, z := slice(r, 4864)
		for _, op := range operations {
			if op.name == "Axpy" {
				continue // its sums would grow without bound
			}
			b.Run(name+"/"+op.name, func(b *testing.B) {
				for b.Loop() {
					op.run(k, z, x, y)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4864, "ns/element")
			})
		}
		b.Run(name+"/Dot", func(b *testing.B) {
			for b.Loop() {
				k.Dot(x, y)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4864, "ns/element")
		})
	}
}
