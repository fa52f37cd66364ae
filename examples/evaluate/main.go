// Command evaluate plays a benchmark with a model in both seats beside a partner, has
// the episodes judged, and prints the table.
//
//	evaluate -profiles data/sotopia -task hard -agent custom/social@http://localhost:8000/v1 -partner gpt-4o -judge gpt-4o -out runs/eval
//	evaluate -model Qwen2.5-7B-Instruct -agent grpo=local:runs/grpo/adapter -partner bc=local:runs/sft/adapter -judge gpt-4o -out runs/eval
//
// Every episode is kept the moment it ends; started again, the program plays and
// judges what is missing, and prints the table that it would have printed. With -redis
// the episodes are played and judged by any number of processes of examples/worker, on
// machines that share the Redis and have the directories that the flags name.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/arena"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/reward"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("evaluate", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, evaluate)
}

// settings are the parsed flags.
type settings struct {
	arena.Settings
	agent, partner    string
	jsonl, json, page string
}

const synopsis = `Usage: evaluate -agent PLAYER -partner PLAYER -judge MODEL -out WHERE [flags]

Plays a benchmark with a player in both seats beside a partner, has the episodes judged
and prints the table. A player is [NAME=][bestN:]MODEL, MODEL being local,
local:ADAPTERDIR, human, custom/NAME@URL or a model of the default endpoint.`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags("evaluate", synopsis)
	fs.StringVar(&s.agent, "agent", "", "`player` that is evaluated (required)")
	fs.StringVar(&s.partner, "partner", "", "`player` beside it; itself if empty")
	fs.StringVar(&s.jsonl, "jsonl", "", "`file` to write all episodes to, one a line")
	fs.StringVar(&s.json, "json", "", "`file` to write the figures to as JSON")
	fs.StringVar(&s.page, "html", "", "`file` to write the report to as a page")
	s.Define(fs)
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	if err := cli.Required("agent", s.agent, "judge", s.Judge); err != nil {
		return err
	}
	s.partner = cmp.Or(s.partner, s.agent)
	return s.Check()
}

func evaluate(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := cli.CheckFiles(s.jsonl, s.json, s.page); err != nil {
		return err
	}
	a, err := s.Open(ctx, io.In, io.Out)
	if err != nil {
		return err
	}
	defer a.Close()
	matches, err := s.matches(a)
	if err != nil {
		return err
	}
	results, err := a.Play(ctx, "evaluate", matches, io.Err)
	if err != nil {
		return err
	}
	return s.report(arena.Episodes(results), io)
}

// matches returns the benchmark: every scene in both seats.
func (s *settings) matches(a *arena.Arena) ([]episode.Match, error) {
	scenes, err := a.Scenes()
	if err != nil {
		return nil, err
	}
	agent, err := a.Players.Open(s.agent)
	if err != nil {
		return nil, err
	}
	partner, err := a.Players.Open(s.partner)
	if err != nil {
		return nil, err
	}
	tag := cmp.Or(s.Tag, episode.BenchmarkTag(agent.Model, partner.Model, s.JudgeName(), s.Task))
	return episode.BothSeats(scenes, s.JudgeName(), agent, partner, tag, s.Options()...), nil
}

// report prints the table and writes the files.
func (s *settings) report(episodes []*episode.Episode, io cli.Streams) error {
	summary, err := arena.Summary(episodes)
	if err != nil {
		return err
	}
	r, err := reward.NewReport(episodes, reward.ReportOptions{Title: "Evaluation on " + s.Task, Seed: s.Seed})
	if err != nil {
		return err
	}
	if err := s.write(episodes, r); err != nil {
		return err
	}
	fmt.Fprintf(io.Err, "evaluate: %s\n", summary)
	return r.WriteMarkdown(io.Out)
}

func (s *settings) write(episodes []*episode.Episode, r *reward.Report) error {
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{s.jsonl, func(w io.Writer) error { return episode.WriteJSONL(w, episodes...) }},
		{s.json, r.WriteJSON},
		{s.page, r.WriteHTML},
	} {
		if f.path == "" {
			continue
		}
		if err := atomicfile.Write(f.path, 0o644, f.write); err != nil {
			return err
		}
	}
	return nil
}
