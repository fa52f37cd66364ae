package tokenizer

import "unicode/utf8"

// DecodeOption changes what [Tokenizer.Decode] does.
type DecodeOption uint8

// SkipSpecial leaves special tokens out of the text.
const SkipSpecial DecodeOption = 1

// Decode returns the text of token ids, special tokens included unless
// [SkipSpecial] is given. Each maximal part of the bytes that is not a whole
// character becomes one U+FFFD, as the Unicode standard recommends (3.9) and the
// Python libraries do. Ids outside the vocabulary give nothing.
func (t *Tokenizer) Decode(ids []int, opts ...DecodeOption) string {
	d := t.Decoder(opts...)
	buf := make([]byte, 0, 5*len(ids))
	for _, id := range ids {
		buf = append(buf, d.bytes(id)...)
	}
	return string(appendValid(make([]byte, 0, len(buf)), buf))
}

// Decoder decodes a stream of tokens piece by piece. It belongs to one stream and
// one goroutine; the pieces together, with [Decoder.Flush] at the end, are what
// [Tokenizer.Decode] returns for all ids.
type Decoder struct {
	t       *Tokenizer
	skip    bool
	pending []byte // the beginning of a character
}

// Decoder returns a decoder for one stream of tokens.
func (t *Tokenizer) Decoder(opts ...DecodeOption) *Decoder {
	d := &Decoder{t: t}
	for _, o := range opts {
		d.skip = d.skip || o&SkipSpecial != 0
	}
	return d
}

// Push takes the next token and returns the text that it completes: none while a
// character's last byte has not come, and never a part of a character.
func (d *Decoder) Push(id int) string {
	d.pending = append(d.pending, d.bytes(id)...)
	whole := len(d.pending) - unfinished(d.pending)
	text := string(appendValid(nil, d.pending[:whole]))
	d.pending = append(d.pending[:0], d.pending[whole:]...)
	return text
}

// Flush ends the stream: it returns U+FFFD where the last character is not
// complete, and otherwise nothing. The decoder is as new afterwards.
func (d *Decoder) Flush() string {
	text := string(appendValid(nil, d.pending))
	d.pending = d.pending[:0]
	return text
}

func (d *Decoder) bytes(id int) string {
	token := d.t.at(id)
	if d.skip && token.special {
		return ""
	}
	return token.bytes
}

// appendValid appends s with each maximal part that is not UTF-8 replaced.
func appendValid(dst, s []byte) []byte {
	if utf8.Valid(s) {
		return append(dst, s...)
	}
	for len(s) > 0 {
		c, n := utf8.DecodeRune(s)
		if c == utf8.RuneError && n == 1 {
			n = maximalPart(s)
		}
		dst = utf8.AppendRune(dst, c)
		s = s[n:]
	}
	return dst
}

// unfinished returns the length of the beginning of a character that s ends with.
func unfinished(s []byte) int {
	for n := min(len(s), utf8.UTFMax-1); n > 0; n-- {
		if tail := s[len(s)-n:]; maximalPart(tail) == n && !utf8.FullRune(tail) {
			return n
		}
	}
	return 0
}

// maximalPart returns the length of the longest beginning of s that is the
// beginning of a character, and at least 1.
func maximalPart(s []byte) int {
	n := 1
	for n < min(len(s), utf8.UTFMax) && !utf8.FullRune(s[:n]) && begins(s[:n+1]) {
		n++
	}
	return n
}

// begins reports whether s can be continued to a character, or is one: a part that
// cannot be is full, as an error of one byte.
func begins(s []byte) bool {
	_, n := utf8.DecodeRune(s)
	return n == len(s) || !utf8.FullRune(s)
}
