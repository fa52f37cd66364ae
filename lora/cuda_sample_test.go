//go:build cuda && cgo

package lora_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// samplers opens the engine under test and the CPU's, which it is held to.
func samplers(t *testing.T) (gpu, cpu lora.Engine) {
	t.Helper()
	requireGPU(t)
	var engines [2]lora.Engine
	for i, name := range []string{"cuda:0", "cpu"} {
		e, err := lora.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		engines[i] = e
	}
	return engines[0], engines[1]
}

// wayOf returns way number i of drawing from a vocabulary: all filters, alone and together.
func wayOf(i, vocab int, rng *rand.Rand) lora.Sampling {
	mask := make([]uint64, (vocab+63)/64)
	for w := range mask {
		mask[w] = rng.Uint64()
	}
	mask[0] |= 1
	seen := make([]int32, 1000)
	for j := range seen {
		seen[j] = int32(rng.IntN(vocab))
	}
	ways := []lora.Sampling{
		{Temperature: 1},
		{},
		{Temperature: 0.6, TopK: 20, TopP: 0.95},
		{Temperature: 1, TopP: 0.9},
		{Temperature: 1.3, TopP: 0.999},
		{Temperature: 1, TopK: 1 + vocab/2},
		{Temperature: 1, MinP: 0.05},
		{Temperature: 0.7, TopK: 50, TopP: 0.8, MinP: 0.01, Penalty: 1.2, Seen: seen, Allowed: mask},
		{Penalty: 1.5, Seen: seen, Allowed: mask},
		{Temperature: 1, Penalty: 0.8, Seen: seen, TopP: 0.3},
		{Temperature: 1e-3, TopP: 0.5},
		{Temperature: 30, TopP: 1 - 1e-9, Allowed: mask},
	}
	way := ways[i%len(ways)]
	way.Key = lora.Key{Seed: 7, Purpose: lora.ForSampling, Index: uint32(i), Step: uint32(vocab)}
	return way
}

// drawOn draws on an engine from rows of a wider matrix, from column 1 on: rows are not
// aligned.
func drawOn(t *testing.T, e lora.Engine, logits []float32, vocab int, ways []lora.Sampling) ([]int32, []float64, error) {
	t.Helper()
	outer := e.NewView(len(ways), vocab+3)
	defer e.FreeView(outer)
	v := outer.ColRange(1, vocab+1)
	e.Write(v, logits)
	tokens, logProbs := make([]int32, len(ways)), make([]float64, len(ways))
	err := e.Sample(tokens, logProbs, v, ways)
	return tokens, logProbs, err
}

// sameDraws checks that the GPU draws the CPU's tokens. Their log-probabilities differ by
// the roundings of the exponentials, of the sums and of the logits over the temperature.
func sameDraws(t *testing.T, what string, gpu, cpu lora.Engine, logits []float32, vocab int, ways []lora.Sampling) {
	t.Helper()
	got, gotLP, err := drawOn(t, gpu, logits, vocab, ways)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	want, wantLP, err := drawOn(t, cpu, logits, vocab, ways)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i, way := range ways {
		way.Seen, way.Allowed = nil, nil
		if got[i] != want[i] {
			t.Errorf("%s: row %d, %+v: token %d, the CPU draws %d", what, i, way, got[i], want[i])
			continue
		}
		z := math.Abs(float64(logits[i*vocab+int(got[i])]))
		if way.Temperature > 0 {
			z /= way.Temperature
		}
		if bound := 0x1p-23 * (2048 + 4*z + 4*math.Abs(wantLP[i])); !(math.Abs(gotLP[i]-wantLP[i]) <= bound) {
			t.Errorf("%s: row %d, %+v: log-probability %v, the CPU's is %v", what, i, way, gotLP[i], wantLP[i])
		}
	}
}

// Vocabularies around the sizes of the blocks that share a row, and that of a large model.
func TestCUDADrawsTheTokensOfTheCPU(t *testing.T) {
	gpu, cpu := samplers(t)
	for _, c := range []struct{ vocab, rows int }{{1, 12}, {3, 24}, {255, 48}, {4095, 24}, {4096, 24}, {4097, 70}, {8200, 12}, {152064, 12}} {
		rng := rand.New(rand.NewPCG(3, uint64(c.vocab)))
		logits, ways := make([]float32, c.vocab*c.rows), make([]lora.Sampling, c.rows)
		for i := range logits {
			logits[i] = float32(3 * rng.NormFloat64())
		}
		for i := range ways {
			ways[i] = wayOf(i, c.vocab, rng)
		}
		sameDraws(t, fmt.Sprintf("vocabulary %d", c.vocab), gpu, cpu, logits, c.vocab, ways)
	}
}

// Logits with many ties: the filters cut among equal ones, where the lower token stays, and
// zeros of both signs are equal.
func TestCUDADrawsAmongTies(t *testing.T) {
	gpu, cpu := samplers(t)
	const vocab, rows = 5000, 60
	negative := float32(math.Copysign(0, -1))
	for _, c := range []struct {
		name   string
		values []float32
	}{
		{"few values", []float32{0, 1, 2, 3, 4}},
		{"zeros of both signs", []float32{0, negative, -1}},
		{"one value", []float32{-2.5}},
		{"infinities", []float32{float32(math.Inf(-1)), 1}},
	} {
		rng := rand.New(rand.NewPCG(4, 4))
		logits, ways := make([]float32, vocab*rows), make([]lora.Sampling, rows)
		for i := range logits {
			logits[i] = c.values[rng.IntN(len(c.values))]
		}
		for i := range ways {
			ways[i] = wayOf(i, vocab, rng)
		}
		sameDraws(t, c.name, gpu, cpu, logits, vocab, ways)
	}
}

// Of equal logits top-p keeps the lowest tokens, as many as reach p exactly; of those, and
// of no others, tokens are drawn, each about as often.
func TestCUDATopPKeepsTheFewest(t *testing.T) {
	gpu, _ := samplers(t)
	const vocab, rows, kept = 4200, 256, 42 // kept/vocab = 0.01
	ways := make([]lora.Sampling, rows)
	for i := range ways {
		ways[i] = lora.Sampling{Temperature: 1, TopP: 0.01, Key: lora.Key{Seed: 1, Index: uint32(i)}}
	}
	tokens, _, err := drawOn(t, gpu, make([]float32, vocab*rows), vocab, ways)
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[int32]bool{}
	for _, v := range tokens {
		if drawn[v] = true; v >= kept {
			t.Errorf("token %d is drawn, kept are %d", v, kept)
		}
	}
	if len(drawn) < kept/2 {
		t.Errorf("of %d tokens kept only %d are drawn in %d rows", kept, len(drawn), rows)
	}
}

// Steps of decoding draw the CPU's tokens when they are launched as graphs, with rows, keys
// and lists that change from step to step.
func TestCUDADrawsInGraphs(t *testing.T) {
	gpu, cpu := samplers(t)
	const vocab, rows, steps = 300, 5, 8
	rng := rand.New(rand.NewPCG(8, 8))
	logits := make([]float32, vocab*rows)
	for i := range logits {
		logits[i] = float32(2 * rng.NormFloat64())
	}
	v := gpu.NewView(rows, vocab)
	gpu.Write(v, logits)
	var seen []int32
	for step := range steps {
		ways := make([]lora.Sampling, rows)
		for i := range ways {
			ways[i] = lora.Sampling{Temperature: 1, TopK: 40 - i, TopP: 0.9, Penalty: 1.3, Seen: seen,
				Key: lora.Key{Seed: 2, Index: uint32(i), Step: uint32(step)}}
		}
		got, logProbs := make([]int32, rows), make([]float64, rows)
		var err error
		gpu.(lora.Recorder).Record(1, func() { err = gpu.Sample(got, logProbs, v, ways) })
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := drawOn(t, cpu, logits, vocab, ways)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("step %d: tokens %v, the CPU draws %v", step, got, want)
		}
		seen = append(seen, got...)
	}
	if _, graphs := gpu.(interface {
		Launches() (kernels, graphs int64)
	}).Launches(); graphs < steps-3 {
		t.Errorf("%d of %d steps were launched as graphs", graphs, steps)
	}
}

// Every row that fails is told from those that do not, in each way of drawing, wherever in
// a row and among the rows it fails.
func TestCUDASampleErrors(t *testing.T) {
	gpu, _ := samplers(t)
	const vocab, rows = 4100, 66
	for _, way := range []int{0, 7} { // plain, and with everything at once
		for _, bad := range []struct {
			row, token int
			value      float64
		}{{0, 0, math.NaN()}, {65, 4099, math.Inf(1)}, {63, 4095, math.NaN()}} {
			rng := rand.New(rand.NewPCG(5, 5))
			logits, ways := make([]float32, vocab*rows), make([]lora.Sampling, rows)
			for i := range ways {
				ways[i] = wayOf(way, vocab, rng)
			}
			logits[bad.row*vocab+bad.token] = float32(bad.value)
			_, _, err := drawOn(t, gpu, logits, vocab, ways)
			if want := fmt.Sprintf("row %d:", bad.row); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v at token %d, way %d: error %v, want one that names %s", bad.value, bad.token, way, err, want)
			}
		}
	}
}
