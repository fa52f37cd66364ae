package cli

import (
	"context"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

const dirPrefix = "dir:"

// IsStore reports whether a place is a store, not a file.
func IsStore(place string) bool {
	return strings.HasPrefix(place, dirPrefix) || strings.HasPrefix(place, "redis://") || strings.HasPrefix(place, "rediss://")
}

// OpenStore opens the store that a place names; nil where it names a file.
func OpenStore(ctx context.Context, place string) (episode.Store, error) {
	if path, ok := strings.CutPrefix(place, dirPrefix); ok {
		return episode.OpenDir(path)
	}
	if IsStore(place) {
		return episode.OpenRedis(ctx, place)
	}
	return nil, nil
}

// OpenSource returns the episodes of a place, which must be there, and what closes it; a
// store is asked for those of the query only. The place - is standard input.
func OpenSource(ctx context.Context, place string, q episode.Query, stdin io.Reader) (iter.Seq2[*episode.Episode, error], func() error, error) {
	if path, isDir := strings.CutPrefix(place, dirPrefix); isDir || place != "-" && !IsStore(place) {
		if _, err := os.Stat(path); err != nil {
			return nil, nil, err
		}
	}
	store, err := OpenStore(ctx, place)
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
