package policy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pathOf returns the tokens on the path of a row and the rows that it sees.
func pathOf(f *Forest, row int32) (tokens []int) {
	node := int32(0)
	for i, n := range f.tree {
		if n.Q <= row && row < n.Q+n.Rows {
			node = int32(i)
		}
	}
	end := row + 1
	for node >= 0 {
		n := f.tree[node]
		part := make([]int, 0, end-n.Q)
		for r := n.Q; r < end; r++ {
			part = append(part, int(f.tokens[r]))
		}
		tokens = append(part, tokens...)
		if node = n.Parent; node >= 0 {
			end = f.tree[node].Q + f.tree[node].Rows
		}
	}
	return tokens
}

func TestForestMergesBeginnings(t *testing.T) {
	tests := []struct {
		name           string
		examples       []Example
		rows, segments int
	}{
		{"one example: its last token needs no row", []Example{{[]int{1, 2, 3}, 1}}, 2, 1},
		{"a score is read at the last token", []Example{{[]int{1, 2, 3}, 3}}, 3, 1},
		{"a group: one prompt, three replies", []Example{
			{[]int{1, 2, 3, 4, 5}, 3}, {[]int{1, 2, 3, 6, 7}, 3}, {[]int{1, 2, 3, 8, 9}, 3}}, 6, 4},
		{"equal replies share their rows", []Example{{[]int{1, 2, 3, 4}, 2}, {[]int{1, 2, 3, 4}, 2}}, 3, 1},
		{"replies that begin alike branch later", []Example{
			{[]int{1, 2, 3, 4, 5}, 2}, {[]int{1, 2, 3, 6, 5}, 2}}, 5, 3},
		{"one example is the beginning of another", []Example{
			{[]int{1, 2, 3}, 1}, {[]int{1, 2, 3, 4, 5}, 4}}, 4, 2},
		{"turns of a dialogue are a chain of branches", []Example{
			{[]int{1, 2, 9, 9}, 2}, {[]int{1, 2, 3, 4, 9, 9}, 4}, {[]int{1, 2, 3, 4, 5, 6, 9, 9}, 6}}, 9, 5},
		{"nothing in common", []Example{{[]int{1, 2}, 1}, {[]int{3, 4}, 1}}, 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := NewForest(tt.examples)
			if err != nil {
				t.Fatal(err)
			}
			if f.Rows() != tt.rows || f.Segments() != tt.segments {
				t.Errorf("%d rows in %d segments, want %d in %d", f.Rows(), f.Segments(), tt.rows, tt.segments)
			}
			checkForest(t, f, tt.examples)
		})
	}
}

// checkForest checks what every forest promises, against the examples themselves.
func checkForest(t *testing.T, f *Forest, examples []Example) {
	t.Helper()
	for i, e := range examples {
		if got := pathOf(f, f.last[i]); !slices.Equal(got, e.inputs()) {
			t.Errorf("example %d: path %v, want %v", i, got, e.inputs())
		}
		span := f.spans[i]
		if span.Len() != len(e.Tokens)-e.First {
			t.Fatalf("example %d: %d targets, want %d", i, span.Len(), len(e.Tokens)-e.First)
		}
		for j, target := range f.targets[span.Start:span.End] {
			at := e.First + j
			if got := pathOf(f, target.Row); int(target.Token) != e.Tokens[at] || !slices.Equal(got, e.Tokens[:at]) {
				t.Errorf("example %d, target %d: token %d after %v, want %d after %v", i, j, target.Token, got, e.Tokens[at], e.Tokens[:at])
			}
			if f.headRows[f.headTargets[span.Start+j].Row] != target.Row {
				t.Errorf("example %d, target %d: head row does not match", i, j)
			}
		}
	}
	for i, n := range f.tree {
		if n.Parent >= int32(i) || n.KV != n.Q || n.Len != n.Rows || n.Rows == 0 {
			t.Errorf("segment %d is %+v", i, n)
		}
	}
	for r := range f.tokens {
		if got := len(pathOf(f, int32(r))) - 1; got != int(f.positions[r]) {
			t.Errorf("row %d: position %d, depth %d", r, f.positions[r], got)
		}
	}
}

// randomExamples draws examples over few tokens, so that many beginnings agree.
func randomExamples(rng *rand.Rand, n, vocab int) []Example {
	examples := make([]Example, n)
	for i := range examples {
		tokens := make([]int, 2+rng.IntN(9))
		for j := range tokens {
			tokens[j] = rng.IntN(vocab)
		}
		if i > 0 && rng.IntN(3) == 0 {
			before := examples[rng.IntN(i)].Tokens
			tokens = append(slices.Clone(before[:rng.IntN(len(before)+1)]), tokens...)
		}
		examples[i] = Example{tokens, 1 + rng.IntN(len(tokens)-1)}
	}
	return examples
}

func TestForestOfRandomExamples(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		examples := randomExamples(rng, 1+rng.IntN(12), 3)
		f, err := NewForest(examples)
		if err != nil {
			t.Fatal(err)
		}
		checkForest(t, f, examples)
		distinct := map[string]bool{}
		for _, e := range examples {
			for n := 1; n <= len(e.inputs()); n++ {
				key := ""
				for _, tok := range e.Tokens[:n] {
					key += string(rune('a' + tok))
				}
				distinct[key] = true
			}
		}
		if f.Rows() != len(distinct) {
			t.Errorf("%d rows for %d distinct prefixes", f.Rows(), len(distinct))
		}
	}
}

func TestForestRefuses(t *testing.T) {
	for _, e := range []Example{{nil, 1}, {[]int{1, 2}, 0}, {[]int{1, 2}, 3}} {
		if _, err := NewForest([]Example{{[]int{1, 2}, 1}, e}); err == nil {
			t.Errorf("%v: no error", e)
		}
	}
}

func TestPackKeepsTheBudgetAndEveryExample(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, budget := range []int{0, 20, 40, 100} {
		examples := randomExamples(rng, 30, 3)
		for i := range examples {
			examples[i].Tokens = examples[i].Tokens[:min(20, len(examples[i].Tokens))]
			examples[i].First = min(examples[i].First, len(examples[i].Tokens))
		}
		p, err := Pack(examples, budget)
		if err != nil {
			t.Fatal(err)
		}
		var seen []int
		for _, f := range p.Forests {
			if budget > 0 && f.Rows() > budget {
				t.Errorf("a forest has %d rows, budget %d", f.Rows(), budget)
			}
			part := make([]Example, 0, len(f.index))
			for _, at := range f.index {
				part = append(part, examples[at])
			}
			checkForest(t, f, part)
			seen = append(seen, f.index...)
		}
		slices.Sort(seen)
		if diff := cmp.Diff(seq(30), seen); diff != "" {
			t.Errorf("examples in the forests:\n%s", diff)
		}
	}
}

func TestPackRefusesWhatExceedsTheBudget(t *testing.T) {
	if _, err := Pack([]Example{{[]int{1, 2, 3, 4}, 4}}, 3); err == nil {
		t.Error("an example of 4 rows fits a budget of 3")
	}
}
