package episode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// AgeRange is a range of ages in years, both ends included. The zero value is
// any age.
type AgeRange struct{ Min, Max int }

// Admits reports whether an age lies in the range.
func (r AgeRange) Admits(age int) bool { return r == AgeRange{} || r.Min <= age && age <= r.Max }

// AgeConstraint is the range of ages that an environment asks of each agent,
// first speaker first. It is written as profiles have it, a text such as
// [(18, 70), (18, 70)], or nan where there is none.
type AgeConstraint [2]AgeRange

// UnmarshalJSON reads a text, a list of two pairs, or null.
func (c *AgeConstraint) UnmarshalJSON(text []byte) error {
	slots, err := parseConstraint(text)
	if err != nil {
		return fmt.Errorf("age constraint: %w", err)
	}
	*c = AgeConstraint{}
	for seat, slot := range slots {
		if len(slot) == 0 {
			continue
		}
		if len(slot) != 2 {
			return fmt.Errorf("age constraint %s: agent %d has %d numbers, want 2", quote(string(text)), seat+1, len(slot))
		}
		lo, err1 := strconv.Atoi(slot[0])
		hi, err2 := strconv.Atoi(slot[1])
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("age constraint %s: %w", quote(string(text)), err)
		}
		c[seat] = AgeRange{lo, hi}
	}
	return nil
}

// MarshalJSON writes a text.
func (c AgeConstraint) MarshalJSON() ([]byte, error) {
	if c == (AgeConstraint{}) {
		return []byte(`"nan"`), nil
	}
	return marshal(c.text())
}

func (c AgeConstraint) text() string {
	var parts []string
	for _, r := range c {
		if r == (AgeRange{}) {
			r.Max = 1000 // any age has to be written as a range beside another one
		}
		parts = append(parts, fmt.Sprintf("(%d, %d)", r.Min, r.Max))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// documentAges is an [AgeConstraint] as documents have it.
type documentAges AgeConstraint

func (c *documentAges) UnmarshalJSON(text []byte) error {
	return (*AgeConstraint)(c).UnmarshalJSON(text)
}

func (c documentAges) MarshalJSON() ([]byte, error) {
	if c == (documentAges{}) {
		return []byte("null"), nil
	}
	return marshal(AgeConstraint(c).text())
}

// WordConstraint lists what an environment admits for each agent, first speaker
// first; an empty list admits anything. It is written as profiles have it, a text
// such as [actor, actor] or [['actor', 'singer'], ['chef']], or none.
type WordConstraint [2][]string

// Admits reports whether any of the words fits the agent in a seat; letter case
// does not matter.
func (c WordConstraint) Admits(seat int, words ...string) bool {
	return len(c[seat]) == 0 || slices.ContainsFunc(c[seat], func(allowed string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(strings.TrimSpace(w), allowed) })
	})
}

func (c WordConstraint) empty() bool { return len(c[0]) == 0 && len(c[1]) == 0 }

// UnmarshalJSON reads a text, a list of two words or lists, or null.
func (c *WordConstraint) UnmarshalJSON(text []byte) error {
	slots, err := parseConstraint(text)
	*c = slots
	return err
}

// MarshalJSON writes a text.
func (c WordConstraint) MarshalJSON() ([]byte, error) {
	if c.empty() {
		return []byte(`"none"`), nil
	}
	return marshal(c.text())
}

func (c WordConstraint) text() string {
	var parts []string
	for _, slot := range c {
		var words []string
		for _, w := range slot {
			words = append(words, "'"+strings.ReplaceAll(w, "'", `\'`)+"'")
		}
		parts = append(parts, "["+strings.Join(words, ", ")+"]")
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// documentText is a [WordConstraint] that documents have as a text or null.
type documentText WordConstraint

func (c *documentText) UnmarshalJSON(text []byte) error {
	return (*WordConstraint)(c).UnmarshalJSON(text)
}

func (c documentText) MarshalJSON() ([]byte, error) {
	if WordConstraint(c).empty() {
		return []byte("null"), nil
	}
	return marshal(WordConstraint(c).text())
}

// documentList is a [WordConstraint] that documents have as a list or null.
type documentList WordConstraint

func (c *documentList) UnmarshalJSON(text []byte) error {
	return (*WordConstraint)(c).UnmarshalJSON(text)
}

func (c documentList) MarshalJSON() ([]byte, error) {
	if WordConstraint(c).empty() {
		return []byte("null"), nil
	}
	return marshal([2][]string{append([]string{}, c[0]...), append([]string{}, c[1]...)})
}

// parseConstraint reads the value of a constraint: null, a text that stands for
// nothing, or a list, as JSON or as the text of a Python or bare-word list. An
// element is a word, or a list or tuple of words.
func parseConstraint(value []byte) (slots [2][]string, err error) {
	text := string(bytes.TrimSpace(value))
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(value, &text); err != nil {
			return slots, err
		}
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "nan", "none", "null", "[]":
		return slots, nil
	}
	p := listParser{rest: strings.TrimSpace(text)}
	all, err := p.outer()
	if err != nil {
		return slots, fmt.Errorf("constraint %s: %w", quote(text), err)
	}
	if len(all) != len(slots) {
		return slots, fmt.Errorf("constraint %s is for %d agents, want 2", quote(text), len(all))
	}
	return [2][]string(all), nil
}

// listParser reads a list of words and of lists of words.
type listParser struct{ rest string }

var errUnclosed = errors.New("a bracket is not closed")

// outer reads the whole list.
func (p *listParser) outer() ([][]string, error) {
	if !p.open() {
		return nil, errors.New("not a list")
	}
	var all [][]string
	for {
		switch {
		case p.close():
			if p.rest != "" {
				return nil, fmt.Errorf("%s behind the list", quote(p.rest))
			}
			return all, nil
		case p.open():
			inner, err := p.words()
			if err != nil {
				return nil, err
			}
			all = append(all, inner)
		default:
			w, err := p.word()
			if err != nil {
				return nil, err
			}
			all = append(all, oneWord(w))
		}
	}
}

// oneWord is the list of one word; words that stand for nothing give none.
func oneWord(w string) []string {
	switch strings.ToLower(w) {
	case "", "nan", "none", "null":
		return nil
	}
	return []string{w}
}

// words reads the rest of a list of words.
func (p *listParser) words() ([]string, error) {
	var words []string
	for !p.close() {
		w, err := p.word()
		if err != nil {
			return nil, err
		}
		words = append(words, oneWord(w)...)
	}
	return words, nil
}

func (p *listParser) open() bool  { return p.accept("[(") }
func (p *listParser) close() bool { return p.accept(")]") }

// accept passes over one of the given characters, and the space and comma behind
// it.
func (p *listParser) accept(chars string) bool {
	if p.rest == "" || !strings.Contains(chars, p.rest[:1]) {
		return false
	}
	p.rest = strings.TrimLeft(p.rest[1:], ", \t\r\n")
	return true
}

// word reads a word, quoted or bare, and the comma behind it.
func (p *listParser) word() (string, error) {
	if p.rest == "" {
		return "", errUnclosed
	}
	var word string
	if q := p.rest[0]; q == '\'' || q == '"' {
		end := closingQuote(p.rest)
		if end < 0 {
			return "", errors.New("a quotation is not closed")
		}
		word = strings.NewReplacer(`\'`, "'", `\"`, `"`, `\\`, `\`).Replace(p.rest[1:end])
		p.rest = p.rest[end+1:]
	} else {
		end := strings.IndexAny(p.rest, ",[]()")
		if end < 0 {
			return "", errUnclosed
		}
		if end == 0 && p.rest[0] != ',' {
			return "", errors.New("lists may be nested once")
		}
		word, p.rest = p.rest[:end], p.rest[end:]
	}
	p.rest = strings.TrimLeft(p.rest, ", \t\r\n")
	return strings.TrimSpace(word), nil
}

// closingQuote returns where the quotation that s begins with ends, or -1.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i
		}
	}
	return -1
}
