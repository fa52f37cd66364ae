package main

import (
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/examples/internal/cli"
)

// settings are the parsed flags.
type settings struct {
	from, credits        places
	title, tokenizer     string
	markdown, json, html string
	seed                 uint64
	resamples            int
	filter               cli.Filter

	second      string
	judge, url  string
	tries       int
	temperature float64
	concurrency int
}

// places is a flag that can be given several times.
type places []string

func (p *places) String() string { return strings.Join(*p, " ") }

// Set adds a value.
func (p *places) Set(v string) error {
	*p = append(*p, v)
	return nil
}

const synopsis = `Usage: report -from PLACE [-html FILE] [-markdown FILE] [-json FILE] [flags]

Tells what models reached in judged episodes. A PLACE is a file with JSON lines, - for
standard input, dir:PATH for a directory store, or redis://:PASSWORD@HOST:PORT/DATABASE.
Without a file to write, Markdown goes to standard output.`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags("report", synopsis)
	fs.Var(&s.from, "from", "`place` to read episodes from; may be given several times (required)")
	fs.Var(&s.credits, "credits", "`file` of attributions that shade the utterances; may be given several times")
	fs.StringVar(&s.title, "title", "Evaluation", "title of the report")
	fs.StringVar(&s.tokenizer, "tokenizer", "", "`directory` of the tokenizer that counts tokens; default what endpoints counted when the episodes were played")
	fs.StringVar(&s.html, "html", "", "`file` to write the page to")
	fs.StringVar(&s.markdown, "markdown", "", "`file` to write Markdown to, - for standard output")
	fs.StringVar(&s.json, "json", "", "`file` to write JSON to, - for standard output")
	fs.Uint64Var(&s.seed, "seed", 0, "seed of the bootstrap")
	fs.IntVar(&s.resamples, "resamples", 10000, "draws of the bootstrap")
	s.filter.Define(fs)
	fs.StringVar(&s.second, "second", "", "`place` of the same episodes with another judge's verdicts, to compare; with -judge a store (dir: or redis:)")
	fs.StringVar(&s.judge, "judge", "", "`model` that judges the episodes that -second lacks: a name, or custom/NAME@URL; its key is in OPENAI_API_KEY or CUSTOM_API_KEY")
	fs.StringVar(&s.url, "judge-url", "", "base `URL` of the judge's endpoint (default OPENAI_BASE_URL, or OpenAI's)")
	fs.IntVar(&s.tries, "tries", attribution.DefaultTries, "replies of the judge to look at before an episode stays without a verdict")
	fs.Float64Var(&s.temperature, "temperature", 0, "temperature of the judge; -1 leaves it to the model")
	fs.IntVar(&s.concurrency, "concurrency", 8, "episodes that are judged at once")
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	stdouts := 0
	for _, path := range []string{s.markdown, s.json, s.html} {
		if path == "-" {
			stdouts++
		}
	}
	switch {
	case len(s.from) == 0:
		return cli.Usagef("-from is missing")
	case stdouts > 1:
		return cli.Usagef("only one of -markdown, -json and -html can have standard output")
	case s.resamples < 1:
		return cli.Usagef("-resamples is %d, want at least 1", s.resamples)
	case s.concurrency < 1:
		return cli.Usagef("-concurrency is %d, want at least 1", s.concurrency)
	case s.tries < 1:
		return cli.Usagef("-tries is %d, want at least 1", s.tries)
	case !(s.temperature >= 0 || s.temperature == -1):
		return cli.Usagef("-temperature is %v, want 0 or more, or -1 for the model's own", s.temperature)
	case s.judge != "" && !cli.IsStore(s.second):
		return cli.Usagef("-judge needs a store to keep its verdicts in, as -second dir:PATH")
	case s.judge == "" && s.url != "":
		return cli.Usagef("-judge-url needs -judge")
	}
	if s.markdown == "" && s.json == "" && s.html == "" {
		s.markdown = "-"
	}
	return nil
}
