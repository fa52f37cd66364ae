package grammar

import "slices"

// Bounds of what is written freely.
const (
	maxIndent   = 16 // spaces after a line break
	maxWhole    = 18 // digits before the point: any such integer fits 64 bits
	maxFraction = 15
	maxExponent = 2 // digits
)

// space is what may stand between the parts of a value: nothing, a space, or a line
// break with an indent.
func (g *Grammar) space() *Term {
	return g.optional(g.either(g.text(" "), g.then(g.text("\n"), g.repeat(g.bytes(' ', ' ', '\t', '\t'), 0, maxIndent))))
}

// character is one character of a string, counted as JSON schemas count: a code
// point, in UTF-8 or as an escape.
func (g *Grammar) character() *Term {
	tail := g.bytes(0x80, 0xbf)
	hex := g.bytes('0', '9', 'a', 'f', 'A', 'F')
	unit := func(lead ...byte) *Term {
		return g.seq(g.text(`\u`), g.bytes('D', 'D', 'd', 'd'), g.bytes(lead...), hex, hex)
	}
	high, low := unit('8', '9', 'a', 'b', 'A', 'B'), unit('c', 'f', 'C', 'F')
	return g.either(
		g.bytes(0x20, '!', '#', '[', ']', 0x7f),
		g.then(g.text(`\`), g.bytes('"', '"', '\\', '\\', '/', '/', 'b', 'b', 'f', 'f', 'n', 'n', 'r', 'r', 't', 't')),
		g.seq(g.text(`\u`), g.bytes('0', '9', 'a', 'c', 'A', 'C', 'e', 'f', 'E', 'F'), hex, hex, hex),
		unit('0', '7'), g.then(high, low),
		g.then(g.bytes(0xc2, 0xdf), tail),
		g.seq(g.bytes(0xe0, 0xe0), g.bytes(0xa0, 0xbf), tail),
		g.seq(g.bytes(0xe1, 0xec, 0xee, 0xef), tail, tail),
		g.seq(g.bytes(0xed, 0xed), g.bytes(0x80, 0x9f), tail),
		g.astral(tail),
	)
}

// astral is a character of four bytes.
func (g *Grammar) astral(tail *Term) *Term {
	return g.either(
		g.seq(g.bytes(0xf0, 0xf0), g.bytes(0x90, 0xbf), tail, tail),
		g.seq(g.bytes(0xf1, 0xf3), tail, tail, tail),
		g.seq(g.bytes(0xf4, 0xf4), g.bytes(0x80, 0x8f), tail, tail),
	)
}

// visible is one character that is no white space; some that are none are left out.
func (g *Grammar) visible() *Term {
	tail := g.bytes(0x80, 0xbf)
	return g.either(
		g.bytes('!', '!', '#', '[', ']', '~'),
		g.then(g.text(`\`), g.bytes('"', '"', '\\', '\\', '/', '/')),
		g.then(g.bytes(0xc2, 0xc2), g.bytes(0xa1, 0xbf)),
		g.then(g.bytes(0xc3, 0xdf), tail),
		g.seq(g.bytes(0xe0, 0xe0), g.bytes(0xa0, 0xbf), tail),
		g.seq(g.bytes(0xe1, 0xe1), g.bytes(0x80, 0x99, 0x9b, 0xbf), tail),
		g.seq(g.bytes(0xe2, 0xe2), g.bytes(0x82, 0xbf), tail),
		g.seq(g.bytes(0xe3, 0xe3), g.bytes(0x81, 0xbf), tail),
		g.seq(g.bytes(0xe4, 0xec, 0xee, 0xee), tail, tail),
		g.seq(g.bytes(0xed, 0xed), g.bytes(0x80, 0x9f), tail),
		g.seq(g.bytes(0xef, 0xef), g.bytes(0x80, 0xba, 0xbc, 0xbf), tail),
		g.astral(tail),
	)
}

// str is a string of least to most characters; seen asks for a first one that is no
// white space.
func (g *Grammar) str(least, most int, seen bool) *Term {
	if !seen {
		return g.seq(g.text(`"`), g.repeat(g.character(), least, most), g.text(`"`))
	}
	if most < max(1, least) {
		return nil
	}
	rest := most
	if most != endless {
		rest--
	}
	return g.seq(g.text(`"`), g.visible(), g.repeat(g.character(), max(0, least-1), rest), g.text(`"`))
}

// integer is any integer of at most maxWhole digits.
func (g *Grammar) integer() *Term {
	whole := g.either(g.text("0"), g.then(g.bytes('1', '9'), g.repeat(g.bytes('0', '9'), 0, maxWhole-1)))
	return g.then(g.optional(g.text("-")), whole)
}

// anyNumber is any number whose parts have bounded lengths.
func (g *Grammar) anyNumber() *Term {
	digit := g.bytes('0', '9')
	fraction := g.then(g.text("."), g.repeat(digit, 1, maxFraction))
	exponent := g.seq(g.bytes('e', 'e', 'E', 'E'), g.optional(g.bytes('+', '+', '-', '-')), g.repeat(digit, 1, maxExponent))
	return g.seq(g.integer(), g.optional(fraction), g.optional(exponent))
}

func (g *Grammar) boolean() *Term { return g.either(g.text("true"), g.text("false")) }

// array is least to most items.
func (g *Grammar) array(item *Term, least, most int) *Term {
	var full *Term
	if most > 0 && item != nil {
		rest := most
		if most != endless {
			rest--
		}
		more := g.seq(g.text(","), g.space(), item)
		full = g.seq(g.space(), item, g.repeat(more, max(0, least-1), rest))
	}
	if least == 0 {
		full = g.optional(full)
	}
	return g.seq(g.text("["), full, g.space(), g.text("]"))
}

// member is one member of an object.
func (g *Grammar) member(name, value *Term) *Term {
	return g.seq(name, g.text(":"), g.space(), value)
}

// free is an object with any names, whose values are all of a kind.
func (g *Grammar) free(value *Term) *Term {
	one := g.member(g.str(0, endless, false), value)
	more := g.seq(g.text(","), g.space(), one)
	return g.seq(g.text("{"), g.optional(g.seq(g.space(), one, g.repeat(more, 0, endless))), g.space(), g.text("}"))
}

// property is a named member of an object.
type property struct {
	name     string
	value    *Term
	required bool
}

// object has the given members in the given order; those that are not required may be
// left out.
func (g *Grammar) object(members []property) *Term {
	end := g.then(g.space(), g.text("}"))
	first, later := end, end // what follows before and after the first member
	for _, m := range slices.Backward(members) {
		one := g.member(g.text(quote(m.name)), m.value)
		f := g.seq(g.space(), one, later)
		l := g.seq(g.text(","), g.space(), one, later)
		if !m.required {
			f, l = g.either(f, first), g.either(l, later)
		}
		first, later = f, l
	}
	return g.then(g.text("{"), first)
}

// anything is any JSON value.
func (g *Grammar) anything() *Term {
	ref, _ := g.define("any value", func() (*Term, error) {
		self := g.defs["any value"]
		return g.either(g.str(0, endless, false), g.anyNumber(), g.boolean(), g.text("null"),
			g.array(self, 0, endless), g.free(self)), nil
	})
	return ref
}

// Object returns the term of any JSON object.
func (g *Grammar) Object() *Term {
	t := g.free(g.anything())
	g.settle()
	return t
}
