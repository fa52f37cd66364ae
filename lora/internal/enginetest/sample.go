package enginetest

import (
	"fmt"
	"math"
	"strings"

	"github.com/socialrl/socialrl/lora"
)

// samplings are ways of drawing, each of which the filters treat differently.
func (s *suite) samplings(vocab int) []lora.Sampling {
	some := make([]uint64, (vocab+63)/64)
	for i := range some {
		some[i] = s.rng.Uint64() | 1
	}
	seen := []int32{0, int32(vocab / 2), 0, int32(vocab - 1)}
	return []lora.Sampling{
		{},
		{Temperature: 1},
		{Temperature: 0.3},
		{Temperature: 2.5, TopK: 1},
		{Temperature: 1, TopK: 5},
		{Temperature: 1, TopK: vocab + 3},
		{Temperature: 0.8, TopP: 0.5},
		{Temperature: 1, TopP: 0.95, TopK: 20},
		{Temperature: 1, TopP: 1e-9},
		{Temperature: 1, MinP: 0.1},
		{Temperature: 1.5, MinP: 1},
		{Temperature: 0, Penalty: 1.3, Seen: seen},
		{Temperature: 1, Penalty: 0.5, Seen: seen, TopK: 3},
		{Temperature: 1, Allowed: some},
		{Temperature: 0, Allowed: some},
		{Temperature: 0.7, TopK: 9, TopP: 0.9, MinP: 0.02, Penalty: 1.1, Seen: seen, Allowed: some},
	}
}

// testSample compares the tokens drawn and their log-probabilities. The two engines
// round differently, so that a draw may differ where two scores, or a threshold and
// a score, nearly coincide: with these fixed seeds none does.
func testSample(s *suite) {
	for _, vocab := range []int{1, 2, 63, 64, 65, 300, 5000} {
		for _, spread := range []float32{0, 0.01, 2} {
			ways := s.samplings(vocab)
			logits := s.random(len(ways), vocab)
			for i := range logits.data {
				logits.data[i] *= spread
			}
			s.ref.Write(logits.ref, logits.data)
			s.got.Write(logits.got, logits.data)
			for i := range ways {
				ways[i].Key = lora.Key{Seed: 11, Purpose: lora.ForSampling, Index: uint32(i), Step: uint32(vocab)}
			}
			s.sample(fmt.Sprintf("vocabulary %d, spread %v", vocab, spread), logits, ways)
			s.unchanged("Sample", logits)
		}
	}
}

func (s *suite) sample(what string, logits operand, ways []lora.Sampling) {
	s.Helper()
	n := len(ways)
	want, got := make([]int32, n), make([]int32, n)
	wantLP, gotLP := nans(n), nans(n)
	if err := s.ref.Sample(want, wantLP, logits.ref, ways); err != nil {
		s.Fatal(err)
	}
	if err := s.got.Sample(got, gotLP, logits.got, ways); err != nil {
		s.Fatal(err)
	}
	vocab := logits.got.Cols
	for i := range ways {
		if got[i] != want[i] {
			s.Errorf("%s: %+v draws %d, want %d", what, ways[i], got[i], want[i])
			continue
		}
		temperature := ways[i].Temperature
		if temperature == 0 {
			temperature = 1
		}
		z := math.Abs(float64(logits.data[i*vocab+int(got[i])])) / temperature
		s.number(what+": log-probability", gotLP[i], wantLP[i], eps*(float64(vocab)+16+4*z+4*math.Abs(wantLP[i])))
		if mask := ways[i].Allowed; mask != nil && mask[got[i]/64]>>(got[i]%64)&1 == 0 {
			s.Errorf("%s: token %d is not allowed", what, got[i])
		}
	}
}

// testSampleErrors checks rows from which nothing can be drawn.
func testSampleErrors(s *suite) {
	inf := float32(math.Inf(1))
	for name, c := range map[string]struct {
		row []float32
		way lora.Sampling
	}{
		"nothing allowed":         {[]float32{1, 2, 3}, lora.Sampling{Temperature: 1, Allowed: []uint64{0}}},
		"nothing allowed, greedy": {[]float32{1, 2, 3}, lora.Sampling{Allowed: []uint64{0}}},
		"NaN":                     {[]float32{1, float32(math.NaN()), 3}, lora.Sampling{Temperature: 1}},
		"+Inf":                    {[]float32{1, inf, 3}, lora.Sampling{}},
		"all -Inf":                {[]float32{-inf, -inf, -inf}, lora.Sampling{Temperature: 1, TopK: 2, TopP: 0.5, MinP: 0.1}},
	} {
		logits := s.operand(2, 3, append([]float32{0, 1, 2}, c.row...))
		ways := []lora.Sampling{{Temperature: 1}, c.way}
		s.on(func(e lora.Engine, pick func(operand) lora.View) {
			err := e.Sample(make([]int32, 2), make([]float64, 2), pick(logits), ways)
			if err == nil || !strings.Contains(err.Error(), "row 1") {
				s.Errorf("%s: %s engine returns %v, want an error that names row 1", name, e.Name(), err)
			}
		})
	}
	logits := s.operand(1, 3, []float32{-inf, 5, -inf})
	token, lp := []int32{9}, []float64{9}
	if err := s.got.Sample(token, lp, logits.got, []lora.Sampling{{Temperature: 1}}); err != nil || token[0] != 1 || lp[0] != 0 {
		s.Errorf("one finite logit: token %v, log-probability %v, %v", token, lp, err)
	}
}

// testSampleDistribution checks, over many keys, that tokens come as often as they
// should: within five standard deviations, with a fixed seed.
func testSampleDistribution(s *suite) {
	const draws, vocab = 4000, 6
	row := []float32{0.5, -1, 2, 0, 1.2, -3}
	data, ways := make([]float32, 0, draws*vocab), make([]lora.Sampling, draws)
	for i := range ways {
		data = append(data, row...)
		ways[i] = lora.Sampling{Temperature: 1.5, Key: lora.Key{Seed: 5, Purpose: lora.ForSampling, Index: uint32(i)}}
	}
	logits := s.operand(draws, vocab, data)
	tokens, lp := make([]int32, draws), make([]float64, draws)
	if err := s.got.Sample(tokens, lp, logits.got, ways); err != nil {
		s.Fatal(err)
	}
	var count [vocab]float64
	for _, t := range tokens {
		count[t]++
	}
	total := 0.0
	for _, z := range row {
		total += math.Exp(float64(z) / 1.5)
	}
	for v, z := range row {
		p := math.Exp(float64(z)/1.5) / total
		if deviation := math.Sqrt(draws * p * (1 - p)); math.Abs(count[v]-draws*p) > 5*deviation {
			s.Errorf("token %d was drawn %v times, expected %.0f ± %.0f", v, count[v], draws*p, deviation)
		}
	}
}
