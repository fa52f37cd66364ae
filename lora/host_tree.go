package lora

// treeLayout answers, for one tree, which rows belong to which node. Its slices are
// reused from call to call.
type treeLayout struct {
	owner []int32 // node of each query row, -1 where no node claims the row
	first []int32 // first query row of each node's subtree
	end   []int32 // row after the last of each node's subtree
	rows  []int32 // number of rows of each node's subtree
	depth []int32 // keys before each node's own on its path
	root  []int32 // of the tree that each node belongs to
}

// set lays the tree out over a number of query rows. It panics where two nodes
// claim one row or a subtree's rows are not contiguous.
func (l *treeLayout) set(t Tree, rows int) {
	l.owner = grow(l.owner, rows)
	l.first, l.end, l.rows = grow(l.first, len(t)), grow(l.end, len(t)), grow(l.rows, len(t))
	l.depth, l.root = grow(l.depth, len(t)), grow(l.root, len(t))
	for i := range l.owner {
		l.owner[i] = -1
	}
	for i, n := range t {
		l.first[i], l.end[i], l.rows[i], l.depth[i] = n.Q, n.Q+n.Rows, n.Rows, 0
		l.root[i] = int32(i)
		if n.Parent >= 0 {
			l.root[i] = l.root[n.Parent]
			l.depth[i] = l.depth[n.Parent] + t[n.Parent].Len
		}
		for r := n.Q; r < n.Q+n.Rows; r++ {
			require(l.owner[r] < 0, "lora: Attention: two nodes claim one query row")
			l.owner[r] = int32(i)
		}
	}
	for i := len(t) - 1; i >= 0; i-- {
		require(l.rows[i] == 0 || l.end[i]-l.first[i] == l.rows[i] && (t[i].Rows == 0 || l.first[i] == t[i].Q),
			"lora: Attention: query rows are not in depth-first order")
		if p := t[i].Parent; p >= 0 {
			l.join(int(p), i)
		}
	}
}

// firstSeer returns the first query row that may see key k of a node: its own rows
// belong to its last keys, and those of its descendants see all.
func (l *treeLayout) firstSeer(n Node, node, k int) int {
	return int(l.first[node]) + max(0, k-int(n.Len-n.Rows))
}

// join adds the rows of child's subtree to those of its parent.
func (l *treeLayout) join(parent, child int) {
	switch {
	case l.rows[child] == 0:
		return
	case l.rows[parent] == 0:
		l.first[parent], l.end[parent] = l.first[child], l.end[child]
	default:
		l.first[parent] = min(l.first[parent], l.first[child])
		l.end[parent] = max(l.end[parent], l.end[child])
	}
	l.rows[parent] += l.rows[child]
}

// grow returns a slice of n elements, s itself if it is large enough. Old contents
// are lost.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
