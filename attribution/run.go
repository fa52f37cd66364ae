package attribution

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/appendlog"
)

// run is the state of one call of Annotate.
type run struct {
	AnnotateOptions
	account  *account
	finished map[Key]bool // in the file, running, or failed in this run
	lock     *flock.Flock
	log      *appendlog.Log
	failures *appendlog.Log

	mu      sync.Mutex
	counts  Summary
	first   error // first failure
	stopped error // why no more calls are started; nil while they are
}

func newRun(o AnnotateOptions) (*run, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	r := &run{AnnotateOptions: o, finished: map[Key]bool{}}
	if err := r.open(); err != nil {
		r.close()
		return nil, err
	}
	r.account = &account{
		price: o.Price, max: o.MaxCost, replyTokens: o.ReplyTokens, earlier: r.counts.Earlier.Cost,
	}
	return r, nil
}

// complete checks the options and fills in defaults.
func (o *AnnotateOptions) complete() error {
	switch {
	case o.Path == "" && !o.DryRun:
		return errors.New("attribution: Annotate: Path is missing")
	case o.Concurrency < 0:
		return fmt.Errorf("attribution: Annotate: Concurrency is %d", o.Concurrency)
	case o.MaxCost < 0 || o.Price.Prompt < 0 || o.Price.Completion < 0:
		return fmt.Errorf("attribution: Annotate: negative MaxCost (%v) or Price (%v)", o.MaxCost, o.Price)
	case o.MaxCost > 0 && o.Price == Price{}:
		return errors.New("attribution: Annotate: MaxCost needs a Price")
	}
	if o.FailuresPath == "" && o.Path != "" {
		o.FailuresPath = o.Path + ".failures"
	}
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	if o.DryRun {
		o.Concurrency = 1 // requests are told in the order of the episodes
	}
	if o.ReplyTokens == 0 {
		o.ReplyTokens = 100
	}
	return nil
}

// all runs every method on every agent of every episode.
func (r *run) all(ctx context.Context, episodes iter.Seq2[*episode.Episode, error], methods []Described) error {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, accountKey{}, r.account))
	defer cancel(nil)
	var g errgroup.Group
	g.SetLimit(r.Concurrency)
	for ep, err := range episodes {
		if r.stopReason(ctx) != nil {
			break
		}
		if err != nil {
			r.badEpisode(err)
			continue
		}
		r.each(ep, methods, func(m Described, k Key) {
			g.Go(func() error {
				if err := r.one(ctx, m, ep, k); err != nil {
					cancel(err)
				}
				return nil
			})
		})
	}
	g.Wait()
	if err := r.stopReason(ctx); err != nil {
		return err
	}
	if r.counts.Failed+r.counts.BadEpisodes > 0 {
		return &IncompleteError{r.counts.Failed, r.counts.BadEpisodes, r.first}
	}
	return nil
}

// each calls f for what is to be done in an episode.
func (r *run) each(ep *episode.Episode, methods []Described, f func(Described, Key)) {
	if ep.ID == "" { // without one nothing can be filed
		_, err := begin(ep, "", Method{})
		r.fail(err, func(s *Summary) { s.BadEpisodes++ })
		return
	}
	r.count(func(s *Summary) { s.Episodes++ })
	agents := ep.Agents()
	if r.Agents != nil {
		agents = r.Agents(ep)
	}
	for _, agent := range agents {
		for _, m := range methods {
			k := Key{ep.ID, agent, m.Method()}
			if r.finished[k] {
				r.count(func(s *Summary) { s.Skipped++ })
				continue
			}
			r.finished[k] = true
			f(m, k)
		}
	}
}

// one makes, or in a dry run plans, one attribution. An error ends the run at
// once.
func (r *run) one(ctx context.Context, m Described, ep *episode.Episode, k Key) error {
	if r.stopReason(ctx) != nil {
		return nil
	}
	if r.DryRun {
		r.plan(m, ep, k)
		return nil
	}
	a, err := m.Attribute(ctx, ep, k.Agent)
	switch {
	case err == nil && a.Key != k:
		return fmt.Errorf("attribution: %s came out as %s", k, a.Key)
	case err == nil:
		return r.keep(a)
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, ErrBudget):
		r.stop(cause(err))
		return r.keepFailure(k, err, false)
	}
	if permanent(err) {
		r.stop(err)
	}
	return r.keepFailure(k, err, true)
}

// permanent reports whether every other call would be refused as well: the key,
// the model or the address is wrong, or the account is empty. Models of other
// kinds say so by a method Permanent.
func permanent(err error) bool {
	var p interface{ Permanent() bool }
	if errors.As(err, &p) {
		return p.Permanent()
	}
	var r *episode.RemoteError
	if !errors.As(err, &r) {
		return false
	}
	switch r.Status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound:
		return true
	case http.StatusTooManyRequests:
		return strings.Contains(r.Message, "quota")
	}
	return r.Endpoint == "" // the address cannot be used
}

// cause returns why a failure came about.
func cause(err error) error {
	var f *Failure
	if errors.As(err, &f) {
		return f.Err
	}
	return err
}

// keep appends a finished attribution. What was paid for is on the disk before
// it counts.
func (r *run) keep(a *Attribution) error {
	text, err := a.MarshalJSON()
	if err == nil {
		err = r.log.AppendLine(text)
	}
	if err == nil && a.Usage.Calls > 0 {
		err = r.log.Sync()
	}
	if err != nil {
		return err
	}
	r.count(func(s *Summary) { s.Done++ })
	return nil
}

// keepFailure appends a failure. One that is not counted, since the money ended
// and not the tries, is kept for the calls that it took.
func (r *run) keepFailure(k Key, err error, counts bool) error {
	f := &Failure{Key: k, Err: err}
	if inner := (*Failure)(nil); errors.As(err, &inner) {
		f.Tries, f.Usage, f.Err = inner.Tries, inner.Usage, inner.Err
	}
	if !counts && f.Usage.Calls == 0 {
		return nil
	}
	if err := r.failures.Append(f); err != nil {
		return err
	}
	if counts {
		r.fail(err, func(s *Summary) { s.Failed++ })
	}
	return nil
}

// plan counts the calls of one attribution.
func (r *run) plan(m Described, ep *episode.Episode, k Key) {
	var requests []episode.Request
	var err error
	if p, ok := m.(Planner); ok {
		requests, err = p.Requests(ep, k.Agent)
	} else {
		_, err = begin(ep, k.Agent, k.Method)
	}
	if err != nil {
		r.fail(err, func(s *Summary) { s.Failed++ })
		return
	}
	r.count(func(s *Summary) {
		for _, q := range requests {
			r.account.spent.Add(r.account.estimate(q))
			if r.OnRequest != nil {
				r.OnRequest(k, q)
			}
		}
		s.Done++
	})
}

// stop lets running calls finish and starts no more.
func (r *run) stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == nil {
		r.stopped = err
	}
}

// stopReason returns why no more calls are started, or nil.
func (r *run) stopReason(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return r.stopped
	}
	return context.Cause(ctx)
}

// badEpisode counts a line that cannot be read. Any other error means that the
// episodes themselves cannot be had.
func (r *run) badEpisode(err error) {
	var line *episode.LineError
	if !errors.As(err, &line) {
		r.stop(err)
		return
	}
	r.fail(err, func(s *Summary) { s.BadEpisodes++ })
}

// fail counts an error and tells it.
func (r *run) fail(err error, add func(*Summary)) {
	r.count(add, func() {
		if r.first == nil {
			r.first = err
		}
		if r.OnFailure != nil {
			r.OnFailure(err)
		}
	})
}

// count changes the counts and tells the progress.
func (r *run) count(add func(*Summary), more ...func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.counts)
	for _, f := range more {
		f()
	}
	if r.OnProgress != nil {
		r.OnProgress(r.snapshot())
	}
}

func (r *run) snapshot() Summary {
	s := r.counts
	s.Usage = r.account.total()
	return s
}

func (r *run) summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshot()
}
