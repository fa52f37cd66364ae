package main

import (
	"math/rand/v2"

	"github.com/socialrl/socialrl/examples/internal/world"
	interval "github.com/socialrl/socialrl/internal/bootstrap"
)

// metric is one column of the table.
type metric struct {
	Name string
	Of   func(world.Score) float64
}

var metrics = []metric{
	{"goal", func(s world.Score) float64 { return s.Goal }},
	{"relationship", func(s world.Score) float64 { return s.Relationship }},
	{"knowledge", func(s world.Score) float64 { return s.Knowledge }},
	{"words", func(s world.Score) float64 { return s.Words }},
}

var (
	goalMetric  = metrics[0]
	wordsMetric = metrics[3]
)

// mean returns the mean of a metric over scores.
func (m metric) mean(scores []world.Score) float64 { return m.Of(world.Mean(scores)) }

// pair is what two players reached on the same scenario: means over its cases, in all
// experiments.
type pair struct{ a, b float64 }

// pairs returns the paired means of a metric, one pair for each scenario, in the order
// in which scenarios first come up. a and b are names of players.
func pairs(outs []*outcome, m metric, a, b string) []pair {
	at := map[string]int{}
	var sums []pair
	var counts []float64
	for _, o := range outs {
		sa, sb := o.player(a).Scores, o.player(b).Scores
		for i, c := range o.Cases {
			k, ok := at[c.Scenario.Codename]
			if !ok {
				k = len(sums)
				at[c.Scenario.Codename] = k
				sums, counts = append(sums, pair{}), append(counts, 0)
			}
			sums[k].a += m.Of(sa[i])
			sums[k].b += m.Of(sb[i])
			counts[k]++
		}
	}
	for k, n := range counts {
		sums[k].a /= n
		sums[k].b /= n
	}
	return sums
}

// estimate is a figure with its interval of 95%.
type estimate struct{ Mean, Low, High float64 }

// resamples is how often the bootstrap draws as many scenarios as there are.
const resamples = 10000

// bootstrap returns a figure of the pairs with the percentile interval that drawing
// scenarios with replacement gives (Efron, 1979).
func bootstrap(ps []pair, figure func([]pair) float64) estimate {
	r := rand.New(rand.NewPCG(1, uint64(len(ps))))
	in := interval.Percentile(ps, resamples, r, func(drawn []pair) []float64 { return []float64{figure(drawn)} })[0]
	return estimate{Mean: figure(ps), Low: in.Low, High: in.High}
}

// difference is the mean of a - b.
func difference(ps []pair) float64 {
	sum := 0.0
	for _, p := range ps {
		sum += p.a - p.b
	}
	return sum / float64(len(ps))
}

// rise is how much larger the mean of a is than that of b, as a share of it: 0 where
// both are 0.
func rise(ps []pair) float64 {
	a, b := 0.0, 0.0
	for _, p := range ps {
		a += p.a
		b += p.b
	}
	if a == b {
		return 0
	}
	return a/b - 1
}
