package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	strictjson "github.com/go-json-experiment/json"

	"github.com/socialrl/socialrl/episode"
)

// Faults of a judge's reply.
var (
	errCutOff   = errors.New("it was cut off at the limit of tokens")
	errUnclosed = errors.New("it ends before its JSON object does")
	errNoObject = errors.New("it holds no JSON object")
)

// parseVerdicts reads a judge's reply: one verdict for each agent. The object may
// stand in prose or in a code fence, and its syntax is repaired where that helps,
// but it must be whole: an unfinished one may have lost digits. Of several objects
// the last that can be used counts.
func parseVerdicts(reply episode.Reply, list []Criterion) ([]verdict, error) {
	if reply.FinishReason == "length" {
		return nil, errCutOff
	}
	if unclosed(reply.Text) {
		return nil, errUnclosed
	}
	var found []verdict
	fault := errNoObject
	for object := range episode.Objects(reply.Text) {
		verdicts, err := verdictsOf(object, list)
		switch {
		case err == nil:
			found = verdicts
		case fault == errNoObject:
			fault = err
		}
	}
	if found == nil {
		return nil, fault
	}
	return found, nil
}

// unclosed reports whether text opens an object and ends inside it.
func unclosed(text string) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && depth > 0:
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth = max(0, depth-1)
		}
	}
	return depth > 0
}

// members are the fields of an object by name; a repeated name is an error.
type members map[string]json.RawMessage

func membersOf(object json.RawMessage) (members, error) {
	var m members
	if err := strictjson.Unmarshal(object, &m); err != nil {
		return nil, errors.New("it repeats a name, or is not an object")
	}
	return m, nil
}

// verdictsOf reads the verdicts that an object holds under agent_1 and agent_2.
func verdictsOf(object json.RawMessage, list []Criterion) ([]verdict, error) {
	m, err := membersOf(object)
	if err != nil {
		return nil, err
	}
	var out []verdict
	for i := range agents {
		key := agentKey(i)
		if m[key] == nil {
			return nil, fmt.Errorf("%s is missing", key)
		}
		v, err := verdictOf(m[key], list)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func verdictOf(object json.RawMessage, list []Criterion) (verdict, error) {
	m, err := membersOf(object)
	if err != nil {
		return verdict{}, err
	}
	var v verdict
	for _, c := range list {
		name := string(c.Dimension)
		if m[name] == nil {
			return verdict{}, fmt.Errorf("%s is missing", name)
		}
		reason, score, err := c.read(m[name])
		if err != nil {
			return verdict{}, fmt.Errorf("%s: %w", name, err)
		}
		v.reasons = append(v.reasons, reason)
		v.scores = append(v.scores, episode.DimensionScore{Dimension: c.Dimension, Score: score})
	}
	return v, nil
}

// read reads {"reasoning": "...", "score": number}.
func (c Criterion) read(object json.RawMessage) (reason string, score float64, err error) {
	m, err := membersOf(object)
	if err != nil {
		return "", 0, err
	}
	if json.Unmarshal(m["reasoning"], &reason) != nil || strings.TrimSpace(reason) == "" {
		return "", 0, errors.New("the reasoning is missing")
	}
	if score, err = scoreIn(m["score"]); err != nil {
		return "", 0, err
	}
	return strings.Join(strings.Fields(reason), " "), score, c.accept(score)
}

// scoreIn reads a number, which may stand in quotes.
func scoreIn(value json.RawMessage) (float64, error) {
	text := string(value)
	if text == "" || text == "null" {
		return 0, errors.New("the score is missing")
	}
	var inner string
	if json.Unmarshal(value, &inner) == nil {
		text = strings.TrimSpace(inner)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the score %.40q is not a number", text)
	}
	return v + 0, nil // no negative zero
}
