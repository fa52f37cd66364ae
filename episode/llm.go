package episode

import (
	"context"
	"encoding/json"
)

// LLM is a chat model. Implementations must be safe for concurrent use.
// [Remote] is one; a local policy and a scripted function are others.
type LLM interface {
	Chat(ctx context.Context, r Request) (Reply, error)
}

// LLMFunc makes an [LLM] of a function.
type LLMFunc func(ctx context.Context, r Request) (Reply, error)

// Chat calls f.
func (f LLMFunc) Chat(ctx context.Context, r Request) (Reply, error) { return f(ctx, r) }

// Message is one message of a chat.
type Message struct {
	Role    string `json:"role"` // "system", "user" or "assistant"
	Content string `json:"content"`
}

// Prompt returns a chat of one user message.
func Prompt(text string) []Message { return []Message{{Role: "user", Content: text}} }

// Request is one call of a chat model.
type Request struct {
	Messages    []Message       // the chat so far, at least one message
	Temperature *float64        // nil: the model's default; 0: greedy
	TopP        float64         // 0: the model's default
	MaxTokens   int             // most tokens of the reply; 0: the model's default
	Stop        []string        // texts that end the reply
	Seed        *int64          // nil: none
	JSON        bool            // ask for a JSON object, where the endpoint can
	Schema      json.RawMessage // JSON schema that the reply must follow, where the endpoint can; nil: none
	SchemaName  string          // name of the schema; "" is "reply"
	PlainSchema json.RawMessage // schema of fewer keywords, for endpoints that refuse Schema; nil: none
}

// Reply is what a chat model answered.
type Reply struct {
	Text         string // content of the message
	Model        string // model that answered, as it calls itself
	FinishReason string // "stop", "length", ...; "" where unknown
	Usage        Usage
}

// Usage counts tokens and what they cost.
type Usage struct {
	PromptTokens     int     `json:"prompt_tokens"`
	CompletionTokens int     `json:"completion_tokens"`
	Cost             float64 `json:"cost,omitempty"` // in the currency of the price list; 0 where there is none
}

// Add adds v to u.
func (u *Usage) Add(v Usage) {
	u.PromptTokens += v.PromptTokens
	u.CompletionTokens += v.CompletionTokens
	u.Cost += v.Cost
}
