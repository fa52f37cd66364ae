package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/socialrl/socialrl/tokenizer/internal/jinja"
)

// Message is one message of a chat.
type Message struct {
	// Role is system, user, assistant, tool, or what else the template knows.
	Role string
	// Content is the text.
	Content string
	// Extra holds further fields that templates read, such as tool_calls,
	// reasoning_content or name, and may replace content by a list of parts or
	// nil. Values are written as JSON, so a json.RawMessage keeps its order of
	// keys. Nil means none.
	Extra map[string]any
}

// TemplateError is the error of a chat template that refuses the messages itself,
// by raise_exception: roles out of order, say.
type TemplateError struct {
	Message string // the template's own words
}

// Error returns the template's words with the place.
func (e *TemplateError) Error() string { return "tokenizer: chat template: " + e.Message }

// RenderOption changes what [Tokenizer.Render] does.
type RenderOption func(*rendering)

type rendering struct {
	template string
	vars     map[string]any
	now      func() time.Time
	err      error
}

// GenerationPrompt ends the text with the beginning of an assistant's message, for
// the model to go on with. (Templates see it as add_generation_prompt.)
func GenerationPrompt() RenderOption { return Var("add_generation_prompt", true) }

// Tools gives the template the functions that the model may call: a list of JSON
// schemas, written as JSON ([]json.RawMessage keeps the order of keys).
func Tools(tools any) RenderOption { return Var("tools", tools) }

// Var gives the template a variable, such as enable_thinking or date_string. The
// value is written as JSON.
func Var(name string, value any) RenderOption {
	return func(r *rendering) {
		v, err := templateValue(value)
		if err != nil && r.err == nil {
			r.err = fmt.Errorf("tokenizer: chat template variable %s: %w", name, err)
		}
		r.vars[name] = v
	}
}

// Now replaces the clock that strftime_now in templates reads, which is time.Now.
func Now(now func() time.Time) RenderOption { return func(r *rendering) { r.now = now } }

// NamedTemplate selects one of several chat templates in tokenizer_config.json. By
// default it is "tool_use" where tools are given and it exists, and otherwise
// "default".
func NamedTemplate(name string) RenderOption { return func(r *rendering) { r.template = name } }

// chatTemplates are the chat templates by name.
type chatTemplates map[string]*jinja.Template

const (
	defaultTemplate = "default"
	toolTemplate    = "tool_use"
)

// readTemplates compiles the templates in tokenizer_config.json, a string or a list
// of {name, template}, or the one in a file of its own, which replaces the default.
func (t *Tokenizer) readTemplates(inConfig json.RawMessage, file string) error {
	sources, err := templateSources(inConfig)
	if err != nil {
		return fmt.Errorf("%s: chat_template: %w", configFile, err)
	}
	if file != "" {
		sources[defaultTemplate] = file
	}
	t.chat = chatTemplates{}
	for name, source := range sources {
		if t.chat[name], err = jinja.Compile(source); err != nil {
			return fmt.Errorf("chat template %q: %w", name, err)
		}
	}
	return nil
}

func templateSources(data json.RawMessage) (map[string]string, error) {
	sources := map[string]string{}
	if len(data) == 0 || string(data) == "null" {
		return sources, nil
	}
	if data[0] == '"' {
		var source string
		err := json.Unmarshal(data, &source)
		sources[defaultTemplate] = source
		return sources, err
	}
	var list []struct{ Name, Template string }
	err := json.Unmarshal(data, &list)
	for _, e := range list {
		sources[e.Name] = e.Template
	}
	return sources, err
}

// HasTemplate reports whether there is a chat template, without which
// [Tokenizer.Render] fails.
func (t *Tokenizer) HasTemplate() bool { return len(t.chat) > 0 }

// Render writes messages as the model's chat template does. Templates see the
// messages, the special tokens (bos_token and so on), add_generation_prompt
// (false unless [GenerationPrompt] is given), tools and documents (None unless
// given) and the variables of [Var]. The result is that of the Python transformers
// library. A template that refuses the messages gives a [*TemplateError]; one
// that is wrong, or takes more than a bounded amount of work, another error.
func (t *Tokenizer) Render(messages []Message, opts ...RenderOption) (string, error) {
	r := rendering{now: time.Now, vars: map[string]any{"add_generation_prompt": false, "tools": jinja.Null{}, "documents": jinja.Null{}}}
	for role, token := range t.config.special {
		r.vars[role] = token
	}
	for _, opt := range opts {
		opt(&r)
	}
	if r.err != nil {
		return "", r.err
	}
	template, err := t.template(&r)
	if err != nil {
		return "", err
	}
	if r.vars["messages"], err = templateMessages(messages); err != nil {
		return "", err
	}
	text, err := template.Render(r.vars, r.now())
	if raised := (*jinja.Raised)(nil); errors.As(err, &raised) {
		return "", &TemplateError{raised.Message}
	} else if err != nil {
		return "", fmt.Errorf("tokenizer: chat template: %w", err)
	}
	return text, nil
}

// template returns the template that a rendering asks for.
func (t *Tokenizer) template(r *rendering) (*jinja.Template, error) {
	name := r.template
	if name == "" {
		name = defaultTemplate
		if _, none := r.vars["tools"].(jinja.Null); !none && t.chat[toolTemplate] != nil {
			name = toolTemplate
		}
	}
	if template := t.chat[name]; template != nil {
		return template, nil
	}
	if len(t.chat) == 0 {
		return nil, fmt.Errorf("tokenizer: there is no chat template: neither chat_template in %s nor %s", configFile, templateFile)
	}
	return nil, fmt.Errorf("tokenizer: there is no chat template %q", name)
}

func templateMessages(messages []Message) (any, error) {
	list := make(jinja.List, len(messages))
	for i, m := range messages {
		v, err := templateMessage(m)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: message %d: %w", i, err)
		}
		list[i] = v
	}
	return list, nil
}

// templateMessage gives a message as templates see it: role, content, then the
// other fields by name.
func templateMessage(m Message) (any, error) {
	fields := jinja.NewDict()
	fields.Put("role", m.Role)
	fields.Put("content", m.Content)
	for _, name := range slices.Sorted(maps.Keys(m.Extra)) {
		v, err := templateValue(m.Extra[name])
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		fields.Put(name, v)
	}
	return fields.Value(), nil
}

// templateValue turns a Go value into a template's, by way of JSON.
func templateValue(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jinja.FromJSON(bytes.TrimSpace(data))
}
