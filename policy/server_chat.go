package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/socialrl/socialrl/tokenizer"
)

type chatRequest struct {
	replyRequest
	Messages    []chatMessage `json:"messages"`
	LogProbs    bool          `json:"logprobs"`
	TopLogProbs int           `json:"top_logprobs"`
}

// maxTopLogProbs is OpenAI's bound.
const maxTopLogProbs = 20

// chat answers /v1/chat/completions.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) error {
	var q chatRequest
	if err := readBody(r, &q); err != nil {
		return err
	}
	d, err := s.chatDrawing(&q)
	if err != nil {
		return err
	}
	a := s.newAnswer("chatcmpl-", "chat.completion", q.Model, d)
	a.shape = chatShape{logProbs: q.LogProbs, tok: s.base.tok}
	return a.serve(w, r, &q.replyRequest)
}

// chatDrawing checks a request of the chat endpoint.
func (s *Server) chatDrawing(q *chatRequest) (d drawing, err error) {
	if d.model, err = s.model(q.Model); err != nil {
		return d, err
	}
	if d.o, err = q.options(s); err != nil {
		return d, err
	}
	switch {
	case q.TopLogProbs < 0 || q.TopLogProbs > maxTopLogProbs:
		return d, invalid("top_logprobs", "top_logprobs is %d, want 0 to %d", q.TopLogProbs, maxTopLogProbs)
	case q.TopLogProbs > 0 && !q.LogProbs:
		return d, invalid("top_logprobs", "top_logprobs needs logprobs")
	case len(q.Messages) == 0:
		return d, invalid("messages", "messages is empty")
	}
	d.o.TopLogProbs = q.TopLogProbs
	messages, err := messagesOf(q.Messages)
	if err != nil {
		return d, err
	}
	prompt, err := s.chatPrompt(messages)
	if err != nil {
		return d, err
	}
	d.prompts = [][]int{prompt}
	d.o.MaxTokens, err = q.limit(s, d.prompts)
	return d, err
}

// chatPrompt returns the tokens that the reply to a chat follows.
func (s *Server) chatPrompt(messages []tokenizer.Message) ([]int, error) {
	text, err := s.base.tok.Render(messages, tokenizer.GenerationPrompt())
	if err != nil {
		return nil, invalid("messages", "the chat template: %v", err)
	}
	return s.base.tok.Encode(text), nil
}

// answer writes the replies of a drawing, as a stream or at once.
type answer struct {
	s       *Server
	drawing drawing
	id      string
	object  string
	created int64
	model   string
	shape   shape

	usage   usage
	choices []*reaped
}

// shape is what differs between the endpoints.
type shape interface {
	whole(c *reaped) map[string]any                                   // a finished choice
	part(index int, e []event, text string, o *reaped) map[string]any // a part of a stream
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// reaped is a choice as its request sees it.
type reaped struct {
	index  int
	text   strings.Builder
	tokens []Token // without the end token
	finish string
	sent   bool // the beginning of its stream
}

func (s *Server) newAnswer(prefix, object, model string, d drawing) *answer {
	a := &answer{s: s, drawing: d, id: fmt.Sprintf("%s%016x", prefix, rand.Uint64()), object: object, created: time.Now().Unix(), model: model}
	for _, p := range d.prompts {
		a.usage.Prompt += len(p)
	}
	for i := range len(d.prompts) * d.o.N {
		a.choices = append(a.choices, &reaped{index: i})
	}
	return a
}

func (a *answer) serve(w http.ResponseWriter, r *http.Request, q *replyRequest) error {
	if q.Stream {
		return a.stream(w, r, q.StreamOptions != nil && q.StreamOptions.IncludeUsage)
	}
	err := a.s.draw(r.Context(), a.drawing, func(events []event) error {
		for _, e := range events {
			a.reap(e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	choices := make([]map[string]any, len(a.choices))
	for i, c := range a.choices {
		choices[i] = a.shape.whole(c)
		choices[i]["index"], choices[i]["finish_reason"] = i, c.finish
	}
	writeJSON(w, http.StatusOK, a.envelope(a.object, choices, &a.usage))
	return nil
}

// reap adds an event to its choice.
func (a *answer) reap(e event) *reaped {
	c := a.choices[e.index]
	c.text.WriteString(e.text)
	if !e.end {
		c.tokens = append(c.tokens, e.token)
	}
	c.finish = e.finish
	a.usage.Completion++
	a.usage.Total = a.usage.Prompt + a.usage.Completion
	return c
}

func (a *answer) envelope(object string, choices []map[string]any, u *usage) map[string]any {
	v := map[string]any{"id": a.id, "object": object, "created": a.created, "model": a.model, "choices": choices}
	if u != nil {
		v["usage"] = u
	}
	return v
}

// stream sends the choices as server-sent events, a chunk for each choice that went on.
func (a *answer) stream(w http.ResponseWriter, r *http.Request, withUsage bool) error {
	object := a.object
	if object == "chat.completion" {
		object = "chat.completion.chunk"
	}
	err := a.s.draw(r.Context(), a.drawing, func(events []event) error {
		return a.send(w, object, events)
	})
	if err != nil {
		return err
	}
	if withUsage {
		if err := sendEvent(w, a.envelope(object, []map[string]any{}, &a.usage)); err != nil {
			return err
		}
	}
	return sendRaw(w, []byte("[DONE]"))
}

// send sends the events that have come, together those of one choice.
func (a *answer) send(w http.ResponseWriter, object string, events []event) error {
	for len(events) > 0 {
		index := events[0].index
		var own, rest []event
		text := ""
		for _, e := range events {
			if e.index != index {
				rest = append(rest, e)
				continue
			}
			own = append(own, e)
			a.reap(e)
			text += e.text
		}
		events = rest
		c := a.choices[index]
		part := a.shape.part(index, own, text, c)
		part["index"], part["finish_reason"] = index, orNull(c.finish)
		c.sent = true
		if err := sendEvent(w, a.envelope(object, []map[string]any{part}, nil)); err != nil {
			return err
		}
	}
	return nil
}

// sendEvent sends one event of a stream.
func sendEvent(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return sendRaw(w, body)
}

func sendRaw(w http.ResponseWriter, data []byte) error {
	if h := w.Header(); h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
	}
	if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// chatShape writes choices as messages.
type chatShape struct {
	logProbs bool
	tok      *tokenizer.Tokenizer
}

func (f chatShape) whole(c *reaped) map[string]any {
	return map[string]any{"message": map[string]any{"role": "assistant", "content": c.text.String(), "refusal": nil},
		"logprobs": f.probabilities(c.tokens)}
}

func (f chatShape) part(_ int, events []event, text string, c *reaped) map[string]any {
	delta := map[string]any{}
	if !c.sent {
		delta["role"] = "assistant"
	}
	if text != "" || !c.sent {
		delta["content"] = text
	}
	return map[string]any{"delta": delta, "logprobs": f.probabilities(tokensOf(events))}
}

func tokensOf(events []event) []Token {
	var tokens []Token
	for _, e := range events {
		if !e.end {
			tokens = append(tokens, e.token)
		}
	}
	return tokens
}

// tokenInfo is a token with its log-probability, as the chat endpoint writes it.
type tokenInfo struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

func (f chatShape) probabilities(tokens []Token) any {
	if !f.logProbs {
		return nil
	}
	content := make([]map[string]any, len(tokens))
	for i, t := range tokens {
		info := f.info(t.Token, t.LogProb)
		top := []tokenInfo{}
		for _, o := range t.Top {
			top = append(top, f.info(o.Token, o.LogProb))
		}
		content[i] = map[string]any{"token": info.Token, "logprob": info.LogProb, "bytes": info.Bytes, "top_logprobs": top}
	}
	return map[string]any{"content": content, "refusal": nil}
}

func (f chatShape) info(token int, logProb float64) tokenInfo {
	text := f.tok.Bytes(token)
	bytes := make([]int, len(text))
	for i, b := range text {
		bytes[i] = int(b)
	}
	return tokenInfo{Token: strings.ToValidUTF8(string(text), "\uFFFD"), LogProb: finite(logProb), Bytes: bytes}
}

// finite bounds a log-probability: JSON has no infinity.
func finite(x float64) float64 { return max(x, -9999) }
