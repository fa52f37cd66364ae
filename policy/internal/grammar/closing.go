package grammar

import (
	"slices"
	"strings"
)

// MaxCompletion is the length of the longest completion that is looked for.
const MaxCompletion = 4096

// closing is how a term ends soonest.
type closing struct {
	text string
	ok   bool // false: never, or not within MaxCompletion bytes
}

// before orders completions: short ones first, then alphabetically.
func (c closing) before(d closing) bool {
	switch {
	case c.ok != d.ok:
		return c.ok
	case len(c.text) != len(d.text):
		return len(c.text) < len(d.text)
	}
	return c.text < d.text
}

// Completion returns the shortest text that ends t, the alphabetically first of
// several, and false where there is none of at most [MaxCompletion] bytes.
func (t *Term) Completion() (string, bool) {
	if t == nil {
		return "", false
	}
	if t.closing == nil {
		c := t.close((*Term).known)
		t.closing = &c
	}
	return t.closing.text, t.closing.ok
}

func (t *Term) known() closing {
	text, ok := t.Completion()
	return closing{text, ok}
}

// close computes a term's completion from those of its parts.
func (t *Term) close(of func(*Term) closing) closing {
	switch t.kind {
	case empty:
		return closing{"", true}
	case class:
		return closing{string([]byte{t.set.smallest()}), true}
	case sequence:
		a, b := of(t.a), of(t.b)
		return bounded(a.ok && b.ok, len(a.text)+len(b.text), func() string { return a.text + b.text })
	case choice:
		best := of(t.of[0])
		for _, a := range t.of[1:] {
			if c := of(a); c.before(best) {
				best = c
			}
		}
		return best
	case repeat:
		a := of(t.a)
		if t.min == 0 {
			return closing{"", true}
		}
		return bounded(a.ok && t.min <= MaxCompletion, len(a.text)*t.min, func() string { return strings.Repeat(a.text, t.min) })
	case number:
		return t.num.close()
	}
	return of(t.a) // a reference
}

func bounded(ok bool, n int, text func() string) closing {
	if !ok || n > MaxCompletion {
		return closing{}
	}
	return closing{text(), true}
}

// settle finds the completions of the named terms, which may refer to one another:
// each round takes the last round's, from none at all, until nothing gets shorter
// (Knuth, A generalization of Dijkstra's algorithm, 1977).
func (g *Grammar) settle() {
	names := make(map[*Term]closing, len(g.defs))
	for changed := true; changed; {
		changed = false
		round := map[*Term]closing{}
		for _, ref := range g.references() {
			if c := evaluate(ref.a, names, round); c.before(names[ref]) {
				names[ref], changed = c, true
				clear(round)
			}
		}
	}
	for ref, c := range names {
		ref.closing = &c
	}
	for _, ref := range g.references() {
		if ref.closing == nil {
			ref.closing = &closing{}
		}
	}
}

func evaluate(t *Term, names, round map[*Term]closing) closing {
	if t == nil {
		return closing{}
	}
	if t.kind == reference {
		return names[t]
	}
	c, ok := round[t]
	if !ok {
		c = t.close(func(a *Term) closing { return evaluate(a, names, round) })
		round[t] = c
	}
	return c
}

// references returns the named terms in the order in which they were made.
func (g *Grammar) references() []*Term {
	refs := make([]*Term, 0, len(g.defs))
	for _, r := range g.defs {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b *Term) int { return int(a.id) - int(b.id) })
	return refs
}

// define makes the named term; build makes what it stands for, and may refer to it.
func (g *Grammar) define(name string, build func() (*Term, error)) (*Term, error) {
	if ref := g.defs[name]; ref != nil {
		return ref, nil
	}
	ref := g.make(key{kind: reference, text: name}, func(*Term) {})
	g.defs[name] = ref
	var err error
	ref.a, err = build()
	return ref, err
}

// endlessHead returns the name of a reference that leads to itself before the first
// byte, or "".
func (g *Grammar) endlessHead() string {
	for name, ref := range g.defs {
		if reaches(ref.a, ref, map[*Term]bool{}) {
			return name
		}
	}
	return ""
}

// reaches reports whether a text of t can begin with one of target.
func reaches(t, target *Term, seen map[*Term]bool) bool {
	if t == nil || seen[t] {
		return false
	}
	seen[t] = true
	switch t.kind {
	case reference:
		return t == target || reaches(t.a, target, seen)
	case choice:
		return slices.ContainsFunc(t.of, func(a *Term) bool { return reaches(a, target, seen) })
	case sequence:
		return reaches(t.a, target, seen) || t.a.nullable && reaches(t.b, target, seen)
	case repeat:
		return reaches(t.a, target, seen)
	}
	return false
}
