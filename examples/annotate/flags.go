package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// settings are the parsed flags.
type settings struct {
	episodes    string
	showPrompts bool
	methods     []attribution.Attributor
	options     attribution.AnnotateOptions

	method, dimensions, agents string
	url, model, keyEnv         string
	scale, tries               int
	normalized                 bool
	gamma, rate, temperature   float64
	timeout                    time.Duration
	remote                     episode.LLM // shared by all methods, so that one waits for the other
}

// openAI is the endpoint that needs a key.
const openAI = "https://api.openai.com/v1"

func parseFlags(args []string) (*settings, error) {
	s := &settings{}
	fs := flag.NewFlagSet("annotate", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the error says it, in one line
	s.define(fs)
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fs.SetOutput(os.Stdout)
		fs.PrintDefaults()
	}
	if err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, s.choose()
}

func (s *settings) define(fs *flag.FlagSet) {
	o := &s.options
	fs.StringVar(&s.episodes, "episodes", "", "JSON lines `file` of episodes to read (required)")
	fs.StringVar(&o.Path, "out", "", "JSON lines `file` to append attributions to; what it holds is skipped (required)")
	fs.StringVar(&o.FailuresPath, "failures", "", "`file` to append failures to (default the -out file with .failures at its end)")
	fs.StringVar(&s.method, "method", "direct", "comma-separated `methods`: direct (asks the model), evidence, discounting, uniform")
	fs.StringVar(&s.dimensions, "dimensions", "goal", "comma-separated `dimensions` whose scores are shared out, such as goal,relationship,knowledge")
	fs.IntVar(&s.scale, "scale", 3, "highest attribution of direct: 3, 5 or 10")
	fs.BoolVar(&s.normalized, "normalized", false, "share each score out over the utterances instead of scaling it")
	fs.Float64Var(&s.gamma, "gamma", attribution.DefaultGamma, "discount of discounting, above 0 and at most 1")
	fs.StringVar(&s.agents, "agents", "both", "whose utterances: both, first or second speaker's")
	fs.StringVar(&s.url, "url", openAI, "base `URL` of an OpenAI-compatible endpoint")
	fs.StringVar(&s.model, "model", "gpt-4o", "`name` of the model")
	fs.StringVar(&s.keyEnv, "key-env", "OPENAI_API_KEY", "`name` of the environment variable that holds the API key")
	fs.Float64Var(&s.temperature, "temperature", 0, "temperature of the model; -1 leaves it to the model, as reasoning models demand")
	fs.Float64Var(&s.rate, "rate", 0, "most calls a `second`; 0 is no limit")
	fs.DurationVar(&s.timeout, "timeout", 5*time.Minute, "longest wait for one reply; 0 is no limit")
	fs.IntVar(&s.tries, "tries", attribution.DefaultTries, "replies to look at before an attribution fails")
	fs.IntVar(&o.Concurrency, "concurrency", 8, "attributions that run at once")
	fs.Float64Var(&o.Price.Prompt, "price-prompt", 0, "`price` of a million tokens of prompt")
	fs.Float64Var(&o.Price.Completion, "price-reply", 0, "`price` of a million tokens of reply")
	fs.Float64Var(&o.MaxCost, "max-cost", 0, "stop before the -out file has cost more than this; 0 is no limit; needs prices")
	fs.BoolVar(&o.DryRun, "dry-run", false, "count calls, tokens and cost, and make and write nothing")
	fs.BoolVar(&s.showPrompts, "show-prompts", false, "with -dry-run, print every prompt")
}

func (s *settings) check() error {
	o := s.options
	switch {
	case s.episodes == "":
		return errors.New("-episodes is missing")
	case o.Path == "" && !o.DryRun:
		return errors.New("-out is missing")
	case !slices.Contains([]int{3, 5, 10}, s.scale):
		return fmt.Errorf("-scale is %d, want 3, 5 or 10", s.scale)
	case !(s.gamma > 0 && s.gamma <= 1):
		return fmt.Errorf("-gamma is %v, want above 0 and at most 1", s.gamma)
	case o.Concurrency < 1:
		return fmt.Errorf("-concurrency is %d, want at least 1", o.Concurrency)
	case s.tries < 1:
		return fmt.Errorf("-tries is %d, want at least 1", s.tries)
	case s.rate < 0 || s.timeout < 0:
		return errors.New("-rate and -timeout must not be negative")
	case min(o.MaxCost, o.Price.Prompt, o.Price.Completion) < 0:
		return errors.New("-max-cost and prices must not be negative")
	case o.MaxCost > 0 && o.Price == attribution.Price{}:
		return errors.New("-max-cost needs -price-prompt and -price-reply")
	case s.showPrompts && !o.DryRun:
		return errors.New("-show-prompts needs -dry-run")
	}
	return nil
}

// choose makes the methods and chooses the agents.
func (s *settings) choose() error {
	switch s.agents {
	case "both":
	case "first":
		s.options.Agents = func(ep *episode.Episode) []string { return ep.Agents()[:min(1, len(ep.Agents()))] }
	case "second":
		s.options.Agents = func(ep *episode.Episode) []string { return ep.Agents()[min(1, len(ep.Agents())):] }
	default:
		return fmt.Errorf("-agents is %q, want both, first or second", s.agents)
	}
	for _, name := range strings.Split(s.method, ",") {
		for _, d := range strings.Split(s.dimensions, ",") {
			dimension, err := episode.ParseDimension(strings.TrimSpace(d))
			if err != nil {
				return fmt.Errorf("-dimensions: %w", err)
			}
			m, err := s.attributor(strings.TrimSpace(name), dimension)
			if err != nil {
				return err
			}
			s.methods = append(s.methods, m)
		}
	}
	return nil
}

func (s *settings) attributor(method string, d episode.Dimension) (attribution.Attributor, error) {
	switch method {
	case "direct":
		llm, err := s.llm()
		return attribution.Direct{LLM: llm, Dimension: d, Scale: s.scale, Normalized: s.normalized, Tries: s.tries, Temperature: s.temperature}, err
	case "evidence":
		return attribution.Evidence{Dimension: d, Scale: s.scale, Normalized: s.normalized}, nil
	case "discounting":
		return attribution.Discounting{Dimension: d, Gamma: s.gamma}, nil
	case "uniform":
		return attribution.Uniform{Dimension: d}, nil
	}
	return nil, fmt.Errorf("-method is %q, want direct, evidence, discounting or uniform", method)
}

// llm returns the model. An endpoint of one's own may do without a key.
func (s *settings) llm() (episode.LLM, error) {
	if s.remote != nil {
		return s.remote, nil
	}
	key := os.Getenv(s.keyEnv)
	if key == "" && s.url == openAI && !s.options.DryRun {
		return nil, fmt.Errorf("the environment variable %q holds no API key (-key-env names another)", s.keyEnv)
	}
	o := []episode.RemoteOption{episode.WithTimeout(s.timeout)}
	if s.rate > 0 {
		o = append(o, episode.WithRateLimit(s.rate, 1))
	}
	s.remote = episode.NewRemote(s.url, key, s.model, o...)
	return s.remote, nil
}
