package episode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/internal/pyjson"
)

// ActionType is what an agent can do in a turn.
type ActionType string

// The action types of SOTOPIA, in the order in which agents are offered them.
const (
	None           ActionType = "none"                     // do nothing; the argument is empty
	Speak          ActionType = "speak"                    // the argument is what is said
	NonVerbal      ActionType = "non-verbal communication" // the argument is an expression or a gesture
	PhysicalAction ActionType = "action"                   // the argument is what is done
	Leave          ActionType = "leave"                    // leave the conversation; the argument is empty
)

// ActionTypes returns the five action types.
func ActionTypes() []ActionType {
	return []ActionType{None, Speak, NonVerbal, PhysicalAction, Leave}
}

// Valid reports whether t is one of the five action types.
func (t ActionType) Valid() bool { return slices.Contains(ActionTypes(), t) }

// needsArgument reports whether an action of this type says nothing without an
// argument.
func (t ActionType) needsArgument() bool {
	return t == Speak || t == NonVerbal || t == PhysicalAction
}

// Action is what an agent does in one turn. The zero value is no action at all,
// unlike an action of type [None].
type Action struct {
	Type     ActionType `json:"action_type"`
	Argument string     `json:"argument"`
}

// The spellings of actions in episode logs.
const (
	textNone      = "did nothing"
	textLeave     = "left the conversation"
	textSaid      = `said: "`
	textNonVerbal = "[" + string(NonVerbal) + "] "
	textPhysical  = "[" + string(PhysicalAction) + "] "
)

// Text returns the action as it stands in episode logs:
//
//	did nothing
//	said: "..."
//	[non-verbal communication] ...
//	[action] ...
//	left the conversation
//
// Any other type has its argument as text.
func (a Action) Text() string {
	switch a.Type {
	case None:
		return textNone
	case Speak:
		return textSaid + a.Argument + `"`
	case NonVerbal:
		return textNonVerbal + a.Argument
	case PhysicalAction:
		return textPhysical + a.Argument
	case Leave:
		return textLeave
	}
	return a.Argument
}

// JSON returns the action as a training item and a model's reply hold it, in
// the spelling of Python's json.dumps:
//
//	{"action_type": "speak", "argument": "..."}
func (a Action) JSON() string {
	b, err := pyjson.Marshal(a)
	if err != nil { // two strings always marshal
		panic("episode: action does not marshal: " + err.Error())
	}
	return string(b)
}

// ParseActionText reads an action as episode logs spell it; see [Action.Text].
// Space around it and a mark "[private to [...]]" before it are ignored, and a
// missing last quotation mark is forgiven. Anything else is an error.
func ParseActionText(text string) (Action, error) {
	s := trimPrivate(text)
	switch {
	case s == textNone:
		return Action{Type: None}, nil
	case s == textLeave:
		return Action{Type: Leave}, nil
	case strings.HasPrefix(s, textSaid):
		return Action{Speak, strings.TrimSuffix(s[len(textSaid):], `"`)}, nil
	}
	for _, t := range []ActionType{NonVerbal, PhysicalAction} {
		if rest, ok := strings.CutPrefix(s, "["+string(t)+"]"); ok {
			return Action{t, strings.TrimPrefix(rest, " ")}, nil
		}
	}
	return Action{}, fmt.Errorf("episode: %s is not an action of a log (said: \"...\", [action] ..., %s, %s)",
		quote(s), textNone, textLeave)
}

// trimPrivate removes space around a logged action and the mark of a private one.
func trimPrivate(text string) string {
	s := strings.TrimSpace(text)
	if !strings.HasPrefix(s, "[private to ") {
		return s
	}
	if i := strings.Index(s, "]]"); i >= 0 {
		return strings.TrimSpace(s[i+len("]]"):])
	}
	return s
}

// quote returns s as a Go string literal of bounded length, for use in errors.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%.*q... (%d bytes)", most, s, len(s))
	}
	return fmt.Sprintf("%q", s)
}
