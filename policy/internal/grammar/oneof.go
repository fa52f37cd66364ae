package grammar

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// oneOf is anyOf where no value fits two of the schemas. That is shown by their types,
// by values that are listed, or by such a difference in a member that objects of both
// must have; where it is not, the schema is refused.
func (c *compiler) oneOf(v any, o object, at string) (*Term, error) {
	schemas, ok := v.([]any)
	if !ok || len(schemas) == 0 {
		return nil, fmt.Errorf("%s: oneOf is %s, want a list of schemas", place(at), brief(v))
	}
	for i, a := range schemas {
		for j, b := range schemas[:i] {
			if !c.disjoint(a, b, maxDepth) {
				return nil, fmt.Errorf("%s: oneOf is supported where types, or values listed for a required member, tell its schemas apart, which they do not for %d and %d",
					place(at), j, i)
			}
		}
	}
	return c.alternatives("oneOf", schemas, o, at)
}

// alternatives are values that fit any of the schemas of a keyword.
func (c *compiler) alternatives(keyword string, schemas []any, o object, at string) (*Term, error) {
	if err := o.alone(at, keyword, "$defs", "definitions"); err != nil {
		return nil, err
	}
	of := make([]*Term, len(schemas))
	for i, s := range schemas {
		var err error
		if of[i], err = c.schema(s, at+"/"+keyword+"/"+strconv.Itoa(i)); err != nil {
			return nil, err
		}
	}
	return c.g.either(of...), nil
}

// maxDepth is how deep schemas are compared.
const maxDepth = 16

// disjoint reports whether it is plain that no value fits both schemas.
func (c *compiler) disjoint(a, b any, depth int) bool {
	if depth == 0 {
		return false
	}
	x, y := c.resolve(a), c.resolve(b)
	if x == nil || y == nil {
		return false
	}
	for _, pair := range [][2]object{{x, y}, {y, x}} {
		for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
			if v, ok := pair[0].get(keyword); ok {
				parts, _ := v.([]any)
				return len(parts) > 0 && !slices.ContainsFunc(parts, func(p any) bool { return !c.disjoint(p, pair[1], depth-1) })
			}
		}
	}
	if xs, ys := x.kinds(), y.kinds(); !overlap(xs, ys) {
		return true
	}
	xv, yv := x.listed(), y.listed()
	if xv != nil && yv != nil {
		return !slices.ContainsFunc(xv, func(v any) bool { return slices.ContainsFunc(yv, func(w any) bool { return same(v, w) }) })
	}
	return c.disjointMembers(x, y, depth)
}

// disjointMembers reports whether both schemas are of objects alone, with a required member
// whose values differ.
func (c *compiler) disjointMembers(x, y object, depth int) bool {
	if object := []string{"object"}; !slices.Equal(x.kinds(), object) || !slices.Equal(y.kinds(), object) {
		return false
	}
	needed, err := x.names("required", "")
	others, err2 := y.names("required", "")
	if err != nil || err2 != nil {
		return false
	}
	of := func(o object, name string) (any, bool) {
		v, _ := o.get("properties")
		properties, _ := v.(object)
		return properties.get(name)
	}
	return slices.ContainsFunc(needed, func(name string) bool {
		a, ok := of(x, name)
		b, ok2 := of(y, name)
		return slices.Contains(others, name) && ok && ok2 && c.disjoint(a, b, depth-1)
	})
}

// resolve follows references; nil where there is no schema that says anything.
func (c *compiler) resolve(v any) object {
	for range maxDepth {
		o, _ := v.(object)
		path, ok := o.get("$ref")
		if !ok {
			return o
		}
		name, _ := path.(string)
		if v, ok = c.definition(name); !ok {
			return nil
		}
	}
	return nil
}

// kinds returns the types of the values that fit, integers among the numbers; nil where
// any may.
func (o object) kinds() []string {
	var kinds []string
	types, err := o.types("")
	switch values := o.listed(); {
	case err != nil:
		return nil
	case types == nil && values != nil:
		for _, v := range values {
			kinds = append(kinds, typeNames[slices.IndexFunc(typeNames, func(t string) bool { return t != "integer" && isA(v, t) })])
		}
	}
	for _, t := range types {
		kinds = append(kinds, strings.Replace(t, "integer", "number", 1))
	}
	return kinds
}

// overlap reports whether two lists of types have one in common, or are no lists.
func overlap(a, b []string) bool {
	return a == nil || b == nil || slices.ContainsFunc(a, func(t string) bool { return slices.Contains(b, t) })
}

// listed returns the values of const or enum, nil where neither is there.
func (o object) listed() []any {
	if v, ok := o.get("const"); ok {
		return []any{v}
	}
	v, _ := o.get("enum")
	values, _ := v.([]any)
	return values
}

// same reports whether two values may be the same: of objects and lists it says so.
func same(a, b any) bool {
	x, ok := a.(json.Number)
	y, ok2 := b.(json.Number)
	if ok && ok2 {
		r, fine := new(big.Rat).SetString(string(x))
		s, fine2 := new(big.Rat).SetString(string(y))
		return !fine || !fine2 || r.Cmp(s) == 0
	}
	for _, name := range []string{"object", "array"} {
		if isA(a, name) && isA(b, name) {
			return true
		}
	}
	return ok == ok2 && literal(a) == literal(b)
}
