package episode

import "encoding/json"

// ExactActionSchema returns the JSON schema of the actions that [ParseAction] takes as
// they are: where there is something to say or do the argument has it, and
// begins with no white space; otherwise the argument is empty. Not every endpoint
// knows const and pattern, or anyOf in this place; the constrained decoding of package
// policy does, and [ActionSchema] does without.
func ExactActionSchema() json.RawMessage {
	var with, without []ActionType
	for _, t := range ActionTypes() {
		if t.needsArgument() {
			with = append(with, t)
		} else {
			without = append(without, t)
		}
	}
	return schemaOf(map[string]any{"anyOf": []any{
		actionObject(with, map[string]any{"type": "string", "pattern": `^\S`}),
		actionObject(without, map[string]any{"const": ""}),
	}})
}

// actionMembers has its fields in the order in which a model is to write them.
type actionMembers struct {
	Type     any `json:"action_type"`
	Argument any `json:"argument"`
}

func actionObject(types []ActionType, argument any) map[string]any {
	return map[string]any{
		"type":                 "object",
		"properties":           actionMembers{map[string]any{"type": "string", "enum": types}, argument},
		"required":             []string{"action_type", "argument"},
		"additionalProperties": false,
	}
}

func schemaOf(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil { // maps of strings always marshal
		panic("episode: schema does not marshal: " + err.Error())
	}
	return b
}
