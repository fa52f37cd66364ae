package lora

import (
	"math"

	"github.com/socialrl/socialrl/lora/internal/vec"
)

// Key names one stream of random numbers: what they are for and for whom. Equal
// keys give equal numbers on every engine, in whatever order they are asked for.
type Key struct {
	Seed    uint64
	Purpose Purpose
	Index   uint32 // which of the things of this purpose: a sequence, a layer
	Step    uint32 // when: an optimiser step, a position in the sequence
}

// Purpose keeps streams of one seed apart.
type Purpose uint32

// The purposes that the library itself draws random numbers for.
const (
	ForSampling Purpose = iota + 1
	ForDropout
	ForInit
	ForShuffle
)

// Philox returns the four 32-bit words that the counter-based generator
// Philox4x32-10 gives for a counter under a key.
//
// The generator's 128-bit counter is (counter, Index, Step) and its 64-bit key is
// Seed with Purpose mixed in, so that any element of any stream is computed on its
// own, without state. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers:
// as easy as 1, 2, 3" (SC 2011).
func (k Key) Philox(counter uint64) [4]uint32 {
	return vec.PhiloxBlock(counter, k.Index, k.Step, k.mixed())
}

// mixed returns the generator's key.
func (k Key) mixed() [2]uint32 {
	x := k.Seed ^ uint64(k.Purpose)*0x9E3779B97F4A7C15
	return [2]uint32{uint32(x), uint32(x >> 32)}
}

// fill writes the blocks from number block on to words, whose length is a multiple
// of 4.
func (k Key) fill(v vec.Kernels, words []uint32, block uint64) {
	v.Philox(words, block, k.Index, k.Step, k.mixed())
}

// Uniform returns element i of the stream as a number in the open interval (0, 1),
// with 23 random bits: (w + ½) / 2²³, w being the upper 23 bits of word i mod 4 of
// block i / 4. (With one bit more, w + ½ would not be exact in float32 and the
// largest w would give 1.)
func (k Key) Uniform(i uint64) float32 {
	return unit23(k.Philox(i / 4)[i%4])
}

func unit23(w uint32) float32 { return (float32(w>>9) + 0.5) * (1.0 / (1 << 23)) }

// Gumbel returns element i of the stream as a number with the standard Gumbel
// distribution, −log(−log(Uniform(i))), between −2.82 and 16.64. Both logarithms
// are taken in float64 and the result is rounded to float32, so that engines whose
// logarithms differ in the last bit of a float64 still give the same noise.
func (k Key) Gumbel(i uint64) float32 { return gumbel(k.Uniform(i)) }

func gumbel(u float32) float32 { return float32(-math.Log(-math.Log(float64(u)))) }

// Normal returns element i of the stream as a standard normal number, by the
// Box-Muller transform of elements 2i and 2i+1.
func (k Key) Normal(i uint64) float64 {
	r := math.Sqrt(-2 * math.Log(float64(k.Uniform(2*i))))
	return r * math.Cos(2*math.Pi*float64(k.Uniform(2*i+1)))
}
