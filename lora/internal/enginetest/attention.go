package enginetest

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/socialrl/socialrl/lora"
)

// forest is a random tree with the numbers of rows that it needs.
type forest struct {
	tree       lora.Tree
	rows, keys int
}

// grower makes forests.
type grower struct {
	s      *suite
	f      forest
	decode bool // nodes may have more keys than queries
	most   int  // largest node
	fan    int  // most children
	depth  int
	budget int // no new node once there are so many keys
}

// grow adds a node and its descendants, depth first.
func (g *grower) grow(parent int32, level int) {
	n := lora.Node{Parent: parent, Len: int32(1 + g.s.rng.IntN(g.most)), Q: int32(g.f.rows)}
	n.Rows = n.Len
	if g.decode {
		n.Rows = int32(g.s.rng.IntN(min(3, int(n.Len)+1)))
	}
	n.KV = int32(g.f.keys + g.s.rng.IntN(3)) // key rows between nodes belong to none
	g.f.keys = int(n.KV + n.Len)
	g.f.rows += int(n.Rows)
	id := int32(len(g.f.tree))
	g.f.tree = append(g.f.tree, n)
	for range g.s.rng.IntN(g.fan + 1) {
		if level < g.depth && g.f.keys < g.budget {
			g.grow(id, level+1)
		}
	}
}

// forests returns trees of many shapes.
func (s *suite) forests() map[string]forest {
	chain := forest{}
	for i := range 12 {
		chain.tree = append(chain.tree, lora.Node{Parent: int32(i - 1), KV: int32(3 * i), Len: 3, Q: int32(3 * i), Rows: 3})
	}
	chain.rows, chain.keys = 36, 36
	duplicates := forest{tree: lora.Tree{{Parent: -1, Len: 5, Rows: 5}}, rows: 5, keys: 5}
	for range 6 {
		duplicates.tree = append(duplicates.tree, lora.Node{Parent: 0, KV: int32(duplicates.keys), Len: 4, Q: int32(duplicates.rows), Rows: 4})
		duplicates.rows, duplicates.keys = duplicates.rows+4, duplicates.keys+4
	}
	out := map[string]forest{
		"empty":      {},
		"one":        {tree: lora.Tree{{Parent: -1, Len: 1, Rows: 1}}, rows: 1, keys: 1},
		"long":       {tree: lora.Tree{{Parent: -1, Len: 270, Rows: 270}}, rows: 270, keys: 270},
		"chain":      chain,
		"duplicates": duplicates,
	}
	for i := range 6 {
		for _, decode := range []bool{false, true} {
			g := grower{s: s, decode: decode, most: []int{3, 20, 150}[i%3], fan: 1 + i, depth: 5 - i/2, budget: []int{40, 60, 160}[i%3]}
			for range 1 + i {
				g.f.rows += s.rng.IntN(2) // query rows between roots belong to none
				g.grow(-1, 0)
			}
			out[fmt.Sprintf("random %d decode %v", i, decode)] = g.f
		}
	}
	return out
}

// headShapes are grouped and plain heads of even and odd sizes.
var headShapes = []lora.HeadShape{
	{Heads: 1, KVHeads: 1, HeadDim: 1},
	{Heads: 2, KVHeads: 1, HeadDim: 8},
	{Heads: 3, KVHeads: 3, HeadDim: 5},
	{Heads: 4, KVHeads: 2, HeadDim: 33},
	{Heads: 7, KVHeads: 1, HeadDim: 64},
}

// testAttention compares attention over forests with a dense masked soft-max.
func testAttention(s *suite) {
	forests := s.forests()
	for _, name := range slices.Sorted(maps.Keys(forests)) {
		f := forests[name]
		for _, shape := range headShapes {
			if f.rows > 100 && shape.HeadDim > 8 {
				continue // long and wide at once tests nothing new, slowly
			}
			s.eachShape(shape, func(shape lora.HeadShape) {
				s.attention(fmt.Sprintf("%s, %+v", name, shape), f, shape)
			})
		}
	}
}

// eachShape runs f on a shape, and on the shape relaxed where the engine takes it otherwise
// then.
func (s *suite) eachShape(shape lora.HeadShape, f func(lora.HeadShape)) {
	f(shape)
	if shape.Relaxed = true; s.relaxes(shape) {
		f(shape)
	}
}

// relaxes reports whether the engine is less exact for a shape because it may be.
func (s *suite) relaxes(shape lora.HeadShape) bool {
	return shape.Relaxed && s.got.Name() == "cpu amxbf16"
}

// attentionCase is one call's operands.
type attentionCase struct {
	f           forest
	shape       lora.HeadShape
	q, k, v, do operand
	o, lse      operand
	dq, dk, dv  operand
	forward     bool // leave the gradient out
}

func (s *suite) attentionCase(f forest, shape lora.HeadShape) *attentionCase {
	width, keyWidth := shape.Heads*shape.HeadDim, shape.KVHeads*shape.HeadDim
	c := &attentionCase{
		f: f, shape: shape,
		q: s.random(f.rows, width), do: s.random(f.rows, width),
		k: s.random(f.keys, keyWidth), v: s.random(f.keys, keyWidth),
		o: s.output(f.rows, width), lse: s.output(f.rows, shape.Heads),
		dq: s.output(f.rows, width), dk: s.output(f.keys, keyWidth), dv: s.output(f.keys, keyWidth),
	}
	s.on(c.run)
	return c
}

// run computes attention and its gradient.
func (c *attentionCase) run(e lora.Engine, pick func(operand) lora.View) {
	e.Attention(pick(c.o), pick(c.lse), pick(c.q), pick(c.k), pick(c.v), c.f.tree, c.shape)
	if !c.forward {
		e.AttentionBack(pick(c.dq), pick(c.dk), pick(c.dv), pick(c.do), pick(c.o), pick(c.lse), pick(c.q), pick(c.k), pick(c.v), c.f.tree, c.shape)
	}
}

func (s *suite) attention(what string, f forest, shape lora.HeadShape) {
	s.Helper()
	c := s.attentionCase(f, shape)
	w := newDense(c, s.attentionRounding(shape))
	w.run(c)
	s.bounded(what+": o", c.o, w.o.bound)
	s.bounded(what+": lse", c.lse, w.lse.bound)
	s.oracle(what+": o", c.o, w.o, w.claimed, shape.Heads*shape.HeadDim)
	s.unchanged(what, c.q, c.k, c.v, c.do)
	s.bounded(what+": dq", c.dq, w.dq.bound)
	s.bounded(what+": dk", c.dk, w.dk.bound)
	s.bounded(what+": dv", c.dv, w.dv.bound)
	s.oracle(what+": dq", c.dq, w.dq, w.claimed, shape.Heads*shape.HeadDim)
	s.oracle(what+": dk", c.dk, w.dk, w.keyClaimed, shape.KVHeads*shape.HeadDim)
	s.oracle(what+": dv", c.dv, w.dv, w.keyClaimed, shape.KVHeads*shape.HeadDim)
}

// oracle compares the float64 engine's result with the dense computation.
func (s *suite) oracle(what string, o operand, want estimate, claimed []bool, cols int) {
	s.Helper()
	for i, x := range s.read(s.ref, o.ref) {
		if claimed[i/cols] && !(math.Abs(float64(x)-want.value[i]) <= eps*math.Abs(want.value[i])+1e-12) {
			s.Fatalf("%s: the float64 engine gives %v, the dense soft-max %v", what, x, want.value[i])
		}
	}
}

// estimate is a matrix of values and the bounds of their float32 errors.
type estimate struct{ value, bound []float64 }

func newEstimate(n int) estimate { return estimate{make([]float64, n), make([]float64, n)} }

func (e estimate) add(i int, value, bound float64) {
	e.value[i] += value
	e.bound[i] += bound
}

// attentionRounding returns the relative error at which the engine takes the factors of
// products: those whose names begin with cuda and end in bf16 round queries, keys, values,
// probabilities, and the gradients of outputs and scores; those with tiles take products
// of a relaxed shape within 2⁻¹⁵.
func (s *suite) attentionRounding(shape lora.HeadShape) float64 {
	switch {
	case s.onCUDA():
		return s.rounding(lora.BF16)
	case s.relaxes(shape):
		return 0x1p-16
	}
	return 0
}

// denseAttention is attention with an explicit mask, and its error bounds. With
// a = max Σ|q||k|/sqrt(d) over a row's keys, a score's error is at most
// δ = (d+4)·eps·a, that of a probability e = 2δ + (keys + d + 16)·eps relative to
// itself; sums carry their terms' errors and eps for each term.
//
// Where factors of products are rounded with a relative error u, δ grows by
// ((1+u)²−1)·a, e by what exp(2δ) exceeds 1 and 2δ, and each product of two rounded
// factors by (1+u)².
type denseAttention struct {
	sees                [][]bool // [query row][key row]
	claimed, keyClaimed []bool
	o, lse, dq, dk, dv  estimate
	width, keyWidth     int
	keyHeads, group     int
	u                   float64 // relative error of rounded factors
}

// pair returns the relative error of a product whose factors are rounded, the first of
// which has another error already.
func (w *denseAttention) pair(e float64) float64 { return e + (1+e)*w.u*(2+w.u) }

func newDense(c *attentionCase, u float64) *denseAttention {
	width, keyWidth := c.shape.Heads*c.shape.HeadDim, c.shape.KVHeads*c.shape.HeadDim
	w := &denseAttention{
		claimed: make([]bool, c.f.rows), keyClaimed: make([]bool, c.f.keys),
		o: newEstimate(c.f.rows * width), lse: newEstimate(c.f.rows * c.shape.Heads), dq: newEstimate(c.f.rows * width),
		dk: newEstimate(c.f.keys * keyWidth), dv: newEstimate(c.f.keys * keyWidth),
		width: width, keyWidth: keyWidth, group: c.shape.Heads / c.shape.KVHeads, keyHeads: c.shape.KVHeads, u: u,
	}
	for range c.f.rows {
		w.sees = append(w.sees, make([]bool, c.f.keys))
	}
	for i, n := range c.f.tree {
		for j := range int(n.Len) {
			for r := range int(n.Rows) { // own keys, up to the row's own
				w.claimed[int(n.Q)+r] = true
				w.sees[int(n.Q)+r][int(n.KV)+j] = j <= int(n.Len-n.Rows)+r
			}
			for d := i + 1; d < len(c.f.tree); d++ {
				if c.f.descends(d, i) {
					for r := range int(c.f.tree[d].Rows) {
						w.sees[int(c.f.tree[d].Q)+r][int(n.KV)+j] = true
					}
				}
			}
		}
	}
	for _, sees := range w.sees {
		for key, seen := range sees {
			w.keyClaimed[key] = w.keyClaimed[key] || seen
		}
	}
	return w
}

// descends reports whether node d is below node a.
func (f forest) descends(d, a int) bool {
	for d = int(f.tree[d].Parent); d >= 0; d = int(f.tree[d].Parent) {
		if d == a {
			return true
		}
	}
	return false
}

func (w *denseAttention) run(c *attentionCase) {
	for r := range c.f.rows {
		for h := range c.shape.Heads {
			if w.claimed[r] {
				w.head(c, r, h)
			}
		}
	}
}

// slice returns head h of row r as float64.
func slice(data []float32, r, width, h, dim int) []float64 {
	out := make([]float64, dim)
	for i, x := range data[r*width+h*dim:][:dim] {
		out[i] = float64(x)
	}
	return out
}

// dots returns a·b and Σ|a||b|.
func dots(a, b []float64) (sum, size float64) {
	for i := range a {
		sum += a[i] * b[i]
		size += math.Abs(a[i] * b[i])
	}
	return sum, size
}

// head computes one row and head, forward and backward.
func (w *denseAttention) head(c *attentionCase, r, h int) {
	dim, kh := c.shape.HeadDim, h/w.group
	root := math.Sqrt(float64(dim))
	q, do := slice(c.q.data, r, w.width, h, dim), slice(c.do.data, r, w.width, h, dim)
	score, size, total, keys := make([]float64, c.f.keys), 0.0, 0.0, 0.0
	for j, sees := range w.sees[r] {
		if sees {
			s, a := dots(q, slice(c.k.data, j, w.keyWidth, kh, dim))
			score[j], size = s/root, max(size, a/root)
			total += math.Exp(score[j])
			keys++
		}
	}
	lse := math.Log(total)
	delta := ((float64(dim)+4)*eps + w.pair(0)) * size
	e := 2*delta + (keys+float64(dim)+16)*eps
	if w.u > 0 {
		e += math.Expm1(2*delta) - 2*delta
	}
	w.lse.add(r*c.shape.Heads+h, lse, delta+(keys+16)*eps+eps*math.Abs(lse))
	at := r*w.width + h*dim
	for j, sees := range w.sees[r] {
		if sees {
			p := math.Exp(score[j] - lse)
			for i, v := range slice(c.v.data, j, w.keyWidth, kh, dim) {
				w.o.add(at+i, p*v, w.pair(e)*p*math.Abs(v))
			}
		}
	}
	row := attentionRow{c: c, at: at, q: q, do: do, e: e + (keys+float64(c.f.rows*w.group)+float64(dim))*eps}
	row.d, row.dSize = dots(do, w.o.value[at:at+dim])
	for i, x := range do {
		row.dBound += math.Abs(x) * w.o.bound[at+i]
	}
	for j, sees := range w.sees[r] {
		if sees {
			w.key(&row, j, kh, math.Exp(score[j]-lse))
		}
	}
}

// attentionRow is a row and head whose gradients are computed.
type attentionRow struct {
	c                *attentionCase
	at               int       // of the first element of queries and outputs
	q, do            []float64 // of the row and head
	e                float64   // relative error of probabilities
	d, dSize, dBound float64   // Σ do·o, Σ |do·o|, and Σ |do| times the errors of o
}

// key adds what one key contributes to the gradients.
func (w *denseAttention) key(r *attentionRow, j, kh int, p float64) {
	dim := r.c.shape.HeadDim
	root := math.Sqrt(float64(dim))
	k := slice(r.c.k.data, j, w.keyWidth, kh, dim)
	dp, dpSize := dots(r.do, slice(r.c.v.data, j, w.keyWidth, kh, dim))
	// lse is stored as float32, which the probabilities that are computed again feel.
	e := r.e + eps*(8+math.Abs(math.Log(p)))
	ds, dsBound := p*(dp-r.d)/root, 2*e*p*(dpSize+r.dSize)/root
	if w.u > 0 {
		dsBound = w.scoreBound(e, p, dp, dpSize, r) / root
	}
	// Rounding adds to the score's gradient what it does to a product of it.
	dsBound += w.pair(0) * (math.Abs(ds) + dsBound)
	key := j*w.keyWidth + kh*dim
	for i := range dim {
		w.dv.add(key+i, p*r.do[i], w.pair(e)*p*math.Abs(r.do[i]))
		w.dq.add(r.at+i, ds*k[i], dsBound*math.Abs(k[i]))
		w.dk.add(key+i, ds*r.q[i], dsBound*math.Abs(r.q[i]))
	}
}

// scoreBound returns the error of p·(dp − d) where p has a relative error e, dp is a
// product of rounded factors, and d carries the error of the outputs.
func (w *denseAttention) scoreBound(e, p, dp, dpSize float64, r *attentionRow) float64 {
	sum := w.pair(0)*dpSize + r.dBound + (float64(r.c.shape.HeadDim)+8)*eps*(dpSize+r.dSize+r.dBound)
	return p * (e*math.Abs(dp-r.d) + (1+e)*sum)
}

// testAttentionHidden checks that a key which a row does not see cannot reach it,
// not even as NaN or Inf, and that one it sees does.
func testAttentionHidden(s *suite) {
	shape := lora.HeadShape{Heads: 2, KVHeads: 1, HeadDim: 8}
	f := forest{rows: 140, keys: 140, tree: lora.Tree{
		{Parent: -1, KV: 0, Len: 20, Q: 0, Rows: 20},
		{Parent: 0, KV: 20, Len: 60, Q: 20, Rows: 60},
		{Parent: 0, KV: 80, Len: 60, Q: 80, Rows: 60},
	}}
	s.eachShape(shape, func(shape lora.HeadShape) { s.attentionHidden(f, shape) })
}

func (s *suite) attentionHidden(f forest, shape lora.HeadShape) {
	s.Helper()
	clean := s.attentionCase(f, shape)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, key := range []int{10, 50, 139} {
			for _, inKeys := range []bool{false, true} {
				k, v := append([]float32(nil), clean.k.data...), append([]float32(nil), clean.v.data...)
				if v[key*8+3] = bad; inKeys {
					k[key*8+3], v[key*8+3] = bad, clean.v.data[key*8+3]
				}
				ko, vo := s.operand(140, 8, k), s.operand(140, 8, v)
				o, lse := s.output(140, 16), s.output(140, 2)
				s.got.Attention(o.got, lse.got, clean.q.got, ko.got, vo.got, f.tree, shape)
				s.sameWhereHidden(newDense(clean, 0), key, s.read(s.got, o.got), s.read(s.got, clean.o.got))
			}
		}
	}
}

// sameWhereHidden compares the rows that do not see a key, bit for bit up to the
// sign of zero.
func (s *suite) sameWhereHidden(w *denseAttention, key int, got, want []float32) {
	s.Helper()
	changed := 0
	for i := range got {
		if w.sees[i/16][key] {
			if got[i] != want[i] {
				changed++
			}
		} else if got[i] != want[i] {
			s.Fatalf("row %d does not see key %d and changed from %v to %v", i/16, key, want[i], got[i])
		}
	}
	if changed == 0 {
		s.Fatalf("key %d reached no row", key)
	}
}
