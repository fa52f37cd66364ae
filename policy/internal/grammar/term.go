package grammar

import (
	"encoding/binary"
	"math"
	"slices"
)

// Term is a set of texts: what may follow. A nil Term is the empty set. Terms are made
// by a [Grammar] and equal ones of a grammar are the same object.
type Term struct {
	kind     kind
	id       uint32
	set      byteSet // class: the bytes
	a, b     *Term   // sequence: a then b; repeat: a; reference: a is the target
	min, max int     // repeat: how often; max may be endless
	of       []*Term // choice: the alternatives, by id
	num      *numeral
	nullable bool // holds the empty text

	next    *[256]*Term // derivatives that are known; failed where there is none
	clipped *Term
	closing *closing
}

type kind uint8

const (
	empty kind = iota // the empty text alone
	class
	sequence
	choice
	repeat
	reference
	number
)

// endless is the max of a repetition without a bound.
const endless = math.MaxInt

// failed stands for "no text" where nil stands for "not known".
var failed = &Term{}

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(lo, hi byte) {
	for c := int(lo); c <= int(hi); c++ {
		s[c/64] |= 1 << (c % 64)
	}
}

func (s *byteSet) has(c byte) bool { return s[c/64]>>(c%64)&1 != 0 }

func (s *byteSet) smallest() byte {
	for c := range 256 {
		if s.has(byte(c)) {
			return byte(c)
		}
	}
	return 0
}

// Grammar makes terms. It belongs to one goroutine at a time.
type Grammar struct {
	known map[key]*Term
	empty *Term
	defs  map[string]*Term // references by name
}

type key struct {
	kind     kind
	a, b     *Term
	min, max int
	text     string
}

// New returns a grammar without terms.
func New() *Grammar {
	g := &Grammar{known: map[key]*Term{}, defs: map[string]*Term{}}
	g.empty = g.make(key{kind: empty}, func(t *Term) { t.nullable = true })
	return g
}

// Len returns the number of terms, a measure of the memory taken.
func (g *Grammar) Len() int { return len(g.known) }

// make returns the term of a key, which fill completes where it is new.
func (g *Grammar) make(k key, fill func(*Term)) *Term {
	if t := g.known[k]; t != nil {
		return t
	}
	t := &Term{kind: k.kind, id: uint32(len(g.known)), a: k.a, b: k.b, min: k.min, max: k.max}
	fill(t)
	g.known[k] = t
	return t
}

func (g *Grammar) class(set byteSet) *Term {
	var text []byte
	for _, w := range set {
		text = binary.LittleEndian.AppendUint64(text, w)
	}
	return g.make(key{kind: class, text: string(text)}, func(t *Term) { t.set = set })
}

// bytes is one byte of the ranges lo-hi, lo-hi, ...
func (g *Grammar) bytes(ranges ...byte) *Term {
	var set byteSet
	for i := 0; i < len(ranges); i += 2 {
		set.add(ranges[i], ranges[i+1])
	}
	return g.class(set)
}

// text is one given text.
func (g *Grammar) text(s string) *Term {
	t := g.empty
	for i := len(s) - 1; i >= 0; i-- {
		t = g.then(g.bytes(s[i], s[i]), t)
	}
	return t
}

// seq is one term after another.
func (g *Grammar) seq(terms ...*Term) *Term {
	t := g.empty
	for _, a := range slices.Backward(terms) {
		t = g.then(a, t)
	}
	return t
}

// then is a followed by b. Sequences lean to the right: the head is never one.
func (g *Grammar) then(a, b *Term) *Term {
	switch {
	case a == nil || b == nil:
		return nil
	case a == g.empty:
		return b
	case b == g.empty:
		return a
	case a.kind == sequence:
		return g.then(a.a, g.then(a.b, b))
	}
	return g.make(key{kind: sequence, a: a, b: b}, func(t *Term) { t.nullable = a.nullable && b.nullable })
}

// either is one of several terms.
func (g *Grammar) either(terms ...*Term) *Term {
	var of []*Term
	for _, t := range terms {
		switch {
		case t == nil:
		case t.kind == choice:
			of = append(of, t.of...)
		default:
			of = append(of, t)
		}
	}
	slices.SortFunc(of, func(a, b *Term) int { return int(a.id) - int(b.id) })
	of = slices.Compact(of)
	switch len(of) {
	case 0:
		return nil
	case 1:
		return of[0]
	}
	text := make([]byte, 0, 4*len(of))
	nullable := false
	for _, t := range of {
		text = binary.LittleEndian.AppendUint32(text, t.id)
		nullable = nullable || t.nullable
	}
	return g.make(key{kind: choice, text: string(text)}, func(t *Term) { t.of, t.nullable = of, nullable })
}

// optional is a term or nothing.
func (g *Grammar) optional(t *Term) *Term { return g.either(g.empty, t) }

// repeat is a term min to max times. The term must not hold the empty text.
func (g *Grammar) repeat(a *Term, least, most int) *Term {
	switch {
	case most < least:
		return nil
	case most == 0 || a == nil && least == 0:
		return g.empty
	case a == nil:
		return nil
	}
	return g.make(key{kind: repeat, a: a, min: least, max: most}, func(t *Term) { t.nullable = least == 0 })
}

// Nullable reports whether nothing need follow.
func (t *Term) Nullable() bool { return t != nil && t.nullable }

// Final reports whether nothing can follow.
func (t *Term) Final() bool { return t != nil && t.kind == empty }

// Next returns what may follow after the byte c; nil where c may not come.
func (g *Grammar) Next(t *Term, c byte) *Term {
	if t == nil {
		return nil
	}
	if t.next == nil {
		t.next = new([256]*Term)
	}
	d := t.next[c]
	if d == nil {
		if d = g.derive(t, c); d == nil {
			d = failed
		}
		t.next[c] = d
	}
	if d == failed {
		return nil
	}
	return d
}

func (g *Grammar) derive(t *Term, c byte) *Term {
	switch t.kind {
	case class:
		if t.set.has(c) {
			return g.empty
		}
	case sequence:
		d := g.then(g.Next(t.a, c), t.b)
		if t.a.nullable {
			d = g.either(d, g.Next(t.b, c))
		}
		return d
	case choice:
		var of []*Term
		for _, a := range t.of {
			of = append(of, g.Next(a, c))
		}
		return g.either(of...)
	case repeat:
		d := g.Next(t.a, c)
		if d == nil {
			return nil
		}
		most := t.max
		if most != endless {
			most--
		}
		return g.then(d, g.repeat(t.a, max(0, t.min-1), most))
	case reference:
		return g.Next(t.a, c)
	case number:
		return g.digit(t.num, c)
	}
	return nil
}

// Clip returns a term that goes on like t for n bytes and stands for all that do:
// repetitions that n bytes cannot exhaust lose their bound. Completions are the same.
func (g *Grammar) Clip(t *Term, n int) *Term {
	if t.clipped == nil {
		t.clipped = g.clip(t, n)
		t.clipped.clipped = t.clipped
	}
	return t.clipped
}

func (g *Grammar) clip(t *Term, n int) *Term {
	switch t.kind {
	case sequence:
		return g.then(g.Clip(t.a, n), g.Clip(t.b, n))
	case choice:
		of := make([]*Term, len(t.of))
		for i, a := range t.of {
			of[i] = g.Clip(a, n)
		}
		return g.either(of...)
	case repeat:
		if t.max > n {
			return g.repeat(t.a, t.min, endless)
		}
	}
	return t
}
