package policy

import (
	"slices"

	"github.com/socialrl/socialrl/lora"
)

// section is a run of a forest's rows that goes through the blocks together: whole
// subtrees, or one segment of which the descendants go in parts of their own. A step in
// parts goes depth first: a segment runs forward, its descendants forward and backward,
// one part after the other, and leave with it the gradients of its keys and values; then
// it runs backward. What is held at a time is one path of parts, and nothing is computed
// twice.
type section struct {
	lo, hi int // rows of the forest
	below  []*section

	above      int       // keys of the segments above
	tree       lora.Tree // those segments without queries, root first, and the part's own
	read       []int32   // rows, counted from lo, that something is read at
	readBefore int       // rows of the forest before lo that something is read at
	examples   *Forest   // those that end here, with rows of the whole forest; nil: none
}

// rows returns the number of rows of the part itself.
func (p *section) rows() int { return p.hi - p.lo }

// sum returns the rows of all parts that have some below, and of those that have none.
func sum(parts []*section) (stems, leaves int) {
	for _, p := range parts {
		if len(p.below) == 0 {
			leaves += p.rows()
			continue
		}
		s, l := sum(p.below)
		stems, leaves = stems+p.rows()+s, leaves+l
	}
	return stems, leaves
}

// whole returns the forest as one part.
func whole(f *Forest) []*section {
	return []*section{{hi: f.Rows(), tree: f.tree, read: f.headRows, examples: f}}
}

// cutter cuts a forest into parts of about as many rows as wanted.
type cutter struct {
	f     *Forest
	most  int     // rows of a part of several subtrees
	ends  []int   // segment -> row after the last of its subtree
	below [][]int // segment -> its children
}

// cut returns the parts of a forest: subtrees of at most so many rows, neighbours
// together; and segments of their own where a subtree has more.
func cut(f *Forest, most int) []*section {
	c := &cutter{f: f, most: most, ends: make([]int, len(f.tree)), below: make([][]int, len(f.tree))}
	var roots []int
	for i := len(f.tree) - 1; i >= 0; i-- {
		n := f.tree[i]
		c.ends[i] = max(c.ends[i], int(n.Q+n.Rows))
		if n.Parent < 0 {
			roots = append(roots, i)
			continue
		}
		c.ends[n.Parent] = max(c.ends[n.Parent], c.ends[i])
		c.below[n.Parent] = append(c.below[n.Parent], i)
	}
	for _, siblings := range append(c.below, roots) {
		slices.Reverse(siblings)
	}
	parts := c.siblings(roots, nil)
	c.deal(parts)
	return parts
}

// size returns the rows of a segment's subtree.
func (c *cutter) size(i int) int { return c.ends[i] - int(c.f.tree[i].Q) }

// siblings returns the parts of neighbours below a path of segments.
func (c *cutter) siblings(nodes, path []int) []*section {
	var parts []*section
	for len(nodes) > 0 {
		if at := nodes[0]; c.size(at) > c.most && len(c.below[at]) > 0 {
			stem := c.part(nodes[:1], path, int(c.f.tree[at].Q+c.f.tree[at].Rows))
			stem.below = c.siblings(c.below[at], append(slices.Clone(path), at))
			parts, nodes = append(parts, stem), nodes[1:]
			continue
		}
		n := c.together(nodes)
		parts, nodes = append(parts, c.part(nodes[:n], path, c.ends[nodes[n-1]])), nodes[n:]
	}
	return parts
}

// together returns how many of the first siblings make a part: of those up to the next
// that is cut itself, so many that the parts are of about one size.
func (c *cutter) together(nodes []int) (n int) {
	total := 0
	for _, at := range nodes {
		if c.size(at) > c.most && len(c.below[at]) > 0 {
			break
		}
		total += c.size(at)
	}
	parts := (total + c.most - 1) / c.most
	rows := 0
	for n < len(nodes) && rows*parts < total {
		size := c.size(nodes[n])
		if n > 0 && rows+size > c.most {
			break
		}
		rows, n = rows+size, n+1
	}
	return n
}

// part returns the part of siblings below a path of segments, up to a row.
func (c *cutter) part(nodes, path []int, end int) *section {
	p := &section{lo: int(c.f.tree[nodes[0]].Q), hi: end}
	place := map[int32]int32{-1: -1}
	for _, at := range path {
		p.tree = append(p.tree, lora.Node{Parent: int32(len(p.tree) - 1), KV: int32(p.above), Len: c.f.tree[at].Len})
		p.above += int(c.f.tree[at].Len)
		place[int32(at)] = int32(len(p.tree) - 1)
	}
	for i := nodes[0]; i < len(c.f.tree) && int(c.f.tree[i].Q) < end; i++ {
		n := c.f.tree[i]
		place[int32(i)] = int32(len(p.tree))
		n.Parent, n.Q = place[n.Parent], n.Q-int32(p.lo)
		n.KV = n.Q + int32(p.above)
		p.tree = append(p.tree, n)
	}
	first, _ := slices.BinarySearch(c.f.headRows, int32(p.lo))
	p.readBefore, p.read = first, []int32{}
	for _, row := range c.f.headRows[first:] {
		if int(row) < end {
			p.read = append(p.read, row-int32(p.lo))
		}
	}
	return p
}

// deal gives every part the examples that end in it.
func (c *cutter) deal(parts []*section) {
	for _, p := range parts {
		var ending []int
		for i, row := range c.f.last {
			if p.lo <= int(row) && int(row) < p.hi {
				ending = append(ending, i)
			}
		}
		p.examples = c.f.some(ending)
		c.deal(p.below)
	}
}

// some returns the forest's examples of given numbers, on the forest's rows; nil where
// nothing is read for them.
func (f *Forest) some(examples []int) *Forest {
	s := &Forest{}
	for _, i := range examples {
		start := len(s.targets)
		s.targets = append(s.targets, f.targets[f.spans[i].Start:f.spans[i].End]...)
		s.spans = append(s.spans, Span{start, len(s.targets)})
		s.last, s.index = append(s.last, f.last[i]), append(s.index, f.index[i])
	}
	if len(examples) == 0 || f.Targets() > 0 && s.Targets() == 0 {
		return nil
	}
	s.findHeadRows()
	return s
}
