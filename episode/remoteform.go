package episode

import (
	"cmp"
	"encoding/json"

	"github.com/sashabaranov/go-openai"
)

// What an endpoint was found not to have. Most have all, or all but some keywords of
// schemas; some have JSON objects without schemas, some have neither.
const (
	allFormats int32 = iota
	noExactSchemas
	noSchemas
	noFormats
)

// replyForm is the form of reply that a request asks for.
type replyForm struct {
	schema json.RawMessage // nil: none
	name   string          // of the schema
	next   int32           // what an endpoint lacks that refuses it; allFormats: nothing is asked for
}

// formOf returns what a request asks for, as far as the endpoint has it.
func formOf(q Request, lacks int32) replyForm {
	name := cmp.Or(q.SchemaName, "reply")
	switch {
	case lacks == noFormats || q.Schema == nil && !q.JSON:
		return replyForm{}
	case q.Schema == nil || lacks == noSchemas:
		return replyForm{next: noFormats}
	case q.PlainSchema == nil:
		return replyForm{schema: q.Schema, name: name, next: noSchemas}
	case lacks == noExactSchemas:
		return replyForm{schema: q.PlainSchema, name: name, next: noSchemas}
	}
	return replyForm{schema: q.Schema, name: name, next: noExactSchemas}
}

// format returns the form in the words of the API.
func (f replyForm) format() *openai.ChatCompletionResponseFormat {
	switch {
	case f.next == allFormats:
		return nil
	case f.schema == nil:
		return &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONObject}
	}
	return &openai.ChatCompletionResponseFormat{
		Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: f.name, Schema: f.schema, Strict: true},
	}
}
