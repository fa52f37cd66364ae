package jinja

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// jsonWriter writes values as Python's json.dumps does.
type jsonWriter struct {
	strings.Builder
	item, key string // separators
	indent    string // of one level; pretty has line ends even where it is empty
	pretty    bool
	ascii     bool
	sorted    bool
}

// write writes a value at a depth of nesting.
func (w *jsonWriter) write(v *exec.Value, depth int) error {
	switch {
	case depth > maxDepth:
		return fmt.Errorf("value is nested more than %d deep", maxDepth)
	case w.Len() > maxText:
		return fmt.Errorf("value has more than %d bytes of JSON", maxText)
	case v.IsNil():
		//lint:ignore ST1005 Python's own words, which the fixtures hold
		return errors.New("Object of type Undefined is not JSON serializable")
	case isNull(v):
		w.WriteString("null")
	case v.IsString():
		w.str(v.String())
	case v.IsBool():
		w.WriteString(strings.ToLower(v.String()))
	case v.IsInteger():
		w.WriteString(strconv.Itoa(v.Integer()))
	case v.IsFloat():
		w.WriteString(jsonFloat(v.Float()))
	case v.IsList():
		return w.list(v, depth)
	case v.IsDict():
		return w.dict(v, depth)
	default:
		//lint:ignore ST1005 as above
		return fmt.Errorf("Object %.40s is not JSON serializable", v.String())
	}
	return nil
}

func (w *jsonWriter) list(v *exec.Value, depth int) error {
	list, err := toList(v)
	if err != nil {
		return err
	}
	return w.bracket("[]", len(list), depth, func(i int) error {
		return w.write(exec.ToValue(list[i]), depth+1)
	})
}

func (w *jsonWriter) dict(v *exec.Value, depth int) error {
	all := pairs(v)
	if w.sorted {
		sortPairs(all)
	}
	return w.bracket("{}", len(all), depth, func(i int) error {
		w.str(all[i].Key.String())
		w.WriteString(w.key)
		return w.write(all[i].Value, depth+1)
	})
}

// bracket writes n entries between brackets.
func (w *jsonWriter) bracket(brackets string, n, depth int, entry func(int) error) error {
	w.WriteString(brackets[:1])
	for i := range n {
		if i > 0 {
			w.WriteString(w.item)
		}
		w.line(depth + 1)
		if err := entry(i); err != nil {
			return err
		}
	}
	if n > 0 {
		w.line(depth)
	}
	w.WriteString(brackets[1:])
	return nil
}

func (w *jsonWriter) line(depth int) {
	if w.pretty {
		w.WriteString("\n" + strings.Repeat(w.indent, depth))
	}
}

// jsonEscapes are the short escapes of Python's encoder.
var jsonEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}

func (w *jsonWriter) str(s string) {
	w.WriteByte('"')
	for _, c := range s {
		short, ok := jsonEscapes[c]
		switch {
		case ok:
			w.WriteString(short)
		case c < ' ' || w.ascii && 0x7f <= c && c < 0x10000:
			fmt.Fprintf(w, `\u%04x`, c)
		case w.ascii && c >= 0x10000:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(w, `\u%04x\u%04x`, high, low)
		default:
			w.WriteRune(c)
		}
	}
	w.WriteByte('"')
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return floatText(f)
}

// floatText writes a float as Python's repr does: the shortest digits that read
// back, with an exponent below 1e-4 and from 1e16 on.
func floatText(f float64) string {
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
