package jinja

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// Values of templates are Go strings, bools, ints and float64s, [List], [Null],
// *exec.Dict (in order) and *namespace. Undefined is nil. All but namespaces are
// immutable, as in the sandbox of transformers.

// List is a list that may be indexed from its end.
type List []any

// GetItem returns an entry; negative indices count from the end.
func (l List) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if ok && i < 0 {
		i += len(l)
	}
	if !ok || i < 0 || i >= len(l) {
		return exec.AsValue(nil), false
	}
	return exec.ToValue(l[i]), true
}

// String writes the list as Python does.
func (l List) String() string { return repr(exec.AsValue(l)) }

// Null is None: false, and empty where gonja asks for its length.
type Null []struct{}

func (Null) String() string { return "None" }

// GetItem finds nothing in None.
func (Null) GetItem(any) (*exec.Value, bool) { return exec.AsValue(nil), false }

func isNull(v *exec.Value) bool {
	_, ok := v.Interface().(Null)
	return ok
}

// namespace holds the variables that inner blocks can set. It is opaque to the rest
// of gonja, so that one that holds itself cannot be walked for ever.
type namespace struct{ vars map[string]any }

func (n *namespace) GetAttribute(name string) (*exec.Value, bool) {
	v, ok := n.vars[name]
	return exec.ToValue(v), ok
}

func (n *namespace) GetItem(key any) (*exec.Value, bool) {
	name, _ := key.(string)
	return n.GetAttribute(name)
}

func (n *namespace) String() string { return "<Namespace>" }

// Dict is a mapping under construction.
type Dict struct{ dict *exec.Dict }

// NewDict returns an empty mapping.
func NewDict() Dict { return Dict{exec.NewDict()} }

// Put enters a value of the kinds above; a key that is there keeps its place.
func (d Dict) Put(key string, v any) { put(d.dict, key, v) }

// Value returns the mapping as a template's value.
func (d Dict) Value() any { return d.dict }

// FromJSON returns the value that JSON text stands for, with the order of keys kept.
func FromJSON(data []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	return decode(d, 0)
}

func decode(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("value is nested more than %d deep", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return decodeList(d, depth)
		}
		return decodeDict(d, depth)
	case json.Number:
		return number(t.String())
	case nil:
		return Null{}, nil
	}
	return token, nil
}

func decodeList(d *json.Decoder, depth int) (any, error) {
	list := List{}
	for d.More() {
		v, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func decodeDict(d *json.Decoder, depth int) (any, error) {
	dict := exec.NewDict()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		put(dict, key.(string), v)
	}
	_, err := d.Token()
	return dict, err
}

// put enters a key; one that is there keeps its place, as in Python.
func put(dict *exec.Dict, key string, v any) {
	for _, p := range dict.Pairs {
		if p.Key.String() == key {
			p.Value = exec.AsValue(v)
			return
		}
	}
	dict.Pairs = append(dict.Pairs, &exec.Pair{Key: exec.AsValue(key), Value: exec.AsValue(v)})
}

// number keeps whole numbers whole; those beyond int become floats.
func number(s string) (any, error) {
	if i, err := strconv.Atoi(s); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s is out of range", s)
	}
	return f, nil
}

// toList returns the entries of a list, the keys of a mapping or the characters of
// a text.
func toList(v *exec.Value) (List, error) {
	list := List{}
	switch {
	case v.IsNil():
		return list, nil
	case v.IsString():
		for _, c := range v.String() {
			list = append(list, string(c))
		}
		return list, nil
	case isNull(v) || !v.IsList() && !v.IsDict():
		return nil, fmt.Errorf("%.40s is not iterable", v.String())
	}
	v.Iterate(func(_, _ int, key, _ *exec.Value) bool {
		list = append(list, key.Interface())
		return true
	}, func() {})
	return list, nil
}

// pairs returns the entries of a mapping, in order.
func pairs(v *exec.Value) []exec.Pair {
	var all []exec.Pair
	if !v.IsDict() {
		return nil
	}
	v.Iterate(func(_, _ int, key, value *exec.Value) bool {
		all = append(all, exec.Pair{Key: key, Value: value})
		return true
	}, func() {})
	return all
}

// nesting returns how deeply lists and mappings are nested in v, up to just above
// maxDepth.
func nesting(v *exec.Value, depth int) int {
	if depth > maxDepth || v.IsNil() || !v.IsList() && !v.IsDict() {
		return depth
	}
	deepest := depth + 1
	v.Iterate(func(_, _ int, key, value *exec.Value) bool {
		if value == nil {
			value = key
		}
		deepest = max(deepest, nesting(value, depth+1))
		return deepest <= maxDepth
	}, func() {})
	return deepest
}
