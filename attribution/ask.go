package attribution

import (
	"context"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// DefaultTries is how often a model is asked for a usable reply.
const DefaultTries = 5

// question is what a method wants to know from a model.
type question struct {
	llm         episode.LLM
	key         Key
	prompt      string
	tries       int     // 0: DefaultTries
	temperature float64 // below 0: the model's own
}

// limit returns how many replies are looked at.
func (q question) limit() int {
	if q.tries <= 0 {
		return DefaultTries
	}
	return q.tries
}

// request returns the call for the next try, after the reason why the reply
// before it could not be used; "" for the first try.
func (q question) request(reason string) episode.Request {
	text := q.prompt
	if reason != "" {
		text += "\n\nAn earlier reply could not be used: " + reason + ". Reply in exactly the form asked for."
	}
	r := episode.Request{Messages: episode.Prompt(text), JSON: true}
	if q.temperature >= 0 {
		r.Temperature = &q.temperature
	}
	return r
}

// ask puts the question until parse accepts the reply. The error is a [*Failure].
func ask[T any](ctx context.Context, q question, parse func(reply string) (T, error)) (T, Usage, error) {
	var zero T
	f := &Failure{Key: q.key, Err: ErrNoUsableReply}
	reason := ""
	for range q.limit() {
		reply, err := Chat(ctx, q.llm, q.request(reason))
		if err != nil {
			f.Err = err
			break
		}
		f.Usage.Add(Usage{Calls: 1, Usage: reply.Usage})
		value, err := parse(reply.Text)
		if err == nil {
			return value, f.Usage, nil
		}
		reason = strings.TrimSuffix(err.Error(), ".")
		if reply.FinishReason == "length" {
			reason += "; it was cut off at the limit of tokens"
		}
		f.Tries = append(f.Tries, Try{reply.Text, reason})
	}
	return zero, f.Usage, f
}
