package grammar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object in the order of its members.
type object []field

type field struct {
	name  string
	value any // object, []any, string, json.Number, bool or nil
}

func (o object) get(name string) (any, bool) {
	for _, m := range slices.Backward(o) { // of repeated names the last counts
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, m := range o {
		b.WriteByte(",{"[max(0, 1-i)])
		b.WriteString(literal(m.name) + ":" + literal(m.value))
	}
	if len(o) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// decode reads one JSON value, objects in their order.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the schema")
		}
	}
	return v, err
}

func value(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			o = append(o, field{name.(string), v})
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

// keywords by the type that they say something about; "" is all.
var keywords = map[string]string{
	"type": "", "enum": "", "const": "", "anyOf": "", "oneOf": "", "allOf": "", "$ref": "", "$defs": "", "definitions": "",
	"properties": "object", "required": "object", "additionalProperties": "object",
	"items": "array", "minItems": "array", "maxItems": "array",
	"minLength": "string", "maxLength": "string", "pattern": "string",
	"minimum": "number", "maximum": "number", "exclusiveMinimum": "number", "exclusiveMaximum": "number",
}

// annotation reports whether a keyword says nothing about which values fit.
func annotation(name string) bool {
	return slices.Contains([]string{"title", "description", "default", "example", "examples", "format", "deprecated", "readOnly",
		"writeOnly", "$schema", "$id", "$comment", "$anchor", "discriminator"}, name)
}

// known refuses keywords that are not supported.
func (o object) known(at string) error {
	for _, m := range o {
		if m.name == "uniqueItems" && m.value == false {
			continue
		}
		if _, ok := keywords[m.name]; !ok && !annotation(m.name) {
			return fmt.Errorf("%s: keyword %q is not supported", place(at), m.name)
		}
	}
	return nil
}

// implied returns the types that the keywords speak of, where no type is given.
func (o object) implied() []string {
	var types []string
	for _, m := range o {
		if t := keywords[m.name]; t != "" && !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	return types
}

// fits refuses keywords that speak of a type which the schema does not have.
func (o object) fits(types []string, at string) error {
	for _, m := range o {
		t := keywords[m.name]
		if t == "" || slices.Contains(types, t) || t == "number" && slices.Contains(types, "integer") {
			continue
		}
		return fmt.Errorf("%s: %s does not go with type %s", place(at), m.name, strings.Join(types, " or "))
	}
	return nil
}

var typeNames = []string{"object", "array", "string", "integer", "number", "boolean", "null"}

// types returns the schema's types; none where it gives none.
func (o object) types(at string) ([]string, error) {
	v, ok := o.get("type")
	if !ok {
		return nil, nil
	}
	if s, ok := v.(string); ok {
		v = []any{s}
	}
	list, _ := v.([]any)
	var types []string
	for _, e := range list {
		s, _ := e.(string)
		if !slices.Contains(typeNames, s) {
			return nil, fmt.Errorf("%s: type %s is none of %s", place(at), brief(e), strings.Join(typeNames, ", "))
		}
		types = append(types, s)
	}
	if types == nil {
		return nil, fmt.Errorf("%s: type is %s, want a name or a list of names", place(at), brief(v))
	}
	return types, nil
}

// isA reports whether a value has a type.
func isA(v any, name string) bool {
	switch v := v.(type) {
	case object:
		return name == "object"
	case []any:
		return name == "array"
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case json.Number:
		r, ok := new(big.Rat).SetString(string(v))
		return name == "number" || name == "integer" && ok && r.IsInt()
	}
	return name == "null"
}

// names returns a list of strings.
func (o object) names(keyword, at string) ([]string, error) {
	v, ok := o.get(keyword)
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s: %s is %s, want a list of names", place(at), keyword, brief(v))
	}
	names := make([]string, len(list))
	for i, e := range list {
		if names[i], ok = e.(string); !ok {
			return nil, fmt.Errorf("%s: %s holds %s, want a name", place(at), keyword, brief(e))
		}
	}
	return names, nil
}

// bounds returns two counts, 0 and endless where they are not given.
func (o object) bounds(least, most, at string) (lo, hi int, err error) {
	hi = endless
	for keyword, to := range map[string]*int{least: &lo, most: &hi} {
		v, ok := o.get(keyword)
		if !ok {
			continue
		}
		n, _ := v.(json.Number)
		i, err := strconv.Atoi(string(n))
		if err != nil || i < 0 || i >= endless {
			return 0, 0, fmt.Errorf("%s: %s is %s, want a whole number of at least 0", place(at), keyword, brief(v))
		}
		*to = i
	}
	if lo > hi {
		return 0, 0, fmt.Errorf("%s: %s %d is above %s %d", place(at), least, lo, most, hi)
	}
	return lo, hi, nil
}

// rational narrows a bound of a number: of two that are given the narrower counts.
func (o object) rational(keyword, at string, to **big.Rat) error {
	v, ok := o.get(keyword)
	if !ok {
		return nil
	}
	n, ok := v.(json.Number)
	digits, exponent, _ := strings.Cut(strings.ToLower(string(n)), "e")
	if !ok || len(digits) > 2*maxBound || len(exponent) > len("+308") {
		return fmt.Errorf("%s: %s is %s, want a number of at most %d digits", place(at), keyword, brief(v), 2*maxBound)
	}
	r, _ := new(big.Rat).SetString(string(n))
	old, lower := *to, strings.HasSuffix(strings.ToLower(keyword), "minimum")
	if old == nil || lower && r.Cmp(old) >= 0 || !lower && r.Cmp(old) <= 0 {
		*to = r
	}
	return nil
}

// place writes a JSON pointer; the empty one is the schema itself.
func place(at string) string { return "#" + at }

// brief writes a value shortened, for errors.
func brief(v any) string {
	s := literal(v)
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}
