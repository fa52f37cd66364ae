package policy

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/socialrl/socialrl/tokenizer"
)

type completionRequest struct {
	replyRequest
	Prompt   json.RawMessage `json:"prompt"`
	LogProbs *int            `json:"logprobs"`
}

// complete answers /v1/completions.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) error {
	var q completionRequest
	if err := readBody(r, &q); err != nil {
		return err
	}
	d, err := s.completionDrawing(&q)
	if err != nil {
		return err
	}
	a := s.newAnswer("cmpl-", "text_completion", q.Model, d)
	a.shape = textShape{logProbs: q.LogProbs != nil, tok: s.base.tok, offsets: make([]int, len(d.prompts)*d.o.N)}
	return a.serve(w, r, &q.replyRequest)
}

func (s *Server) completionDrawing(q *completionRequest) (d drawing, err error) {
	if d.model, err = s.model(q.Model); err != nil {
		return d, err
	}
	if d.o, err = q.options(s); err != nil {
		return d, err
	}
	if d.o.TopLogProbs = given(q.LogProbs, 0); d.o.TopLogProbs < 0 || d.o.TopLogProbs > maxTopLogProbs {
		return d, invalid("logprobs", "logprobs is %d, want 0 to %d", d.o.TopLogProbs, maxTopLogProbs)
	}
	if d.prompts, err = s.promptsOf(q.Prompt); err != nil {
		return d, err
	}
	d.o.MaxTokens, err = q.limit(s, d.prompts)
	return d, err
}

// textShape writes choices as texts. offsets are the bytes of each choice's tokens so
// far.
type textShape struct {
	logProbs bool
	tok      *tokenizer.Tokenizer
	offsets  []int
}

func (f textShape) whole(c *reaped) map[string]any {
	return map[string]any{"text": c.text.String(), "logprobs": f.probabilities(c.index, c.tokens)}
}

func (f textShape) part(index int, events []event, text string, _ *reaped) map[string]any {
	return map[string]any{"text": text, "logprobs": f.probabilities(index, tokensOf(events))}
}

func (f textShape) probabilities(index int, tokens []Token) any {
	if !f.logProbs {
		return nil
	}
	texts, logProbs := make([]string, len(tokens)), make([]float64, len(tokens))
	top, offsets := make([]map[string]float64, len(tokens)), make([]int, len(tokens))
	for i, t := range tokens {
		texts[i], logProbs[i], offsets[i] = f.text(t.Token), finite(t.LogProb), f.offsets[index]
		f.offsets[index] += len(f.tok.Bytes(t.Token))
		top[i] = map[string]float64{texts[i]: logProbs[i]}
		for _, o := range t.Top {
			top[i][f.text(o.Token)] = finite(o.LogProb)
		}
	}
	return map[string]any{"tokens": texts, "token_logprobs": logProbs, "top_logprobs": top, "text_offset": offsets}
}

func (f textShape) text(token int) string {
	return strings.ToValidUTF8(string(f.tok.Bytes(token)), "\uFFFD")
}
