package enginetest

import (
	"fmt"
	"math"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// RunAttention holds an engine's attention to the float64 engine on trees and heads that
// are as in use, smaller in number: groups of replies to one prompt, deep tries, decoding
// with caches, large heads. [Run] has the small ones. It checks too that equal calls give
// equal bytes, and that keys which a row does not see cannot reach it.
func RunAttention(t *testing.T, open func() (lora.Engine, error)) {
	for _, c := range attentionPaths() {
		t.Run(fmt.Sprintf("%s, %+v", c.name, c.shape), func(t *testing.T) {
			s := newSuite(t, open)
			s.eachShape(c.shape, func(shape lora.HeadShape) {
				s.attention("first", c.f, shape)
				s.repeats(c.f, shape)
				if c.hidden {
					s.hidden(c.f, shape)
				}
				s.infiniteScores(c.f, shape)
			})
		})
	}
}

// attentionPath is a tree and heads.
type attentionPath struct {
	name   string // the reason why it is there
	f      forest
	shape  lora.HeadShape
	hidden bool
}

// attentionPaths lists what goes different ways through tiles, parts of tiles and blocks
// of keys, where an engine has such.
func attentionPaths() []attentionPath {
	heads := func(heads, keyHeads, dim int) lora.HeadShape {
		return lora.HeadShape{Heads: heads, KVHeads: keyHeads, HeadDim: dim}
	}
	return []attentionPath{
		{"group of replies", replies(75, 8, 17), heads(7, 1, 64), true},
		{"group of replies, large heads", replies(50, 6, 9), heads(7, 1, 128), true},
		{"group of replies, odd heads", replies(50, 6, 9), heads(6, 2, 33), false},
		{"group of replies, small heads", replies(130, 5, 33), heads(4, 2, 6), true},
		{"group of replies, heads of many elements", replies(40, 5, 8), heads(5, 1, 256), true},
		{"heads that fill no tile", replies(33, 3, 20), heads(4, 4, 96), false},
		{"one sequence, keys seen by many rows", replies(210, 0, 0), heads(7, 1, 16), false},
		{"deep trie", trie(40), heads(7, 1, 24), true},
		{"many sequences, many key heads", roots(34, 9, 8), heads(90, 90, 8), false},
		{"one reply decoded", decoding(333, 1, 0), heads(7, 1, 128), true},
		{"a group decoded", decoding(130, 16, 9), heads(7, 1, 64), true},
		{"a group decoded, large heads", decoding(70, 8, 5), heads(14, 2, 256), false},
		{"many replies decoded", decoding(45, 80, 4), heads(8, 2, 32), true},
		{"the end of a prompt", ending(200, 50), heads(7, 1, 40), true},
	}
}

// replies is a prompt with replies of equal length.
func replies(prompt, n, length int) forest {
	f := forest{}
	f.add(-1, prompt, prompt)
	for range n {
		f.add(0, length, length)
	}
	return f
}

// add appends a node with its rows.
func (f *forest) add(parent, length, rows int) int {
	f.tree = append(f.tree, lora.Node{Parent: int32(parent), KV: int32(f.keys), Len: int32(length), Q: int32(f.rows), Rows: int32(rows)})
	f.keys, f.rows = f.keys+length, f.rows+rows
	return len(f.tree) - 1
}

// trie is a path of short nodes, each with a leaf beside it.
func trie(depth int) forest {
	f := forest{}
	at := -1
	for i := range depth {
		at = f.add(at, 1+i%3, 1+i%3)
		f.add(at, 1+i%2, 1+i%2)
	}
	return f
}

// roots is a number of sequences that share nothing, of which the last rows are new, with
// rows between them that belong to none.
func roots(n, length, rows int) forest {
	f := forest{}
	for i := range n {
		f.add(-1, length, rows)
		f.rows += i % 2
	}
	return f
}

// decoding is a prompt in a cache, with replies of which the last token is new; their keys
// lie with gaps. Without replies the prompt's last token is new.
func decoding(prompt, n, length int) forest {
	f := forest{}
	if length == 0 {
		f.add(-1, prompt, n)
		return f
	}
	f.add(-1, prompt, 0)
	for i := range n {
		f.keys += i % 3
		f.add(0, 1+(length+i)%length, 1)
	}
	return f
}

// ending is a prompt of which the last rows are new.
func ending(prompt, rows int) forest {
	f := forest{}
	f.add(-1, prompt, rows)
	return f
}

// repeats checks that the same call gives the same bytes twice, and allocates nothing.
func (s *suite) repeats(f forest, shape lora.HeadShape) {
	s.Helper()
	c := s.attentionCase(f, shape)
	outputs := []operand{c.o, c.lse, c.dq, c.dk, c.dv}
	var first [][]float32
	for _, o := range outputs {
		first = append(first, s.read(s.got, o.got))
	}
	if n := testing.AllocsPerRun(1, func() { c.run(s.got, func(o operand) lora.View { return o.got }) }); n > 0 {
		s.Errorf("a call allocates %v times", n)
	}
	for i, o := range outputs {
		s.sameBits("the same call again", s.read(s.got, o.got), first[i])
	}
}

// hidden checks, for a few keys, that NaN and Inf reach the rows that see the key, and
// leave the others as they are.
func (s *suite) hidden(f forest, shape lora.HeadShape) {
	s.Helper()
	clean := s.attentionCase(f, shape)
	w := newDense(clean, 0)
	last := f.tree[len(f.tree)-1]
	for i, key := range []int32{0, f.tree[0].Len - 1, last.KV + last.Len - 1} {
		bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[i]
		at := int(key)*w.keyWidth + w.keyWidth/2
		k, v := append([]float32(nil), clean.k.data...), append([]float32(nil), clean.v.data...)
		v[at] = float32(bad)
		other := s.reaches(clean, w, int(key), k, v)
		s.infiniteWhereSeen(other, w, int(key), w.keyWidth/2)
		k[at], v[at] = float32(bad), clean.v.data[at]
		s.reaches(clean, w, int(key), k, v)
	}
}

// reaches computes attention with other keys and values, compares the rows that do not see
// one of them with what they were, and returns the output.
func (s *suite) reaches(clean *attentionCase, w *denseAttention, key int, k, v []float32) []float32 {
	s.Helper()
	other := *clean
	other.k, other.v = s.operand(clean.f.keys, w.keyWidth, k), s.operand(clean.f.keys, w.keyWidth, v)
	other.o, other.lse = s.output(clean.f.rows, w.width), s.output(clean.f.rows, clean.shape.Heads)
	other.forward = true
	other.run(s.got, func(o operand) lora.View { return o.got })
	got, want := s.read(s.got, other.o.got), s.read(s.got, clean.o.got)
	reached := false
	for i := range got {
		switch row := i / w.width; {
		case !w.claimed[row]:
		case w.sees[row][key]:
			reached = reached || got[i] != want[i]
		case got[i] != want[i]:
			s.Fatalf("row %d does not see key %d and changed from %v to %v", row, key, want[i], got[i])
		}
	}
	if !reached {
		s.Fatalf("key %d reached no row", key)
	}
	s.guards("o", other.o)
	return got
}

// infiniteWhereSeen checks that a value which is not finite makes its column so in every
// row that sees its key, in the heads that read it, and no other column.
func (s *suite) infiniteWhereSeen(o []float32, w *denseAttention, key, col int) {
	s.Helper()
	dim := w.keyWidth / w.keyHeads
	for i, x := range o {
		row, head := i/w.width, i%w.width/dim
		if !w.claimed[row] {
			continue
		}
		want := w.sees[row][key] && head/w.group == col/dim && i%dim == col%dim
		if infinite := x-x != 0; infinite != want {
			s.Fatalf("column %d of row %d is %v after a value of key %d that is not finite", i%w.width, row, x, key)
		}
	}
}

// infiniteScores checks rows all of whose scores are −Inf: the logarithm of their
// denominator is, and their output is NaN, as on the float64 engine.
func (s *suite) infiniteScores(f forest, shape lora.HeadShape) {
	s.Helper()
	c := s.attentionCase(f, shape)
	for i := range c.q.data {
		c.q.data[i] = 1
	}
	for i := range c.k.data {
		c.k.data[i] = float32(math.Inf(-1))
	}
	c.q, c.k = s.operand(f.rows, shape.Heads*shape.HeadDim, c.q.data), s.operand(f.keys, shape.KVHeads*shape.HeadDim, c.k.data)
	c.forward = true
	s.on(c.run)
	s.exact("o of −Inf", c.o)
	s.exact("lse of −Inf", c.lse)
}

// attentionBounds returns the bounds of the errors of attention's output.
func (s *suite) attentionBounds(f forest, shape lora.HeadShape, q, k, v operand) []float64 {
	c := &attentionCase{f: f, shape: shape, q: q, k: k, v: v, do: q}
	w := newDense(c, s.attentionRounding(shape))
	w.run(c)
	return w.o.bound
}
