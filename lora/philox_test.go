package lora

import (
	"math"
	"testing"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// The known answers that the authors of Philox publish for philox4x32 with 10
// rounds (file kat_vectors of Random123). Purpose 0 leaves the seed as it is.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct{ counter, key, want []uint32 }{
		{
			[]uint32{0, 0, 0, 0}, []uint32{0, 0},
			[]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
		},
		{
			[]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, []uint32{0xffffffff, 0xffffffff},
			[]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
		},
		{
			[]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, []uint32{0xa4093822, 0x299f31d0},
			[]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
		},
	} {
		k := Key{Seed: uint64(c.key[1])<<32 | uint64(c.key[0]), Index: c.counter[2], Step: c.counter[3]}
		got := k.Philox(uint64(c.counter[1])<<32 | uint64(c.counter[0]))
		if got != [4]uint32(c.want) {
			t.Errorf("counter %x, key %x: %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

// Streams that differ in any part of the key differ.
func TestKeySeparatesStreams(t *testing.T) {
	base := Key{Seed: 1, Purpose: ForSampling, Index: 2, Step: 3}
	for _, k := range []Key{
		{Seed: 2, Purpose: ForSampling, Index: 2, Step: 3},
		{Seed: 1, Purpose: ForDropout, Index: 2, Step: 3},
		{Seed: 1, Purpose: ForSampling, Index: 3, Step: 3},
		{Seed: 1, Purpose: ForSampling, Index: 2, Step: 4},
	} {
		if k.Philox(0) == base.Philox(0) {
			t.Errorf("%+v and %+v give the same words", k, base)
		}
	}
}

// The extremes of Uniform lie inside (0, 1), so that both logarithms of Gumbel noise
// are finite.
func TestUniformIsOpen(t *testing.T) {
	low, high := unit23(0), unit23(math.MaxUint32)
	if low <= 0 || high >= 1 {
		t.Errorf("extremes are %v and %v", low, high)
	}
	if g := gumbel(low); !(g > -2.82) {
		t.Errorf("least noise is %v", g)
	}
	if g := gumbel(high); !(g < 16.64) {
		t.Errorf("largest noise is %v", g)
	}
	if unit23(1<<9-1) != low || unit23(1<<9) == low {
		t.Error("the lower 9 bits count")
	}
}

// The bound that sampling uses to leave out logarithms holds at every power of two,
// where it is tightest, and on both sides of it.
func TestRaceBoundsGumbel(t *testing.T) {
	var words []uint32
	for n := range 24 {
		ones := ^(uint32(math.MaxUint32) >> n)
		words = append(words, ones, ones-1, ones|1<<9)
	}
	for _, variant := range vec.Variants() {
		kernels, err := vec.New(variant)
		if err != nil {
			t.Fatal(err)
		}
		bounds := make([]float32, len(words))
		kernels.Race(bounds, make([]float32, len(words)), words, 0)
		for i, w := range words {
			if g := gumbel(unit23(w)); float64(g) > math.Log(float64(bounds[i]))+1e-5 {
				t.Errorf("%s: word %08x: noise %v above the bound %v", variant, w, g, math.Log(float64(bounds[i])))
			}
		}
	}
}

// Means and variances of the three distributions, within five standard deviations
// for a fixed seed. Gumbel: mean 0.5772, variance π²/6.
func TestDistributions(t *testing.T) {
	const n = 20000
	k := Key{Seed: 42, Purpose: ForInit}
	for _, c := range []struct {
		name           string
		f              func(i uint64) float64
		mean, variance float64
	}{
		{"Uniform", func(i uint64) float64 { return float64(k.Uniform(i)) }, 0.5, 1.0 / 12},
		{"Normal", k.Normal, 0, 1},
		{"Gumbel", func(i uint64) float64 { return float64(k.Gumbel(i)) }, 0.5772156649, math.Pi * math.Pi / 6},
	} {
		var sum, squares float64
		for i := range uint64(n) {
			x := c.f(i)
			sum += x
			squares += (x - c.mean) * (x - c.mean)
		}
		if d := math.Sqrt(c.variance / n); math.Abs(sum/n-c.mean) > 5*d {
			t.Errorf("%s: mean %v, want %v ± %v", c.name, sum/n, c.mean, d)
		}
		if v := squares / n; math.Abs(v-c.variance) > 0.1*c.variance {
			t.Errorf("%s: variance %v, want %v", c.name, v, c.variance)
		}
	}
}
