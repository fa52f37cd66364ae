package episode

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/kaptinlin/jsonrepair"
)

// Causes of an [ActionError].
var (
	// ErrNoAction says that the reply holds no JSON object with an action_type.
	ErrNoAction = errors.New("no action found")
	// ErrActionType says that action_type is none of the five.
	ErrActionType = errors.New("invalid action type")
	// ErrNoArgument says that the action needs an argument and has none.
	ErrNoArgument = errors.New("argument missing")
)

// ActionError says why a model's reply is not an action.
type ActionError struct {
	Reply string // the whole reply
	Cause error  // ErrNoAction, ErrActionType or ErrNoArgument
	Value string // the action type found, "" where there is none
}

// Error names the cause and quotes the reply, shortened.
func (e *ActionError) Error() string {
	if e.Cause == ErrActionType {
		return fmt.Sprintf("episode: %v %q (allowed: %q) in reply %s", e.Cause, e.Value, ActionTypes(), quote(e.Reply))
	}
	return fmt.Sprintf("episode: %v in reply %s", e.Cause, quote(e.Reply))
}

// Unwrap returns the cause.
func (e *ActionError) Unwrap() error { return e.Cause }

// ParseAction finds the action in a model's reply. The JSON object may stand in
// prose, in a code fence or inside another object; broken JSON is repaired
// (missing quotes, commas and brackets, single quotes, Python constants). Of
// several objects the first with a valid action counts. Letter case and space
// around the type are ignored, and so is an argument where the type takes none.
// The error is an [*ActionError].
func ParseAction(reply string) (Action, error) {
	failure := &ActionError{Reply: reply, Cause: ErrNoAction}
	for object := range Objects(reply) {
		a, err := actionWithin(object)
		if err == nil {
			return a, nil
		}
		if failure.Cause == ErrNoAction {
			failure.Cause, failure.Value = err.Cause, err.Value
		}
	}
	return Action{}, failure
}

// actionWithin reads the action that an object is, or else the first one among
// its members.
func actionWithin(object json.RawMessage) (Action, *ActionError) {
	a, err := actionOf(object)
	if err == nil || err.Cause != ErrNoAction {
		return a, err
	}
	fields, _ := parseObject(object)
	for _, f := range fields {
		if len(f.raw) > 0 && f.raw[0] == '{' {
			if a, inner := actionOf(f.raw); inner == nil || inner.Cause != ErrNoAction {
				return a, inner
			}
		}
	}
	return Action{}, err
}

// actionOf reads the action that an object is.
func actionOf(object json.RawMessage) (Action, *ActionError) {
	var v struct {
		Type     json.RawMessage `json:"action_type"`
		Argument json.RawMessage `json:"argument"`
	}
	if err := json.Unmarshal(object, &v); err != nil || v.Type == nil {
		return Action{}, &ActionError{Cause: ErrNoAction}
	}
	name := string(v.Type)
	if json.Unmarshal(v.Type, &name) != nil || !normalType(name).Valid() {
		return Action{}, &ActionError{Cause: ErrActionType, Value: name}
	}
	a := Action{Type: normalType(name)}
	if !a.Type.needsArgument() {
		return a, nil
	}
	if err := json.Unmarshal(v.Argument, &a.Argument); err != nil || strings.TrimSpace(a.Argument) == "" {
		return Action{}, &ActionError{Cause: ErrNoArgument, Value: name}
	}
	return a, nil
}

func normalType(name string) ActionType { return ActionType(strings.ToLower(strings.TrimSpace(name))) }

// Bounds of the search for objects. Repair takes time that grows with the square
// of the length, so what it is given is bounded each time and in all.
const (
	maxObjects   = 32        // places that are tried as the start of an object
	maxReply     = 256 << 10 // bytes of a reply that are looked at
	maxRepair    = 16 << 10  // bytes that one repair is given
	repairBudget = 64 << 10  // bytes that all repairs of a reply are given
)

// Objects returns the JSON objects in a model's reply. First come those that are
// valid as they stand, outermost ones only, in order; then what looks like an
// object and becomes one by repair. The first 256 KiB of the reply and at most
// 32 opening braces are looked at; repair reads at most 16 KiB from a brace on.
func Objects(reply string) iter.Seq[json.RawMessage] {
	if len(reply) > maxReply {
		reply = reply[:maxReply]
	}
	return func(yield func(json.RawMessage) bool) {
		var broken []string // what each brace opens that no valid object begins with
		s := reply
		for range maxObjects {
			i := strings.IndexByte(s, '{')
			if i < 0 {
				break
			}
			s = s[i:]
			dec := json.NewDecoder(strings.NewReader(s))
			var object json.RawMessage
			if dec.Decode(&object) != nil {
				broken = append(broken, s)
				s = s[1:]
				continue
			}
			if !yield(object) {
				return
			}
			s = s[dec.InputOffset():]
		}
		budget := repairBudget
		for _, s := range broken {
			if object, ok := repairObject(s, &budget); ok && !yield(object) {
				return
			}
		}
	}
}

// repairObject repairs what s opens with: up to the last closing brace before
// the end of its code fence, or else up to that end. It takes the bytes that it
// looks at off the budget, and gives up when that is spent.
func repairObject(s string, budget *int) (json.RawMessage, bool) {
	body, _, _ := strings.Cut(s[:min(len(s), maxRepair)], "```")
	body = strings.TrimSpace(body)
	candidates := []string{body}
	if i := strings.LastIndexByte(body, '}'); i >= 0 {
		candidates = []string{body[:i+1], body}
	}
	for _, c := range candidates {
		if *budget -= len(c); *budget < 0 {
			return nil, false
		}
		fixed, err := jsonrepair.Repair(c)
		if err == nil && strings.HasPrefix(fixed, "{") && json.Valid([]byte(fixed)) {
			return json.RawMessage(fixed), true
		}
	}
	return nil, false
}
