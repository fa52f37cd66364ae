// Command episodes copies episodes between files, directories and Redis, counts them
// and makes training items of them.
//
//	episodes -from episodes.jsonl -to dir:store
//	episodes -from redis://localhost:6379/0 -tag run7 -to run7.jsonl -stats
//	episodes -from episodes.jsonl -select best -items items.json
//
// Files appear whole or not at all. A store keeps every episode that was copied when
// the program is stopped, and the same command again copies all of them once more,
// each in place of itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/internal/progress"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program; it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run("episodes", args, cli.Streams{In: stdin, Out: stdout, Err: stderr}, program)
}

// settings are the parsed flags.
type settings struct {
	from, to, itemsPath string
	stats, skipBad      bool
	filter              cli.Filter
	items               cli.Items
	bad                 int // lines and documents passed over
}

const synopsis = `Usage: episodes -from PLACE [-to PLACE] [-items FILE] [-stats] [flags]

Copies episodes, makes training items of them, and counts them. A PLACE is a file with
JSON lines, - for standard input or output, dir:PATH for a directory store, or
redis://:PASSWORD@HOST:PORT/DATABASE (rediss:// with TLS).`

func parse(args []string, io cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags("episodes", synopsis)
	fs.StringVar(&s.from, "from", "", "`place` to read episodes from (required)")
	fs.StringVar(&s.to, "to", "", "`place` to write them to; a file is replaced, a store keeps what else it holds")
	fs.StringVar(&s.itemsPath, "items", "", "`file` to write training items to, a JSON array of input and output, or -")
	fs.BoolVar(&s.stats, "stats", false, "print counts and mean scores")
	fs.BoolVar(&s.skipBad, "skip-bad", false, "pass over lines of a file that cannot be read, and count them, instead of stopping")
	s.filter.Define(fs)
	s.items.Define(fs)
	return s, cli.Parse(fs, args, io, func() error { return s.check(fs) })
}

func (s *settings) check(fs *flag.FlagSet) error {
	outputs := 0
	for _, used := range []bool{s.to == "-", s.itemsPath == "-", s.stats} {
		if used {
			outputs++
		}
	}
	switch {
	case s.from == "":
		return cli.Usagef("-from is missing")
	case s.to == "" && s.itemsPath == "" && !s.stats:
		return cli.Usagef("nothing to do: one of -to, -items and -stats is needed")
	case outputs > 1:
		return cli.Usagef("only one of -to -, -items - and -stats can have standard output")
	}
	if s.skipBad && cli.IsStore(s.from) {
		return cli.Usagef("-skip-bad is about lines of a file, and -from is a store")
	}
	if s.itemsPath == "" {
		for _, name := range []string{"template-head", "template-tail", "select", "agent"} {
			if f := fs.Lookup(name); f.Value.String() != f.DefValue {
				return cli.Usagef("-%s needs -items", name)
			}
		}
	}
	return s.items.Check()
}

func program(ctx context.Context, args []string, io cli.Streams) error {
	s, err := parse(args, io)
	if err != nil {
		return err
	}
	if err := s.checkFiles(); err != nil {
		return err
	}
	bar := progress.New(io.Err, "episodes", 0)
	defer bar.Close()
	source, closeSource, err := cli.OpenSource(ctx, s.from, s.filter.Query(), io.In)
	if err != nil {
		return err
	}
	defer closeSource()
	sink, err := openSink(ctx, s.to, io.Out)
	if err != nil {
		return err
	}
	defer sink.discard()
	var counts counts
	chosen := tap(ctx, s.filter.Apply(s.readable(bar, source)), func(e *episode.Episode) error {
		counts.add(e)
		bar.Add(1)
		return sink.put(ctx, e)
	})
	items, err := s.consume(chosen, io.Out)
	if err == nil {
		err = sink.commit()
	}
	bar.Close()
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	return s.report(io, &counts, items)
}

// checkFiles finds out whether the files of the flags can be read and written, before
// anything is made.
func (s *settings) checkFiles() error {
	if err := s.items.CheckFiles(); err != nil {
		return err
	}
	if s.to == "" || cli.IsStore(s.to) {
		return cli.CheckFiles(s.itemsPath)
	}
	return cli.CheckFiles(s.to, s.itemsPath)
}

// readable passes over what cannot be read, if asked to.
func (s *settings) readable(bar *progress.Bar, episodes iter.Seq2[*episode.Episode, error]) iter.Seq2[*episode.Episode, error] {
	if !s.skipBad {
		return episodes
	}
	return func(yield func(*episode.Episode, error) bool) {
		for e, err := range episodes {
			var line *episode.LineError
			if errors.As(err, &line) {
				s.bad++
				bar.Logf("episodes: passed over: %v", err)
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// tap calls f for every episode that passes; its error ends the sequence, and so does
// the context.
func tap(ctx context.Context, episodes iter.Seq2[*episode.Episode, error], f func(*episode.Episode) error) iter.Seq2[*episode.Episode, error] {
	return func(yield func(*episode.Episode, error) bool) {
		for e, err := range episodes {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = f(e)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// consume draws all episodes, into items where these are asked for, and returns the
// number of items.
func (s *settings) consume(episodes iter.Seq2[*episode.Episode, error], stdout io.Writer) (n int, err error) {
	if s.itemsPath == "" {
		for _, err := range episodes {
			if err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
	items := func(yield func(episode.Item, error) bool) {
		for item, err := range s.items.From(s.place(), episodes) {
			n++
			if !yield(item, err) {
				return
			}
		}
	}
	if s.itemsPath == "-" {
		return n, episode.WriteItems(stdout, items)
	}
	err = atomicfile.Write(s.itemsPath, 0o644, func(w io.Writer) error { return episode.WriteItems(w, items) })
	return n, err
}

// place names the source in errors.
func (s *settings) place() string {
	if s.from == "-" {
		return "standard input"
	}
	return cli.Redact(s.from)
}

// report prints what was done.
func (s *settings) report(io cli.Streams, c *counts, items int) error {
	fmt.Fprintf(io.Err, "episodes: %d episodes, %d passed over", c.episodes, s.bad)
	if s.itemsPath != "" {
		fmt.Fprintf(io.Err, ", %d items", items)
	}
	fmt.Fprintln(io.Err)
	if s.stats {
		return c.print(io.Out)
	}
	return nil
}
