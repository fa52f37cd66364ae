package main

import (
	"bufio"
	"context"
	"io"
	"iter"
	"strings"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/atomicfile"
)

const dirPrefix = "dir:"

// isStore reports whether a place is a store, not a file.
func isStore(place string) bool {
	return strings.HasPrefix(place, dirPrefix) || strings.HasPrefix(place, "redis://") || strings.HasPrefix(place, "rediss://")
}

// openStore opens the store that a place names; nil where it names a file.
func openStore(ctx context.Context, place string) (episode.Store, error) {
	if path, ok := strings.CutPrefix(place, dirPrefix); ok {
		return episode.OpenDir(path)
	}
	if isStore(place) {
		return episode.OpenRedis(ctx, place)
	}
	return nil, nil
}

// openSource returns the episodes of a place; a store is asked for those of the
// query only.
func openSource(ctx context.Context, place string, q episode.Query, stdin io.Reader) (iter.Seq2[*episode.Episode, error], func() error, error) {
	store, err := openStore(ctx, place)
	switch {
	case err != nil:
		return nil, nil, err
	case store != nil:
		return store.Find(ctx, q), store.Close, nil
	case place == "-":
		return episode.ReadJSONL(stdin), func() error { return nil }, nil
	}
	return episode.ReadFile(place), func() error { return nil }, nil
}

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
	store, err := openStore(ctx, place)
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
