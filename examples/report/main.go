// Command report tells what models reached in judged episodes, as Markdown, JSON and a
// self-contained page, and has stored episodes judged again by a second judge.
//
//	report -from dir:store -html report.html -markdown -
//	report -from episodes.jsonl -credits annotated.jsonl -html report.html
//	report -from dir:store -second dir:second -judge gpt-4o -html report.html
//
// Started again with the same -second it judges only what is missing there.
package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/reward"
	"github.com/socialrl/socialrl/tokenizer"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("report", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, program)
}

func program(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := cli.CheckFiles(s.markdown, s.json, s.html); err != nil {
		return err
	}
	var episodes []*episode.Episode
	for _, place := range s.from {
		if episodes, err = s.read(ctx, episodes, place, io.In); err != nil {
			return err
		}
	}
	if len(episodes) == 0 {
		return errors.New("no episode is left to report on")
	}
	o := reward.ReportOptions{Title: s.title, Seed: s.seed, Resamples: s.resamples}
	if s.second != "" {
		if o.Second, err = s.secondVerdicts(ctx, episodes, io); err != nil {
			return err
		}
	}
	if o.Credits, err = s.readCredits(); err != nil {
		return err
	}
	if s.tokenizer != "" {
		tok, err := tokenizer.Load(s.tokenizer)
		if err != nil {
			return err
		}
		o.Tokens = func(text string) int { return len(tok.Encode(text)) }
	}
	r, err := reward.NewReport(episodes, o)
	if err != nil {
		return err
	}
	return s.write(r, io.Out)
}

// read appends the chosen episodes of a place.
func (s *settings) read(ctx context.Context, list []*episode.Episode, place string, stdin io.Reader) ([]*episode.Episode, error) {
	source, closeSource, err := cli.OpenSource(ctx, place, s.filter.Query(), stdin)
	if err != nil {
		return nil, err
	}
	defer closeSource()
	return collect(ctx, list, s.filter.Apply(source))
}

// collect appends episodes to a list.
func collect(ctx context.Context, list []*episode.Episode, source iter.Seq2[*episode.Episode, error]) ([]*episode.Episode, error) {
	for e, err := range source {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// readCredits reads all files of attributions.
func (s *settings) readCredits() ([]*attribution.Attribution, error) {
	var out []*attribution.Attribution
	for _, path := range s.credits {
		for a, err := range attribution.ReadFile(path) {
			if err != nil {
				return nil, err
			}
			out = append(out, a)
		}
	}
	return out, nil
}

// write writes the report in every form that was asked for.
func (s *settings) write(r *reward.Report, stdout io.Writer) error {
	for _, out := range []struct {
		path  string
		write func(io.Writer) error
	}{{s.markdown, r.WriteMarkdown}, {s.json, r.WriteJSON}, {s.html, r.WriteHTML}} {
		var err error
		switch out.path {
		case "":
		case "-":
			err = out.write(stdout)
		default:
			err = atomicfile.Write(out.path, 0o644, out.write)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
