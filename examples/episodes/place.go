package main

import (
	"bufio"
	"context"
	"io"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/atomicfile"
)

// sink is where episodes go: a store, a stream, or nowhere.
type sink struct {
	store  episode.Store
	stream *bufio.Writer
	file   *atomicfile.Writer // under the stream, unless that is standard output
}

func openSink(ctx context.Context, place string, stdout io.Writer) (*sink, error) {
	switch place {
	case "":
		return &sink{}, nil
	case "-":
		return &sink{stream: bufio.NewWriter(stdout)}, nil
	}
	store, err := cli.OpenStore(ctx, place)
	if store != nil || err != nil {
		return &sink{store: store}, err
	}
	file, err := atomicfile.Create(place, 0o644)
	if err != nil {
		return nil, err
	}
	return &sink{stream: bufio.NewWriter(file), file: file}, nil
}

func (s *sink) put(ctx context.Context, e *episode.Episode) error {
	switch {
	case s.store != nil:
		return s.store.Put(ctx, e)
	case s.stream != nil:
		return episode.WriteJSONL(s.stream, e)
	}
	return nil
}

// commit completes what was written.
func (s *sink) commit() error {
	if s.stream != nil {
		if err := s.stream.Flush(); err != nil {
			return err
		}
	}
	if s.file != nil {
		return s.file.Commit()
	}
	return nil
}

// discard drops a file that was not committed, and closes a store.
func (s *sink) discard() {
	if s.file != nil {
		s.file.Discard()
	}
	if s.store != nil {
		s.store.Close()
	}
}
