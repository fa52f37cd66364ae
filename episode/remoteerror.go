package episode

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sashabaranov/go-openai"
)

// failure is an attempt that brought no reply.
type failure struct {
	answer
	err   error
	fatal bool // another attempt would fail in the same way

	form replyForm // that was asked for
}

// Error is the text of the cause.
func (f *failure) Error() string { return f.err.Error() }

// classify decides whether a call is attempted again, and when.
func (r *Remote) classify(f *failure) error {
	if f.status == http.StatusTooManyRequests {
		r.mu.Lock()
		r.usage.RateLimits++
		r.mu.Unlock()
	}
	switch {
	case r.dropsFormat(f):
		return &backoff.RetryAfterError{}
	case f.fatal || !retryable(f):
		return backoff.Permanent(f)
	case f.retryAfter > 0:
		r.holdBack(f.retryAfter)
		return &backoff.RetryAfterError{} // admit waits
	}
	return f
}

// dropsFormat notes that an endpoint does not have a form of reply, where that is
// why it refused a request. Later requests ask for less.
func (r *Remote) dropsFormat(f *failure) bool {
	refused := f.status == http.StatusBadRequest || f.status == http.StatusUnprocessableEntity || f.status == http.StatusNotImplemented
	if !refused || f.form.next == allFormats || !namesFormat(f.Error()) {
		return false
	}
	for {
		was := r.format.Load()
		if was >= f.form.next || r.format.CompareAndSwap(was, f.form.next) {
			return true
		}
	}
}

// namesFormat reports whether a refusal is about the form of the reply.
func namesFormat(message string) bool {
	for _, word := range []string{"response_format", "json_schema", "json_object", "schema"} {
		if strings.Contains(strings.ToLower(message), word) {
			return true
		}
	}
	return false
}

// retryable reports whether another attempt may help: the server was busy or
// broken, or there was no answer, or one that is not a reply.
func retryable(f *failure) bool {
	if isValidation(f.err) {
		return false
	}
	switch f.status {
	case 0, http.StatusOK, http.StatusRequestTimeout, http.StatusConflict:
		return true
	case http.StatusTooManyRequests:
		var e *openai.APIError
		return !errors.As(f.err, &e) || fmt.Sprint(e.Code) != "insufficient_quota"
	}
	return f.status >= 500 && f.status != http.StatusNotImplemented
}

// isValidation reports whether the client library refused to send the request.
func isValidation(err error) bool {
	for _, e := range []error{
		openai.ErrReasoningModelMaxTokensDeprecated, openai.ErrReasoningModelLimitationsOther,
		openai.ErrReasoningModelLimitationsLogprobs, openai.ErrReasoningSamplingUnsupported,
		openai.ErrReasoningEffortUnsupported, openai.ErrChatCompletionInvalidModel,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// holdBack keeps all calls of the Remote from the server for a while.
func (r *Remote) holdBack(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := time.Now().Add(d); t.After(r.notBefore) {
		r.notBefore = t
	}
}

// jitter lengthens a wait by up to a tenth, so that calls which were told to wait
// alike do not come back in one instant.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/10+1))
}

// longestWait bounds what a server may ask for, so that a nonsensical header
// does not stop a job for days.
const longestWait = 24 * time.Hour

// retryAfter reads the wait that a server asks for: retry-after-ms, or
// Retry-After in seconds or as a date. Without one, or with nonsense, it is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return clampWait(ms / 1000)
	}
	text := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return clampWait(s)
	}
	if t, err := http.ParseTime(text); err == nil {
		return clampWait(t.Sub(now).Seconds())
	}
	return 0
}

func clampWait(seconds float64) time.Duration {
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, longestWait.Seconds()) * float64(time.Second))
}

// count enters a finished call.
func (r *Remote) count(reply Reply, tries int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usage.Retries += max(0, tries-1)
	if err != nil {
		r.usage.Failures++
		return
	}
	r.usage.Calls++
	r.usage.Add(reply.Usage)
}

// longestMessage bounds what an error quotes of an answer.
const longestMessage = 500

// ended returns the error of the context that ended a call, nil where none did.
// The timeout of a single attempt is no such error: a failure does not unwrap.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return nil
}

// failed makes the error of a call. The errors of the client library may quote
// the request or the key and are not passed on as they are.
func (r *Remote) failed(ctx context.Context, err error, last *failure, tries int) error {
	e := &RemoteError{Endpoint: r.endpoint, Model: r.model, Message: err.Error(), Tries: tries}
	if last != nil {
		e.Status, e.Message = last.status, last.Error()
	}
	if len(e.Message) > longestMessage {
		e.Message = strings.ToValidUTF8(e.Message[:longestMessage], "") + "..."
	}
	if e.cause = ended(ctx, err); e.cause != nil && last != nil {
		e.Message += "; " + e.cause.Error()
	}
	if r.key != "" {
		e.Message = strings.ReplaceAll(e.Message, r.key, "***")
	}
	return e
}
