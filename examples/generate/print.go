package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/tokenizer"
)

// reply is a reply as -logprobs prints it.
type reply struct {
	Index        int     `json:"index"`
	Text         string  `json:"text"`
	FinishReason string  `json:"finish_reason"` // "stop", or "length" where -max-tokens was reached
	LogProb      float64 `json:"logprob"`       // of the whole reply, its end included
	Tokens       []token `json:"tokens"`
}

type token struct {
	ID      int     `json:"id"`
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
}

func newReply(index int, tok *tokenizer.Tokenizer, c policy.Completion) reply {
	r := reply{Index: index, Text: c.Text, FinishReason: "stop", Tokens: []token{}}
	if c.Truncated {
		r.FinishReason = "length"
	}
	for i, id := range c.Tokens {
		r.Tokens = append(r.Tokens, token{id, string(tok.Bytes(id)), c.LogProbs[i]})
		r.LogProb += c.LogProbs[i]
	}
	return r
}

// print prints the replies: lines of JSON, or the texts, several of them each under
// a line with its number.
func (s *settings) print(w io.Writer, tok *tokenizer.Tokenizer, replies []policy.Completion) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i, c := range replies {
		var err error
		switch {
		case s.logProbs:
			err = enc.Encode(newReply(i, tok, c))
		case len(replies) == 1:
			_, err = fmt.Fprintln(w, c.Text)
		default:
			_, err = fmt.Fprintf(w, "--- %d of %d\n%s\n", i+1, len(replies), c.Text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
