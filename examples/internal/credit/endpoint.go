package credit

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/socialrl/socialrl/episode"
)

// OpenAI is the endpoint that needs a key.
const OpenAI = "https://api.openai.com/v1"

// Endpoint is a chat model behind an OpenAI-compatible API, as flags describe it. As
// JSON it travels to workers, without a key.
type Endpoint struct {
	URL     string        `json:"url"`
	Model   string        `json:"model"`
	Rate    float64       `json:"rate"`    // most calls a second; 0 is no limit
	Timeout time.Duration `json:"timeout"` // of one reply; 0 is no limit
}

// Define defines -url, -model, -rate and -timeout.
func (e *Endpoint) Define(fs *flag.FlagSet) {
	fs.StringVar(&e.URL, "url", OpenAI, "base `URL` of an OpenAI-compatible endpoint")
	fs.StringVar(&e.Model, "model", "gpt-4o", "`name` of the model")
	fs.Float64Var(&e.Rate, "rate", 0, "most calls a `second`, of each process; 0 is no limit")
	fs.DurationVar(&e.Timeout, "timeout", 5*time.Minute, "longest wait for one reply; 0 is no limit")
}

// Check returns an error for the first flag that is out of range.
func (e *Endpoint) Check() error {
	if !(e.Rate >= 0) || e.Timeout < 0 {
		return errors.New("-rate and -timeout must not be negative")
	}
	return nil
}

// Keys opens endpoints with the API key that an environment variable holds. An endpoint
// is opened once, so that all its callers wait for each other. It may be used by several
// goroutines.
type Keys struct {
	Env string // name of the variable

	mu   sync.Mutex
	open map[Endpoint]episode.LLM
}

// Define defines -key-env.
func (k *Keys) Define(fs *flag.FlagSet) {
	fs.StringVar(&k.Env, "key-env", "OPENAI_API_KEY", "`name` of the environment variable that holds the API key")
}

// Open returns the model behind an endpoint. One of the user's own may do without a
// key; required says whether OpenAI's may not.
func (k *Keys) Open(e Endpoint, required bool) (episode.LLM, error) {
	key := os.Getenv(k.Env)
	if key == "" && e.URL == OpenAI && required {
		return nil, fmt.Errorf("the environment variable %q holds no API key (-key-env names another)", k.Env)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if llm, ok := k.open[e]; ok {
		return llm, nil
	}
	o := []episode.RemoteOption{episode.WithTimeout(e.Timeout)}
	if e.Rate > 0 {
		o = append(o, episode.WithRateLimit(e.Rate, 1))
	}
	if k.open == nil {
		k.open = map[Endpoint]episode.LLM{}
	}
	k.open[e] = episode.NewRemote(e.URL, key, e.Model, o...)
	return k.open[e], nil
}
