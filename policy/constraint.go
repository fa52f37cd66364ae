package policy

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/socialrl/socialrl/policy/internal/grammar"
	"github.com/socialrl/socialrl/tokenizer"
)

// Constraint says which tokens a reply may consist of; see [SamplingOptions]. It may
// serve any number of replies at once, in any number of goroutines.
type Constraint interface {
	// Start returns the state before the first token of a reply that is to be
	// complete within limit tokens, of which one of the ends is the last. It fails
	// where no reply fits.
	Start(limit int, ends []int) (ConstraintState, error)
}

// ConstraintState is what a [Constraint] knows of one reply. It belongs to the reply.
type ConstraintState interface {
	// Allowed returns the tokens that may come next: bit v%64 of word v/64 stands for
	// token v, words that are missing allow none. At least one is allowed. The caller
	// does not change the mask, and reads it before the next call of Advance.
	Allowed() []uint64
	// Advance takes the token that came.
	Advance(token int)
}

// maxAutomaton is the memory that a constraint keeps from one reply to the next.
const maxAutomaton = 64 << 20

// Vocabulary is a tokenizer's tokens as constraints need them. It never changes and
// may be shared between goroutines. Making one takes a moment for a large
// tokenizer; [Base.Vocabulary] keeps it.
type Vocabulary struct {
	tokens *grammar.Vocabulary
	size   int
}

// NewVocabulary returns the vocabulary of a model of size tokens, of which the
// tokenizer may know fewer. Special tokens stand for no text, so that constraints
// never allow them, the end tokens apart.
func NewVocabulary(tok *tokenizer.Tokenizer, size int) *Vocabulary {
	return &Vocabulary{grammar.NewVocabulary(size, func(t int) []byte {
		if tok.IsSpecial(t) {
			return nil
		}
		return tok.Bytes(t)
	}), size}
}

// JSONSchema returns the constraint of replies that are one JSON value which fits a
// JSON schema, from the first byte to the end token and within the limit of tokens:
// when the budget runs low only those tokens are allowed behind which the value can
// still be closed, down to the shortest text. An error says what of the schema is
// wrong or not supported.
//
// Supported are type (one or several), properties, required, additionalProperties,
// items, minItems, maxItems, minLength, maxLength, minimum, maximum,
// exclusiveMinimum, exclusiveMaximum, enum, const, anyOf, allOf with one schema, oneOf
// where types or listed values (for objects, of a member that both require) show that
// no value fits two of its schemas, $ref to #, #/$defs/ and #/definitions/ (recursive
// ones too), the pattern ^\S, and true. Annotations such as title, description,
// default, format and discriminator are ignored; any other keyword is an error.
//
// What is written is a part of what the schema allows: members come in the order of
// properties and are no others (where properties are given); strings are valid
// UTF-8; whole numbers have up to 18 digits, or as many as their bounds, and numbers
// with bounds no exponent; between the parts stand nothing, a space, or a line break
// with an indent of up to 16, and none of them before the value.
func (v *Vocabulary) JSONSchema(schema []byte) (Constraint, error) {
	return v.constrain(func(g *grammar.Grammar) (*grammar.Term, error) {
		t, err := g.Compile(schema)
		if err != nil {
			return nil, fmt.Errorf("policy: JSON schema: %w", err)
		}
		return t, nil
	})
}

// JSONObject returns the constraint of replies that are any JSON object, complete
// within the limit of tokens as with [Vocabulary.JSONSchema].
func (v *Vocabulary) JSONObject() (Constraint, error) {
	return v.constrain(func(g *grammar.Grammar) (*grammar.Term, error) { return g.Object(), nil })
}

func (v *Vocabulary) constrain(compile func(*grammar.Grammar) (*grammar.Term, error)) (Constraint, error) {
	c := &jsonConstraint{v: v, compile: compile}
	return c, c.renew()
}

// jsonConstraint has an automaton that grows with what replies visit. Once it is too
// large, later replies get a new one.
type jsonConstraint struct {
	v         *Vocabulary
	compile   func(*grammar.Grammar) (*grammar.Term, error)
	mu        sync.Mutex // guards all automata
	automaton *grammar.Automaton
}

func (c *jsonConstraint) renew() error {
	g := grammar.New()
	t, err := c.compile(g)
	if err == nil {
		c.automaton = grammar.NewAutomaton(g, t, c.v.tokens)
	}
	return err
}

// Start returns the state before the first token.
func (c *jsonConstraint) Start(limit int, ends []int) (ConstraintState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.automaton.Size() > maxAutomaton {
		if err := c.renew(); err != nil {
			return nil, err
		}
	}
	s := &jsonState{c: c, automaton: c.automaton, at: c.automaton.Start(), left: limit}
	for _, e := range ends {
		if 0 <= e && e < c.v.size {
			s.ends = append(s.ends, e)
		}
	}
	if s.ends == nil {
		return nil, errors.New("policy: a constrained reply needs an end token")
	}
	if least := c.automaton.Fewest(s.at) + 1; least > limit {
		return nil, fmt.Errorf("%w: the shortest that fits has %d tokens with its end, the limit is %d", ErrConstraintLimit, least, limit)
	}
	return s, nil
}

// ErrConstraintLimit says that no reply that fits the constraint is short enough.
var ErrConstraintLimit = errors.New("policy: no constrained reply is short enough")

// jsonState is a reply under way.
type jsonState struct {
	c         *jsonConstraint
	automaton *grammar.Automaton
	at        *grammar.Term // nil once the reply has ended
	left      int           // tokens that may still come
	ends      []int
	own       []uint64 // a mask with end tokens
}

// Allowed returns the tokens that may come next.
func (s *jsonState) Allowed() []uint64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.at.Nullable() && s.at != nil {
		return s.automaton.Mask(s.at, s.left-2)
	}
	s.own = slices.Grow(s.own[:0], (s.c.v.size+63)/64)[:(s.c.v.size+63)/64]
	clear(s.own)
	if s.at != nil && !s.at.Final() {
		copy(s.own, s.automaton.Mask(s.at, s.left-2))
	}
	for _, e := range s.ends {
		s.own[e/64] |= 1 << (e % 64)
	}
	return s.own
}

// Advance takes the token that came.
func (s *jsonState) Advance(token int) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.left--
	if slices.Contains(s.ends, token) {
		s.at = nil
		return
	}
	s.at = s.automaton.Next(s.at, token)
}

// Vocabulary returns the model's tokens for constraints. It is made at the first call
// and kept until the tokenizer is replaced.
func (b *Base) Vocabulary() (*Vocabulary, error) {
	b.vocabulary.Lock()
	defer b.vocabulary.Unlock()
	if b.tok == nil {
		return nil, errors.New("policy: constraints need a tokenizer")
	}
	if b.vocabulary.of != b.tok {
		b.vocabulary.tokens, b.vocabulary.of = NewVocabulary(b.tok, b.cfg.VocabSize), b.tok
	}
	return b.vocabulary.tokens, nil
}

// constrain starts the sequence's constraint.
func (q *sequence) constrain(b *Base) (err error) {
	if q.o.Constraint == nil {
		return nil
	}
	ends := q.o.StopTokens
	if ends == nil {
		ends = b.EndTokens()
	}
	q.constraint, err = q.o.Constraint.Start(q.o.MaxTokens, ends)
	return err
}

// allowed returns the mask of the sequence's next token; nil allows all.
func (q *sequence) allowed() []uint64 {
	if q.constraint != nil {
		return q.constraint.Allowed()
	}
	return q.o.allowed(q.length)
}

// padMask makes a mask long enough for a vocabulary.
func padMask(mask []uint64, vocab int) []uint64 {
	if words := (vocab + 63) / 64; mask != nil && len(mask) < words {
		return append(slices.Clone(mask), make([]uint64, words-len(mask))...)
	}
	return mask
}
