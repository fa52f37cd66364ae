package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/examples/internal/credit"
)

// settings are the parsed flags.
type settings struct {
	episodes    string
	showPrompts bool
	methods     []attribution.Attributor
	options     attribution.AnnotateOptions

	agents   string
	spec     credit.Methods
	endpoint credit.Endpoint
	keys     credit.Keys
	redis    string // URL; "" where this process does the work
	ahead    int
}

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
	if err := s.choose(); err != nil {
		return nil, err
	}
	cli.Show(os.Stderr, fs)
	return s, nil
}

func (s *settings) define(fs *flag.FlagSet) {
	o := &s.options
	fs.StringVar(&s.episodes, "episodes", "", "JSON lines `file` of episodes to read (required)")
	fs.StringVar(&o.Path, "out", "", "JSON lines `file` to append attributions to; what it holds is skipped (required)")
	fs.StringVar(&o.FailuresPath, "failures", "", "`file` to append failures to (default the -out file with .failures at its end)")
	fs.StringVar(&s.agents, "agents", "both", "whose utterances: both, first or second speaker's")
	s.spec.Define(fs)
	s.endpoint.Define(fs)
	s.keys.Define(fs)
	fs.IntVar(&o.Concurrency, "concurrency", 8, "attributions that run at once, unless workers do them")
	fs.StringVar(&s.redis, "redis", "", "`URL` of a Redis (redis://:PASSWORD@HOST:PORT): the work is done by the processes of examples/worker that share it")
	fs.IntVar(&s.ahead, "ahead", 32, "with -redis, `episodes` whose jobs are handed out ahead of the one that is waited for")
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
	case o.Concurrency < 1:
		return fmt.Errorf("-concurrency is %d, want at least 1", o.Concurrency)
	case !(min(o.MaxCost, o.Price.Prompt, o.Price.Completion) >= 0):
		return errors.New("-max-cost and prices want 0 or more")
	case o.MaxCost > 0 && o.Price == attribution.Price{}:
		return errors.New("-max-cost needs -price-prompt and -price-reply")
	case s.showPrompts && !o.DryRun:
		return errors.New("-show-prompts needs -dry-run")
	case s.redis != "" && o.MaxCost > 0:
		return errors.New("-max-cost cannot be kept with -redis: workers spend on their own")
	case s.ahead < 1:
		return fmt.Errorf("-ahead is %d, want at least 1", s.ahead)
	}
	return cmp.Or(s.spec.Check(), s.endpoint.Check())
}

// checkFiles finds out whether the files of the flags can be read and written, before
// anything is made.
func (s *settings) checkFiles() error {
	f, err := os.Open(s.episodes)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s: is a directory", s.episodes)
	}
	if s.options.DryRun {
		return nil
	}
	for _, path := range []string{s.options.Path, s.options.FailuresPath} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return fmt.Errorf("%s: is a directory", path)
		}
		if err := cli.CheckDirs(filepath.Dir(path)); err != nil {
			return err
		}
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
	for _, one := range s.spec.Each() {
		m, err := one.Attributor(s.llm)
		if err != nil {
			return err
		}
		s.methods = append(s.methods, m)
	}
	return nil
}

// llm returns the model. A dry run needs no key, and workers have their own.
func (s *settings) llm() (episode.LLM, error) {
	return s.keys.Open(s.endpoint, !s.options.DryRun && s.redis == "")
}
