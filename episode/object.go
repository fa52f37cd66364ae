package episode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/socialrl/socialrl/internal/pyjson"
)

// field is one member of a JSON object.
type field struct {
	key string
	raw json.RawMessage
}

// eachField calls f with the members of a JSON object, in order.
func eachField(text []byte, f func(key string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil {
		return unexpectedEOF(err)
	} else if t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return unexpectedEOF(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return unexpectedEOF(err)
		}
		if err := f(key.(string), value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return unexpectedEOF(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("text after the JSON object at byte %d", dec.InputOffset())
	}
	return nil
}

// unexpectedEOF names the end of the text as what it is inside an object.
func unexpectedEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseObject returns the members of a JSON object, in order.
func parseObject(text []byte) ([]field, error) {
	var fields []field
	err := eachField(text, func(key string, value json.RawMessage) error {
		fields = append(fields, field{key, value})
		return nil
	})
	return fields, err
}

// appendObject appends a JSON object in the spelling of Python.
func appendObject(dst []byte, fields []field) ([]byte, error) {
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		key, err := pyjson.Marshal(f.key)
		if err != nil {
			return nil, err
		}
		dst = append(append(dst, key...), ": "...)
		dst = pyjson.Append(dst, f.raw)
	}
	return append(dst, '}'), nil
}

// member ties the name of a member of a JSON object to the Go value that holds
// it; value returns a pointer.
type member[T any] struct {
	key   string
	value func(*T) any
}

// schema lists the members that a kind of object has, in their usual order.
type schema[T any] []member[T]

func (s schema[T]) find(key string) (member[T], bool) {
	i := slices.IndexFunc(s, func(m member[T]) bool { return m.key == key })
	if i < 0 {
		return member[T]{}, false
	}
	return s[i], true
}

// decode fills t from the members that the schema knows.
func (s schema[T]) decode(t *T, fields []field) error {
	for _, f := range fields {
		if m, ok := s.find(f.key); ok {
			if err := json.Unmarshal(f.raw, m.value(t)); err != nil {
				return fmt.Errorf("%s: %w", f.key, err)
			}
		}
	}
	return nil
}

// encode returns the members of t: first those of source in their order, known
// ones verbatim where they still say what t says, and unknown ones as they are;
// then the known ones that source lacks and t has.
func (s schema[T]) encode(t *T, source []field) ([]field, error) {
	var out []field
	for _, f := range source {
		m, known := s.find(f.key)
		if known && !unchanged(f.raw, m.value(t)) {
			raw, err := marshal(m.value(t))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.key, err)
			}
			f.raw = raw
		}
		out = append(out, f)
	}
	for _, m := range s {
		has := slices.ContainsFunc(source, func(f field) bool { return f.key == m.key })
		if has || reflect.ValueOf(m.value(t)).Elem().IsZero() {
			continue
		}
		raw, err := marshal(m.value(t))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		out = append(out, field{m.key, raw})
	}
	return out, nil
}

// marshal is json.Marshal without HTML escapes.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// unchanged reports whether raw decodes to what the pointer v points at.
func unchanged(raw json.RawMessage, v any) bool {
	was := reflect.New(reflect.TypeOf(v).Elem())
	return json.Unmarshal(raw, was.Interface()) == nil && reflect.DeepEqual(was.Interface(), v)
}
