package tokenizer

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A splitter returns the length of the first piece of a text that is not empty;
// the length is at least 1. The splitters here are the split patterns of the
// known families, which use look-ahead that package regexp does not have,
// written out as scans over character classes. Each byte is looked at a bounded
// number of times.
type splitter func(s string) int

// class is what the split patterns tell apart.
type class uint8

const (
	other   class = iota // [^\s\p{L}\p{N}]
	letter               // \p{L}
	number               // \p{N}
	space                // \s without the next
	newline              // [\r\n]
)

const basicPlane = 0x10000

// classes holds the class of every character of the basic plane, for speed.
var classes = sync.OnceValue(func() *[basicPlane]class {
	t := new([basicPlane]class)
	for c := range rune(basicPlane) {
		t[c] = classify(c)
	}
	return t
})

func classify(c rune) class {
	switch {
	case c == '\r' || c == '\n':
		return newline
	case unicode.IsLetter(c):
		return letter
	case unicode.IsNumber(c):
		return number
	case unicode.IsSpace(c):
		return space
	}
	return other
}

// scanner walks over a text by character classes.
type scanner struct{ classes *[basicPlane]class }

// at returns the class and the length in bytes of the character at s[i:], which
// is not empty. A byte that is not UTF-8 is other.
func (t scanner) at(s string, i int) (class, int) {
	if b := s[i]; b < utf8.RuneSelf {
		return t.classes[b], 1
	}
	c, n := utf8.DecodeRuneInString(s[i:])
	if c < basicPlane {
		return t.classes[c], n
	}
	return classify(c), n
}

// run returns the end of the run of characters of one class that starts at i.
func (t scanner) run(s string, i int, want class) int {
	for i < len(s) {
		c, n := t.at(s, i)
		if c != want {
			break
		}
		i += n
	}
	return i
}

// is reports whether there is a character of a class at i.
func (t scanner) is(s string, i int, want class) bool {
	if i >= len(s) {
		return false
	}
	c, _ := t.at(s, i)
	return c == want
}

// blank scans the run of white space, line ends included, that s begins with.
// It returns the run's length, the end of its last line end (0 without one) and
// the start of its last character.
func (t scanner) blank(s string) (end, lineEnd, last int) {
	for end < len(s) {
		c, n := t.at(s, end)
		if c != space && c != newline {
			break
		}
		last = end
		end += n
		if c == newline {
			lineEnd = end
		}
	}
	return end, lineEnd, last
}

// blankPiece is \s+(?!\S)|\s+: white space leaves its last character to a word
// that follows.
func blankPiece(s string, end, last int) int {
	if end == len(s) || last == 0 {
		return end
	}
	return last
}

// gpt2 is the pattern that ByteLevel applies itself:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func (t scanner) gpt2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	start := 0
	if s[0] == ' ' && len(s) > 1 {
		start = 1
	}
	switch c, _ := t.at(s, start); c {
	case letter, number, other:
		return t.run(s, start, c)
	}
	end, _, last := t.blank(s)
	return blankPiece(s, end, last)
}

// tiktoken is the pattern of Qwen2 (digits 1) and Llama 3 (digits 3):
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|
//	 ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func (t scanner) tiktoken(digits int) splitter {
	return func(s string) int {
		if n := contraction(s, true); n > 0 {
			return n
		}
		c, n := t.at(s, 0)
		switch {
		case c == letter:
			return t.run(s, n, letter)
		case c == number:
			return t.digits(s, digits)
		case c != newline && t.is(s, n, letter):
			return t.run(s, n, letter)
		case c == other:
			return t.run(s, t.run(s, n, other), newline)
		case s[0] == ' ' && t.is(s, n, other):
			return t.run(s, t.run(s, n, other), newline)
		}
		end, lineEnd, last := t.blank(s)
		if lineEnd > 0 {
			return lineEnd
		}
		return blankPiece(s, end, last)
	}
}

// digits returns the end of the run of at most n numbers that s begins with.
func (t scanner) digits(s string, n int) int {
	end := 0
	for ; n > 0 && t.is(s, end, number); n-- {
		_, width := t.at(s, end)
		end += width
	}
	return end
}

// numbers is the Digits pre-tokenizer: numbers apart from the rest, in runs or
// one by one.
func (t scanner) numbers(single bool) splitter {
	return func(s string) int {
		c, n := t.at(s, 0)
		if c == number && single {
			return n
		}
		for n < len(s) {
			next, width := t.at(s, n)
			if (next == number) != (c == number) {
				break
			}
			n += width
		}
		return n
	}
}

// contraction returns the length of the English ending 's, 't, 're, 've, 'm,
// 'll or 'd that s begins with, or 0. The long s (U+017F) is an s where case is
// folded.
func contraction(s string, fold bool) int {
	if s[0] != '\'' || len(s) < 2 {
		return 0
	}
	if fold && strings.HasPrefix(s[1:], "ſ") {
		return 1 + len("ſ")
	}
	switch lower(s[1], fold) {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		return 3 * follows(s, 'e', fold)
	case 'l':
		return 3 * follows(s, 'l', fold)
	}
	return 0
}

// follows is 1 where the third byte of s is c, and 0 otherwise.
func follows(s string, c byte, fold bool) int {
	if len(s) > 2 && lower(s[2], fold) == c {
		return 1
	}
	return 0
}

func lower(c byte, fold bool) byte {
	if fold && 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
