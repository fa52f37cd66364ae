package grammar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Bounds of a schema.
const (
	maxSchema   = 64 << 10 // bytes
	maxTerms    = 1 << 16
	maxPlaces   = 9 // digits after the point in a bounded number, unless its bounds have more
	maxBound    = 40
	definitions = "#/$defs/"
	oldStyle    = "#/definitions/"
	notBlank    = `^\S`
)

// compiler turns a schema into terms. Errors name the place as a JSON pointer.
type compiler struct {
	g    *Grammar
	root object
}

// Compile returns the term of the values that fit a JSON schema. See the policy
// package for what is supported; anything else is an error that names it.
func (g *Grammar) Compile(schema []byte) (*Term, error) {
	if len(schema) > maxSchema {
		return nil, fmt.Errorf("the schema has %d bytes, more than %d", len(schema), maxSchema)
	}
	v, err := decode(schema)
	if err != nil {
		return nil, err
	}
	root, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("a schema is an object, not %s", brief(v))
	}
	c := &compiler{g, root}
	t, err := c.schema(root, "")
	if err != nil {
		return nil, err
	}
	if name := g.endlessHead(); name != "" {
		return nil, fmt.Errorf("%s stands for itself", name)
	}
	g.settle()
	if _, ok := t.Completion(); !ok {
		return nil, fmt.Errorf("no value of at most %d bytes fits the schema", MaxCompletion)
	}
	return t, nil
}

func (c *compiler) schema(v any, at string) (*Term, error) {
	if b, ok := v.(bool); ok && b {
		return c.g.anything(), nil
	}
	o, ok := v.(object)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: a schema is an object or true, not %s", place(at), brief(v))
	case c.g.Len() > maxTerms:
		return nil, errors.New("the schema is too large")
	}
	if err := o.known(at); err != nil {
		return nil, err
	}
	for _, form := range []struct {
		keyword string
		compile func(v any, o object, at string) (*Term, error)
	}{{"$ref", c.ref}, {"const", c.constant}, {"enum", c.enum}, {"anyOf", c.anyOf}, {"oneOf", c.oneOf}, {"allOf", c.allOf}} {
		if v, ok := o.get(form.keyword); ok {
			t, err := form.compile(v, o, at)
			if err != nil {
				return nil, err
			}
			return t, nil
		}
	}
	return c.typed(o, at)
}

// alone refuses keywords beside one that decides everything.
func (o object) alone(at, keyword string, beside ...string) error {
	for _, m := range o {
		if m.name != keyword && !annotation(m.name) && !slices.Contains(beside, m.name) {
			return fmt.Errorf("%s: %s beside %s is not supported", place(at), m.name, keyword)
		}
	}
	return nil
}

func (c *compiler) ref(v any, o object, at string) (*Term, error) {
	if err := o.alone(at, "$ref", "$defs", "definitions"); err != nil {
		return nil, err
	}
	path, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("%s: $ref is %s, want a string", place(at), brief(v))
	}
	target, ok := c.definition(path)
	if !ok {
		return nil, fmt.Errorf("%s: $ref %q is not one of #, #/$defs/... and #/definitions/... of this schema", place(at), path)
	}
	return c.g.define(path, func() (*Term, error) { return c.schema(target, strings.TrimPrefix(path, "#")) })
}

// definition returns the schema that a reference names.
func (c *compiler) definition(path string) (any, bool) {
	if path == "#" {
		return c.root, true
	}
	for prefix, list := range map[string]string{definitions: "$defs", oldStyle: "definitions"} {
		name, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		defs, _ := c.root.get(list)
		all, _ := defs.(object)
		return all.get(strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
	}
	return nil, false
}

func (c *compiler) constant(v any, o object, at string) (*Term, error) {
	if err := o.alone(at, "const", "type"); err != nil {
		return nil, err
	}
	return c.literals([]any{v}, o, at)
}

func (c *compiler) enum(v any, o object, at string) (*Term, error) {
	if err := o.alone(at, "enum", "type"); err != nil {
		return nil, err
	}
	values, ok := v.([]any)
	if !ok || len(values) == 0 {
		return nil, fmt.Errorf("%s: enum is %s, want a list of values", place(at), brief(v))
	}
	return c.literals(values, o, at)
}

// literals are the given values, as far as they have the schema's type.
func (c *compiler) literals(values []any, o object, at string) (*Term, error) {
	types, err := o.types(at)
	if err != nil {
		return nil, err
	}
	var of []*Term
	for _, v := range values {
		if len(types) == 0 || slices.ContainsFunc(types, func(t string) bool { return isA(v, t) }) {
			of = append(of, c.g.text(literal(v)))
		}
	}
	if of == nil {
		return nil, fmt.Errorf("%s: no value has the type %s", place(at), strings.Join(types, " or "))
	}
	return c.g.either(of...), nil
}

func (c *compiler) anyOf(v any, o object, at string) (*Term, error) {
	schemas, ok := v.([]any)
	if !ok || len(schemas) == 0 {
		return nil, fmt.Errorf("%s: anyOf is %s, want a list of schemas", place(at), brief(v))
	}
	return c.alternatives("anyOf", schemas, o, at)
}

// allOf of one schema is that schema: some generators write references so.
func (c *compiler) allOf(v any, o object, at string) (*Term, error) {
	schemas, ok := v.([]any)
	if !ok || len(schemas) != 1 {
		return nil, fmt.Errorf("%s: allOf is supported with one schema only", place(at))
	}
	if err := o.alone(at, "allOf", "$defs", "definitions"); err != nil {
		return nil, err
	}
	return c.schema(schemas[0], at+"/allOf/0")
}

func (c *compiler) typed(o object, at string) (*Term, error) {
	types, err := o.types(at)
	if err != nil {
		return nil, err
	}
	if len(types) == 0 {
		if types = o.implied(); len(types) == 0 {
			return c.g.anything(), nil
		}
	}
	if err := o.fits(types, at); err != nil {
		return nil, err
	}
	of := make([]*Term, len(types))
	for i, name := range types {
		if of[i], err = c.oneType(name, o, at); err != nil {
			return nil, err
		}
	}
	if t := c.g.either(of...); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%s: no value fits", place(at))
}

func (c *compiler) oneType(name string, o object, at string) (*Term, error) {
	switch name {
	case "object":
		return c.object(o, at)
	case "array":
		return c.array(o, at)
	case "string":
		return c.str(o, at)
	case "integer", "number":
		return c.number(o, at, name == "integer")
	case "boolean":
		return c.g.boolean(), nil
	}
	return c.g.text("null"), nil
}

func (c *compiler) object(o object, at string) (*Term, error) {
	required, err := o.names("required", at)
	if err != nil {
		return nil, err
	}
	extra, given := o.get("additionalProperties")
	v, listed := o.get("properties")
	properties, ok := v.(object)
	if listed && !ok {
		return nil, fmt.Errorf("%s: properties is %s, want an object", place(at), brief(v))
	}
	if len(properties)+len(required) == 0 && extra != false {
		if !given {
			extra = true
		}
		value, err := c.schema(extra, at+"/additionalProperties")
		if err != nil {
			return nil, err
		}
		return c.g.free(value), nil
	}
	members := make([]property, 0, len(properties))
	for _, p := range properties {
		value, err := c.schema(p.value, at+"/properties/"+p.name)
		if err != nil {
			return nil, err
		}
		members = append(members, property{p.name, value, slices.Contains(required, p.name)})
	}
	for _, name := range required {
		if _, ok := properties.get(name); ok {
			continue
		}
		if extra == false {
			return nil, fmt.Errorf("%s: %q is required but no property", place(at), name)
		}
		members = append(members, property{name, c.g.anything(), true})
	}
	return c.g.object(members), nil
}

func (c *compiler) array(o object, at string) (*Term, error) {
	least, most, err := o.bounds("minItems", "maxItems", at)
	if err != nil {
		return nil, err
	}
	item := c.g.anything()
	if v, ok := o.get("items"); ok {
		if item, err = c.schema(v, at+"/items"); err != nil {
			return nil, err
		}
	}
	return c.g.array(item, least, most), nil
}

func (c *compiler) str(o object, at string) (*Term, error) {
	least, most, err := o.bounds("minLength", "maxLength", at)
	if err != nil {
		return nil, err
	}
	pattern, given := o.get("pattern")
	if given && pattern != notBlank {
		return nil, fmt.Errorf("%s: pattern %s is not supported (only %q is)", place(at), brief(pattern), notBlank)
	}
	t := c.g.str(least, most, given)
	if t == nil {
		return nil, fmt.Errorf("%s: no string fits", place(at))
	}
	return t, nil
}

// number is a number, within bounds where there are any.
func (c *compiler) number(o object, at string, whole bool) (*Term, error) {
	var lo, hi *big.Rat
	var err error
	for _, k := range []struct {
		keyword string
		to      **big.Rat
	}{{"minimum", &lo}, {"exclusiveMinimum", &lo}, {"maximum", &hi}, {"exclusiveMaximum", &hi}} {
		if err := o.rational(k.keyword, at, k.to); err != nil {
			return nil, err
		}
	}
	if lo == nil && hi == nil {
		if whole {
			return c.g.integer(), nil
		}
		return c.g.anyNumber(), nil
	}
	s, err := newSpan(lo, hi, o, whole)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", place(at), err)
	}
	t := c.g.between(s)
	if t == nil {
		return nil, fmt.Errorf("%s: no number fits", place(at))
	}
	return t, nil
}

// newSpan puts bounds on the grid of the numbers that are written.
func newSpan(lo, hi *big.Rat, o object, whole bool) (*span, error) {
	s := &span{whole: maxWhole}
	if !whole {
		s.places = maxPlaces
	}
	for _, bound := range []*big.Rat{lo, hi} {
		if bound == nil {
			continue
		}
		places, exact := bound.FloatPrec()
		if !exact || places > maxBound || len(bound.Num().String()) > maxBound {
			return nil, fmt.Errorf("the bound %s has too many digits", bound.RatString())
		}
		if !whole {
			s.places = max(s.places, places)
		}
		s.whole = max(s.whole, len(bound.Num().String()))
	}
	scale := new(big.Rat).SetInt(pow10(s.places))
	s.hi = new(big.Int).Sub(pow10(s.whole+s.places), big.NewInt(1))
	s.lo = new(big.Int).Neg(s.hi)
	if lo != nil {
		x := new(big.Rat).Mul(lo, scale)
		s.lo = floor(x.Neg(x))
		s.lo.Neg(s.lo)
		if o.reached("exclusiveMinimum", lo, s.lo, scale) {
			s.lo.Add(s.lo, big.NewInt(1))
		}
	}
	if hi != nil {
		s.hi = floor(new(big.Rat).Mul(hi, scale))
		if o.reached("exclusiveMaximum", hi, s.hi, scale) {
			s.hi.Sub(s.hi, big.NewInt(1))
		}
	}
	return s, nil
}

// reached reports whether the bound on the grid is the one that is excluded.
func (o object) reached(keyword string, bound *big.Rat, at *big.Int, scale *big.Rat) bool {
	v, ok := o.get(keyword)
	if !ok {
		return false
	}
	r, _ := new(big.Rat).SetString(string(v.(json.Number)))
	return r.Cmp(bound) == 0 && new(big.Rat).Quo(new(big.Rat).SetInt(at), scale).Cmp(bound) == 0
}

func floor(x *big.Rat) *big.Int { return new(big.Int).Div(x.Num(), x.Denom()) }

// literal writes a value without space.
func literal(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("grammar: a decoded value does not encode: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func quote(s string) string { return literal(s) }
