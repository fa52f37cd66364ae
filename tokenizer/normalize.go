package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a text before it is split.
type normalizer func(string) string

func unchanged(s string) string { return s }

// longSegment is the number of characters from which on a segment (a starter
// with what combines with it) is composed here. Package norm inserts a joiner
// after 30 combining marks (the Stream-Safe Text Format of UAX 15), which the
// normal form does not know; a character decomposes into at most four marks.
const longSegment = 8

// nfc returns the canonical composition of s (UAX 15, form C). Bytes that are not
// UTF-8 stay as they are, and what stands between them is composed on its own.
func nfc(s string) string {
	if utf8.ValidString(s) {
		return nfcValid(s)
	}
	var b strings.Builder
	for s != "" {
		n := validPrefix(s)
		b.WriteString(nfcValid(s[:n]))
		if n < len(s) {
			b.WriteByte(s[n])
			n++
		}
		s = s[n:]
	}
	return b.String()
}

// validPrefix returns the number of bytes before the first that is not UTF-8.
func validPrefix(s string) int {
	for i, c := range s {
		if c == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return i
		}
	}
	return len(s)
}

// nfcValid is nfc of valid UTF-8.
func nfcValid(s string) string {
	if norm.NFC.QuickSpanString(s) == len(s) {
		return s
	}
	var b strings.Builder
	done := 0
	for i := 0; i < len(s); {
		n, chars := segment(s[i:])
		if chars > longSegment {
			b.WriteString(norm.NFC.String(s[done:i]))
			b.WriteString(composeSegment(s[i : i+n]))
			done = i + n
		}
		i += n
	}
	b.WriteString(norm.NFC.String(s[done:]))
	return b.String()
}

// segment returns the length of the first segment of s in bytes and characters; a
// byte that is not UTF-8 is a segment of its own.
func segment(s string) (n, chars int) {
	for n < len(s) {
		c, width := utf8.DecodeRuneInString(s[n:])
		broken := c == utf8.RuneError && width == 1
		if n > 0 && (broken || norm.NFC.PropertiesString(s[n:]).BoundaryBefore()) {
			break
		}
		n += width
		chars++
		if broken {
			break
		}
	}
	return n, chars
}

// mark is a character of a decomposed segment with its combining class.
type mark struct {
	char  rune
	class uint8
}

// composeSegment decomposes, orders and composes one segment.
func composeSegment(s string) string {
	if !utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, m := range compose(decompose(s)) {
		b.WriteRune(m.char)
	}
	return b.String()
}

// decompose returns the canonical decomposition in canonical order.
func decompose(s string) []mark {
	var marks []mark
	starter := 0 // the marks from here on belong to one starter
	for _, c := range s {
		for _, d := range norm.NFD.String(string(c)) {
			class := norm.NFD.PropertiesString(string(d)).CCC()
			if class == 0 {
				order(marks[starter:])
				starter = len(marks) + 1
			}
			marks = append(marks, mark{d, class})
		}
	}
	order(marks[min(starter, len(marks)):])
	return marks
}

func order(marks []mark) {
	slices.SortStableFunc(marks, func(a, b mark) int { return int(a.class) - int(b.class) })
}

// compose joins each mark with the last starter where the two have a composition
// and nothing of the same or a higher class, nor another starter, lies between.
func compose(marks []mark) []mark {
	out := marks[:0]
	starter, last := -1, -1 // index in out; class of what lies between, -1 for nothing
	for _, m := range marks {
		if starter >= 0 && last < int(m.class) {
			if c, ok := composePair(out[starter].char, m.char); ok {
				out[starter].char = c
				continue
			}
		}
		last = int(m.class)
		if m.class == 0 {
			starter, last = len(out), -1
		}
		out = append(out, m)
	}
	return out
}

// composePair returns the character that is canonically equal to a followed by b.
func composePair(a, b rune) (rune, bool) {
	s := norm.NFC.String(string(a) + string(b))
	c, n := utf8.DecodeRuneInString(s)
	return c, n == len(s)
}
