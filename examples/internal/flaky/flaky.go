// Package flaky is an OpenAI-compatible chat endpoint that fails on purpose, for
// tests of programs that must survive one. It answers prompts of package
// attribution with valid scores, except for a share of calls: these it refuses,
// breaks, miscounts or keeps waiting, and it notes everything that happened.
//
// A Server may be used by several goroutines. Which calls fail follows from the
// seed and the order in which calls arrive.
package flaky

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is what goes wrong with a call.
type Fault string

// The faults, and None for a call that goes well.
const (
	None       Fault = "none"
	TooMany    Fault = "429 with Retry-After"
	Internal   Fault = "500"
	BrokenJSON Fault = "broken JSON"
	WrongCount Fault = "wrong count of scores"
	Slow       Fault = "slow"
)

// Faults lists what can go wrong.
func Faults() []Fault { return []Fault{TooMany, Internal, BrokenJSON, WrongCount, Slow} }

// Config says how a server behaves.
type Config struct {
	Seed       uint64
	Share      float64       // of calls that fail, 0..1
	Faults     []Fault       // what goes wrong with those; nil is everything
	Delay      time.Duration // of every reply
	SlowDelay  time.Duration // of slow replies
	RetryAfter int           // seconds that a refused client is told to wait
}

// Call is one request that arrived.
type Call struct {
	Run    string // first element of the path: tells runs of the client apart
	Prompt string // without what a client adds after an unusable reply
	Fault  Fault
	Served bool // the reply was sent before the client went away
}

// Useful reports whether the client got scores it could keep.
func (c Call) Useful() bool { return c.Served && (c.Fault == None || c.Fault == Slow) }

// Server is the endpoint. Requests go to URL/RUN/chat/completions.
type Server struct {
	*httptest.Server
	config  Config
	arrived chan string // the run of every request

	mu     sync.Mutex
	rng    *rand.Rand
	calls  []*Call
	waits  map[waiting]time.Time
	broken []string
	limits map[string]int // calls of a run that are still answered
}

// waiting is a client that was told to wait with a prompt.
type waiting struct{ run, prompt string }

// New starts a server. The caller closes it.
func New(c Config) *Server {
	if c.Faults == nil {
		c.Faults = Faults()
	}
	s := &Server{
		config: c, arrived: make(chan string, 1024), rng: rand.New(rand.NewPCG(c.Seed, 1)), waits: map[waiting]time.Time{},
		limits: map[string]int{},
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// Limit lets a run have n answers; its later calls are kept waiting until the
// client goes away.
func (s *Server) Limit(run string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits[run] = n
}

// Arrived yields the run of every request, as it arrives.
func (s *Server) Arrived() <-chan string { return s.arrived }

// Calls returns what has happened so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = *c
	}
	return calls
}

// BrokenWaits describes the requests that came sooner than the client had been
// told.
func (s *Server) BrokenWaits() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.broken...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	var request struct {
		Messages []struct{ Content string }
	}
	if err != nil || json.Unmarshal(text, &request) != nil || len(request.Messages) == 0 {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	run, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	call, held := s.arrive(run, request.Messages[0].Content)
	if held {
		<-r.Context().Done()
		return
	}
	delay := s.config.Delay
	if call.Fault == Slow {
		delay = s.config.SlowDelay
	}
	select {
	case <-r.Context().Done():
		return
	case <-time.After(delay):
	}
	s.mu.Lock()
	call.Served = r.Context().Err() == nil
	if call.Fault == TooMany {
		s.waits[waiting{call.Run, call.Prompt}] = time.Now().Add(time.Duration(s.config.RetryAfter) * time.Second)
	}
	s.mu.Unlock()
	s.answer(w, call)
}

// arrive notes a call, decides what goes wrong with it, and reports whether it is
// beyond the limit of its run.
func (s *Server) arrive(run, prompt string) (call *Call, held bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	prompt, _, _ = strings.Cut(prompt, "\n\nAn earlier reply")
	call = &Call{Run: run, Prompt: prompt, Fault: None}
	if s.rng.Float64() < s.config.Share {
		call.Fault = s.config.Faults[s.rng.IntN(len(s.config.Faults))]
	}
	key := waiting{run, prompt}
	if until, ok := s.waits[key]; ok && now.Before(until) {
		s.broken = append(s.broken, fmt.Sprintf("%s: %v too early", run, until.Sub(now)))
	}
	s.calls = append(s.calls, call)
	select {
	case s.arrived <- run:
	default: // nobody listens
	}
	left, limited := s.limits[run]
	s.limits[run] = left - 1
	if !limited {
		delete(s.limits, run)
	}
	return call, limited && left <= 0
}

func (s *Server) answer(w http.ResponseWriter, call *Call) {
	switch call.Fault {
	case TooMany:
		w.Header().Set("Retry-After", strconv.Itoa(s.config.RetryAfter))
		refuse(w, http.StatusTooManyRequests, "slow down")
	case Internal:
		refuse(w, http.StatusInternalServerError, "something broke")
	default:
		complete(w, call.Prompt, scores(call.Prompt, call.Fault))
	}
}

// refuse sends an error object as OpenAI's endpoints do.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": "server_error"}})
}

// complete sends a chat completion.
func complete(w http.ResponseWriter, prompt, reply string) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "model": "flaky",
		"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": reply}}},
		"usage": map[string]any{
			"prompt_tokens": len(prompt) / 4, "completion_tokens": len(reply) / 4, "total_tokens": len(prompt)/4 + len(reply)/4,
		},
	})
}

// scores replies to a prompt: every utterance gets its index modulo 4, the first
// one that may be chosen is the key utterance, and a dialogue is worth 5.
func scores(prompt string, fault Fault) string {
	_, choice, _ := strings.Cut(prompt, "The numbers to choose from are: ")
	_, rest, _ := strings.Cut(prompt, "The keys are: ")
	switch {
	case choice != "":
		first, _, _ := strings.Cut(strings.ReplaceAll(choice, ".", ","), ",")
		return broken(`{"key_utterance": `+first+"}", fault)
	case rest == "":
		return broken(`{"score": 5}`, fault)
	}
	list, _, _ := strings.Cut(rest, ".")
	keys := strings.Split(list, ", ")
	if fault == WrongCount {
		keys = append(keys[1:], "97", "98")
	}
	entries := make([]string, len(keys))
	for i, k := range keys {
		index, _ := strconv.Atoi(k)
		entries[i] = fmt.Sprintf("%q: %d", k, index%4)
	}
	return broken(`{"scores": {`+strings.Join(entries, ", ")+"}}", fault)
}

// broken cuts the end off a reply where that is the fault, and off one that holds a
// single answer also where the count is to be wrong.
func broken(reply string, fault Fault) string {
	single := !strings.Contains(reply, "scores")
	if fault == BrokenJSON || single && fault == WrongCount {
		return reply[:len(reply)-4]
	}
	return reply
}
