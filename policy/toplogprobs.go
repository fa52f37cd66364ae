package policy

import (
	"cmp"
	"math"
	"slices"

	"github.com/socialrl/socialrl/lora"
)

// topLogProbs returns the most probable tokens of one row of logits, the lower token
// first on a tie: log soft-max(logits/temperature), temperature 0 standing for 1.
func topLogProbs(eng lora.Engine, row lora.View, o *SamplingOptions) ([]TokenLogProb, error) {
	logits := make([]float32, row.Len())
	if err := eng.Read(logits, row); err != nil {
		return nil, err
	}
	scale := 1.0
	if o.Temperature > 0 {
		scale = 1 / o.Temperature
	}
	top := make([]TokenLogProb, 0, o.TopLogProbs+1)
	for v, x := range logits {
		t := TokenLogProb{v, float64(x) * scale}
		if len(top) == o.TopLogProbs && !(t.LogProb > top[len(top)-1].LogProb) {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, t, func(a, b TokenLogProb) int {
			return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), a.Token-b.Token)
		})
		top = slices.Insert(top, at, t)
		top = top[:min(len(top), o.TopLogProbs)]
	}
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x)*scale - top[0].LogProb)
	}
	total := top[0].LogProb + math.Log(sum)
	for i := range top {
		top[i].LogProb -= total
	}
	return top, nil
}
