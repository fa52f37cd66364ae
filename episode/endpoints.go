package episode

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
)

// Endpoints opens chat models by the names that evaluations of SOTOPIA have for
// them:
//
//	gpt-4o                            a model of the default endpoint
//	custom/NAME@http://host:8000/v1   a model of an endpoint of one's own
//
// A model is opened once, and all models of one endpoint share one limit. The zero
// value is ready to use; it may be used by several goroutines.
type Endpoints struct {
	// URL of the default endpoint; "" is what OPENAI_BASE_URL says, or OpenAI's.
	URL string
	// Key returns the API key for a base URL, "" for none; nil takes that of the
	// default endpoint from OPENAI_API_KEY and any other from CUSTOM_API_KEY.
	Key func(baseURL string) string
	// Limit is how many calls may be under way at an endpoint at once; 0: no limit.
	Limit int
	// Options are those of every model.
	Options []RemoteOption

	mu    sync.Mutex
	open  map[string]LLM
	gates map[string]Gate
}

// OpenAIURL is the base URL of OpenAI's own endpoint.
const OpenAIURL = "https://api.openai.com/v1"

// customPrefix marks the name of a model at an endpoint of one's own.
const customPrefix = "custom/"

// SplitModel takes the name of a model apart: custom/NAME@URL is NAME at URL, and
// any other name stands for itself at the default endpoint, url being "".
func SplitModel(name string) (model, url string, err error) {
	rest, custom := strings.CutPrefix(name, customPrefix)
	if !custom {
		if name == "" {
			return "", "", fmt.Errorf("episode: the name of the model is empty")
		}
		return name, "", nil
	}
	at := strings.Index(rest, "@http")
	if at <= 0 {
		return "", "", fmt.Errorf("episode: model %s: want %sNAME@http://HOST:PORT/v1", quote(name), customPrefix)
	}
	model, url = rest[:at], rest[at+1:]
	if _, err := cleanURL(url); err != nil {
		return "", "", fmt.Errorf("episode: model %s: %w", quote(name[:len(customPrefix)+at]), err)
	}
	return model, url, nil
}

// Open returns the model of a name; see [Endpoints].
func (e *Endpoints) Open(name string) (LLM, error) {
	model, url, err := SplitModel(name)
	if err != nil {
		return nil, err
	}
	url = cmp.Or(url, e.defaultURL())
	e.mu.Lock()
	defer e.mu.Unlock()
	at := model + "@" + url
	if llm, ok := e.open[at]; ok {
		return llm, nil
	}
	key, err := e.key(url)
	if err != nil {
		return nil, err
	}
	if e.open == nil {
		e.open, e.gates = map[string]LLM{}, map[string]Gate{}
	}
	if e.Limit > 0 && e.gates[url] == nil {
		e.gates[url] = NewGate(e.Limit)
	}
	e.open[at] = e.gates[url].Limit(NewRemote(url, key, model, e.Options...))
	return e.open[at], nil
}

func (e *Endpoints) defaultURL() string {
	return cmp.Or(e.URL, os.Getenv("OPENAI_BASE_URL"), OpenAIURL)
}

// key returns the key for an endpoint. Without one OpenAI's would refuse every call.
func (e *Endpoints) key(url string) (string, error) {
	if e.Key != nil {
		return e.Key(url), nil
	}
	name := "CUSTOM_API_KEY"
	if url == e.defaultURL() {
		name = "OPENAI_API_KEY"
	}
	key := os.Getenv(name)
	if key == "" && url == OpenAIURL {
		return "", fmt.Errorf("episode: the environment variable %s holds no API key", name)
	}
	return key, nil
}

// Gate lets a bounded number of calls through at once. A nil Gate lets all through.
type Gate chan struct{}

// NewGate returns a gate for n calls at once, n at least 1.
func NewGate(n int) Gate { return make(Gate, n) }

// Limit returns a model whose calls pass the gate; several models may share one.
func (g Gate) Limit(llm LLM) LLM {
	if g == nil {
		return llm
	}
	return LLMFunc(func(ctx context.Context, r Request) (Reply, error) {
		select {
		case g <- struct{}{}:
			defer func() { <-g }()
			return llm.Chat(ctx, r)
		case <-ctx.Done():
			return Reply{}, ctx.Err()
		}
	})
}
