package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// vocab is the "vocab" object of the model, in the order of the file. It is read by
// hand: a vocabulary has some 150,000 entries, and start-up time is mostly theirs.
type vocab []vocabEntry

type vocabEntry struct {
	token string
	id    int
}

// merges is the list of merges in order of rank, written as "left right" or as
// ["left", "right"].
type merges [][2]string

// UnmarshalJSON reads an object of ids. Models of other kinds have a list here; it
// is left unread, as the model is refused by its type.
func (v *vocab) UnmarshalJSON(data []byte) error {
	r := jsonReader{s: string(data)}
	if !r.skip('{') {
		return nil
	}
	for !r.skip('}') {
		token, err := r.str()
		if err != nil {
			return fmt.Errorf("vocab: %w", err)
		}
		r.skip(':')
		id, ok := r.integer()
		if !ok {
			return fmt.Errorf("vocab: the id of %q is not a whole number", token)
		}
		*v = append(*v, vocabEntry{token, id})
		r.skip(',')
	}
	return nil
}

// UnmarshalJSON reads either form of the list.
func (m *merges) UnmarshalJSON(data []byte) error {
	r := jsonReader{s: string(data)}
	if !r.skip('[') {
		return nil
	}
	for !r.skip(']') {
		pair, err := r.pair()
		if err != nil {
			return fmt.Errorf("merges[%d]: %w", len(*m), err)
		}
		*m = append(*m, pair)
		r.skip(',')
	}
	return nil
}

// jsonReader walks over JSON that is known to be valid.
type jsonReader struct {
	s string
	i int
}

// skip steps over white space and then c, if that is what follows.
func (r *jsonReader) skip(c byte) bool {
	for r.i < len(r.s) && strings.IndexByte(" \t\r\n", r.s[r.i]) >= 0 {
		r.i++
	}
	if r.i < len(r.s) && r.s[r.i] == c {
		r.i++
		return true
	}
	return false
}

// str reads a string; one without escapes is a part of the input.
func (r *jsonReader) str() (string, error) {
	if !r.skip('"') {
		return "", fmt.Errorf("there is no string at byte %d", r.i)
	}
	start, escaped := r.i, false
	for r.s[r.i] != '"' {
		if r.s[r.i] == '\\' {
			escaped = true
			r.i++
		}
		r.i++
	}
	r.i++
	if !escaped {
		return r.s[start : r.i-1], nil
	}
	var s string
	err := json.Unmarshal([]byte(r.s[start-1:r.i]), &s)
	return s, err
}

func (r *jsonReader) integer() (n int, ok bool) {
	r.skip(' ')
	start := r.i
	for r.i < len(r.s) && '0' <= r.s[r.i] && r.s[r.i] <= '9' && r.i-start < 10 {
		n = 10*n + int(r.s[r.i]-'0')
		r.i++
	}
	return n, r.i > start && strings.IndexByte(",} \t\r\n", r.s[r.i]) >= 0
}

// pair reads one merge.
func (r *jsonReader) pair() (pair [2]string, err error) {
	if !r.skip('[') {
		s, err := r.str()
		if err != nil {
			return pair, err
		}
		left, right, ok := strings.Cut(s, " ")
		if !ok || strings.Contains(right, " ") {
			return pair, fmt.Errorf("%q is not two tokens with one space between", s)
		}
		return [2]string{left, right}, nil
	}
	if pair[0], err = r.str(); err != nil {
		return pair, err
	}
	r.skip(',')
	if pair[1], err = r.str(); err != nil {
		return pair, err
	}
	if !r.skip(']') {
		return pair, fmt.Errorf("more than two tokens after %q", pair[1])
	}
	return pair, nil
}
