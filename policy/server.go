package policy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/socialrl/socialrl/tokenizer"
)

// ServerConfig says what a [Server] takes. The zero value is ready for use.
type ServerConfig struct {
	APIKey string // asked for as a bearer token; "" asks for none
	Name   string // of the bare base model; "" stands for the name of its directory

	MaxBody       int64         // bytes of a request; 0 stands for 4 MiB
	MaxTokens     int           // most tokens of a reply that a request may ask for; 0: the model's context
	DefaultTokens int           // tokens of a reply where a request does not say; 0 stands for 1024
	MaxReplies    int           // replies to one request, n times its prompts; 0 stands for 128
	MaxLive       int           // replies drawn at a time; 0 stands for 64
	MaxCache      int           // tokens, of prompts and replies to come, in work at a time; 0 stands for 65536
	Keep          int           // tokens of prompts that stay in each model's cache after their replies; 0 stands for 4096
	MaxQueue      int           // requests that wait for room; 0 stands for 256
	Timeout       time.Duration // of a request, its waiting included; 0 stands for 10 minutes
	PromptRows    int           // tokens of prompts computed between two tokens of a reply; 0 stands for 256
	BestOf        int           // replies that the best-of-N endpoint draws; 0 stands for 5

	// Adapters is the directory from which /v1/load_lora_adapter may read; "" turns
	// loading off.
	Adapters string
}

func (c ServerConfig) withDefaults(b *Base) ServerConfig {
	if c.Name == "" {
		c.Name = filepath.Base(b.dir)
	}
	if b.dir == "" && c.Name == "." {
		c.Name = "base"
	}
	c.MaxBody = orElse(c.MaxBody, 4<<20)
	c.MaxTokens = orElse(c.MaxTokens, b.cfg.MaxPositions)
	c.DefaultTokens = orElse(c.DefaultTokens, 1024)
	c.MaxReplies = orElse(c.MaxReplies, 128)
	c.MaxLive = orElse(c.MaxLive, 64)
	c.MaxCache = orElse(c.MaxCache, 1<<16)
	c.Keep = orElse(c.Keep, 1<<12)
	c.MaxQueue = orElse(c.MaxQueue, 256)
	c.Timeout = orElse(c.Timeout, 10*time.Minute)
	c.PromptRows = orElse(c.PromptRows, 256)
	c.BestOf = orElse(c.BestOf, 5)
	return c
}

func orElse[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// ReplyScorer gives replies of a chat a value each, the higher the better; NaN says
// that a reply cannot be scored. The server calls it from the goroutine that owns the
// engine. A reward model is one.
type ReplyScorer interface {
	ScoreReplies(ctx context.Context, chat []tokenizer.Message, replies []string) ([]float64, error)
}

// Server serves a base model and its adapters to clients of OpenAI's API. It is an
// [http.Handler]:
//
//	GET  /v1/models
//	POST /v1/chat/completions       also with stream
//	POST /v1/completions            also with stream
//	POST /v1/load_lora_adapter      {"lora_name": ..., "lora_path": ...}
//	POST /v1/unload_lora_adapter    {"lora_name": ...}
//	POST /score                     {"input": or "messages": ..., "outputs": [...]} gives {"scores": [...]}
//	POST /sotopia/chat/completions  the best of several replies, by the scorer
//	GET  /health                    without key
//	GET  /metrics                   for Prometheus, without key
//
// The replies of all requests to one adapter are drawn in one batch over one trie of
// the prompts' shared beginnings; a long prompt is computed in pieces, between which
// every reply under way gets a token. The latest prompts stay in the cache, so that
// the next turn of a chat costs what is new. A client that goes away ends its replies.
//
// Taken are model, messages or prompt (texts or tokens), n, max_tokens,
// max_completion_tokens, temperature, top_p, stop, seed, stream, stream_options,
// logprobs, top_logprobs, response_format (json_object, json_schema; see
// [Vocabulary.JSONSchema]) and, beyond OpenAI's, top_k, min_p and
// repetition_penalty. What would change the replies and is not offered (tools,
// penalties of another kind, logit_bias, echo, suffix, best_of, parts of messages other
// than text, and vLLM's guided_json, min_tokens, stop_token_ids and the like) is refused
// by name. Log-probabilities are those of the distribution before top_p
// and its like; of the prompt there are none. A seed gives the same reply again
// whatever else is served.
//
// The server owns the engine of its base until Close: nobody else may use it, apart
// from functions given to [Server.Do]. All methods may be called from several goroutines at
// once.
type Server struct {
	cfg    ServerConfig
	base   *Base
	vocab  *Vocabulary
	mux    *http.ServeMux
	key    [sha256.Size]byte
	stats  *serverStats
	scorer ReplyScorer

	mu     sync.Mutex // guards models and order
	models map[string]*servedModel
	order  []string

	owner       *owner // used in its own goroutine, by commands
	constraints constraintCache
	waiting     atomic.Int64 // requests that have not begun
	draining    atomic.Bool
	inside      atomic.Int64 // requests being served
	commands    chan func()  // run by the owner of the engine, between steps
	quit        chan struct{}
	stopped     chan struct{}
	closing     sync.Once
}

// NewServer returns a server of a base model, which must have a tokenizer. The bare
// base is served under its own name. Close it to stop.
func NewServer(base *Base, cfg ServerConfig) *Server {
	vocab, err := base.Vocabulary()
	if err != nil {
		panic("policy: a server needs a base with a tokenizer")
	}
	cfg = cfg.withDefaults(base)
	s := &Server{cfg: cfg, base: base, vocab: vocab, models: map[string]*servedModel{}, key: sha256.Sum256([]byte(cfg.APIKey)),
		commands: make(chan func()), quit: make(chan struct{}), stopped: make(chan struct{})}
	s.stats = newServerStats(s)
	s.mux = s.routes()
	bare, _ := New(base, nil)
	s.Add(cfg.Name, bare)
	s.owner = &owner{Server: s}
	go s.owner.run()
	return s
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/models":                 s.listModels,
		"GET /v1/models/{name...}":       s.showModel,
		"POST /v1/chat/completions":      s.chat,
		"POST /v1/completions":           s.complete,
		"POST /v1/load_lora_adapter":     s.loadAdapter,
		"POST /v1/unload_lora_adapter":   s.unloadAdapter,
		"POST /score":                    s.score,
		"POST /sotopia/chat/completions": s.bestOf,
	} {
		_, route, _ := strings.Cut(pattern, " ")
		mux.Handle(pattern, s.guarded(route, h))
	}
	mux.HandleFunc("GET /health", s.health)
	mux.Handle("GET /metrics", s.stats.handler())
	mux.Handle("/", s.guarded("other", func(_ http.ResponseWriter, r *http.Request) error {
		return &apiError{status: http.StatusNotFound, Message: "there is no " + r.Method + " " + r.URL.Path, Code: "not_found"}
	}))
	return mux
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// guarded checks the key, bounds body and time, and writes errors.
func (s *Server) guarded(route string, h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		out := &statusWriter{ResponseWriter: w}
		s.inside.Add(1)
		defer s.inside.Add(-1)
		ctx, cancel := context.WithTimeoutCause(r.Context(), s.cfg.Timeout, errTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(out, r.Body, s.cfg.MaxBody)
		err := s.admit(r)
		if err == nil {
			err = h(out, r)
		}
		if err != nil {
			writeError(out, r, err)
		}
		s.stats.request(route, out.status(r), time.Since(began))
	})
}

// admit refuses requests without the key, and all while the server shuts down.
func (s *Server) admit(r *http.Request) error {
	given := sha256.Sum256([]byte(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
	switch {
	case s.cfg.APIKey != "" && subtle.ConstantTimeCompare(given[:], s.key[:]) != 1:
		return &apiError{status: http.StatusUnauthorized, Message: "the API key is missing or wrong", Code: "invalid_api_key"}
	case s.draining.Load():
		return errShutdown
	}
	return nil
}

// statusWriter remembers the status that was written.
type statusWriter struct {
	http.ResponseWriter
	written int
}

// WriteHeader writes the status.
func (w *statusWriter) WriteHeader(status int) {
	if w.written == 0 {
		w.written = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.written == 0 {
		w.written = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap returns what it writes to.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// status returns what was written; 499 stands for a client that had gone.
func (w *statusWriter) status(r *http.Request) int {
	const clientClosed = 499
	if err := r.Context().Err(); errors.Is(err, context.Canceled) {
		return clientClosed
	}
	return w.written
}

// SetScorer sets what values replies, or none. Call it before requests come.
func (s *Server) SetScorer(scorer ReplyScorer) { s.scorer = scorer }

// Do runs f in the goroutine that owns the engine, between two steps: what else needs
// the engine may use it there. f must not call the server.
func (s *Server) Do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.commands <- func() { f(); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.quit:
		return errShutdown
	}
}

// Shutdown refuses new requests, waits until those under way are done or ctx ends, and
// stops the server.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	defer s.Close()
	const pause = 5 * time.Millisecond
	for s.inside.Load() > 0 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close ends all requests and gives the sessions' memory back, and that of adapters
// which the server loaded. The base stays.
func (s *Server) Close() {
	s.draining.Store(true)
	s.closing.Do(func() { close(s.quit) })
	<-s.stopped
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
