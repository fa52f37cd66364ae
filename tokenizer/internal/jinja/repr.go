package jinja

import (
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// str writes a value as Python's str does.
func str(v *exec.Value) string {
	if v.IsString() || v.IsNil() {
		return v.String()
	}
	return repr(v)
}

// repr writes a value as Python's repr does.
func repr(v *exec.Value) string {
	var b strings.Builder
	writeRepr(&b, v, 0)
	return b.String()
}

func writeRepr(b *strings.Builder, v *exec.Value, depth int) {
	switch {
	case depth > maxDepth || b.Len() > maxText:
		b.WriteString("...")
	case v.IsNil():
		b.WriteString("Undefined")
	case isNull(v):
		b.WriteString("None")
	case v.IsString():
		b.WriteString(reprString(v.String()))
	case v.IsFloat():
		b.WriteString(floatText(v.Float()))
	case v.IsList():
		list, _ := toList(v)
		b.WriteByte('[')
		for i, entry := range list {
			separate(b, i)
			writeRepr(b, exec.ToValue(entry), depth+1)
		}
		b.WriteByte(']')
	case v.IsDict():
		b.WriteByte('{')
		for i, p := range pairs(v) {
			separate(b, i)
			writeRepr(b, p.Key, depth+1)
			b.WriteString(": ")
			writeRepr(b, p.Value, depth+1)
		}
		b.WriteByte('}')
	default:
		b.WriteString(v.String())
	}
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString(", ")
	}
}

func reprString(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	return quote + strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, quote, `\`+quote).Replace(s) + quote
}
