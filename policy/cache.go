package policy

import (
	"slices"

	"github.com/socialrl/socialrl/lora"
)

// cache holds the keys and values of tokens that later tokens attend to: one pair
// of matrices a layer, with a row a token. Runs of rows are handed out and given
// back; the matrices grow as needed.
type cache struct {
	eng  lora.Engine
	k, v []lora.View
	rows int
	free []Span // ascending, never touching
}

func newCache(n *net, rows int) *cache {
	c := &cache{eng: n.eng, rows: rows, free: []Span{{0, rows}}}
	width := n.shape.KVHeads * n.shape.HeadDim
	for range n.blocks {
		c.k = append(c.k, n.eng.NewView(rows, width))
		c.v = append(c.v, n.eng.NewView(rows, width))
	}
	return c
}

// put stores the keys and values of a batch in a layer's matrices and returns those.
func (c *cache) put(layer int, k, v lora.View, at []int32) (keys, values lora.View) {
	c.eng.Put(c.k[layer], k, at)
	c.eng.Put(c.v[layer], v, at)
	return c.k[layer], c.v[layer]
}

// take returns the first of n consecutive free rows.
func (c *cache) take(n int) int {
	for i, f := range c.free {
		if f.Len() < n {
			continue
		}
		c.free[i].Start += n
		if c.free[i].Len() == 0 {
			c.free = slices.Delete(c.free, i, i+1)
		}
		return f.Start
	}
	c.grow(max(c.rows, n))
	return c.take(n)
}

// fits reports whether n consecutive rows are free.
func (c *cache) fits(n int) bool {
	return slices.ContainsFunc(c.free, func(f Span) bool { return f.Len() >= n })
}

// give returns rows [start, start+n) to the free ones.
func (c *cache) give(start, n int) {
	if n == 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(c.free, start, func(s Span, x int) int { return s.Start - x })
	c.free = slices.Insert(c.free, at, Span{start, start + n})
	if at+1 < len(c.free) && c.free[at].End == c.free[at+1].Start {
		c.free[at].End = c.free[at+1].End
		c.free = slices.Delete(c.free, at+1, at+2)
	}
	if at > 0 && c.free[at-1].End == c.free[at].Start {
		c.free[at-1].End = c.free[at].End
		c.free = slices.Delete(c.free, at, at+1)
	}
}

func (c *cache) grow(more int) {
	for _, views := range [][]lora.View{c.k, c.v} {
		for i, old := range views {
			views[i] = c.eng.NewView(c.rows+more, old.Cols)
			c.eng.Copy(views[i].RowRange(0, c.rows), old)
			c.eng.FreeView(old)
		}
	}
	c.rows += more
	c.give(c.rows-more, more)
}

func (c *cache) close() {
	for i := range c.k {
		c.eng.FreeView(c.k[i])
		c.eng.FreeView(c.v[i])
	}
	c.k, c.v = nil, nil
}
