package policy

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// groupsOf returns the group of each example.
func groupsOf(o Objective) []string {
	if o.Groups != nil {
		return o.Groups
	}
	groups := make([]string, len(o.Examples))
	for i := range groups {
		groups[i] = strconv.Itoa(i)
	}
	return groups
}

// splitGroups holds out a share of the groups, at least one where the share is more
// than 0 and there are two. It returns the indices of both parts in their order.
func splitGroups(groups []string, share float64, seed uint64) (train, held []int) {
	names := distinct(groups)
	shuffle(names, seed, "split", 0)
	n := int(math.Round(share * float64(len(names))))
	if share > 0 && len(names) > 1 {
		n = min(max(n, 1), len(names)-1)
	}
	out := map[string]bool{}
	for _, name := range names[:n] {
		out[name] = true
	}
	for i, g := range groups {
		if out[g] {
			held = append(held, i)
		} else {
			train = append(train, i)
		}
	}
	return train, held
}

// distinct returns the different names in the order of their first appearance.
func distinct(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// shuffle permutes s in a way that depends on the seed, a purpose and an index.
func shuffle[T any](s []T, seed uint64, purpose string, index int) {
	stream := uint64(index)
	for _, c := range []byte(purpose) {
		stream = stream*0x100000001b3 ^ uint64(c)
	}
	rng := rand.New(rand.NewPCG(seed, stream))
	rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// order gives the order of the training examples in each epoch: groups shuffled, the
// examples of a group together and in their own order, so that batches share
// beginnings.
type order struct {
	names   []string
	members map[string][]int
	seed    uint64
	at      int // the epoch that is cached
	cached  []int
}

func newOrder(groups []string, train []int, seed uint64) *order {
	o := &order{members: map[string][]int{}, seed: seed, at: -1}
	for _, i := range train {
		g := groups[i]
		if o.members[g] == nil {
			o.names = append(o.names, g)
		}
		o.members[g] = append(o.members[g], i)
	}
	return o
}

func (o *order) epoch(n int) []int {
	if n != o.at {
		names := slices.Clone(o.names)
		shuffle(names, o.seed, "epoch", n)
		o.at, o.cached = n, o.cached[:0]
		for _, name := range names {
			o.cached = append(o.cached, o.members[name]...)
		}
	}
	return o.cached
}

// Outputs returns, for each example, the log-probabilities of its targets, or its
// score where it has none. Examples are packed into forests of at most budget rows
// (0: no bound); all must have targets, or none.
func (p *Policy) Outputs(ctx context.Context, examples []Example, budget int) ([][]float64, error) {
	packed, err := Pack(examples, budget)
	if err != nil {
		return nil, err
	}
	return p.PackedOutputs(ctx, packed)
}

// PackedOutputs is [Policy.Outputs] of examples that are packed already, in the order
// in which they were given to Pack.
func (p *Policy) PackedOutputs(ctx context.Context, packed *Packed) ([][]float64, error) {
	n := 0
	for _, f := range packed.Forests {
		n += f.Examples()
	}
	out := make([][]float64, n)
	for _, f := range packed.Forests {
		t, err := p.infer(ctx, f)
		if err != nil {
			return nil, err
		}
		for i, at := range t.Index {
			if t.Score != nil {
				out[at] = t.Score[i : i+1]
			} else {
				out[at] = t.Example(i)
			}
		}
	}
	return out, nil
}

func (p *Policy) infer(ctx context.Context, f *Forest) (Targets, error) {
	if f.Targets() == 0 {
		return p.Scores(ctx, f)
	}
	return p.LogProbs(ctx, f, 1)
}
