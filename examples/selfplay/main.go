// Command selfplay has models play episodes with each other and keeps them.
//
//	selfplay -profiles data/sotopia -task all -agent1 gpt-4o -agent2 gpt-4o -judge gpt-4o -out runs/selfplay
//	selfplay -model SmolLM2-135M-Instruct -agent1 local -agent2 local:runs/sft/adapter -out runs/selfplay -jsonl episodes.jsonl
//	selfplay -agent1 human -agent2 gpt-4o -task sell_lamp -out runs/me
//
// Every episode is kept the moment it ends; started again, the program plays what is
// missing. Local models play all their episodes in one batch. With -redis the episodes are
// played by any number of processes of examples/worker, on machines that share the Redis
// and have the directories that the flags name.
package main

import (
	"context"
	"io"
	"os"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/arena"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/atomicfile"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("selfplay", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, selfplay)
}

// settings are the parsed flags.
type settings struct {
	arena.Settings
	first, second string
	episodes      int
	jsonl         string
}

const synopsis = `Usage: selfplay -agent1 PLAYER -agent2 PLAYER -out WHERE [flags]

Has two players play episodes and keeps them. A player is [NAME=][bestN:]MODEL, MODEL
being local, local:ADAPTERDIR, human, custom/NAME@URL or a model of the default endpoint.`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	s.Tag = "selfplay"
	fs := cli.NewFlags("selfplay", synopsis)
	fs.StringVar(&s.first, "agent1", "", "`player` that speaks first (required)")
	fs.StringVar(&s.second, "agent2", "", "`player` that speaks second; that of -agent1 if empty")
	fs.IntVar(&s.episodes, "episodes", 1, "episodes of each pairing")
	fs.StringVar(&s.jsonl, "jsonl", "", "`file` to write all episodes to when they are there, one a line")
	s.Define(fs)
	return s, cli.Parse(fs, args, io, s.check)
}

func (s *settings) check() error {
	if err := cli.Required("agent1", s.first); err != nil {
		return err
	}
	if s.second == "" {
		s.second = s.first
	}
	if s.episodes < 1 {
		return cli.Usagef("-episodes is %d, want at least 1", s.episodes)
	}
	return s.Check()
}

func selfplay(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := cli.CheckFiles(s.jsonl); err != nil {
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
	results, err := a.Play(ctx, "selfplay", matches, io.Err)
	if err != nil {
		return err
	}
	return s.finish(arena.Episodes(results), io.Out)
}

// matches returns what is to be played, scene by scene.
func (s *settings) matches(a *arena.Arena) ([]episode.Match, error) {
	scenes, err := a.Scenes()
	if err != nil {
		return nil, err
	}
	var players [2]episode.Player
	for i, spec := range []string{s.first, s.second} {
		if players[i], err = a.Players.Open(spec); err != nil {
			return nil, err
		}
	}
	var matches []episode.Match
	for _, scene := range scenes {
		for trial := range s.episodes {
			matches = append(matches, episode.Match{
				Scene: scene, Agents: []episode.Agent{players[0].New(), players[1].New()}, Tag: s.Tag, Trial: trial,
				Models: [3]string{s.JudgeName(), players[0].Model, players[1].Model}, Play: s.Options(),
			})
		}
	}
	return matches, nil
}

// finish writes the file and the summary.
func (s *settings) finish(episodes []*episode.Episode, out io.Writer) error {
	if s.jsonl != "" {
		err := atomicfile.Write(s.jsonl, 0o644, func(w io.Writer) error { return episode.WriteJSONL(w, episodes...) })
		if err != nil {
			return err
		}
	}
	text, err := arena.Summary(episodes)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text+"\n")
	return err
}
