package attribution

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/socialrl/socialrl/episode"
)

// AnnotateOptions says where an annotation run writes and how it goes about it.
type AnnotateOptions struct {
	// Path is the file that finished attributions are appended to. A dry run may
	// leave it empty, which means that nothing is finished.
	Path string
	// FailuresPath is the file that failures are appended to; "" is Path with
	// ".failures" at its end.
	FailuresPath string

	// Agents chooses whose utterances are credited; nil is every agent of the
	// episode.
	Agents func(*episode.Episode) []string
	// Concurrency is how many attributions run at once; 0 is 8.
	Concurrency int

	// Price gives the cost of calls whose replies do not tell it, and of calls
	// that are yet to be made.
	Price Price
	// ReplyTokens is the expected length of a reply, for estimates; 0 is 100.
	ReplyTokens int
	// MaxCost bounds what the file costs, the calls that earlier runs recorded
	// included; 0 is no bound. A call is made only if what is spent, what the
	// running calls are expected to cost and what it is expected to cost itself
	// stay within it. It needs a Price.
	MaxCost float64

	// DryRun counts calls, tokens and cost, and makes and writes nothing.
	DryRun bool
	// OnRequest is given the first request of every call that a dry run counts;
	// nil for none.
	OnRequest func(Key, episode.Request)
	// OnProgress is told the state after every attribution, by one goroutine at
	// a time; nil for none.
	OnProgress func(Summary)
	// OnFailure is told every failed attribution and every episode that could
	// not be read, by one goroutine at a time; nil for none.
	OnFailure func(error)
}

// Summary counts what a run did. A dry run counts in Done and Usage what would be
// done if every first reply could be used.
type Summary struct {
	Episodes    int   // episodes read
	BadEpisodes int   // episodes that could not be read
	Done        int   // attributions finished by this run
	Skipped     int   // attributions that were finished already, or asked for twice
	Failed      int   // attributions that failed
	Usage       Usage // this run's calls, with estimates where replies do not tell
	Earlier     Usage // what earlier runs recorded in the two files
}

// IncompleteError says that a run came to its end without finishing everything.
// The same run started again tries what is missing once more.
type IncompleteError struct {
	Failed      int   // attributions that failed
	BadEpisodes int   // episodes that could not be read
	First       error // the first of these errors
}

// Error counts what is missing and quotes the first cause.
func (e *IncompleteError) Error() string {
	return fmt.Sprintf("attribution: incomplete: %d attributions failed, %d episodes could not be read; first: %v",
		e.Failed, e.BadEpisodes, e.First)
}

// Unwrap returns First.
func (e *IncompleteError) Unwrap() error { return e.First }

// Planner is an [Attributor] that can say which requests it would make.
type Planner interface {
	// Requests returns the calls that Attribute makes if every reply can be
	// used.
	Requests(ep *episode.Episode, agent string) ([]episode.Request, error)
}

// Annotate runs every method on every agent of every episode and appends the
// attributions to a file of JSON lines, each as soon as it is finished. What the
// file holds already is skipped, so an interrupted run is continued by starting
// it again: at most the calls of attributions that were running are lost, also by
// kill -9. One
// process at a time writes to a file; for a second one it is an error, by means
// of a lock on Path with ".lock" at its end. The order of lines is that in which
// attributions finish; with Concurrency 1 it is that of episodes, agents,
// methods.
//
// Every method must be [Described], and no two may have one description: the key
// of a line is (episode, agent, method, dimension, scale).
//
// An attribution that fails is written to the file of failures with its
// evidence, is not counted as finished, and does not stop the run; neither does
// an episode whose line cannot be read ([*episode.LineError]). Where there was
// one, the error is an [*IncompleteError]. The run stops, running calls
// completed, with an error that wraps [ErrBudget], where an endpoint refuses
// calls for good (wrong key, unknown model, empty account; for models of other
// kinds, an error with a method Permanent() bool that says so), and at any other
// error of episodes; it stops at once when ctx is done or a file cannot be written. Nil means that every attribution stands in the file.
func Annotate(ctx context.Context, episodes iter.Seq2[*episode.Episode, error], methods []Attributor, o AnnotateOptions) (Summary, error) {
	described, err := describeAll(methods)
	if err != nil {
		return Summary{}, err
	}
	r, err := newRun(o)
	if err != nil {
		return Summary{}, err
	}
	err = r.all(ctx, episodes, described)
	if closeErr := r.close(); err == nil {
		err = closeErr
	}
	return r.summary(), err
}

// describeAll checks that every method is described, and no two alike.
func describeAll(methods []Attributor) ([]Described, error) {
	if len(methods) == 0 {
		return nil, errors.New("attribution: Annotate: no methods")
	}
	seen := map[Method]bool{}
	var described []Described
	for _, m := range methods {
		d, ok := m.(Described)
		if !ok {
			return nil, fmt.Errorf("attribution: Annotate: %T has no Method; use Named", m)
		}
		if d.Method().Name == "" {
			return nil, fmt.Errorf("attribution: Annotate: the method of %T has no name", m)
		}
		if seen[d.Method()] {
			return nil, fmt.Errorf("attribution: Annotate: two methods are called %s; use Named", d.Method())
		}
		seen[d.Method()] = true
		described = append(described, d)
	}
	return described, nil
}
