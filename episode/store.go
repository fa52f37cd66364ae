package episode

import (
	"context"
	"errors"
	"iter"
	"slices"
)

// Store keeps episodes. Implementations are safe for concurrent use, by several
// goroutines and by several processes on the same data. [OpenDir] and
// [OpenRedis] make one.
type Store interface {
	// Get returns the episode with the given id. An id that is not stored gives
	// an error that wraps [ErrNotFound].
	Get(ctx context.Context, id string) (*Episode, error)
	// Put stores the episode under its id, in place of an older version. When
	// it returns nil, the episode survives a crash of the process.
	Put(ctx context.Context, e *Episode) error
	// Find returns the stored episodes that match q, in the order of their ids.
	// An episode that cannot be read gives an error in its place, and the
	// search goes on; an error of the store itself ends it.
	Find(ctx context.Context, q Query) iter.Seq2[*Episode, error]
	// Close releases the store's resources. It is not to be used afterwards.
	Close() error
}

// ErrNotFound is wrapped by errors about an id that a store does not have.
var ErrNotFound = errors.New("not found")

// Query chooses episodes. An empty field chooses all; the zero value chooses
// every episode. All comparisons are exact.
type Query struct {
	IDs           []string // any of these ids
	Tag           string
	EnvironmentID string
	AgentIDs      []string // in the order of the seats
	Models        []string // judge, agent 1's model, agent 2's model
}

// Match reports whether q chooses e.
func (q Query) Match(e *Episode) bool {
	return (len(q.IDs) == 0 || slices.Contains(q.IDs, e.ID)) &&
		(q.Tag == "" || q.Tag == e.Tag) &&
		(q.EnvironmentID == "" || q.EnvironmentID == e.EnvironmentID) &&
		(len(q.AgentIDs) == 0 || slices.Equal(q.AgentIDs, e.AgentIDs)) &&
		(len(q.Models) == 0 || slices.Equal(q.Models, e.Models))
}
