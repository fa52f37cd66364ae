package episode

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// profileFormat is what the four kinds of profile differ in.
type profileFormat[T any] struct {
	kind     string    // in errors
	prefix   KeyPrefix // of documents
	line     schema[T] // the first member is the id
	document schema[T]
	id       func(*T) string
	source   func(*T) *profileSource
}

// profileSource is how a profile was read.
type profileSource struct {
	fields   []field // in order; unknown ones live only here
	document bool    // with the names of documents
}

var agentFormat = profileFormat[AgentProfile]{
	"agent", AgentKey, agentSchema("agent_id"), agentSchema("pk"),
	func(p *AgentProfile) string { return p.ID }, func(p *AgentProfile) *profileSource { return &p.source },
}

var environmentFormat = profileFormat[EnvironmentProfile]{
	"environment", EnvironmentKey, environmentLine, environmentDocument,
	func(p *EnvironmentProfile) string { return p.ID }, func(p *EnvironmentProfile) *profileSource { return &p.source },
}

var relationshipFormat = profileFormat[RelationshipProfile]{
	"relationship", RelationshipKey, relationshipLine, relationshipDocument,
	func(p *RelationshipProfile) string { return p.ID }, func(p *RelationshipProfile) *profileSource { return &p.source },
}

var pairingFormat = profileFormat[Pairing]{
	"pairing", PairingKey, pairingSchema("combo_id"), pairingSchema("pk"),
	func(p *Pairing) string { return p.ID }, func(p *Pairing) *profileSource { return &p.source },
}

// parse reads an object whose members have the names of JSON lines or those of
// documents: the first name of a schema tells which.
func (f *profileFormat[T]) parse(p *T, text []byte) error {
	fields, err := parseObject(text)
	if err != nil {
		return err
	}
	source := profileSource{fields, hasKey(fields, f.document[0].key) && !hasKey(fields, f.line[0].key)}
	s := f.schema(source.document)
	*p = *new(T)
	if err := s.decode(p, fields); err != nil {
		return err
	}
	if f.id(p) == "" {
		return fmt.Errorf("%s has no %s", f.kind, s[0].key)
	}
	*f.source(p) = source
	return nil
}

func (f *profileFormat[T]) schema(document bool) schema[T] {
	if document {
		return f.document
	}
	return f.line
}

// marshal writes the profile with the names of documents or those of lines.
// Members that were read keep their order and, where they are not changed, their
// spelling as far as the other form has the same; unknown ones stay as they are.
func (f *profileFormat[T]) marshal(p *T, document bool) ([]byte, error) {
	if f.id(p) == "" {
		return nil, errors.New("episode: " + f.kind + " has no id")
	}
	to := f.schema(document)
	source := f.source(p)
	fields := source.fields
	if source.document != document {
		fields = renamed(fields, f.schema(source.document), to)
	}
	out, err := to.encode(p, fields)
	if err != nil {
		return nil, fmt.Errorf("episode: %s %s: %w", f.kind, f.id(p), err)
	}
	return appendObject(nil, out)
}

// renamed gives the members of an object the names that another schema has for
// them; the two list the same members in the same order. What the other schema
// spells otherwise is left out, to be spelled anew.
func renamed[T any](fields []field, from, to schema[T]) []field {
	out := slices.Clone(fields)
	for i, f := range fields {
		at := slices.IndexFunc(from, func(m member[T]) bool { return m.key == f.key })
		if at < 0 {
			continue
		}
		out[i].key = to[at].key
		if v := new(T); reflect.TypeOf(from[at].value(v)) != reflect.TypeOf(to[at].value(v)) {
			out[i].raw = nil
		}
	}
	return out
}

func hasKey(fields []field, key string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.key == key })
}

// UnmarshalJSON reads a JSON line or a document.
func (p *AgentProfile) UnmarshalJSON(text []byte) error { return agentFormat.parse(p, text) }

// MarshalJSON writes the profile as JSON lines have it.
func (p *AgentProfile) MarshalJSON() ([]byte, error) { return agentFormat.marshal(p, false) }

// Document returns the profile as SOTOPIA keeps it in Redis under [AgentKey].
func (p *AgentProfile) Document() ([]byte, error) {
	return agentFormat.marshal(p, true)
}

// UnmarshalJSON reads a JSON line or a document.
func (p *EnvironmentProfile) UnmarshalJSON(text []byte) error {
	if err := environmentFormat.parse(p, text); err != nil {
		return err
	}
	if n := len(p.AgentGoals); n != 2 {
		return fmt.Errorf("environment %s has %d agent_goals, want 2", p.ID, n)
	}
	return nil
}

// MarshalJSON writes the profile as JSON lines have it.
func (p *EnvironmentProfile) MarshalJSON() ([]byte, error) {
	return environmentFormat.marshal(p, false)
}

// Document returns the profile as SOTOPIA keeps it in Redis under
// [EnvironmentKey].
func (p *EnvironmentProfile) Document() ([]byte, error) {
	return environmentFormat.marshal(p, true)
}

// UnmarshalJSON reads a JSON line or a document.
func (p *RelationshipProfile) UnmarshalJSON(text []byte) error {
	return relationshipFormat.parse(p, text)
}

// MarshalJSON writes the profile as JSON lines have it.
func (p *RelationshipProfile) MarshalJSON() ([]byte, error) {
	return relationshipFormat.marshal(p, false)
}

// Document returns the profile as SOTOPIA keeps it in Redis under
// [RelationshipKey].
func (p *RelationshipProfile) Document() ([]byte, error) {
	return relationshipFormat.marshal(p, true)
}

// UnmarshalJSON reads a JSON line or a document.
func (p *Pairing) UnmarshalJSON(text []byte) error {
	if err := pairingFormat.parse(p, text); err != nil {
		return err
	}
	if n := len(p.AgentIDs); n != 2 {
		return fmt.Errorf("pairing %s has %d agent_ids, want 2", p.ID, n)
	}
	return nil
}

// MarshalJSON writes the pairing as JSON lines have it.
func (p *Pairing) MarshalJSON() ([]byte, error) { return pairingFormat.marshal(p, false) }

// Document returns the pairing as SOTOPIA keeps it in Redis under [PairingKey].
func (p *Pairing) Document() ([]byte, error) {
	return pairingFormat.marshal(p, true)
}
