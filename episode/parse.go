package episode

import (
	"encoding/json"
	"errors"
	"fmt"
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
// prose or in a code fence; broken JSON is repaired (missing quotes, commas and
// brackets, single quotes, Python constants). Of several objects the first with
// a valid action counts. Letter case and space around the type are ignored, and
// so is an argument where the type takes none. The error is an [*ActionError].
func ParseAction(reply string) (Action, error) {
	failure := &ActionError{Reply: reply, Cause: ErrNoAction}
	for _, object := range FindObjects(reply) {
		a, err := actionOf(object)
		if err == nil {
			return a, nil
		}
		var e *ActionError
		if errors.As(err, &e) && failure.Cause == ErrNoAction {
			failure.Cause, failure.Value = e.Cause, e.Value
		}
	}
	return Action{}, failure
}

// actionOf reads the action that an object holds.
func actionOf(object json.RawMessage) (Action, error) {
	var v struct {
		Type     *string         `json:"action_type"`
		Argument json.RawMessage `json:"argument"`
	}
	if err := json.Unmarshal(object, &v); err != nil || v.Type == nil {
		return Action{}, &ActionError{Cause: ErrNoAction}
	}
	a := Action{Type: ActionType(strings.ToLower(strings.TrimSpace(*v.Type)))}
	if !a.Type.Valid() {
		return Action{}, &ActionError{Cause: ErrActionType, Value: *v.Type}
	}
	if !a.Type.needsArgument() {
		return a, nil
	}
	if err := json.Unmarshal(v.Argument, &a.Argument); err != nil || strings.TrimSpace(a.Argument) == "" {
		return Action{}, &ActionError{Cause: ErrNoArgument, Value: *v.Type}
	}
	return a, nil
}

// maxObjects bounds how many places of a reply are tried as the start of an
// object, and maxReply how much of a reply is looked at.
const (
	maxObjects = 32
	maxReply   = 1 << 20
)

// FindObjects returns the JSON objects that stand in a model's reply, outermost
// only, in order. Objects that are valid JSON come as they are; where there is
// none, what looks like an object is repaired. At most the first MiB of the
// reply is searched.
func FindObjects(reply string) []json.RawMessage {
	if len(reply) > maxReply {
		reply = reply[:maxReply]
	}
	if found := validObjects(reply); len(found) > 0 {
		return found
	}
	return repairedObjects(reply)
}

// validObjects returns the objects that parse without repair.
func validObjects(s string) []json.RawMessage {
	var found []json.RawMessage
	for range maxObjects {
		i := strings.IndexByte(s, '{')
		if i < 0 {
			break
		}
		s = s[i:]
		dec := json.NewDecoder(strings.NewReader(s))
		var object json.RawMessage
		if dec.Decode(&object) != nil {
			s = s[1:]
			continue
		}
		found = append(found, object)
		s = s[dec.InputOffset():]
	}
	return found
}

// repairedObjects repairs what stands from each opening brace to the last
// closing one, or to the end of its fence, and returns the first that becomes
// an object.
func repairedObjects(s string) []json.RawMessage {
	for range maxObjects {
		i := strings.IndexByte(s, '{')
		if i < 0 {
			break
		}
		for _, candidate := range extents(s[i:]) {
			fixed, err := jsonrepair.Repair(candidate)
			if err == nil && strings.HasPrefix(fixed, "{") && json.Valid([]byte(fixed)) {
				return []json.RawMessage{json.RawMessage(fixed)}
			}
		}
		s = s[i+1:]
	}
	return nil
}

// extents returns how far an object that s opens may reach: to the last closing
// brace, to the end of the code fence, to the end.
func extents(s string) []string {
	body, _, _ := strings.Cut(s, "```")
	body = strings.TrimSpace(body)
	candidates := []string{body}
	if i := strings.LastIndexByte(body, '}'); i >= 0 {
		candidates = []string{body[:i+1], body}
	}
	return candidates
}
