package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a template's source: gonja's parser and evaluator recurse over
// nesting, and over chains of operators and attributes.
const (
	maxSource  = 1 << 20
	maxNesting = 100
	maxTokens  = 4000 // in one tag
)

// rewrite turns Jinja's syntax into the part of it that gonja reads rightly:
//
//   - white space around blocks and comments is trimmed (trim_blocks and
//     lstrip_blocks), which gonja does at the start of every piece of text rather
//     than of every line;
//   - line ends inside tags become spaces; adjacent string literals are joined;
//   - string literals are written with the escapes that both read alike;
//   - "a if c else b" inside parentheses, brackets and arguments becomes
//     "((c) and [(a)] or [(b)])[0]", which evaluates the same parts.
//
// It refuses templates that are too long or nested too deeply.
func rewrite(source string) (string, error) {
	if len(source) > maxSource {
		return "", fmt.Errorf("template has %d bytes, more than %d", len(source), maxSource)
	}
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	source = strings.TrimSuffix(source, "\n")
	w := &rewriter{source: source}
	for w.i < len(source) {
		if err := w.part(); err != nil {
			return "", fmt.Errorf("template line %d: %w", 1+strings.Count(source[:min(w.i, len(source))], "\n"), err)
		}
	}
	return w.out.String(), nil
}

type rewriter struct {
	source string
	i      int
	out    strings.Builder
	blocks int // open blocks
}

// part copies text up to the next tag, then the tag.
func (w *rewriter) part() error {
	rest := w.source[w.i:]
	open := strings.IndexByte(rest, '{')
	if open < 0 || open+1 == len(rest) {
		w.copy(len(rest))
		return nil
	}
	switch rest[open+1] {
	case '#':
		w.text(open)
		return w.comment()
	case '{':
		w.copy(open)
		return w.tag("}}")
	case '%':
		w.text(open)
		return w.tag("%}")
	}
	w.copy(open + 1)
	return nil
}

func (w *rewriter) copy(n int) {
	w.out.WriteString(w.source[w.i : w.i+n])
	w.i += n
}

// text copies n bytes of text before a block or comment, without the white space
// that stands alone between the start of the line and the tag.
func (w *rewriter) text(n int) {
	end := w.i + n
	line := 1 + strings.LastIndexByte(w.source[:end], '\n')
	if line >= w.i && strings.TrimSpace(w.source[line:end]) == "" && !strings.HasPrefix(w.source[end+2:], "+") {
		n = line - w.i
	}
	w.copy(n)
	w.i = end
}

// comment leaves a comment out. Its signs trim as those of other tags do, so it is
// written as an empty one.
func (w *rewriter) comment() error {
	n := strings.Index(w.source[w.i+2:], "#}")
	if n < 0 {
		return fmt.Errorf("comment is not closed")
	}
	text := w.source[w.i+2 : w.i+2+n]
	w.out.WriteString("{#" + sign(strings.HasPrefix(text, "-")) + " " + sign(len(text) > 1 && strings.HasSuffix(text, "-")) + "#}")
	w.i += n + 4
	w.newline(strings.HasSuffix(text, "+"))
	return nil
}

func sign(minus bool) string {
	if minus {
		return "-"
	}
	return ""
}

// newline skips the line end after a block or comment, unless a plus sign keeps it.
func (w *rewriter) newline(keep bool) {
	if !keep && strings.HasPrefix(w.source[w.i:], "\n") {
		w.i++
	}
}

// tag rewrites one tag, which ends with end.
func (w *rewriter) tag(end string) error {
	w.copy(2)
	tokens, err := w.lex(end)
	if err != nil {
		return err
	}
	first, keep := firstName(tokens), false
	if n := len(tokens); n > 0 && tokens[n-1] == "+" {
		tokens, keep = tokens[:n-1], true
	}
	if len(tokens) > 0 && tokens[0] == "+" {
		tokens = tokens[1:]
	}
	w.out.WriteString(write(tokens, end == "}}" || first == "set"))
	w.copy(2)
	if end == "}}" {
		return nil
	}
	if first == "raw" {
		return w.raw()
	}
	w.newline(keep)
	return w.nest(first)
}

// nest counts open blocks.
func (w *rewriter) nest(name string) error {
	switch {
	case strings.HasPrefix(name, "end"):
		w.blocks--
	case name == "if" || name == "for" || name == "macro":
		w.blocks++
	}
	if w.blocks > maxNesting {
		return fmt.Errorf("blocks are nested more than %d deep", maxNesting)
	}
	return nil
}

// raw copies the text of a raw block; its end is an ordinary tag.
func (w *rewriter) raw() error {
	for i := w.i; ; i++ {
		open := strings.Index(w.source[i:], "{%")
		if open < 0 {
			return fmt.Errorf("raw block is not closed")
		}
		i += open
		if name := strings.TrimLeft(w.source[i+2:], "-+ \t\n"); strings.HasPrefix(name, "endraw") {
			w.text(i - w.i)
			return nil
		}
	}
}

// lex reads the tokens of a tag up to its end, which stays unread.
func (w *rewriter) lex(end string) ([]string, error) {
	var tokens []string
	depth := 0
	for w.i < len(w.source) {
		if depth == 0 && closes(w.source[w.i:], end) {
			if w.source[w.i] == '-' || w.source[w.i] == '+' {
				tokens = append(tokens, w.source[w.i:w.i+1])
				w.i++
			}
			return tokens, nil
		}
		token, err := w.token()
		if err != nil {
			return nil, err
		}
		switch token {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		}
		if depth > maxNesting || depth < 0 {
			return nil, fmt.Errorf("brackets do not match or are nested more than %d deep", maxNesting)
		}
		if tokens = appendToken(tokens, token); len(tokens) > maxTokens {
			return nil, fmt.Errorf("tag has more than %d parts", maxTokens)
		}
	}
	return nil, fmt.Errorf("tag is not closed by %s", end)
}

// appendToken appends a token; a string literal after another continues it.
func appendToken(tokens []string, token string) []string {
	last := len(tokens) - 1
	for last >= 0 && tokens[last] == " " {
		last--
	}
	if token[0] == '"' && last >= 0 && tokens[last][0] == '"' {
		return append(tokens[:last], tokens[last][:len(tokens[last])-1]+token[1:])
	}
	return append(tokens, token)
}

func closes(s, end string) bool {
	return strings.HasPrefix(s, end) || (s[0] == '-' || s[0] == '+') && strings.HasPrefix(s[1:], end)
}

// token reads one token: white space, a word or number, a string literal, or one
// character.
func (w *rewriter) token() (string, error) {
	s := w.source[w.i:]
	if s[0] == '"' || s[0] == '\'' {
		return w.literal(s)
	}
	n := 0
	for n < len(s) && strings.IndexByte(" \t\n", s[n]) >= 0 {
		n++
	}
	if n > 0 {
		w.i += n
		return " ", nil
	}
	for n < len(s) && wordByte(s[n]) {
		n++
	}
	n = max(n, 1)
	w.i += n
	return s[:n], nil
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf
}

// literal reads a string literal.
func (w *rewriter) literal(s string) (string, error) {
	for n := 1; n < len(s); n++ {
		switch s[n] {
		case '\\':
			n++
		case s[0]:
			w.i += n + 1
			return quote(unescape(s[1:n])), nil
		}
	}
	return "", fmt.Errorf("string %.20q is not closed", s)
}

// escapes are Python's escapes of one character.
var escapes = map[byte]string{'\n': "", '\\': "\\", '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// unescape returns what a string literal stands for in Python; an escape that is
// not known stays as it is.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		text, known := escapes[s[i]]
		c, digits := numeric(s[i:])
		switch {
		case known:
			b.WriteString(text)
		case digits > 0:
			b.WriteRune(c)
			i += digits - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// numeric reads an escape by code point, without its backslash, and returns the
// number of bytes it takes, or 0.
func numeric(s string) (rune, int) {
	width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
	if width > 0 && len(s) > width {
		if n, err := strconv.ParseUint(s[1:1+width], 16, 32); err == nil {
			return rune(n), 1 + width
		}
		return 0, 0
	}
	n, c := 0, rune(0)
	for n < min(3, len(s)) && '0' <= s[n] && s[n] <= '7' {
		c = 8*c + rune(s[n]-'0')
		n++
	}
	return c, n
}

// quote writes a string literal with escapes that gonja reads back exactly.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '\\' || c == '"' || c == '\'' || c == 0x7f {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func firstName(tokens []string) string {
	for _, t := range tokens {
		if t != "-" && t != "+" && t != " " {
			return t
		}
	}
	return ""
}
