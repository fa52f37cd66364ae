package episode

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sashabaranov/go-openai"
	"golang.org/x/time/rate"
)

// Remote is a chat model behind an endpoint that speaks the OpenAI API. It is
// safe for concurrent use.
//
// A call that is answered with 408, 409, 429 or 5xx, with something that is not
// a reply, or not at all is made again, after waits that grow exponentially with
// a random part. A Retry-After that the server sends is obeyed, by all calls of
// the Remote. The key stands in no error and in no printed form.
type Remote struct {
	model    string
	endpoint string // for errors; holds no password
	key      string
	client   *openai.Client
	broken   error // a base URL that cannot be used

	transport http.RoundTripper
	tries     int
	timeout   time.Duration
	minWait   time.Duration
	maxWait   time.Duration
	limiter   *rate.Limiter
	price     [2]float64   // per token: prompt, completion
	format    atomic.Int32 // what the endpoint has refused; see formats

	mu        sync.Mutex
	notBefore time.Time // no call is made earlier
	usage     RemoteUsage
}

// RemoteUsage counts what a [Remote] did.
type RemoteUsage struct {
	Usage          // of all calls that were answered
	Calls      int // calls that were answered
	Failures   int // calls that ended in an error
	Retries    int // attempts beyond the first of their call
	RateLimits int // attempts that were answered with 429
}

// RemoteOption changes a [Remote].
type RemoteOption func(*Remote)

// WithTries sets how often a call is attempted in all; the default is 6.
func WithTries(n int) RemoteOption { return func(r *Remote) { r.tries = max(1, n) } }

// WithTimeout bounds each attempt; the default is 5 minutes, and 0 means that
// only the context of the call bounds it.
func WithTimeout(d time.Duration) RemoteOption { return func(r *Remote) { r.timeout = d } }

// WithBackoff sets the first wait before another attempt and the longest one;
// the defaults are 500 ms and 60 s. Each wait is 1.5 times the one before, give
// or take a half of it at random.
func WithBackoff(first, longest time.Duration) RemoteOption {
	return func(r *Remote) { r.minWait, r.maxWait = first, longest }
}

// WithRateLimit bounds the attempts per second; at most burst of them start at
// once. The default is no limit.
func WithRateLimit(perSecond float64, burst int) RemoteOption {
	return func(r *Remote) { r.limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, burst)) }
}

// WithPrice sets what a million tokens of prompts and of replies cost, in any
// currency; the default is 0.
func WithPrice(prompt, completion float64) RemoteOption {
	return func(r *Remote) { r.price = [2]float64{prompt / 1e6, completion / 1e6} }
}

// WithTransport sets what carries the HTTP requests; the default is
// [http.DefaultTransport].
func WithTransport(t http.RoundTripper) RemoteOption { return func(r *Remote) { r.transport = t } }

// NewRemote returns the chat model of the given name at an endpoint. baseURL
// ends where /chat/completions begins, as in http://localhost:8000/v1; "" is
// OpenAI's. key may be empty where the endpoint asks for none.
func NewRemote(baseURL, key, model string, opts ...RemoteOption) *Remote {
	r := &Remote{
		model: model, key: key, transport: http.DefaultTransport,
		tries: 6, timeout: 5 * time.Minute, minWait: 500 * time.Millisecond, maxWait: time.Minute,
	}
	for _, o := range opts {
		o(r)
	}
	c := openai.DefaultConfig(key)
	if baseURL != "" {
		c.BaseURL = strings.TrimRight(baseURL, "/")
	}
	r.endpoint, r.broken = cleanURL(c.BaseURL)
	c.HTTPClient = &http.Client{Transport: &exchange{r.transport}}
	r.client = openai.NewClientWithConfig(c)
	return r
}

// cleanURL returns a URL without password and query, for errors.
func cleanURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("the base URL is not of the form http://host:port/v1")
	}
	u.User, u.RawQuery = nil, ""
	return u.String(), nil
}

// Model returns the name of the model.
func (r *Remote) Model() string { return r.model }

// String returns the name of the model and its endpoint, without the key.
func (r *Remote) String() string { return r.model + "@" + r.endpoint }

// GoString is String, so that no format shows the key.
func (r *Remote) GoString() string { return r.String() }

// Usage returns what was done so far.
func (r *Remote) Usage() RemoteUsage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.usage
}

// RemoteError is a call that failed for good. Its text holds neither the key nor
// the prompt.
type RemoteError struct {
	Endpoint string // base URL
	Model    string
	Status   int    // HTTP status of the last attempt, 0 where there was no answer
	Message  string // what the server or the connection said
	Tries    int    // attempts made
	cause    error  // the end of a context; nil otherwise
}

// Error names the endpoint, the model, the status and the message.
func (e *RemoteError) Error() string {
	status := "no answer"
	if e.Status != 0 {
		status = fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("%s@%s: %s after %d attempts: %s", e.Model, e.Endpoint, status, e.Tries, e.Message)
}

// Unwrap returns the error of the context that ended the call, or nil.
func (e *RemoteError) Unwrap() error { return e.cause }

// Chat implements [LLM]. The error is a [*RemoteError]; it wraps the error of
// ctx where that ended the call.
func (r *Remote) Chat(ctx context.Context, q Request) (Reply, error) {
	if r.broken != nil {
		return Reply{}, &RemoteError{Model: r.model, Message: r.broken.Error()}
	}
	tries := 0
	var last *failure
	waits := &backoff.ExponentialBackOff{
		InitialInterval: r.minWait, MaxInterval: r.maxWait,
		RandomizationFactor: backoff.DefaultRandomizationFactor, Multiplier: backoff.DefaultMultiplier,
	}
	reply, err := backoff.Retry(ctx, func() (Reply, error) {
		if err := r.admit(ctx); err != nil {
			return Reply{}, backoff.Permanent(err)
		}
		tries++
		reply, f := r.attempt(ctx, q)
		if f == nil {
			return reply, nil
		}
		last = f
		return Reply{}, r.classify(f)
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(uint(r.tries)), backoff.WithMaxElapsedTime(0))
	r.count(reply, tries, err)
	if err != nil {
		return Reply{}, r.failed(ctx, err, last, tries)
	}
	return reply, nil
}

// admit waits until the rate limit and a Retry-After allow another attempt. It
// fails at once where ctx ends earlier.
func (r *Remote) admit(ctx context.Context) error {
	for {
		r.mu.Lock()
		wait := time.Until(r.notBefore)
		r.mu.Unlock()
		if wait <= 0 {
			break
		}
		if err := sleep(ctx, jitter(wait)); err != nil {
			return err
		}
	}
	if r.limiter == nil {
		return ctx.Err()
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return cmp.Or(ctx.Err(), context.DeadlineExceeded) // the limiter foresees that the deadline passes
	}
	return nil
}

// sleep waits for d, or fails at once where ctx would end before.
func sleep(ctx context.Context, d time.Duration) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt makes one request.
func (r *Remote) attempt(ctx context.Context, q Request) (Reply, *failure) {
	body, err := r.request(q)
	if err != nil {
		return Reply{}, &failure{err: err, fatal: true}
	}
	form := formOf(q, r.format.Load())
	body.ResponseFormat = form.format()
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	var seen answer
	resp, err := r.client.CreateChatCompletion(context.WithValue(ctx, answerKey{}, &seen), body)
	if err != nil {
		return Reply{}, &failure{answer: seen, err: err, form: form}
	}
	if len(resp.Choices) == 0 {
		return Reply{}, &failure{answer: seen, err: errors.New("the answer holds no choices")}
	}
	return r.reply(resp), nil
}

func (r *Remote) reply(resp openai.ChatCompletionResponse) Reply {
	u := Usage{PromptTokens: resp.Usage.PromptTokens, CompletionTokens: resp.Usage.CompletionTokens}
	u.Cost = float64(u.PromptTokens)*r.price[0] + float64(u.CompletionTokens)*r.price[1]
	c := resp.Choices[0]
	return Reply{Text: c.Message.Content, Model: resp.Model, FinishReason: string(c.FinishReason), Usage: u}
}

// request translates a call into the words of the API.
func (r *Remote) request(q Request) (openai.ChatCompletionRequest, error) {
	//lint:ignore SA1019 servers other than OpenAI's own know max_tokens only
	body := openai.ChatCompletionRequest{Model: r.model, TopP: float32(q.TopP), MaxTokens: q.MaxTokens, Stop: q.Stop}
	if len(q.Messages) == 0 {
		return body, errors.New("the request has no messages")
	}
	for _, m := range q.Messages {
		body.Messages = append(body.Messages, openai.ChatCompletionMessage{Role: m.Role, Content: m.Content})
	}
	if q.Temperature != nil {
		if body.Temperature = float32(*q.Temperature); *q.Temperature == 0 {
			body.Temperature = tiny
		}
	}
	if q.Seed != nil {
		body.Seed = new(int(*q.Seed))
	}
	return body, nil
}

// tiny stands for a temperature of 0, which the client library leaves out of the
// request; on its way the exchange turns it into 0.
const tiny = math.SmallestNonzeroFloat32

var (
	tinyText = []byte(`"temperature":1e-45`)
	zeroText = []byte(`"temperature":0`)
)

// answer is what the client library does not tell of an HTTP response.
type answer struct {
	status     int
	retryAfter time.Duration // 0: the server asked for none
}

type answerKey struct{}

// exchange carries requests and notes the answers.
type exchange struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		req.Body.Close()
		if err != nil {
			return nil, err
		}
		body = bytes.Replace(body, tinyText, zeroText, 1)
		req = req.Clone(req.Context())
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	resp, err := x.next.RoundTrip(req)
	if seen, ok := req.Context().Value(answerKey{}).(*answer); ok && err == nil {
		*seen = answer{resp.StatusCode, retryAfter(resp.Header, time.Now())}
	}
	return resp, err
}
