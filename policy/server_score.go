package policy

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"

	"github.com/socialrl/socialrl/tokenizer"
)

var errNoScorer = &apiError{status: http.StatusNotImplemented, Message: "this server has no reward model", Code: "no_scorer"}

// score answers /score: a value for each output after the input (one message of a user)
// or after the messages; null where an output cannot be scored.
func (s *Server) score(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Input    *string       `json:"input"`
		Messages []chatMessage `json:"messages"`
		Outputs  texts         `json:"outputs"`
	}
	if err := readBody(r, &q); err != nil {
		return err
	}
	chat, err := messagesOf(q.Messages)
	switch {
	case err != nil:
		return err
	case (q.Input == nil) == (len(chat) == 0):
		return invalid("input", "want either input or messages")
	case len(q.Outputs) == 0 || len(q.Outputs) > s.cfg.MaxReplies:
		return invalid("outputs", "outputs has %d texts, want 1 to %d", len(q.Outputs), s.cfg.MaxReplies)
	}
	if q.Input != nil {
		chat = []tokenizer.Message{{Role: "user", Content: *q.Input}}
	}
	values, err := s.values(r.Context(), chat, q.Outputs)
	if err != nil {
		return err
	}
	scores := make([]*float64, len(values))
	for i := range values {
		if !math.IsNaN(values[i]) && !math.IsInf(values[i], 0) {
			scores[i] = &values[i]
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "scores": scores})
	return nil
}

// values has the scorer value replies, in the goroutine that owns the engine.
func (s *Server) values(ctx context.Context, chat []tokenizer.Message, replies []string) (values []float64, err error) {
	if s.scorer == nil {
		return nil, errNoScorer
	}
	var failure error
	if err := s.Do(ctx, func() { values, failure = s.scorer.ScoreReplies(ctx, chat, replies) }); err != nil {
		return nil, err
	}
	if failure == nil && len(values) != len(replies) {
		failure = errors.New("policy: the scorer gave another number of values than it got replies")
	}
	return values, failure
}

// bestOfModel is the name under which the Python project's evaluation knows the
// endpoint.
const bestOfModel = "custom-rejection-sampler-model"

// bestOf answers /sotopia/chat/completions: of several replies the one that the scorer
// likes best, the first on a tie. The model is the one that is named and served, or
// else the one that was added last.
func (s *Server) bestOf(w http.ResponseWriter, r *http.Request) error {
	var q chatRequest
	if err := readBody(r, &q); err != nil {
		return err
	}
	if len(q.Messages) == 0 {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "Messages are required."})
		return nil
	}
	if s.scorer == nil {
		return errNoScorer
	}
	if q.N == nil {
		q.N = &s.cfg.BestOf
	}
	if q.MaxTokens == nil && q.MaxCompletion == nil && q.MaxNew == nil {
		const reference = 500
		n := min(reference, s.cfg.MaxTokens)
		q.MaxNew = &n
	}
	q.Model = s.servedOr(q.Model)
	if q.Stream {
		return invalid("stream", "stream is not supported here")
	}
	d, err := s.chatDrawing(&q)
	if err != nil {
		return err
	}
	a := s.newAnswer("chatcmpl-", "chat.completion", bestOfModel, d)
	c, err := a.best(r.Context(), &q)
	if err != nil {
		return err
	}
	choice := chatShape{logProbs: q.LogProbs, tok: s.base.tok}.whole(c)
	choice["index"], choice["finish_reason"] = 0, c.finish
	writeJSON(w, http.StatusOK, a.envelope(a.object, []map[string]any{choice}, &a.usage))
	return nil
}

// servedOr returns the name where it is served, or else the last one.
func (s *Server) servedOr(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.models[name] != nil || len(s.order) == 0 {
		return name
	}
	return s.order[len(s.order)-1]
}

// best draws the replies and returns the best.
func (a *answer) best(ctx context.Context, q *chatRequest) (*reaped, error) {
	err := a.s.draw(ctx, a.drawing, func(events []event) error {
		for _, e := range events {
			a.reap(e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	chat, err := messagesOf(q.Messages)
	if err != nil {
		return nil, err
	}
	replies := make([]string, len(a.choices))
	for i, c := range a.choices {
		replies[i] = strings.Clone(c.text.String())
	}
	values, err := a.s.values(ctx, chat, replies)
	if err != nil {
		return nil, err
	}
	best := -1
	for i, v := range values {
		if !math.IsNaN(v) && (best < 0 || v > values[best]) {
			best = i
		}
	}
	if best < 0 {
		return nil, errors.New("policy: no reply could be scored")
	}
	return a.choices[best], nil
}
