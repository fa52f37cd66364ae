package attribution

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/kaptinlin/jsonrepair"
)

// maxReply bounds the replies that are looked at, and maxRepair how much of one
// is repaired, both in bytes. The repair of hopeless text takes time in the cube
// of its length, and a broken reply of scores is short.
const (
	maxReply  = 1 << 20
	maxRepair = 2 << 10
)

// bound is the score that a reply must hold for one utterance: an integer from
// min to max.
type bound struct{ index, min, max int }

// parseScores reads a reply that scores utterances by index and returns one
// score for each bound, in their order. The reply may wrap its JSON in prose and
// break its syntax, but must be whole: of several complete JSON values the last
// that holds scores counts, and an unfinished one never does, since its last
// number may have lost digits. Anything but exactly one score for each utterance
// is an error.
//
// These spellings are understood, alone or as a field of an object:
//
//	{"0": 3, "2": 1}
//	[{"index": 0, "score": 3}, {"index": 2, "score": 1}]
//	{"0": {"score": 3, "reason": "..."}, "2": {"score": 1}}
func parseScores(reply string, want []bound) ([]float64, error) {
	values, err := replyValues(reply)
	if err != nil {
		return nil, err
	}
	for value := range values {
		if found := collectScores(value, nil); len(found) > 0 {
			return matchScores(found, want)
		}
	}
	return nil, errors.New("no complete JSON value with scores by index")
}

// parseChoice reads a reply that names one of the utterances asked for, and
// returns its place among them. The last complete JSON object that names one
// counts, as in parseScores. These spellings are understood:
//
//	{"key_utterance": 4}
//	{"key_utterance": "[4]"}
//	{"key_utterance": {"index": 4}}
func parseChoice(reply string, want []bound) (int, error) {
	chosen, err := namedValue(reply, "key_utterance")
	if err != nil {
		return 0, err
	}
	if o, ok := chosen.(object); ok {
		chosen, _ = o.get("index", "utterance", "key_utterance")
	}
	text := fmt.Sprint(chosen)
	index, ok := parseIndex(text)
	i := slices.IndexFunc(want, func(b bound) bool { return b.index == index })
	if !ok || i < 0 {
		return 0, fmt.Errorf("key_utterance is %.40q, want one of %s", text, indices(want))
	}
	return i, nil
}

// parseValue reads a reply that holds one score from lo to hi: {"score": 7.5}.
func parseValue(reply string, lo, hi float64) (float64, error) {
	score, err := namedValue(reply, "score")
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(fmt.Sprint(score))
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(lo <= v && v <= hi) {
		return 0, fmt.Errorf("score is %.40q, want a number from %v to %v", text, lo, hi)
	}
	return v, nil
}

// namedValue returns the field of the given name of the last complete JSON object
// that has one.
func namedValue(reply, name string) (any, error) {
	values, err := replyValues(reply)
	if err != nil {
		return nil, err
	}
	for value := range values {
		if o, ok := value.(object); ok {
			if v, ok := o.get(name); ok {
				return v, nil
			}
		}
	}
	return nil, fmt.Errorf("no complete JSON object with %q", name)
}

// replyValues yields the complete JSON values of a reply, the last first.
func replyValues(reply string) (iter.Seq[any], error) {
	if len(reply) > maxReply {
		return nil, fmt.Errorf("reply of %d bytes, at most %d are read", len(reply), maxReply)
	}
	return func(yield func(any) bool) {
		repairs := maxRepair
		for _, span := range slices.Backward(jsonSpans(reply)) {
			if value, ok := decodeLoose(span, &repairs); ok && !yield(value) {
				return
			}
		}
	}, nil
}

// indexed is one score as a reply gives it.
type indexed struct {
	index int
	value any
}

// matchScores puts found scores in the order of want.
func matchScores(found []indexed, want []bound) ([]float64, error) {
	scores := make([]float64, len(want))
	seen := make([]bool, len(want))
	for _, f := range found {
		i := slices.IndexFunc(want, func(b bound) bool { return b.index == f.index })
		if i < 0 {
			return nil, fmt.Errorf("a score for utterance %d, which was not asked for (asked: %s)", f.index, indices(want))
		}
		if seen[i] {
			return nil, fmt.Errorf("two scores for utterance %d", f.index)
		}
		v, err := integer(f.value)
		if err != nil {
			return nil, fmt.Errorf("utterance %d: %w", f.index, err)
		}
		if v < want[i].min || v > want[i].max {
			return nil, fmt.Errorf("utterance %d: score %d is outside %d..%d", f.index, v, want[i].min, want[i].max)
		}
		scores[i], seen[i] = float64(v), true
	}
	if i := slices.Index(seen, false); i >= 0 {
		return nil, fmt.Errorf("%d scores, want %d: none for utterance %d", len(found), len(want), want[i].index)
	}
	return scores, nil
}

func indices(want []bound) string {
	var s []string
	for _, b := range want {
		s = append(s, strconv.Itoa(b.index))
	}
	return strings.Join(s, ", ")
}

// integer returns the value of a whole number, which may be spelled 3, 3.0 or
// "3".
func integer(v any) (int, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	default:
		return 0, fmt.Errorf("score is not a number but %s", kindOf(v))
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(whole)
	if err != nil || strings.Trim(fraction, "0") != "" {
		return 0, fmt.Errorf("score %.40q is not a whole number", text)
	}
	return n, nil
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case object:
		return "an object without a score"
	}
	return "an array"
}

// object is a JSON object whose repeated keys are all kept.
type object []field

type field struct {
	key   string
	value any
}

// get returns the value of the first of the keys that the object has.
func (o object) get(keys ...string) (any, bool) {
	for _, key := range keys {
		for _, f := range o {
			if strings.EqualFold(f.key, key) {
				return f.value, true
			}
		}
	}
	return nil, false
}

// collectScores appends every score by index that value holds.
func collectScores(value any, found []indexed) []indexed {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			found = collectScores(e, found)
		}
	case object:
		if f, ok := listedScore(v); ok {
			return append(found, f)
		}
		for _, f := range v {
			if i, ok := parseIndex(f.key); ok {
				found = append(found, indexed{i, scoreOf(f.value)})
			} else {
				found = collectScores(f.value, found)
			}
		}
	}
	return found
}

// listedScore reads {"index": i, "score": s}.
func listedScore(o object) (indexed, bool) {
	index, ok := o.get("index", "utterance")
	score, scored := o.get("score")
	if !ok || !scored {
		return indexed{}, false
	}
	i, err := integer(index)
	return indexed{i, score}, err == nil && i >= 0
}

// scoreOf unwraps {"score": s}.
func scoreOf(value any) any {
	if o, ok := value.(object); ok {
		if s, ok := o.get("score"); ok {
			return s
		}
	}
	return value
}

// parseIndex reads 4, [4] or #4.
func parseIndex(key string) (int, bool) {
	n, err := strconv.ParseUint(strings.Trim(key, " []#"), 10, 31)
	return int(n), err == nil
}

// decodeLoose reads a JSON value after repairing its syntax where need be and
// where repairs bytes still allow it. Its objects are of type object, its numbers
// json.Number.
func decodeLoose(text string, repairs *int) (any, bool) {
	if !json.Valid([]byte(text)) {
		if len(text) > *repairs {
			return nil, false
		}
		*repairs -= len(text)
		repaired, err := jsonrepair.Repair(text)
		if err != nil || !json.Valid([]byte(repaired)) {
			return nil, false
		}
		text = repaired
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := decodeValue(dec)
	return v, err == nil
}

// decodeValue reads the next value of valid JSON. Its depth is limited, as
// json.Valid has checked the text.
func decodeValue(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		return decodeObject(dec)
	}
	return t, nil
}

func decodeObject(dec *json.Decoder) (object, error) {
	o := object{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		v, err := decodeValue(dec)
		if err != nil {
			return nil, err
		}
		o = append(o, field{name, v})
	}
	_, err := dec.Token()
	return o, err
}

// jsonSpans returns the outermost pieces of text that open with a brace or a
// bracket and close with its partner, in order. Brackets in strings do not
// count, nor do those that are never closed.
func jsonSpans(text string) []string {
	var open []int
	var spans [][2]int
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '{', '[':
			open = append(open, i)
		case '}', ']':
			if n := len(open); n > 0 && text[open[n-1]] == c-2 { // '{'+2 == '}' and '['+2 == ']'
				from := open[n-1]
				open = open[:n-1]
				for len(spans) > 0 && spans[len(spans)-1][0] > from {
					spans = spans[:len(spans)-1]
				}
				spans = append(spans, [2]int{from, i + 1})
			}
		case '"':
			if len(open) > 0 {
				i += closingQuote(text[i+1:])
			}
		}
	}
	out := make([]string, len(spans))
	for i, s := range spans {
		out[i] = text[s[0]:s[1]]
	}
	return out
}

// closingQuote returns the length of the rest of a string literal up to and with
// its closing quote, or 0 where the line ends first: then the quote was not one
// that opens a string.
func closingQuote(rest string) int {
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '\n':
			return 0
		case '"':
			return i + 1
		}
	}
	return 0
}

// compactReply returns at most n bytes of a reply as evidence.
func compactReply(reply string, n int) string {
	if len(reply) <= n {
		return reply
	}
	return string(bytes.ToValidUTF8([]byte(reply[:n]), nil)) + fmt.Sprintf("... (%d bytes)", len(reply))
}
