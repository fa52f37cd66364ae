package policy

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/socialrl/socialrl/tokenizer"
)

// replyRequest is what requests for replies have in common, in OpenAI's names.
type replyRequest struct {
	Model         string   `json:"model"`
	N             *int     `json:"n"`
	MaxTokens     *int     `json:"max_tokens"`
	MaxCompletion *int     `json:"max_completion_tokens"`
	MaxNew        *int     `json:"max_new_tokens"` // of the best-of-N endpoint
	Temperature   *float64 `json:"temperature"`
	TopP          *float64 `json:"top_p"`
	TopK          *int     `json:"top_k"`
	MinP          *float64 `json:"min_p"`
	Penalty       *float64 `json:"repetition_penalty"`
	Seed          *int64   `json:"seed"`
	Stop          texts    `json:"stop"`
	Stream        bool     `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Format *responseFormat `json:"response_format"`

	refusals
}

// refusals are parameters that would change a reply and are not offered.
type refusals struct {
	Frequency  float64           `json:"frequency_penalty"`
	Presence   float64           `json:"presence_penalty"`
	LogitBias  map[string]any    `json:"logit_bias"`
	Tools      []json.RawMessage `json:"tools"`
	Functions  []json.RawMessage `json:"functions"`
	Echo       bool              `json:"echo"`
	Suffix     *string           `json:"suffix"`
	BestOf     *int              `json:"best_of"`
	Modalities []string          `json:"modalities"`

	vllmRefusals
}

// vllmRefusals are parameters of vLLM that would change a reply.
type vllmRefusals struct {
	GuidedJSON    any            `json:"guided_json"`
	GuidedRegex   any            `json:"guided_regex"`
	GuidedChoice  any            `json:"guided_choice"`
	GuidedGrammar any            `json:"guided_grammar"`
	Structured    any            `json:"structured_outputs"`
	MinTokens     int            `json:"min_tokens"`
	IgnoreEOS     bool           `json:"ignore_eos"`
	StopTokenIDs  []int          `json:"stop_token_ids"`
	IncludeStop   bool           `json:"include_stop_str_in_output"`
	BadWords      []string       `json:"bad_words"`
	AllowedTokens []int          `json:"allowed_token_ids"`
	BeamSearch    bool           `json:"use_beam_search"`
	PromptLogs    any            `json:"prompt_logprobs"`
	Truncate      any            `json:"truncate_prompt_tokens"`
	ChatTemplate  any            `json:"chat_template"`
	TemplateArgs  map[string]any `json:"chat_template_kwargs"`
	Continue      bool           `json:"continue_final_message"`
	NoPrompt      *bool          `json:"add_generation_prompt"`
}

// refused returns the first parameter that asks for something, "" where none does.
func (r *vllmRefusals) refused() string {
	for _, c := range []struct {
		name  string
		given bool
	}{
		{"guided_json", r.GuidedJSON != nil}, {"guided_regex", r.GuidedRegex != nil}, {"guided_choice", r.GuidedChoice != nil},
		{"guided_grammar", r.GuidedGrammar != nil}, {"structured_outputs", r.Structured != nil}, {"min_tokens", r.MinTokens != 0},
		{"ignore_eos", r.IgnoreEOS}, {"stop_token_ids", len(r.StopTokenIDs) > 0}, {"include_stop_str_in_output", r.IncludeStop},
		{"bad_words", len(r.BadWords) > 0}, {"allowed_token_ids", len(r.AllowedTokens) > 0}, {"use_beam_search", r.BeamSearch},
		{"prompt_logprobs", r.PromptLogs != nil}, {"truncate_prompt_tokens", r.Truncate != nil}, {"chat_template", r.ChatTemplate != nil},
		{"chat_template_kwargs", len(r.TemplateArgs) > 0}, {"continue_final_message", r.Continue},
		{"add_generation_prompt", r.NoPrompt != nil && !*r.NoPrompt},
	} {
		if c.given {
			return c.name
		}
	}
	return ""
}

func (r *refusals) check(n int) error {
	for _, c := range []struct {
		name  string
		given bool
	}{
		{"frequency_penalty", r.Frequency != 0}, {"presence_penalty", r.Presence != 0}, {"logit_bias", len(r.LogitBias) > 0},
		{"tools", len(r.Tools) > 0}, {"functions", len(r.Functions) > 0}, {"echo", r.Echo},
		{"suffix", r.Suffix != nil && *r.Suffix != ""}, {"best_of", r.BestOf != nil && *r.BestOf != n},
		{"modalities", len(r.Modalities) > 1 || len(r.Modalities) == 1 && r.Modalities[0] != "text"},
	} {
		if c.given {
			return invalid(c.name, "%s is not supported", c.name)
		}
	}
	if name := r.refused(); name != "" {
		return invalid(name, "%s is not supported", name)
	}
	return nil
}

// responseFormat asks for JSON.
type responseFormat struct {
	Type   string `json:"type"`
	Schema *struct {
		Name   string          `json:"name"`
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// texts is one text or a list.
type texts []string

// UnmarshalJSON reads a text, a list of texts, or null.
func (t *texts) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		*t = make(texts, 1)
		return json.Unmarshal(b, &(*t)[0])
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func given[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

const maxStops = 16

// options checks the numbers and returns the options of sampling, apart from the
// number of tokens.
func (r *replyRequest) options(s *Server) (o SamplingOptions, err error) {
	o = SamplingOptions{N: given(r.N, 1), Temperature: given(r.Temperature, 1), TopP: given(r.TopP, 1), TopK: max(0, given(r.TopK, 0)),
		MinP: given(r.MinP, 0), RepetitionPenalty: given(r.Penalty, 1), Stop: r.Stop, Tokenizer: s.base.tok, StopTokens: s.base.EndTokens()}
	switch {
	case o.N < 1 || o.N > s.cfg.MaxReplies:
		return o, invalid("n", "n is %d, want 1 to %d", o.N, s.cfg.MaxReplies)
	case !(o.Temperature >= 0 && o.Temperature <= 100):
		return o, invalid("temperature", "temperature is %v, want 0 to 100", o.Temperature)
	case !(o.TopP > 0 && o.TopP <= 1):
		return o, invalid("top_p", "top_p is %v, want above 0 and at most 1", o.TopP)
	case !(o.MinP >= 0 && o.MinP <= 1):
		return o, invalid("min_p", "min_p is %v, want 0 to 1", o.MinP)
	case !(o.RepetitionPenalty > 0) || math.IsInf(o.RepetitionPenalty, 0):
		return o, invalid("repetition_penalty", "repetition_penalty is %v, want above 0", o.RepetitionPenalty)
	case len(r.Stop) > maxStops:
		return o, invalid("stop", "stop has %d texts, want at most %d", len(r.Stop), maxStops)
	case r.StreamOptions != nil && !r.Stream:
		return o, invalid("stream_options", "stream_options needs stream")
	}
	for _, text := range r.Stop {
		if text == "" {
			return o, invalid("stop", "stop holds an empty text")
		}
	}
	if err := r.refusals.check(o.N); err != nil {
		return o, err
	}
	o.Seed = rand.Uint64()
	if r.Seed != nil {
		o.Seed = uint64(*r.Seed)
	}
	o.Constraint, err = r.Format.constraint(s)
	return o, err
}

// constraint compiles the format that is asked for.
func (f *responseFormat) constraint(s *Server) (Constraint, error) {
	if f == nil {
		return nil, nil
	}
	switch f.Type {
	case "text":
		return nil, nil
	case "json_object":
		return s.constraints.get("", s.vocab.JSONObject)
	case "json_schema":
		if f.Schema == nil || f.Schema.Schema == nil {
			return nil, invalid("response_format.json_schema", "response_format.json_schema.schema is missing")
		}
		c, err := s.constraints.get(string(f.Schema.Schema), func() (Constraint, error) { return s.vocab.JSONSchema(f.Schema.Schema) })
		if err != nil {
			return nil, invalid("response_format.json_schema", "%v", err)
		}
		return c, nil
	}
	return nil, invalid("response_format.type", "response_format.type is %q, want text, json_object or json_schema", f.Type)
}

// limit returns the most tokens of each reply to the prompts.
func (r *replyRequest) limit(s *Server, prompts [][]int) (int, error) {
	longest := 0
	for _, p := range prompts {
		longest = max(longest, len(p))
	}
	room := s.base.cfg.MaxPositions - longest
	if room < 1 {
		return 0, &apiError{status: 400, Param: "messages", Code: "context_length_exceeded",
			Message: "the prompt has " + strconv.Itoa(longest) + " tokens, the model's context " + strconv.Itoa(s.base.cfg.MaxPositions)}
	}
	for _, c := range []struct {
		name string
		n    *int
	}{{"max_completion_tokens", r.MaxCompletion}, {"max_tokens", r.MaxTokens}, {"max_new_tokens", r.MaxNew}} {
		switch {
		case c.n == nil:
		case *c.n < 1:
			return 0, invalid(c.name, "%s is %d, want at least 1", c.name, *c.n)
		case *c.n > s.cfg.MaxTokens:
			return 0, invalid(c.name, "%s is %d, want at most %d", c.name, *c.n, s.cfg.MaxTokens)
		default:
			return min(*c.n, room), nil
		}
	}
	return min(s.cfg.DefaultTokens, s.cfg.MaxTokens, room), nil
}

// chatMessage is one message as it comes.
type chatMessage struct {
	Role    string          `json:"role"`
	Name    string          `json:"name"`
	Content json.RawMessage `json:"content"`
}

// messagesOf checks the messages of a chat.
func messagesOf(in []chatMessage) ([]tokenizer.Message, error) {
	out := make([]tokenizer.Message, len(in))
	for i, m := range in {
		at := "messages[" + strconv.Itoa(i) + "]"
		if m.Role == "" {
			return nil, invalid(at+".role", "%s.role is missing", at)
		}
		if m.Role == "developer" { // the newer name
			m.Role = "system"
		}
		text, err := contentOf(m.Content, at+".content")
		if err != nil {
			return nil, err
		}
		out[i] = tokenizer.Message{Role: m.Role, Content: text}
		if m.Name != "" {
			out[i].Extra = map[string]any{"name": m.Name}
		}
	}
	return out, nil
}

// contentOf reads a text or a list of parts that are texts.
func contentOf(raw json.RawMessage, at string) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && string(raw) != "null" {
		return text, nil
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &parts) != nil {
		return "", invalid(at, "%s is neither a text nor a list of parts", at)
	}
	var b strings.Builder
	for i, p := range parts {
		if p.Type != "text" || p.Text == nil {
			return "", invalid(at, "%s[%d] is of type %q, want text", at, i, p.Type)
		}
		b.WriteString(*p.Text)
	}
	return b.String(), nil
}

// promptsOf reads a text, a list of texts, a list of tokens, or a list of those.
func (s *Server) promptsOf(raw json.RawMessage) ([][]int, error) {
	var text texts
	var one []int
	var many [][]int
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, invalid("prompt", "prompt is missing")
	case json.Unmarshal(raw, &text) == nil:
		for _, t := range text {
			many = append(many, s.base.tok.Encode(t, tokenizer.AddSpecial))
		}
	case json.Unmarshal(raw, &one) == nil:
		many = [][]int{one}
	case json.Unmarshal(raw, &many) != nil:
		return nil, invalid("prompt", "prompt is none of a text, a list of texts, a list of tokens, and a list of those")
	}
	if len(many) == 0 {
		return nil, invalid("prompt", "prompt is empty")
	}
	for i, p := range many {
		if len(p) == 0 {
			return nil, invalid("prompt", "prompt %d is empty", i)
		}
		for _, t := range p {
			if t < 0 || t >= s.base.cfg.VocabSize {
				return nil, invalid("prompt", "prompt %d holds the token %d, want 0 to %d", i, t, s.base.cfg.VocabSize-1)
			}
		}
	}
	return many, nil
}
