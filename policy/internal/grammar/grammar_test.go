package grammar

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/policy/internal/schematest"
)

func compile(t testing.TB, schema string) (*Grammar, *Term) {
	t.Helper()
	g := New()
	term, err := g.Compile([]byte(schema))
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	return g, term
}

// accepts reports whether the whole text is one of the term's.
func accepts(g *Grammar, t *Term, text string) bool {
	for i := range len(text) {
		t = g.Next(t, text[i])
	}
	return t.Nullable()
}

func TestSchemasTakeAndRefuse(t *testing.T) {
	for _, c := range []struct {
		schema    string
		yes, no   []string
		shortest  string
		whatItsOf string
	}{
		{`{"type": "boolean"}`, []string{"true", "false"}, []string{"", "tru", "truee", "null", " true"}, "true", "words"},
		{`{"type": ["null", "boolean"]}`, []string{"true", "null"}, []string{"0"}, "null", "several types: the first of the shortest"},
		{`{"type": "integer"}`, []string{"0", "-0", "10", "-999999999999999999"}, []string{"01", "1.0", "1e3", "+1", "-", "1000000000000000000"}, "0", "free integers"},
		{`{"type": "number"}`, []string{"0", "-1.5", "1e9", "1.25E-07"}, []string{"1.", ".5", "1e", "00", "1e999"}, "0", "free numbers"},
		{`{"type": "integer", "minimum": 3, "maximum": 27}`, []string{"3", "9", "10", "27"}, []string{"2", "28", "-3", "03", "270", "3.0"}, "3", "both bounds"},
		{`{"type": "integer", "minimum": -12, "exclusiveMaximum": -3}`, []string{"-12", "-4"}, []string{"-3", "-13", "4", "-1", "-"}, "-4", "negative"},
		{`{"type": "integer", "minimum": 100}`, []string{"100", "999999999999999999"}, []string{"99", "0", "-100"}, "100", "one bound"},
		{`{"type": "number", "minimum": 0, "exclusiveMaximum": 1}`, []string{"0", "0.999999999", "0.5"}, []string{"1", "1.0", "-0.5", "0.", "0.1234567891", "-0"}, "0", "a probability"},
		{`{"type": "number", "exclusiveMinimum": 0.25, "maximum": 0.5}`, []string{"0.26", "0.250000001", "0.5", "0.50"}, []string{"0.25", "0.51", "0", "0.2"}, "0.3", "between two places"},
		{`{"type": "number", "minimum": -2.5, "maximum": -1e-3}`, []string{"-2.5", "-1", "-0.001", "-2"}, []string{"-2.51", "0", "-0", "1"}, "-1", "negative fractions"},
		{`{"type": "string"}`, []string{`""`, `"a\n\u00e9\ud83d\ude00é😀"`, `"\ud7ff\uE000"`}, []string{`"`, "\"\n\"", `"\x"`, `"\ud83d"`, `"\ude00"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\""}, `""`, "UTF-8 and escapes"},
		{`{"type": "string", "minLength": 2, "maxLength": 3}`, []string{`"ab"`, `"éé😀"`, `"\ud83d\ude00b"`}, []string{`"a"`, `"abcd"`, `"éééé"`}, `"  "`, "code points are counted"},
		{`{"type": "string", "pattern": "^\\S", "maxLength": 2}`, []string{`"a"`, `"a "`, `"é"`, `"\""`}, []string{`""`, `" a"`, `"\n"`, "\"\u00a0\"", "\"\u3000\"", "\"\u2003\"", `"abc"`}, `"!"`, "something to be seen"},
		{`{"enum": ["a", 1, null, {"b": [1, "x"]}]}`, []string{`"a"`, "1", "null", `{"b":[1,"x"]}`}, []string{`"b"`, `{"b": [1,"x"]}`}, "1", "values as they are"},
		{`{"enum": ["a", 1, 1.5], "type": "integer"}`, []string{"1"}, []string{`"a"`, "1.5"}, "1", "values of a type"},
		{`{"const": "é<"}`, []string{`"é<"`}, []string{`"e<"`}, `"é<"`, "no HTML escapes"},
		{`{"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 1, "maxItems": 3}`, []string{"[1]", "[1, 2]", "[\n  1,\n  2,\n  3\n]"}, []string{"[]", "[1,2,3,4]", "[1,]", "[1 ,2]"}, "[0]", "bounded lists"},
		{`{"type": "array", "maxItems": 0}`, []string{"[]", "[ ]"}, []string{"[1]"}, "[]", "an empty list"},
		{`{"properties": {"b": {"type": "null"}, "a": {"type": "boolean"}}, "required": ["a"]}`, []string{`{"a":true}`, `{"b": null, "a": false}`, "{\n\t\"a\":true\n}"}, []string{`{}`, `{"b":null}`, `{"a":true,"b":null}`, `{"a":true,"c":1}`, `{"a":true,}`}, `{"a":true}`, "optional members, in order"},
		{`{"type": "object", "additionalProperties": {"type": "integer"}}`, []string{`{}`, `{"x":1}`, `{"x":1, "y":2}`}, []string{`{"x":"1"}`}, `{}`, "any names"},
		{`{"type": "object", "additionalProperties": false}`, []string{`{}`}, []string{`{"x":1}`}, `{}`, "no names"},
		{`{"required": ["x"]}`, []string{`{"x":[{"y":{}}]}`}, []string{`{}`}, `{"x":0}`, "a required name without a schema"},
		{`{"anyOf": [{"type": "object", "properties": {"k": {"const": "a"}, "v": {"type": "integer"}}, "required": ["k", "v"]}, {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]}]}`, []string{`{"k":"a","v":1}`, `{"k":"b"}`}, []string{`{"k":"a"}`, `{"k":"b","v":1}`}, `{"k":"b"}`, "alternatives that begin alike"},
		{`{"$defs": {"tree": {"type": "object", "properties": {"l": {"$ref": "#/$defs/tree"}, "v": {"type": "boolean"}}, "required": ["v"]}}, "$ref": "#/$defs/tree"}`, []string{`{"v":true}`, `{"l":{"l":{"v":true},"v":false},"v":true}`}, []string{`{"l":{},"v":true}`}, `{"v":true}`, "recursion"},
		{`{"oneOf": [{"type": "integer"}, {"type": ["null", "boolean"]}]}`, []string{"12", "null", "true"}, []string{`"x"`, "1.5"}, "0", "one of types apart"},
		{`{"oneOf": [{"enum": ["a", "b"]}, {"const": "c"}, {"type": "array", "items": {"type": "null"}, "uniqueItems": false}]}`, []string{`"b"`, `"c"`, "[null,null]"}, []string{`"d"`, "[1]"}, `[]`, "one of values apart"},
		{`{"$defs": {"cat": {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind", "lives"]},
			"dog": {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]}},
			"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}, {"type": "null"}], "discriminator": {"propertyName": "kind"}}`,
			[]string{`{"kind":"cat","lives":9}`, `{"kind":"dog"}`, "null"}, []string{`{"kind":"cat"}`, `{"kind":"cow"}`}, "null", "one of kinds of objects, as generators write unions"},
		{`{}`, []string{"1", `{"a":[null]}`, `"x"`}, []string{"nul", "", "{]"}, "0", "anything"},
	} {
		g, term := compile(t, c.schema)
		for _, text := range c.yes {
			if !json.Valid([]byte(text)) {
				t.Errorf("the test's own %s is not JSON", text)
			}
			if !accepts(g, term, text) {
				t.Errorf("%s (%s): refuses %q", c.schema, c.whatItsOf, text)
			}
		}
		for _, text := range c.no {
			if accepts(g, term, text) {
				t.Errorf("%s (%s): takes %q", c.schema, c.whatItsOf, text)
			}
		}
		if got, ok := term.Completion(); !ok || got != c.shortest {
			t.Errorf("%s (%s): shortest %q, want %q", c.schema, c.whatItsOf, got, c.shortest)
		}
	}
}

func TestWrongSchemasAreRefusedByName(t *testing.T) {
	for schema, want := range map[string]string{
		`[]`:                 "a schema is an object",
		`{"type": "str"}`:    "none of object",
		`{"type": "integer"`: "EOF",
		`{"type": []}`:       "want a name",
		`{"multipleOf": 2}`:  `keyword "multipleOf" is not supported`,
		`{"properties": {"a": {"items": {"not": {}}}}}`:                     `#/properties/a/items: keyword "not"`,
		`{"properties": {"a": {"items": {"oneOf": []}}}}`:                   `#/properties/a/items: oneOf is []`,
		`{"items": {"type": "string"}, "uniqueItems": true}`:                `keyword "uniqueItems" is not supported`,
		`{"oneOf": [{"type": "integer"}, {"type": "number"}]}`:              "#: oneOf is supported where",
		`{"oneOf": [{"type": "null"}, {}]}`:                                 "for 0 and 1",
		`{"oneOf": [{"const": 1}, {"type": "string"}, {"enum": [2, 1.0]}]}`: "for 0 and 2",
		`{"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}}, {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]}]}`: "for 0 and 1",
		`{"oneOf": [{"type": "string"}, {"minimum": 3}]}`:                   "for 0 and 1",
		`{"oneOf": [{"type": "null"}], "type": "null"}`:                     "beside oneOf",
		`{"type": "string", "minLength": -1}`:                               "minLength is -1",
		`{"type": "string", "minLength": 3, "maxLength": 2}`:                "above maxLength",
		`{"type": "string", "minLength": 1000000000}`:                       "no value of at most",
		`{"type": "string", "minimum": 3}`:                                  "does not go with type string",
		`{"type": "string", "pattern": "a+"}`:                               "pattern",
		`{"type": "integer", "minimum": 4, "maximum": 3}`:                   "no number fits",
		`{"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 5}`: "no number fits",
		`{"type": "number", "minimum": "x"}`:                                "want a number",
		`{"enum": []}`:                                                      "want a list",
		`{"enum": ["a"], "type": "integer"}`:                                "no value has the type",
		`{"anyOf": []}`:                                                     "want a list of schemas",
		`{"anyOf": [{"type": "null"}], "type": "null"}`:                     "beside anyOf",
		`{"$ref": "#/$defs/x"}`:                                             "$ref",
		`{"$defs": {"x": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}}, "$ref": "#/$defs/x"}`:                              "stands for itself",
		`{"$defs": {"x": {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "required": ["x"]}}, "$ref": "#/$defs/x"}`: "no value",
		`{"type": "object", "required": ["a"], "additionalProperties": false}`:                                                     "required but no property",
		`{"title": "` + strings.Repeat("x", maxSchema) + `"}`:                                                                      "bytes, more than",
		`{} {}`: "follows",
		``:      "EOF",
	} {
		_, err := New().Compile([]byte(schema))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", schema, err, want)
		}
	}
}

// The completion after any byte of the completion is the rest of it, at every state
// that random texts lead to.
func TestCompletionsGetShorterByteByByte(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		schema := schematest.Random(rnd, 3)
		g, term := compile(t, schema)
		for range 40 {
			text, ok := term.Completion()
			if !ok {
				t.Fatalf("%s: no completion", schema)
			}
			at := term
			for i := range len(text) {
				at = g.Next(at, text[i])
				if rest, _ := at.Completion(); rest != text[i+1:] {
					t.Fatalf("%s: after %q of %q the completion is %q", schema, text[:i+1], text, rest)
				}
			}
			if !at.Nullable() {
				t.Fatalf("%s: %q does not complete", schema, text)
			}
			if term = anyNext(g, term, rnd); term == nil {
				break
			}
		}
	}
}

func anyNext(g *Grammar, t *Term, rnd *rand.Rand) *Term {
	for _, c := range rnd.Perm(256) {
		if next := g.Next(t, byte(c)); next != nil {
			return next
		}
	}
	return nil
}
