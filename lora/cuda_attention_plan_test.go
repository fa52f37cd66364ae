package lora

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// planForest makes a random tree in depth-first order; with decode, nodes may have more
// keys than rows; with byDepth the nodes' indices go level by level.
func planForest(rng *rand.Rand, n int, decode, byDepth bool) (t Tree, rows int) {
	keys := int32(0)
	depth := []int{}
	for i := range n {
		node := Node{Parent: -1, KV: keys, Len: int32(1 + rng.IntN(30))}
		if i > 0 && rng.IntN(6) > 0 { // below the last node or one of its ancestors
			node.Parent = int32(i - 1)
			for node.Parent >= 0 && rng.IntN(3) > 0 {
				node.Parent = t[node.Parent].Parent
			}
		}
		if node.Rows = node.Len; decode {
			node.Rows = min(node.Len, int32(rng.IntN(3)))
		}
		if node.Parent < 0 {
			rows += rng.IntN(2) // rows between trees belong to none
		}
		node.Q = int32(rows)
		rows += int(node.Rows)
		keys += node.Len
		d := 0
		if node.Parent >= 0 {
			d = depth[node.Parent] + 1
		}
		t, depth = append(t, node), append(depth, d)
	}
	if byDepth {
		t = sortedByDepth(t, depth)
	}
	return t, rows
}

// sortedByDepth returns the tree with its nodes level by level.
func sortedByDepth(t Tree, depth []int) Tree {
	var out Tree
	at := make([]int32, len(t))
	for level := 0; len(out) < len(t); level++ {
		for i, n := range t {
			if depth[i] != level {
				continue
			}
			at[i] = int32(len(out))
			if n.Parent >= 0 {
				n.Parent = at[n.Parent]
			}
			out = append(out, n)
		}
	}
	return out
}

// pair is a packed row and the row of a key that it sees.
type pair struct{ row, key int32 }

// seenPairs lists what a tree lets packed rows see.
func seenPairs(t Tree, rows, group int) map[pair]bool {
	e := &refEngine{}
	e.layout.set(t, rows)
	seen := map[pair]bool{}
	for row := range rows {
		if e.layout.owner[row] < 0 {
			continue
		}
		for _, key := range e.visible(t, row) {
			for g := range group {
				seen[pair{int32(row*group + g), int32(key)}] = true
			}
		}
	}
	return seen
}

// planCases are ways to cut attention: tiles of several sizes, whole and shared.
var planCases = []attentionCut{
	{cols: 64, tileRows: 64, keyTile: 64, keyParts: 3},
	{cols: 64, tileRows: 128, splits: 5, least: 2},
	{cols: 256, tileRows: 16, splits: 66, least: 1, keyTile: 16, keyParts: 66},
	{cols: 32, tileRows: 32, keyTile: 32, keyParts: 1},
}

// The items of a plan go through every pair of a row and a key that it sees once, and
// where the mask lets them, through no other; so do the items for keys.
func TestAttentionPlanCoversTheTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var p attentionPlan
	for i := range 12 {
		tree, rows := planForest(rng, 1+rng.IntN(16), i%2 == 1, i%4 > 1)
		for group := 1; group <= 7; group += 3 {
			want := seenPairs(tree, rows, group)
			for _, cut := range planCases {
				if i%2 == 1 {
					cut.keyTile = 0
				}
				name := fmt.Sprintf("tree %d, group %d, %+v", i, group, cut)
				p.build(tree, rows, group, cut)
				checkPairs(t, name, want, queryPairs(t, &p))
				if cut.keyTile > 0 {
					checkPairs(t, name+", keys", want, keyPairs(t, &p))
				}
				checkPlan(t, name, &p, tree)
			}
		}
	}
}

// checkPairs compares what was gone through, and how often, with what is to be seen.
func checkPairs(t *testing.T, name string, want map[pair]bool, got map[pair]int) {
	t.Helper()
	for at, n := range got {
		if !want[at] || n != 1 {
			t.Fatalf("%s: row %d and key %d come %d times; a row that sees the key: %v", name, at.row, at.key, n, want[at])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d pairs of %d", name, len(got), len(want))
	}
}

// queryPairs goes through the items as a kernel does.
func queryPairs(t *testing.T, p *attentionPlan) map[pair]int {
	t.Helper()
	got := map[pair]int{}
	for i := range int(p.words[planItems]) {
		item := p.at(planItem)[4*i : 4*i+4]
		first := item[0] * int32(p.cut.tileRows)
		for _, row := range span(first, min(first+int32(p.cut.tileRows), int32(p.rows*p.group))) {
			for r := item[1]; r < item[2]; r++ {
				blocks := p.at(planRanges)[2*r : 2*r+2]
				p.see(got, row, blocks[0]*blockSlots, blocks[1]*blockSlots)
			}
		}
		if (item[3] >= 0) != (p.cut.splits > 0) {
			t.Fatalf("item %v has the wrong kind of result", item)
		}
	}
	return got
}

// keyPairs goes through the items for keys as a kernel does.
func keyPairs(t *testing.T, p *attentionPlan) map[pair]int {
	t.Helper()
	got := map[pair]int{}
	for i := range int(p.words[planKeyItems]) {
		item := p.at(planKeyItem)[4*i : 4*i+4]
		if item[1]%keyRows != 0 || item[2]%keyRows != 0 {
			t.Fatalf("item %v does not begin and end at multiples of %d", item, keyRows)
		}
		for _, row := range span(item[1], item[2]) {
			p.see(got, row, item[0]*int32(p.cut.keyTile), (item[0]+1)*int32(p.cut.keyTile))
		}
	}
	return got
}

// span lists the numbers from first to end.
func span(first, end int32) (out []int32) {
	for i := first; i < end; i++ {
		out = append(out, i)
	}
	return out
}

// see counts the slots that a packed row sees.
func (p *attentionPlan) see(got map[pair]int, row, first, end int32) {
	for s := first; s < end; s++ {
		if p.at(planLo)[s] <= row && row < p.at(planHi)[s] {
			got[pair{row, p.at(planKV)[s]}]++
		}
	}
}

// checkPlan checks the bounds of blocks, the bits of rows, and that launches and rooms are
// large enough.
func checkPlan(t *testing.T, name string, p *attentionPlan, tree Tree) {
	t.Helper()
	slots := int(p.words[planSlots])
	for s := range slots {
		b := p.at(planBounds)[s/blockSlots*4:][:4]
		lo, hi := p.at(planLo)[s], p.at(planHi)[s]
		if lo < b[0] || lo > b[1] || hi < b[2] || hi > b[3] {
			t.Fatalf("%s: slot %d, seen from %d to %d, is out of its block's bounds %v", name, s, lo, hi, b)
		}
	}
	for row, owner := range p.layout.owner {
		if claimed := uint32(p.at(planClaimed)[row/32])>>(row%32)&1 == 1; claimed != (owner >= 0) {
			t.Fatalf("%s: row %d is claimed: %v", name, row, claimed)
		}
	}
	if n := p.cut.items(p.rows * p.group); p.totalItems > n {
		t.Fatalf("%s: %d items, launched are %d", name, p.totalItems, n)
	}
	if slots%slotsMultiple != 0 || slots > slotsRoom(tree) {
		t.Fatalf("%s: %d slots, room for %d", name, slots, slotsRoom(tree))
	}
	if p.cut.keyTile > 0 && p.partials > p.cut.keyPartials(roundUp(p.rows, slotsMultiple)) {
		t.Fatalf("%s: %d partial results, room for %d", name, p.partials, p.cut.keyPartials(p.rows))
	}
}

// A step of decoding makes a plan of the same size as the one before, mostly, so that the
// launches of both are the same; and it allocates nothing.
func TestAttentionPlanWhileDecoding(t *testing.T) {
	shape := HeadShape{Heads: 28, KVHeads: 4, HeadDim: 128}
	step := func(length int32) Tree {
		tree := Tree{{Parent: -1, Len: 900}}
		for i := range int32(16) {
			tree = append(tree, Node{Parent: 0, KV: 1000 + 100*i, Len: length, Q: i, Rows: 1})
		}
		return tree
	}
	cut := cudaRoom{bf16: true}.attentionCut(16, shape, false)
	if cut.packed || cut.splits == 0 {
		t.Fatalf("a group of 16 is decoded with %+v, want shared tiles of the keys as they are", cut)
	}
	var p attentionPlan
	sizes := map[int]bool{}
	for length := range int32(80) {
		p.build(step(1+length), 16, 7, cut)
		sizes[len(p.words)] = true
	}
	if len(sizes) > 4 {
		t.Errorf("80 steps have plans of %d sizes", len(sizes))
	}
	trees := []Tree{step(79), step(80)}
	if n := testing.AllocsPerRun(10, func() {
		for _, tree := range trees {
			if !p.matches(tree, 16, 7, cut) {
				p.build(tree, 16, 7, cut)
			}
		}
	}); n > 0 {
		t.Errorf("a plan allocates %v times", n)
	}
}

// The plans of the blocks of a model are one: the same tree is recognised, another is not.
func TestAttentionPlanMatches(t *testing.T) {
	tree := Tree{{Parent: -1, Len: 3, Rows: 3}, {Parent: 0, KV: 3, Len: 2, Q: 3, Rows: 2}}
	cut := attentionCut{cols: 32, tileRows: 64}
	var p attentionPlan
	if p.matches(nil, 0, 0, attentionCut{}) {
		t.Error("an empty plan matches")
	}
	p.build(tree, 5, 2, cut)
	other := append(Tree(nil), tree...)
	other[1].KV = 4
	for _, c := range []struct {
		name  string
		tree  Tree
		rows  int
		group int
		cut   attentionCut
		want  bool
	}{
		{"the same", append(Tree(nil), tree...), 5, 2, cut, true},
		{"other keys", other, 5, 2, cut, false},
		{"more rows", tree, 6, 2, cut, false},
		{"another group", tree, 5, 1, cut, false},
		{"other tiles", tree, 5, 2, attentionCut{cols: 32, tileRows: 32}, false},
	} {
		if got := p.matches(c.tree, c.rows, c.group, c.cut); got != c.want {
			t.Errorf("%s: matches is %v", c.name, got)
		}
	}
}
