package policy

import (
	"slices"
	"strings"
	"sync"

	"github.com/socialrl/socialrl/tokenizer"
)

// choice is one reply that a request asks for. The owner of the engine uses it.
type choice struct {
	job    *job
	index  int
	prompt []int
	o      SamplingOptions
	first  bool // of its prompt
	need   int  // tokens that count against the cache

	id      int // in the session, once begun
	tokens  int
	decoder *tokenizer.Decoder
	held    string // text that may belong to a stop text
}

func newChoice(j *job, index int, prompt []int, o SamplingOptions) *choice {
	return &choice{job: j, index: index, prompt: prompt, o: o, id: -1, decoder: o.Tokenizer.Decoder(tokenizer.SkipSpecial)}
}

// event is what one token brings to a reply.
type event struct {
	index  int
	text   string // that is certain to belong to the reply
	token  Token
	end    bool   // the token ended the reply and is no part of it
	finish string // "stop" or "length" at the end, with OpenAI's meaning
	err    error  // the whole request failed
}

// take adds a token to the reply.
func (c *choice) take(t Token) event {
	c.tokens++
	e := event{index: c.index, token: t, end: slices.Contains(c.o.StopTokens, t.Token)}
	if !e.end {
		c.held += c.decoder.Push(t.Token)
	}
	if at := firstOf(c.held, c.o.Stop); at >= 0 {
		e.text, e.finish = c.held[:at], "stop"
		return e
	}
	switch {
	case e.end:
		e.finish = "stop"
	case c.tokens == c.o.MaxTokens:
		e.finish = "length"
	}
	if e.finish != "" {
		e.text = c.held + c.decoder.Flush()
		return e
	}
	n := len(c.held) - beginning(c.held, c.o.Stop)
	e.text, c.held = c.held[:n], c.held[n:]
	return e
}

// firstOf returns where the earliest of the stops lies in s, or -1.
func firstOf(s string, stops []string) int {
	first := -1
	for _, stop := range stops {
		if at := strings.Index(s, stop); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

// beginning returns the length of the longest end of s that a stop begins with.
func beginning(s string, stops []string) int {
	longest := 0
	for _, stop := range stops {
		for n := min(len(s), len(stop)-1); n > longest; n-- {
			if strings.HasSuffix(s, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// constraintCache keeps the constraints of schemas that come again.
type constraintCache struct {
	mu    sync.Mutex
	known map[string]Constraint
}

const maxConstraints = 32

func (c *constraintCache) get(schema string, compile func() (Constraint, error)) (Constraint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.known[schema]; k != nil {
		return k, nil
	}
	k, err := compile()
	if err != nil {
		return nil, err
	}
	if c.known == nil || len(c.known) >= maxConstraints {
		c.known = map[string]Constraint{}
	}
	c.known[schema] = k
	return k, nil
}
