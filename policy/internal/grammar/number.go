package grammar

import (
	"math/big"
	"strings"
)

// span is a range of decimal numbers on a grid of 10^-places, written without an
// exponent. lo and hi are counted in steps of the grid and belong to it.
type span struct {
	lo, hi *big.Int
	places int // digits after the point
	whole  int // most digits before it
}

// numeral is a number of a span of which a part is written.
type numeral struct {
	*span
	name   string // of the span
	prefix string
}

func (g *Grammar) between(s *span) *Term {
	if s.lo.Cmp(s.hi) > 0 {
		return nil
	}
	name := s.lo.String() + ".." + s.hi.String() + "/" + string(rune('0'+s.places))
	return g.numeral(&numeral{span: s, name: name})
}

func (g *Grammar) numeral(n *numeral) *Term {
	return g.make(key{kind: number, text: n.name + ":" + n.prefix}, func(t *Term) {
		t.num, t.nullable = n, n.complete()
	})
}

// digit is what follows after the character c.
func (g *Grammar) digit(n *numeral, c byte) *Term {
	longer := &numeral{span: n.span, name: n.name, prefix: n.prefix + string(rune(c))}
	if !longer.formed() || !longer.viable() {
		return nil
	}
	if longer.complete() && longer.ended() {
		return g.empty
	}
	return g.numeral(longer)
}

func (n *numeral) parts() (negative bool, whole, fraction string, point bool) {
	digits, negative := strings.CutPrefix(n.prefix, "-")
	whole, fraction, point = strings.Cut(digits, ".")
	return negative, whole, fraction, point
}

// formed reports whether the prefix begins a number of the grid.
func (n *numeral) formed() bool {
	negative, whole, fraction, point := n.parts()
	for _, c := range whole + fraction {
		if c < '0' || c > '9' {
			return false
		}
	}
	switch {
	case negative && n.lo.Sign() >= 0, len(whole) > n.whole, len(fraction) > n.places:
		return false
	case point && (whole == "" || n.places == 0):
		return false
	}
	return len(whole) < 2 || whole[0] != '0'
}

// ended reports whether no digit can follow.
func (n *numeral) ended() bool {
	_, whole, fraction, point := n.parts()
	if n.places == 0 {
		return whole == "0" || len(whole) == n.whole
	}
	return point && len(fraction) == n.places
}

// complete reports whether the prefix is a number of the span.
func (n *numeral) complete() bool {
	negative, whole, fraction, point := n.parts()
	if whole == "" || point && fraction == "" {
		return false
	}
	v, _ := n.steps(whole, fraction)
	return n.holds(v, v, negative)
}

// viable reports whether the prefix can be continued to a number of the span.
func (n *numeral) viable() bool {
	negative, whole, fraction, point := n.parts()
	if whole == "" {
		return n.holds(new(big.Int), pow10(n.whole+n.places), negative)
	}
	v, open := n.steps(whole, fraction)
	top := new(big.Int).Add(v, new(big.Int).Sub(pow10(open), big.NewInt(1)))
	if n.holds(v, top, negative) {
		return true
	}
	if point || whole == "0" {
		return false
	}
	for range n.whole - len(whole) { // further digits before the point
		v.Mul(v, big.NewInt(10))
		top.Mul(top.Add(top, big.NewInt(1)), big.NewInt(10)).Sub(top, big.NewInt(1))
		if n.holds(v, top, negative) {
			return true
		}
	}
	return false
}

// steps returns the smallest magnitude that begins with the digits, and how many
// digits after the point are open.
func (n *numeral) steps(whole, fraction string) (v *big.Int, open int) {
	open = n.places - len(fraction)
	v, _ = new(big.Int).SetString(whole+fraction, 10)
	return v.Mul(v, pow10(open)), open
}

// holds reports whether the span holds a number of magnitude lo to hi.
func (n *numeral) holds(lo, hi *big.Int, negative bool) bool {
	if negative {
		lo, hi = new(big.Int).Neg(hi), new(big.Int).Neg(lo)
	}
	return lo.Cmp(n.hi) <= 0 && hi.Cmp(n.lo) >= 0
}

// close takes the shortest length that ends in a number of the span, and then at each
// place the first character that leaves that length possible.
func (n *numeral) close() closing {
	for r := 0; r <= n.whole+n.places+2; r++ {
		if !n.endsIn(r) {
			continue
		}
		at := n
		for ; r > 0; r-- {
			for _, c := range "-.0123456789" {
				next := &numeral{span: n.span, prefix: at.prefix + string(c)}
				if next.formed() && next.endsIn(r-1) {
					at = next
					break
				}
			}
		}
		return closing{at.prefix[len(n.prefix):], true}
	}
	return closing{}
}

// endsIn reports whether r further characters can make a number of the span.
func (n *numeral) endsIn(r int) bool {
	negative, whole, fraction, point := n.parts()
	switch {
	case r == 0:
		return n.complete()
	case n.prefix == "" && n.lo.Sign() < 0 && (&numeral{span: n.span, prefix: "-"}).endsIn(r-1):
		return true
	case point:
		return len(fraction)+r <= n.places && n.reaches(whole, 0, fraction, r, negative)
	}
	for digits := range r + 1 { // before the point, which the rest stands behind
		behind := r - digits - 1
		if len(whole)+digits > n.whole || whole == "0" && digits > 0 || whole == "" && digits == 0 {
			continue
		}
		if behind != 0 && behind <= n.places && n.reaches(whole, digits, "", max(0, behind), negative) {
			return true
		}
	}
	return false
}

// reaches reports whether the span holds a number whose magnitude has the digits, more
// digits before the point and behind more after it.
func (n *numeral) reaches(whole string, more int, fraction string, behind int, negative bool) bool {
	step := pow10(n.places - len(fraction) - behind)
	if whole == "" { // no leading zero but zero itself
		if more == 1 && n.multiple(new(big.Int), new(big.Int).Mul(pow10(n.places), big.NewInt(10)), step, negative) {
			return true
		}
		lo := new(big.Int).Mul(pow10(more-1), pow10(n.places))
		return n.multiple(lo, new(big.Int).Mul(lo, big.NewInt(10)), step, negative)
	}
	lo, open := n.steps(whole, fraction)
	width := new(big.Int).Mul(pow10(more), pow10(open))
	lo.Mul(lo, pow10(more))
	return n.multiple(lo, new(big.Int).Add(lo, width), step, negative)
}

// multiple reports whether the span holds a multiple of step of magnitude lo to below
// end.
func (n *numeral) multiple(lo, end, step *big.Int, negative bool) bool {
	from, to := n.lo, n.hi
	if negative {
		from, to = new(big.Int).Neg(n.hi), new(big.Int).Neg(n.lo)
	}
	if from.Cmp(lo) < 0 {
		from = lo
	}
	first := new(big.Int).Add(from, step)
	first.Sub(first, big.NewInt(1)).Div(first, step).Mul(first, step)
	return first.Cmp(end) < 0 && first.Cmp(to) <= 0
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
