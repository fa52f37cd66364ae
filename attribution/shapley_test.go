package attribution

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// worth is a game without errors.
type worth func(in []bool) float64

func (w worth) value(_ context.Context, in []bool) (float64, error) { return w(in), nil }

func shapley(t testing.TB, n int, w worth, o ShapleyOptions) ShapleyResult {
	t.Helper()
	r, err := ShapleyValues(context.Background(), n, w.value, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// additive pays every player for itself.
func additive(pay ...float64) worth {
	return func(in []bool) float64 {
		sum := 0.0
		for i, p := range pay {
			sum += p * indicator(in[i])
		}
		return sum
	}
}

// weightedMajority pays 1 where the weights reach the quota.
func weightedMajority(quota float64, weights ...float64) worth {
	return func(in []bool) float64 { return indicator(additive(weights...)(in) >= quota) }
}

// airport costs what the most demanding player needs.
func airport(costs ...float64) worth {
	return func(in []bool) float64 {
		most := 0.0
		for i, c := range costs {
			most = max(most, c*indicator(in[i]))
		}
		return most
	}
}

// airportShares shares every further piece of runway among those who need it
// (Littlechild and Owen 1973). Costs are in increasing order.
func airportShares(costs ...float64) []float64 {
	shares := make([]float64, len(costs))
	sum, previous := 0.0, 0.0
	for i, c := range costs {
		sum += (c - previous) / float64(len(costs)-i)
		shares[i], previous = sum, c
	}
	return shares
}

// gloves pays for pairs of a left and a right glove.
func gloves(left, right []int) worth {
	return func(in []bool) float64 {
		var l, r float64
		for _, i := range left {
			l += indicator(in[i])
		}
		for _, i := range right {
			r += indicator(in[i])
		}
		return min(l, r)
	}
}

// Games whose values are known in closed form.
func TestShapleyOfKnownGames(t *testing.T) {
	for _, c := range []struct {
		why  string
		game worth
		want []float64
	}{
		{"one player gets everything", additive(3), []float64{3}},
		{"additive: everybody its own", additive(1, -2, 0, 4.5), []float64{1, -2, 0, 4.5}},
		{"gloves, two left and one right: the rare one is worth 2/3", gloves([]int{0, 1}, []int{2}), []float64{1. / 6, 1. / 6, 2. / 3}},
		{"simple majority of five", weightedMajority(3, 1, 1, 1, 1, 1), []float64{.2, .2, .2, .2, .2}},
		{"weighted majority 51 of 50, 49, 1: the second is worth no more than the third", weightedMajority(51, 50, 49, 1), []float64{2. / 3, 1. / 6, 1. / 6}},
		{"a dictator", weightedMajority(3, 3, 1, 1), []float64{1, 0, 0}},
		{"everybody is needed", weightedMajority(4, 1, 1, 1, 1), []float64{.25, .25, .25, .25}},
		{"airport", airport(1, 2, 2, 5, 9), airportShares(1, 2, 2, 5, 9)},
		{"airport of ten, the most that is exact by default", airport(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), airportShares(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)},
	} {
		n := len(c.want)
		r := shapley(t, n, c.game, ShapleyOptions{})
		if !r.Exact || r.Evaluations != 1<<n || !slices.EqualFunc(r.Values, c.want, close12) || slices.Max(r.StdErr) != 0 {
			t.Errorf("%s: %+v, want %v", c.why, r, c.want)
		}
	}
}

// tangled is a game without any symmetry.
func tangled(n int) worth {
	return func(in []bool) float64 {
		h := uint64(14695981039346656037)
		for i := range n {
			h = (h ^ uint64(indicatorInt(in[i])+2*i)) * 1099511628211
		}
		return float64(h%1000) / 100
	}
}

func TestShapleyAxioms(t *testing.T) {
	for _, c := range []struct {
		why string
		o   ShapleyOptions
	}{{"exact", ShapleyOptions{}}, {"sampled", ShapleyOptions{Exact: -1, Pairs: 7, Seed: 3}}} {
		const n = 6
		game := tangled(n)
		r := shapley(t, n, game, c.o)
		sum := 0.0
		for _, v := range r.Values {
			sum += v
		}
		if !close12(sum, r.All-r.None) || r.All != game(everybody(n)) || r.None != game(make([]bool, n)) {
			t.Errorf("%s, efficiency: shares add up to %v, all earn %v more than nobody", c.why, sum, r.All-r.None)
		}
		null := shapley(t, n+1, func(in []bool) float64 { return game(in[:n]) }, c.o)
		if null.Values[n] != 0 {
			t.Errorf("%s, null player: one who adds nothing gets %v", c.why, null.Values[n])
		}
		other := tangledAirport(n)
		both := shapley(t, n, func(in []bool) float64 { return game(in) + 2*other(in) }, c.o)
		second := shapley(t, n, other, c.o)
		for i, v := range both.Values {
			if !close12(v, r.Values[i]+2*second.Values[i]) {
				t.Errorf("%s, linearity: player %d gets %v in the sum of games, %v + 2*%v in each", c.why, i, v, r.Values[i], second.Values[i])
			}
		}
	}
}

func tangledAirport(n int) worth {
	costs := make([]float64, n)
	for i := range costs {
		costs[i] = float64((i * 7) % n)
	}
	return airport(costs...)
}

func TestShapleySymmetry(t *testing.T) {
	const n = 6
	game := func(in []bool) float64 { // players 1 and 4 are alike
		return tangled(4)([]bool{in[0], in[2], in[3], in[5]}) * (1 + indicator(in[1]) + indicator(in[4]))
	}
	if r := shapley(t, n, game, ShapleyOptions{}); !close12(r.Values[1], r.Values[4]) {
		t.Errorf("players who are alike get %v and %v", r.Values[1], r.Values[4])
	}
	// Other names, the same shares.
	renamed := func(in []bool) float64 { return tangled(n)([]bool{in[5], in[3], in[4], in[0], in[2], in[1]}) }
	want := shapley(t, n, tangled(n), ShapleyOptions{}).Values
	got := shapley(t, n, renamed, ShapleyOptions{}).Values
	for i, j := range []int{5, 3, 4, 0, 2, 1} {
		if !close12(got[j], want[i]) {
			t.Errorf("player %d gets %v, under the name %d %v", i, want[i], j, got[j])
		}
	}
}

// Of sampled shares, 95% lie within 1.96 standard errors where these are right and
// their distribution is near a normal one. In the majority game it is binomial: a
// pair gives 1 to the one player in the middle of both orders, so with M pairs and
// 13 players a share rests on about M/13 of them. 300 pairs make that 23; 90% are
// asked for.
func TestSampledSharesLieWithinTheirConfidence(t *testing.T) {
	costs := make([]float64, 14)
	for i := range costs {
		costs[i] = float64((i + 1) * (i + 1))
	}
	for _, c := range []struct {
		why  string
		game worth
		want []float64
	}{
		{"airport", airport(costs...), airportShares(costs...)},
		{"majority", weightedMajority(7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), slices.Repeat([]float64{1. / 13}, 13)},
		{"gloves", gloves([]int{0, 1, 2, 3, 4, 5}, []int{6, 7, 8, 9, 10, 11}), slices.Repeat([]float64{.5}, 12)},
	} {
		within, total, spread := 0, 0, 0.0
		for seed := range uint64(20) {
			r := shapley(t, len(c.want), c.game, ShapleyOptions{Pairs: 300, Seed: seed})
			if r.Exact {
				t.Fatalf("%s is exact with %d players", c.why, len(c.want))
			}
			for i, v := range r.Values {
				total++
				within += indicatorInt(math.Abs(v-c.want[i]) <= 1.96*r.StdErr[i]+1e-12)
				spread = max(spread, r.StdErr[i])
			}
		}
		if share := float64(within) / float64(total); share < 0.9 || spread == 0 {
			t.Errorf("%s: %.3f of %d shares lie within 1.96 standard errors, the largest being %v", c.why, share, total, spread)
		}
	}
}

// More pairs, smaller errors: four times as many halve them.
func TestSampledSharesConverge(t *testing.T) {
	game := airport(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	few := shapley(t, 12, game, ShapleyOptions{Pairs: 100})
	many := shapley(t, 12, game, ShapleyOptions{Pairs: 1600})
	if ratio := few.StdErr[11] / many.StdErr[11]; ratio < 3 || ratio > 5 {
		t.Errorf("16 times as many pairs make the standard error %v times smaller, want about 4", ratio)
	}
}

// An order and its reverse cancel what is additive and what is about pairs.
func TestAntitheticPairsCancelPairwiseGames(t *testing.T) {
	pairs := func(in []bool) float64 {
		v := 0.0
		for i := range in {
			for j := range i {
				v += float64(i*j%5) * indicator(in[i] && in[j])
			}
			v += float64(i) * indicator(in[i])
		}
		return v
	}
	exact := shapley(t, 12, pairs, ShapleyOptions{Exact: 12})
	sampled := shapley(t, 12, pairs, ShapleyOptions{Pairs: 2})
	if !slices.EqualFunc(exact.Values, sampled.Values, close12) || !close12(slices.Max(sampled.StdErr), 0) {
		t.Errorf("sampled %v with errors %v, want %v without", sampled.Values, sampled.StdErr, exact.Values)
	}
}

func TestShapleyIsRepeatable(t *testing.T) {
	o := ShapleyOptions{Pairs: 5, Seed: 9}
	one := shapley(t, 12, tangled(12), o)
	o.Concurrency = 7
	if d := cmp.Diff(one, shapley(t, 12, tangled(12), o)); d != "" {
		t.Errorf("several goroutines find something else:\n%s", d)
	}
	o.Seed = 10
	if other := shapley(t, 12, tangled(12), o); slices.Equal(one.Values, other.Values) {
		t.Error("another seed finds the same")
	}
}

func TestShapleyAsksForEachCoalitionOnce(t *testing.T) {
	seen := map[string]int{}
	game := func(in []bool) float64 {
		seen[fmt.Sprint(in)]++
		in[0] = !in[0] // theirs to keep
		return 1
	}
	r := shapley(t, 12, game, ShapleyOptions{Pairs: 50})
	for in, n := range seen {
		if n != 1 {
			t.Errorf("coalition %s was asked for %d times", in, n)
		}
	}
	if len(seen) != r.Evaluations || r.Evaluations > 2*12*50 {
		t.Errorf("%d coalitions, %d evaluations", len(seen), r.Evaluations)
	}
}

func TestShapleyConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		slow := func(context.Context, []bool) (float64, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(time.Second)
			return 1, nil
		}
		start := time.Now()
		if _, err := ShapleyValues(t.Context(), 4, slow, ShapleyOptions{Concurrency: 4}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 4*time.Second || most.Load() != 4 {
			t.Errorf("16 values of 1 s took %v, %d at once; want 4 s", took, most.Load())
		}
	})
}

func TestShapleyErrors(t *testing.T) {
	bad := errors.New("no value today")
	stopped, stop := context.WithCancel(context.Background())
	stop()
	for _, c := range []struct {
		why   string
		ctx   context.Context
		n     int
		value func(context.Context, []bool) (float64, error)
		o     ShapleyOptions
		want  string
	}{
		{"an error of the value", context.Background(), 3, func(_ context.Context, in []bool) (float64, error) { return 0, bad }, ShapleyOptions{Concurrency: 3}, "no value today"},
		{"not a number", context.Background(), 3, worth(func([]bool) float64 { return math.NaN() }).value, ShapleyOptions{}, "coalition [false false false] is NaN"},
		{"a table too large", context.Background(), 3, additive(1, 2, 3).value, ShapleyOptions{Exact: 21}, "Exact is 21, want at most 20"},
		{"no standard error from one pair", context.Background(), 3, additive(1, 2, 3).value, ShapleyOptions{Pairs: 1}, "Pairs is 1, want at least 2"},
		{"a negative number of players", context.Background(), -1, nil, ShapleyOptions{}, "negative number"},
		{"a context that is done", stopped, 3, additive(1, 2, 3).value, ShapleyOptions{}, "canceled"},
	} {
		r, err := ShapleyValues(c.ctx, c.n, c.value, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || r.Values != nil {
			t.Errorf("%s: %+v, %v; want an error with %q", c.why, r, err, c.want)
		}
	}
	if r, err := ShapleyValues(context.Background(), 0, nil, ShapleyOptions{}); err != nil || len(r.Values) != 0 || !r.Exact {
		t.Errorf("without players: %+v, %v", r, err)
	}
}
