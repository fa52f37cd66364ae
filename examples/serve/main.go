// Command serve serves a model and its adapters to clients of OpenAI's API.
//
//	serve -model SmolLM2-135M-Instruct
//	serve -model Qwen2.5-7B-Instruct -adapter social=runs/grpo/adapter -reward-model runs/rm/adapter -key-env SERVE_KEY
//
// The base model goes by -name, each adapter by its own name. Interrupted, it refuses
// new requests, finishes those under way, and ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("serve", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, serve)
}

// settings are the parsed flags.
type settings struct {
	model          cli.Model
	config         policy.ServerConfig
	addr, keyEnv   string
	adapters       adapters
	rewardModel    string
	rewardLength   int
	grace, headers time.Duration
	bodyMiB        int
}

// adapters is a flag that may be given several times: NAME=DIR.
type adapters []struct{ name, dir string }

// String returns the flag's value.
func (a *adapters) String() string {
	var parts []string
	for _, e := range *a {
		parts = append(parts, e.name+"="+e.dir)
	}
	return strings.Join(parts, " ")
}

// Set adds an adapter.
func (a *adapters) Set(text string) error {
	name, dir, ok := strings.Cut(text, "=")
	if !ok || name == "" || dir == "" {
		return errors.New("want NAME=DIR")
	}
	*a = append(*a, struct{ name, dir string }{name, dir})
	return nil
}

const synopsis = `Usage: serve -model DIR [-adapter NAME=DIR ...] [-reward-model DIR] [flags]

Serves a model and its adapters to clients of OpenAI's API: /v1/models,
/v1/chat/completions, /v1/completions, /v1/load_lora_adapter,
/v1/unload_lora_adapter, /score, /sotopia/chat/completions, /health, /metrics.`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	c := &s.config
	fs := cli.NewFlags("serve", synopsis)
	s.model.Define(fs)
	fs.StringVar(&s.addr, "addr", "127.0.0.1:8000", "`address` to listen at; port 0 takes a free one")
	fs.StringVar(&c.Name, "name", "", "`name` of the bare model; the directory's if empty")
	fs.Var(&s.adapters, "adapter", "`NAME=DIR` of an adapter to serve; may be given several times")
	fs.StringVar(&c.Adapters, "adapters", "", "`directory` from which clients may load further adapters; none if empty")
	fs.StringVar(&s.rewardModel, "reward-model", "", "`directory` of a reward model's adapter, for /score and /sotopia/chat/completions")
	fs.IntVar(&s.rewardLength, "reward-max-length", 4096, "most tokens of prompt and reply that the reward model scores")
	fs.IntVar(&c.BestOf, "best-of", 5, "replies that /sotopia/chat/completions draws")
	fs.StringVar(&s.keyEnv, "key-env", "", "environment `variable` with the key that clients must give; no key if empty")
	fs.IntVar(&c.MaxTokens, "max-tokens", 0, "most tokens of a reply that a client may ask for; 0: the model's context")
	fs.IntVar(&c.DefaultTokens, "default-tokens", 1024, "most tokens of a reply where the client does not say")
	fs.IntVar(&c.MaxReplies, "max-replies", 128, "most replies to one request")
	fs.IntVar(&c.MaxLive, "max-live", 64, "replies drawn at a time; others wait")
	fs.IntVar(&c.MaxCache, "max-cache", 1<<16, "tokens, of prompts and replies to come, in work at a time; others wait")
	fs.IntVar(&c.Keep, "keep", 1<<12, "tokens of prompts that stay in the cache after their replies, for the next turn")
	fs.IntVar(&c.MaxQueue, "max-queue", 256, "requests that may wait; more are told to come back")
	fs.IntVar(&c.PromptRows, "prompt-rows", 256, "tokens of prompts computed between two tokens of a reply")
	fs.DurationVar(&c.Timeout, "timeout", 10*time.Minute, "longest time of a request")
	fs.IntVar(&s.bodyMiB, "max-body", 4, "most MiB of a request")
	fs.DurationVar(&s.grace, "grace", 30*time.Second, "time for requests under way when interrupted")
	fs.DurationVar(&s.headers, "header-timeout", 10*time.Second, "time that a client has for its request's header")
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	if s.model.Dir == "" {
		return cli.Usagef("-model is missing")
	}
	for _, f := range []struct {
		name string
		n    int
	}{{"default-tokens", s.config.DefaultTokens}, {"max-replies", s.config.MaxReplies}, {"max-live", s.config.MaxLive}, {"max-cache", s.config.MaxCache},
		{"keep", s.config.Keep}, {"max-queue", s.config.MaxQueue}, {"prompt-rows", s.config.PromptRows}, {"best-of", s.config.BestOf}, {"max-body", s.bodyMiB}, {"reward-max-length", s.rewardLength}} {
		if f.n < 1 {
			return cli.Usagef("-%s is %d, want at least 1", f.name, f.n)
		}
	}
	if s.config.MaxTokens < 0 || s.config.Timeout <= 0 || s.grace < 0 || s.headers <= 0 {
		return cli.Usagef("-max-tokens is %d, -timeout %v, -grace %v, -header-timeout %v: want no negative numbers and some time", s.config.MaxTokens, s.config.Timeout, s.grace, s.headers)
	}
	if s.keyEnv != "" {
		if s.config.APIKey = os.Getenv(s.keyEnv); s.config.APIKey == "" {
			return cli.Usagef("-key-env: the environment variable %s is empty", s.keyEnv)
		}
	}
	s.config.MaxBody = int64(s.bodyMiB) << 20
	return s.model.Check()
}

func serve(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if s.config.Adapters != "" {
		if _, err := os.ReadDir(s.config.Adapters); err != nil {
			return err
		}
	}
	base, closeBase, err := s.model.Open()
	if err != nil {
		return err
	}
	defer closeBase()
	if base.Tokenizer() == nil {
		return fmt.Errorf("%s: the model has no tokenizer.json", s.model.Dir)
	}
	policies, rm, err := s.open(base)
	if err != nil {
		return err
	}
	server := policy.NewServer(base, s.config)
	defer server.Close()
	for i, a := range s.adapters {
		server.Add(a.name, policies[i])
	}
	if rm != nil {
		server.SetScorer(rm)
	}
	return s.listen(ctx, server, io)
}

// open loads the adapters before anything is served.
func (s *settings) open(base *policy.Base) (policies []*policy.Policy, rm *reward.RewardModel, err error) {
	for _, a := range s.adapters {
		adapter, err := cli.LoadAdapter(base, a.dir)
		if err != nil {
			return nil, nil, err
		}
		p, err := policy.New(base, adapter)
		if err != nil {
			return nil, nil, err
		}
		policies = append(policies, p)
	}
	if s.rewardModel != "" {
		rm, err = reward.Load(base, s.rewardModel, reward.WithMaxLength(s.rewardLength))
	}
	return policies, rm, err
}

// listen serves until ctx ends, and then finishes what is under way.
func (s *settings) listen(ctx context.Context, server *policy.Server, io cli.Streams) error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: server, ReadHeaderTimeout: s.headers}
	fmt.Fprintf(io.Out, "serving at http://%s\n", l.Addr())
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		fmt.Fprintf(io.Err, "serve: requests were cut off after %v\n", s.grace)
	}
	return web.Shutdown(grace)
}
