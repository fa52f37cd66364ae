package episode_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/socialrl/socialrl/episode"
)

// endpoint answers requests from memory, so that tests run on a clock of their
// own. answer gets the number of the request, from 1, and its body.
type endpoint struct {
	mu     sync.Mutex
	answer func(n int, body string) (int, http.Header, string)
	times  []time.Time
	bodies []string
}

func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	b, _ := io.ReadAll(req.Body)
	e.mu.Lock()
	e.times = append(e.times, time.Now())
	e.bodies = append(e.bodies, string(b))
	n := len(e.times)
	e.mu.Unlock()
	status, header, body := e.answer(n, string(b))
	if status < 0 {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if status == 0 {
		return nil, errors.New("connection reset by peer")
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

const hello = `{"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1000, "completion_tokens": 500}}`

func good(int, string) (int, http.Header, string) { return 200, nil, hello }

// failing answers like f for the first n requests, and well after them.
func failing(n int, f func(int, string) (int, http.Header, string)) func(int, string) (int, http.Header, string) {
	return func(i int, body string) (int, http.Header, string) {
		if i <= n {
			return f(i, body)
		}
		return good(i, body)
	}
}

func status(code int, body string) func(int, string) (int, http.Header, string) {
	return func(int, string) (int, http.Header, string) { return code, nil, body }
}

func ask(ctx context.Context, r *episode.Remote) (episode.Reply, error) {
	return r.Chat(ctx, episode.Request{Messages: episode.Prompt("Hi")})
}

const apiKey = "sk-very-secret"

func remote(e *endpoint, opts ...episode.RemoteOption) *episode.Remote {
	return episode.NewRemote("http://host/v1/", apiKey, "m", append(opts, episode.WithTransport(e))...)
}

func TestRemoteSendsWhatIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		why  string
		q    episode.Request
		want string
	}{
		{"only a prompt", episode.Request{}, `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`},
		{"a temperature of 0 is sent as 0", episode.Request{Temperature: new(0.0)}, `{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0}`},
		{"sampling", episode.Request{Temperature: new(0.7), TopP: 0.5, MaxTokens: 20, Stop: []string{"\n"}, Seed: new(int64(3))},
			`{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_tokens":20,"temperature":0.7,"top_p":0.5,"stop":["\n"],"seed":3}`},
		{"JSON mode", episode.Request{JSON: true}, `{"model":"m","messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}}`},
		{"a schema", episode.Request{Schema: json.RawMessage(`{"type":"object"}`)},
			`{"model":"m","messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"reply","schema":{"type":"object"},"strict":true}}}`},
	} {
		e := &endpoint{answer: good}
		c.q.Messages = episode.Prompt("Hi")
		if _, err := remote(e).Chat(t.Context(), c.q); err != nil {
			t.Fatal(err)
		}
		if got := strings.Replace(e.bodies[0], `,"stream":false`, "", 1); got != c.want {
			t.Errorf("%s: sent %s, want %s", c.why, got, c.want)
		}
	}
}

func TestRemoteCountsTokensAndCost(t *testing.T) {
	r := remote(&endpoint{answer: good}, episode.WithPrice(2.5, 10))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			reply, err := ask(t.Context(), r)
			want := episode.Reply{Text: "hello", Model: "m-1", FinishReason: "stop",
				Usage: episode.Usage{PromptTokens: 1000, CompletionTokens: 500, Cost: 0.0025 + 0.005}}
			if err != nil || reply != want {
				t.Errorf("reply is %+v, %v, want %+v", reply, err, want)
			}
		})
	}
	wg.Wait()
	u := r.Usage()
	if u.Calls != 8 || u.PromptTokens != 8000 || u.CompletionTokens != 4000 || u.Cost < 0.0599 || u.Cost > 0.0601 || u.Retries != 0 {
		t.Errorf("usage is %+v", u)
	}
}

// What may pass is attempted again, with waits that grow.
func TestRemoteRetries(t *testing.T) {
	for _, c := range []struct {
		why    string
		answer func(int, string) (int, http.Header, string)
	}{
		{"rate limit", status(429, `{"error": {"message": "slow down"}}`)},
		{"server error", status(500, "oops")},
		{"bad gateway in HTML", status(502, "<html>")},
		{"time out of the server", status(408, "")},
		{"lost connection", status(0, "")},
		{"no answer in time", status(-1, "")},
		{"an answer that is not JSON", status(200, "{")},
		{"an answer without choices", status(200, `{"choices": []}`)},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{answer: failing(3, c.answer)}
			r := remote(e, episode.WithTimeout(10*time.Second), episode.WithBackoff(time.Second, time.Minute))
			start := time.Now()
			reply, err := ask(t.Context(), r)
			if err != nil || reply.Text != "hello" || len(e.times) != 4 {
				t.Fatalf("%s: reply %+v, error %v after %d requests", c.why, reply, err, len(e.times))
			}
			// Waits of 1, 1.5 and 2.25 s, each give or take a half.
			if d := time.Since(start); d < 2375*time.Millisecond || d > 7125*time.Millisecond+30*time.Second {
				t.Errorf("%s: took %v", c.why, d)
			}
			if u := r.Usage(); u.Retries != 3 || u.Calls != 1 || u.Failures != 0 {
				t.Errorf("%s: usage is %+v", c.why, u)
			}
		})
	}
}

// What cannot pass is not attempted again.
func TestRemoteGivesUpAtOnce(t *testing.T) {
	for _, c := range []struct {
		why    string
		status int
		body   string
	}{
		{"wrong key", 401, `{"error": {"message": "Incorrect API key provided: ` + apiKey + `"}}`},
		{"unknown model", 404, `{"error": {"message": "The model m does not exist"}}`},
		{"bad request", 400, `{"error": {"message": "too long"}}`},
		{"no money left", 429, `{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}`},
	} {
		e := &endpoint{answer: status(c.status, c.body)}
		r := remote(e)
		_, err := ask(t.Context(), r)
		var re *episode.RemoteError
		if !errors.As(err, &re) || re.Status != c.status || re.Tries != 1 || len(e.times) != 1 {
			t.Errorf("%s: error is %v after %d requests", c.why, err, len(e.times))
		}
		if u := r.Usage(); u.Failures != 1 || u.Calls != 0 {
			t.Errorf("%s: usage is %+v", c.why, u)
		}
	}
}

func TestRemoteStopsAfterAllTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: status(503, strings.Repeat("busy ", 1000))}
		_, err := ask(t.Context(), remote(e, episode.WithTries(4)))
		var re *episode.RemoteError
		if !errors.As(err, &re) || re.Status != 503 || re.Tries != 4 || len(e.times) != 4 || len(err.Error()) > 700 {
			t.Errorf("error is %v after %d requests", err, len(e.times))
		}
	})
}

// A wait that the server asks for is kept by every call, not only by the one
// that was told, and calls come back spread over time.
func TestRemoteObeysRetryAfter(t *testing.T) {
	for _, header := range []struct{ name, value string }{
		{"Retry-After", "30"}, {"retry-after-ms", "30000"},
		{"Retry-After", time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC).Format(http.TimeFormat)}, // the bubble's clock starts at 2000-01-01
	} {
		synctest.Test(t, func(t *testing.T) {
			h := http.Header{}
			h.Set(header.name, header.value)
			e := &endpoint{answer: failing(1, func(int, string) (int, http.Header, string) { return 429, h, "" })}
			r := remote(e)
			start := time.Now()
			var wg sync.WaitGroup
			for i := range 5 {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * time.Second)
					if _, err := ask(t.Context(), r); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if len(e.times) != 6 {
				t.Errorf("%d requests, want 6", len(e.times))
			}
			for _, at := range e.times[1:] {
				if d := at.Sub(start); d < 30*time.Second || d > 34*time.Second {
					t.Errorf("%s: a request after %v, want 30 s or little more", header.value, d)
				}
			}
			if u := r.Usage(); u.RateLimits != 1 || u.Retries != 1 {
				t.Errorf("usage is %+v", u)
			}
		})
	}
}

// A call whose deadline comes before the wait fails at once.
func TestRemoteDoesNotWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: func(int, string) (int, http.Header, string) {
			return 429, http.Header{"Retry-After": {"100"}}, `{"error": {"message": "slow down"}}`
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := ask(ctx, remote(e))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "slow down") || time.Since(start) != 0 {
			t.Errorf("error is %v after %v", err, time.Since(start))
		}
	})
}

func TestRemoteContextEndsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: status(-1, "")}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := ask(ctx, remote(e))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second || len(e.times) != 1 {
			t.Errorf("error is %v after %v and %d requests", err, time.Since(start), len(e.times))
		}
	})
}

func TestRemoteRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: good}
		r := remote(e, episode.WithRateLimit(2, 1))
		start := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := ask(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start).Round(time.Millisecond); d != 2*time.Second {
			t.Errorf("5 requests at 2 a second took %v, want 2s", d)
		}
	})
}

// An endpoint without JSON mode is asked again without it, by all later calls.
func TestRemoteWithoutJSONMode(t *testing.T) {
	e := &endpoint{answer: func(_ int, body string) (int, http.Header, string) {
		if strings.Contains(body, "response_format") {
			return 400, nil, `{"error": {"message": "response_format is not supported"}}`
		}
		return good(0, "")
	}}
	r := remote(e)
	for range 2 {
		if _, err := r.Chat(t.Context(), episode.Request{Messages: episode.Prompt("Hi"), JSON: true}); err != nil {
			t.Fatal(err)
		}
	}
	if len(e.times) != 3 {
		t.Errorf("%d requests, want 3: one refused, two without JSON mode", len(e.times))
	}
}

func TestRemoteNeverShowsTheKey(t *testing.T) {
	r := remote(&endpoint{answer: status(401, `{"error": {"message": "bad key `+apiKey+`"}}`)})
	_, err := ask(t.Context(), r)
	bad := episode.NewRemote("http://user:"+apiKey+"@host:port\x00", apiKey, "m")
	_, badURL := ask(t.Context(), bad)
	refused := episode.NewRemote("http://user:"+apiKey+"@127.0.0.1:1/v1", apiKey, "m", episode.WithTries(1))
	_, noAnswer := ask(t.Context(), refused)
	for _, v := range []any{err, badURL, noAnswer, r, bad, refused} {
		if v == nil {
			t.Fatal("no error")
		}
		if text := fmt.Sprintf("%v %+v %#v %s", v, v, v, v); strings.Contains(text, apiKey) {
			t.Errorf("shows the key: %s", text)
		}
	}
	var re *episode.RemoteError
	if !errors.As(noAnswer, &re) || re.Status != 0 || !strings.Contains(noAnswer.Error(), "127.0.0.1:1") {
		t.Errorf("error is %v, want one that names the endpoint", noAnswer)
	}
}

// The same over a real connection, with the key where the API wants it.
func TestRemoteOverHTTP(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer "+apiKey {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, hello)
	}))
	defer s.Close()
	reply, err := ask(t.Context(), episode.NewRemote(s.URL+"/v1", apiKey, "m"))
	if err != nil || reply.Text != "hello" {
		t.Errorf("reply is %+v, %v", reply, err)
	}
}
