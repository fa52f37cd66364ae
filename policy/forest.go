package policy

import (
	"fmt"
	"slices"

	"github.com/socialrl/socialrl/lora"
)

// Example is one sequence of tokens and the part of it that a loss is about.
type Example struct {
	Tokens []int
	// First is the index of the first token whose log-probability is a target; all
	// tokens from there on are. It is at least 1. With First = len(Tokens) there
	// is no target: a score is read at the last token.
	First int
}

// Forest is a batch of examples with their shared beginnings merged: a trie of
// tokens, stored row by row in depth-first order. Nothing is padded. A row attends
// to its own segment up to itself and to every ancestor segment in full; its
// position is its depth.
//
// Inputs are merged, targets never: two equal completions share their rows and keep
// two targets each, with derivatives of their own. The last token of an example
// with targets is nobody's input and has no row.
//
// A Forest is immutable and may be used from several goroutines.
type Forest struct {
	tokens    []int32           // row -> token
	positions []int32           // row -> depth
	tree      lora.Tree         // segments
	targets   []lora.HeadTarget // example after example; Row is a row of the forest
	spans     []Span            // example -> range of targets
	last      []int32           // example -> row of its last input token
	index     []int             // example -> index in the caller's order

	headRows    []int32           // the rows that something is read at, ascending
	headTargets []lora.HeadTarget // targets; Row is an index into headRows
	scoreAt     []int32           // example -> index into headRows, where nothing is a target
	flat        int               // rows that the examples would have unshared
}

// Span is a half-open range [Start, End).
type Span struct{ Start, End int }

// Len returns the number of elements.
func (s Span) Len() int { return s.End - s.Start }

// NewForest merges the examples' common beginnings. An example without tokens or
// with First out of range is an error that names it.
func NewForest(examples []Example) (*Forest, error) {
	for i, e := range examples {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("policy: example %d: %w", i, err)
		}
	}
	return buildForest(examples, seq(len(examples))), nil
}

func (e Example) check() error {
	if len(e.Tokens) == 0 {
		return fmt.Errorf("no tokens")
	}
	if e.First < 1 || e.First > len(e.Tokens) {
		return fmt.Errorf("first target is token %d of %d, want 1 to %d", e.First, len(e.Tokens), len(e.Tokens))
	}
	return nil
}

// inputs returns the tokens that need a row: all but the last one, whose successor
// nobody asks for, or all where a score is read at the last.
func (e Example) inputs() []int {
	if e.First == len(e.Tokens) {
		return e.Tokens
	}
	return e.Tokens[:len(e.Tokens)-1]
}

// Rows returns the number of distinct tokens: what the batch costs.
func (f *Forest) Rows() int { return len(f.tokens) }

// Flat returns the number of rows that the same examples need unshared.
func (f *Forest) Flat() int { return f.flat }

// Examples returns the number of examples.
func (f *Forest) Examples() int { return len(f.last) }

// Targets returns the number of log-probabilities that the batch asks for.
func (f *Forest) Targets() int { return len(f.targets) }

// Pairs returns the number of pairs of a row and a row that it attends to, itself
// included: what attention costs.
func (f *Forest) Pairs() int {
	n := len(f.positions)
	for _, depth := range f.positions {
		n += int(depth)
	}
	return n
}

// Segments returns the number of runs of tokens between branching points.
func (f *Forest) Segments() int { return len(f.tree) }

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// builder lays examples out in depth-first order. The examples are sorted by their
// inputs, so that each shares its beginning with a neighbour, and the trie is the
// path of open segments.
type builder struct {
	f    *Forest
	path []int // indices of the open segments, root first
	ends []int // depth at the end of each open segment
}

// buildForest builds the forest of examples whose indices in the caller's order are
// given.
func buildForest(examples []Example, index []int) *Forest {
	f := &Forest{spans: make([]Span, len(examples)), last: make([]int32, len(examples)), index: index}
	order := sortedByInputs(examples)
	b := &builder{f: f}
	rows := b.layOut(examples, order)
	for i, e := range examples {
		f.flat += len(e.inputs())
		f.last[i] = rows[i][len(rows[i])-1]
		f.spans[i].Start = len(f.targets)
		for t := e.First; t < len(e.Tokens); t++ {
			f.targets = append(f.targets, lora.HeadTarget{Row: rows[i][t-1], Token: int32(e.Tokens[t])})
		}
		f.spans[i].End = len(f.targets)
	}
	f.findHeadRows()
	return f
}

// findHeadRows lists the distinct rows that the model's head reads.
func (f *Forest) findHeadRows() {
	read := make([]int32, 0, len(f.targets))
	for _, t := range f.targets {
		read = append(read, t.Row)
	}
	if len(f.targets) == 0 {
		read = append(read, f.last...)
	}
	f.headRows = slices.Compact(slices.Sorted(slices.Values(read)))
	for _, t := range f.targets {
		f.headTargets = append(f.headTargets, lora.HeadTarget{Row: f.headRow(t.Row), Token: t.Token})
	}
	if len(f.targets) == 0 {
		for _, row := range f.last {
			f.scoreAt = append(f.scoreAt, f.headRow(row))
		}
	}
}

func (f *Forest) headRow(row int32) int32 {
	at, _ := slices.BinarySearch(f.headRows, row)
	return int32(at)
}

func sortedByInputs(examples []Example) []int {
	order := seq(len(examples))
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(examples[a].inputs(), examples[b].inputs()) })
	return order
}

// layOut gives every input token a row and returns, for each example, the rows of
// its path. In sorted order an example leaves its predecessor's path at their
// common prefix; the prefix it shares with its successor is where its own segment
// must be cut.
func (b *builder) layOut(examples []Example, order []int) [][]int32 {
	rows := make([][]int32, len(examples))
	lcp := neighbours(examples, order)
	var path []int32
	for k, at := range order {
		in, shared := examples[at].inputs(), lcp[k]
		path = path[:shared]
		b.cutTo(shared)
		b.append(in[shared:], cuts(lcp[k+1:], shared, len(in)), shared)
		for d := shared; d < len(in); d++ {
			path = append(path, int32(len(b.f.tokens)-len(in)+d))
		}
		rows[at] = slices.Clone(path)
	}
	return rows
}

// neighbours returns, for each example in sorted order, the length of the prefix it
// shares with the one before; 0 for the first.
func neighbours(examples []Example, order []int) []int {
	lcp := make([]int, len(order))
	for k := 1; k < len(order); k++ {
		lcp[k] = commonPrefix(examples[order[k-1]].inputs(), examples[order[k]].inputs())
	}
	return lcp
}

// cuts returns the depths, ascending, beyond shared and before end, at which later
// examples leave this one: the branching points. lcp holds the prefixes that
// neighbours after it share; the prefix shared with the j-th of them is the least of
// the first j.
func cuts(lcp []int, shared, end int) []int {
	var at []int
	least := end
	for _, d := range lcp {
		if d <= shared {
			break
		}
		if d < least {
			least = d
			at = append(at, d)
		}
	}
	slices.Reverse(at)
	return at
}

// cutTo closes all open segments that end beyond a depth.
func (b *builder) cutTo(depth int) {
	for len(b.ends) > 0 && b.ends[len(b.ends)-1] > depth {
		b.ends = b.ends[:len(b.ends)-1]
		b.path = b.path[:len(b.path)-1]
	}
}

// append adds tokens below the open path as one segment, or as several that end at
// the given depths.
func (b *builder) append(tokens []int, cuts []int, depth int) {
	end := depth + len(tokens)
	for _, cut := range append(cuts, end) {
		if cut == depth {
			continue
		}
		b.segment(tokens[:cut-depth], depth)
		tokens, depth = tokens[cut-depth:], cut
	}
}

func (b *builder) segment(tokens []int, depth int) {
	f := b.f
	parent := int32(-1)
	if len(b.path) > 0 {
		parent = int32(b.path[len(b.path)-1])
	}
	first, n := int32(len(f.tokens)), int32(len(tokens))
	f.tree = append(f.tree, lora.Node{Parent: parent, KV: first, Len: n, Q: first, Rows: n})
	for i, t := range tokens {
		f.tokens = append(f.tokens, int32(t))
		f.positions = append(f.positions, int32(depth+i))
	}
	b.path = append(b.path, len(f.tree)-1)
	b.ends = append(b.ends, depth+len(tokens))
}

func commonPrefix(a, b []int) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
