// Package pyjson writes JSON as Python's json.dumps does by default: a space
// after every comma and colon, everything outside printable ASCII as \uXXXX, no
// HTML escapes, and floats with a fraction or an exponent.
//
// Files that other programs of the field compare byte for byte are written so.
// All functions may be called from several goroutines.
package pyjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Float is a number that is written as Python writes a float: 10.0 and not 10.
// NaN and infinities cannot be written as JSON and give an error.
type Float float64

// MarshalJSON implements [json.Marshaler].
func (f Float) MarshalJSON() ([]byte, error) {
	v := float64(f)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("pyjson: %v is not a JSON number", v)
	}
	return AppendFloat(nil, v), nil
}

// AppendFloat appends the shortest decimal that reads back as v, in the spelling
// of Python's repr: an exponent below 1e-4 and from 1e16 on, and otherwise at
// least one digit after the point.
func AppendFloat(dst []byte, v float64) []byte {
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return append(dst, text...)
}

// Marshal returns the JSON of v in Python's spelling. It accepts what
// [json.Marshal] accepts; use [Float] for numbers that Python holds as float.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return Append(nil, b.Bytes()), nil
}

// Append appends a valid JSON text to dst in Python's spelling. Order of keys,
// number literals and escapes already present stay as they are.
func Append(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case ',', ':':
			dst = append(dst, c, ' ')
			i++
		case '"':
			n := stringLen(text[i:])
			dst = appendASCII(dst, text[i:i+n])
			i += n
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// stringLen returns the length of the string literal that text opens with,
// both quotes included.
func stringLen(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// appendASCII appends s with every character outside printable ASCII escaped, as
// a surrogate pair where it lies above U+FFFF.
func appendASCII(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		if s[i] < 0x7f {
			dst = append(dst, s[i])
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		dst = appendEscape(dst, r)
		i += n
	}
	return dst
}

func appendEscape(dst []byte, r rune) []byte {
	if r < 0x10000 {
		return fmt.Appendf(dst, `\u%04x`, r)
	}
	r -= 0x10000
	return fmt.Appendf(dst, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
}
