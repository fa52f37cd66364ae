package attribution

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Defaults of [ShapleyOptions].
const (
	DefaultExactPlayers = 10
	DefaultShapleyPairs = 32
)

// mostExactPlayers bounds the table of an exact computation.
const mostExactPlayers = 20

// ShapleyOptions says how [ShapleyValues] computes.
type ShapleyOptions struct {
	// Exact is the largest number of players for which every coalition is looked
	// at, at most 20; 0 is [DefaultExactPlayers], below 0 always samples.
	Exact int
	// Pairs is the number of antithetic pairs of permutations that are sampled
	// beyond it, at least 2; 0 is [DefaultShapleyPairs].
	Pairs int
	Seed  uint64 // of the permutations
	// Concurrency is how many values are asked for at once; 0 is 1.
	Concurrency int
}

// ShapleyResult is what [ShapleyValues] finds.
type ShapleyResult struct {
	Values      []float64 // phi, one for each player
	StdErr      []float64 // standard error of each, of the sampling; all 0 where Exact
	Exact       bool      // every coalition was looked at
	None, All   float64   // value of the empty coalition and of all players together
	Evaluations int       // coalitions whose value was asked for
}

// ShapleyValues shares out what n players earn together. value(S) is what the
// players with in[i] set earn without the others; it must be repeatable, is asked
// for each coalition once at most, and may be called by Concurrency goroutines at
// once. The share of player i is its mean contribution over all orders in which
// the players may join:
//
//	phi[i] = sum over S without i of |S|! (n-|S|-1)! / n! * (value(S + i) - value(S))
//
// Shares add up to value(all) - value(none). They are computed exactly, with 2^n
// values, where n is at most Exact, and otherwise estimated from Pairs pairs of a
// random order and its reverse, with up to 2 n Pairs values:
//
//	phi[i] = 1/M sum over pairs m of x[m,i]
//	x[m,i] = mean of the contributions of i in the two orders of pair m
//	StdErr[i] = sqrt(sum over m of (x[m,i] - phi[i])^2 / (M (M-1)))
//
// Estimates too add up to value(all) - value(none). StdErr is small, or even 0,
// where all pairs agree; where a player matters in few orders only, it takes many
// pairs to see that at all. The same seed gives the same result,
// with any Concurrency.
//
// An error of value, a value that is not finite, and options out of range are
// errors. Without players the result is empty. (Shapley 1953, A value for n-person
// games; Castro, Gómez and Tejada 2009, Computers & Operations Research 36;
// antithetic pairs: Mitchell, Cooper, Frank and Holmes 2022, Journal of Machine
// Learning Research 23.)
func ShapleyValues(ctx context.Context, n int, value func(ctx context.Context, in []bool) (float64, error), o ShapleyOptions) (ShapleyResult, error) {
	o, err := o.complete(n)
	if err != nil || n == 0 {
		return ShapleyResult{Exact: n == 0}, err
	}
	g := game{n: n, places: map[string]int{}}
	g.place(make([]bool, n))
	exact := n <= o.Exact
	var orders [][]int
	if exact {
		g.all()
	} else {
		orders = g.sample(o.Pairs, o.Seed)
	}
	if err := g.evaluate(ctx, value, o.Concurrency); err != nil {
		return ShapleyResult{}, err
	}
	r := ShapleyResult{Exact: exact, Evaluations: len(g.values), StdErr: make([]float64, n)}
	r.None, r.All = g.value(make([]bool, n)), g.value(everybody(n))
	if exact {
		r.Values = g.exactShares()
	} else {
		r.Values, r.StdErr = g.sampledShares(orders)
	}
	return r, nil
}

// complete checks the options and fills in defaults.
func (o ShapleyOptions) complete(n int) (ShapleyOptions, error) {
	if o.Exact == 0 {
		o.Exact = DefaultExactPlayers
	}
	if o.Pairs == 0 {
		o.Pairs = DefaultShapleyPairs
	}
	o.Concurrency = max(o.Concurrency, 1)
	switch {
	case n < 0:
		return o, errors.New("attribution: ShapleyValues: negative number of players")
	case o.Exact > mostExactPlayers:
		return o, fmt.Errorf("attribution: ShapleyValues: Exact is %d, want at most %d", o.Exact, mostExactPlayers)
	case o.Pairs < 2:
		return o, fmt.Errorf("attribution: ShapleyValues: Pairs is %d, want at least 2", o.Pairs)
	}
	return o, nil
}

// game holds the coalitions that count and their values.
type game struct {
	n          int
	coalitions [][]bool
	places     map[string]int // of a coalition among them
	values     []float64
}

// place returns the place of a coalition, which is added where it is new.
func (g *game) place(in []bool) int {
	key := coalitionKey(in)
	i, ok := g.places[key]
	if !ok {
		i = len(g.coalitions)
		g.places[key] = i
		g.coalitions = append(g.coalitions, append([]bool(nil), in...))
	}
	return i
}

func (g *game) value(in []bool) float64 { return g.values[g.places[coalitionKey(in)]] }

func coalitionKey(in []bool) string {
	b := make([]byte, (len(in)+7)/8)
	for i, set := range in {
		if set {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return string(b)
}

func everybody(n int) []bool {
	in := make([]bool, n)
	for i := range in {
		in[i] = true
	}
	return in
}

// all adds every coalition; bit i of its place says whether player i is in.
func (g *game) all() {
	for set := range 1 << g.n {
		in := make([]bool, g.n)
		for i := range in {
			in[i] = set>>i&1 == 1
		}
		g.place(in)
	}
}

// sample draws pairs of an order and its reverse, and adds their coalitions.
func (g *game) sample(pairs int, seed uint64) [][]int {
	var orders [][]int
	for m := range pairs {
		order := rand.New(rand.NewPCG(seed, uint64(m))).Perm(g.n)
		reverse := make([]int, g.n)
		for i, p := range order {
			reverse[g.n-1-i] = p
		}
		orders = append(orders, order, reverse)
	}
	for _, order := range orders {
		in := make([]bool, g.n)
		for _, p := range order {
			in[p] = true
			g.place(in)
		}
	}
	return orders
}

// evaluate asks for the values of all coalitions.
func (g *game) evaluate(ctx context.Context, value func(context.Context, []bool) (float64, error), concurrency int) error {
	g.values = make([]float64, len(g.coalitions))
	var first sync.Once
	var failed error // the cause, not the cancellation that follows from it
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i, in := range g.coalitions {
		if running.Err() != nil {
			break
		}
		group.Go(func() error {
			v, err := value(running, append([]bool(nil), in...))
			if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
				err = fmt.Errorf("attribution: ShapleyValues: the value of coalition %v is %v", in, v)
			}
			if err != nil {
				first.Do(func() { failed = err })
			}
			g.values[i] = v
			return err
		})
	}
	if group.Wait() != nil {
		return failed
	}
	return context.Cause(ctx)
}

// exactShares computes the formula over all coalitions.
func (g *game) exactShares() []float64 {
	weights := joinWeights(g.n)
	phi := make([]float64, g.n)
	for set, v := range g.values {
		size := bits.OnesCount(uint(set))
		for i := range phi {
			if set>>i&1 == 0 {
				phi[i] += weights[size] * (g.values[set|1<<i] - v)
			}
		}
	}
	return phi
}

// joinWeights returns s! (n-s-1)! / n! for s = 0..n-1.
func joinWeights(n int) []float64 {
	w := make([]float64, n)
	w[0] = 1 / float64(n)
	for s := 1; s < n; s++ {
		w[s] = w[s-1] * float64(s) / float64(n-s)
	}
	return w
}

// sampledShares estimates shares and their standard errors from pairs of orders.
func (g *game) sampledShares(orders [][]int) (phi, stdErr []float64) {
	pairs := len(orders) / 2
	x := make([][]float64, pairs)
	phi, stdErr = make([]float64, g.n), make([]float64, g.n)
	for m := range x {
		x[m] = make([]float64, g.n)
		g.contribute(orders[2*m], x[m])
		g.contribute(orders[2*m+1], x[m])
		for i := range phi {
			phi[i] += x[m][i] / float64(pairs)
		}
	}
	for i := range stdErr {
		sum := 0.0
		for m := range x {
			sum += (x[m][i] - phi[i]) * (x[m][i] - phi[i])
		}
		stdErr[i] = math.Sqrt(sum / float64(pairs) / float64(pairs-1))
	}
	return phi, stdErr
}

// contribute adds half of what each player contributes when it joins in the given
// order.
func (g *game) contribute(order []int, x []float64) {
	in := make([]bool, g.n)
	before := g.value(in)
	for _, p := range order {
		in[p] = true
		after := g.value(in)
		x[p] += (after - before) / 2
		before = after
	}
}
