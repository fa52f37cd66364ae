package lora

import (
	"math"
	"slices"
)

// Attention on a GPU cuts a tree into tiles of packed rows and blocks of keys. The plan of
// it, which depends on the tree and the number of heads of a group alone, is made on the
// host; kernels/attention.cuh says how it is read.

// The places of a plan's header.
const (
	planSlots = iota
	planItems
	planKV
	planLo
	planHi
	planBounds
	planItem
	planRanges
	planClaimed
	planTiles
	planKeyItems
	planKeyItem
	planKeyTiles
	planHeader = 16
)

const (
	blockSlots    = 32  // keys of a block
	slotsMultiple = 64  // the number of slots is a multiple of it
	rowsMultiple  = 128 // the same for packed rows in memory
	keyRows       = 32  // packed rows come to a tile of keys in multiples of it
	fewestKeyRows = 16  // such multiples of an item that shares its tile of keys
	maxHeadDim    = 256
)

// attentionCut says how attention is cut.
type attentionCut struct {
	cols     int  // columns of a head in shared memory: 32, 64, 128 or 256
	tileRows int  // packed rows of a tile
	packed   bool // keys are rounded and gathered first
	splits   int  // items that share the work of one key head; 0: an item is a tile
	least    int  // blocks of an item that shares its tile
	keyTile  int  // slots of a tile of keys, in the gradient; 0: none
	keyParts int  // items that share the gradient of one key head's keys
}

// attentionCut cuts attention over query rows. back says that it is for the gradient.
func (r cudaRoom) attentionCut(rows int, s HeadShape, back bool) attentionCut {
	c := attentionCut{cols: max(32, ceilPower(s.HeadDim)), least: 1}
	packed := rows * s.Heads / s.KVHeads
	switch large := c.cols > 128; {
	case !r.bf16 && large:
		c.tileRows = 16
	case !r.bf16:
		c.tileRows = 32
	case back && large:
		c.tileRows = 32
	case back || packed <= 4*64:
		c.tileRows = 64
	case large:
		c.packed, c.tileRows = true, 64
	default:
		c.packed, c.tileRows = true, 128
	}
	if back {
		c.packed = r.bf16
		c.keyTile = min(c.tileRows, 64)
		if r.bf16 {
			c.keyTile = 64
		}
		c.keyParts = max(1, cudaBlocks/s.KVHeads)
		return c
	}
	if c.packed {
		c.least = 8
	}
	if divideUp(packed, c.tileRows)*s.KVHeads < cudaBlocks {
		c.splits = max(1, cudaBlocks/s.KVHeads)
	}
	return c
}

// ceilPower returns the smallest power of 2 that is at least n.
func ceilPower(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// coarse rounds n up to one of a few values for each power of 2, so that what grows by a
// little from step to step mostly keeps its size.
func coarse(n, values int) int { return roundUp(max(n, 1), max(16, ceilPower(n)/2/values)) }

// items is the number of items that the launches are made for: enough for any tree.
func (c *attentionCut) items(packed int) int { return divideUp(packed, c.tileRows) + c.splits }

// keyPartials is the largest number of partial results of tiles of keys.
func (c *attentionCut) keyPartials(slots int) int {
	return min(2*c.keyParts, c.keyParts+divideUp(slots, c.keyTile))
}

// attentionPlan is a plan for one tree, kept until another is asked for. Its slices are
// reused.
type attentionPlan struct {
	tree  Tree
	rows  int
	group int
	cut   attentionCut

	words    []int32
	keyItems int // number of items for keys
	partials int // of these that are partial results

	layout     treeLayout
	order      []int32 // nodes, depth first
	items      []int32
	ranges     []int32
	tiles      []int32
	slots      int
	totalItems int
}

// matches reports whether the plan is one for these arguments.
func (p *attentionPlan) matches(t Tree, rows, group int, cut attentionCut) bool {
	return p.rows == rows && p.group == group && p.cut == cut && len(p.words) > 0 && slices.Equal(p.tree, t)
}

// build makes the plan. It panics where the tree's rows do not fit together.
func (p *attentionPlan) build(t Tree, rows, group int, cut attentionCut) {
	p.words = p.words[:0]
	p.layout.set(t, rows)
	p.tree, p.rows, p.group, p.cut = append(p.tree[:0], t...), rows, group, cut
	p.words = append(p.words, make([]int32, planHeader)...)
	p.sort()
	p.addSlots()
	p.addBounds()
	p.addItems()
	p.addClaimed()
	if cut.keyTile > 0 {
		p.addKeyItems()
	}
	p.pad(coarse(len(p.words), 2))
}

// pad lengthens the plan with zeros.
func (p *attentionPlan) pad(n int) {
	for len(p.words) < n {
		p.words = append(p.words, 0)
	}
}

// begin notes where a list begins, at a multiple of 16 bytes.
func (p *attentionPlan) begin(list int) {
	p.pad(roundUp(len(p.words), 4))
	p.words[list] = int32(len(p.words))
}

// at returns the list that begins at a place of the header.
func (p *attentionPlan) at(list int) []int32 { return p.words[p.words[list]:] }

// sort orders the nodes that any row sees by their first row; a node stands before its
// descendants.
func (p *attentionPlan) sort() {
	first := p.layout.first
	p.order = p.order[:0]
	ordered := true
	for i := range p.tree {
		if p.layout.rows[i] == 0 {
			continue
		}
		if n := len(p.order); n > 0 && first[p.order[n-1]] > first[i] {
			ordered = false
		}
		p.order = append(p.order, int32(i))
	}
	if !ordered {
		slices.SortStableFunc(p.order, func(a, b int32) int { return int(first[a] - first[b]) })
	}
}

// addSlots lists the keys, and which packed rows see each.
func (p *attentionPlan) addSlots() {
	p.slots = 0
	for _, i := range p.order {
		p.slots += int(p.tree[i].Len)
	}
	n := roundUp(p.slots, slotsMultiple)
	for list := planKV; list <= planHi; list++ {
		p.begin(list)
		p.pad(len(p.words) + n)
	}
	kv, lo, hi := p.at(planKV), p.at(planLo), p.at(planHi)
	at := 0
	for _, i := range p.order {
		node, group := p.tree[i], int32(p.group)
		for j := range node.Len {
			kv[at] = node.KV + j
			lo[at] = (p.layout.first[i] + max(0, j-(node.Len-node.Rows))) * group
			if node.Rows == 0 {
				lo[at] = p.layout.first[i] * group
			}
			hi[at] = p.layout.end[i] * group
			at++
		}
	}
	for ; at < n; at++ {
		lo[at] = math.MaxInt32
	}
	p.words[planSlots] = int32(n)
}

// addBounds lists, for each block, the least and largest of its slots' first and last rows.
func (p *attentionPlan) addBounds() {
	p.begin(planBounds)
	n := int(p.words[planSlots])
	for at := 0; at < n; at += blockSlots {
		lo, hi := p.at(planLo)[at:at+blockSlots], p.at(planHi)[at:at+blockSlots]
		p.words = append(p.words, slices.Min(lo), slices.Max(lo), slices.Min(hi), slices.Max(hi))
	}
}

// visible calls f for each block of which a tile may see a slot.
func (p *attentionPlan) visible(tile int, f func(block int32)) {
	first := int32(tile * p.cut.tileRows)
	last := min(first+int32(p.cut.tileRows), int32(p.rows*p.group)) - 1
	bounds := p.at(planBounds)
	for b := range p.words[planSlots] / blockSlots {
		if last >= bounds[4*b] && first < bounds[4*b+3] {
			f(b)
		}
	}
}

// addItems lists the items: tiles with the ranges of blocks that they see, those with the
// most work first; or parts of tiles.
func (p *attentionPlan) addItems() {
	tiles := divideUp(p.rows*p.group, p.cut.tileRows)
	p.items, p.ranges, p.tiles = p.items[:0], p.ranges[:0], p.tiles[:0]
	if p.cut.splits > 0 {
		p.splitItems(tiles)
	} else {
		for tile := tiles - 1; tile >= 0; tile-- {
			p.addTile(tile, math.MaxInt, false)
		}
	}
	p.totalItems = len(p.items) / 4
	p.words[planItems] = int32(p.totalItems)
	p.begin(planItem)
	p.words = append(p.words, p.items...)
	p.begin(planRanges)
	p.words = append(p.words, p.ranges...)
	p.begin(planTiles)
	p.words = append(p.words, p.tiles...)
}

// splitItems shares the work of all tiles among items of about the same size.
func (p *attentionPlan) splitItems(tiles int) {
	total := 0
	for tile := range tiles {
		total += p.count(tile)
	}
	per := max(p.cut.least, divideUp(total, p.cut.splits))
	for tile := range tiles {
		first := len(p.items) / 4
		p.addTile(tile, per, true)
		p.tiles = append(p.tiles, int32(first), int32(len(p.items)/4-first))
	}
}

// count returns how many blocks a tile sees.
func (p *attentionPlan) count(tile int) (n int) {
	p.visible(tile, func(int32) { n++ })
	return n
}

// addTile adds the items of a tile, of at most so many blocks each.
func (p *attentionPlan) addTile(tile, per int, partial bool) {
	blocks := p.count(tile)
	if blocks == 0 {
		return
	}
	parts := 1 + (blocks-1)/per
	seen, part := 0, 0
	p.visible(tile, func(b int32) {
		if seen == part*blocks/parts {
			part++
			result := int32(-1)
			if partial {
				result = int32(len(p.items) / 4)
			}
			at := int32(len(p.ranges) / 2)
			p.items = append(p.items, int32(tile), at, at, result)
		}
		seen++
		p.extend(b)
	})
}

// extend adds a block to the last item.
func (p *attentionPlan) extend(b int32) {
	item := p.items[len(p.items)-4:]
	if n := len(p.ranges); item[2] > item[1] && p.ranges[n-1] == b {
		p.ranges[n-1]++
		return
	}
	p.ranges = append(p.ranges, b, b+1)
	item[2]++
}

// addClaimed lists which query rows a node claims, a bit each.
func (p *attentionPlan) addClaimed() {
	p.begin(planClaimed)
	start := len(p.words)
	p.pad(start + divideUp(p.rows, 32))
	for row, owner := range p.layout.owner {
		if owner >= 0 {
			p.words[start+row/32] |= int32(uint32(1) << (row % 32))
		}
	}
}

// addKeyItems lists the tiles of keys with the packed rows that see any of them; those
// that many rows see come in parts.
func (p *attentionPlan) addKeyItems() {
	size := p.cut.keyTile
	tiles := int(p.words[planSlots]) / size
	total := 0
	for tile := range tiles {
		first, end := p.seers(tile)
		total += (end - first) / keyRows
	}
	per := max(fewestKeyRows, divideUp(total, p.cut.keyParts))
	p.items, p.tiles, p.partials = p.items[:0], p.tiles[:0], 0
	for tile := range tiles {
		p.addKeyTile(tile, per)
	}
	p.keyItems = len(p.items) / 4
	p.words[planKeyItems] = int32(p.keyItems)
	p.begin(planKeyItem)
	p.words = append(p.words, p.items...)
	p.begin(planKeyTiles)
	p.words = append(p.words, p.tiles...)
}

// seers returns a range of packed rows, from and to multiples of keyRows, that holds all
// that see a slot of a tile of keys.
func (p *attentionPlan) seers(tile int) (first, end int) {
	size := p.cut.keyTile
	lo, hi := slices.Min(p.at(planLo)[tile*size:][:size]), slices.Max(p.at(planHi)[tile*size:][:size])
	if lo >= hi {
		return 0, 0
	}
	return int(lo) / keyRows * keyRows, roundUp(int(hi), keyRows)
}

// addKeyTile adds the items of a tile of keys, of about per multiples of keyRows each.
func (p *attentionPlan) addKeyTile(tile, per int) {
	first, end := p.seers(tile)
	n := (end - first) / keyRows
	parts := divideUp(n, per)
	if parts <= 1 {
		p.tiles = append(p.tiles, 0, 0)
		if n > 0 {
			p.items = append(p.items, int32(tile), int32(first), int32(end), -1)
		}
		return
	}
	p.tiles = append(p.tiles, int32(p.partials), int32(parts))
	for i := range parts {
		from, to := first+i*n/parts*keyRows, first+(i+1)*n/parts*keyRows
		p.items = append(p.items, int32(tile), int32(from), int32(to), int32(p.partials))
		p.partials++
	}
}
