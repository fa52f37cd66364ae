package episode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Match is one episode that is to be played.
type Match struct {
	Scene  Scene
	Agents []Agent   // of this match alone where they keep state
	Models [3]string // judge, first agent's model, second agent's model
	Tag    string
	Trial  int      // tells matches apart that are otherwise the same; from 0
	Play   []Option // further options; id, tag, models and evaluator are set
}

// ID returns the id of the match's episode: one of the usual form that depends on
// scene, agents, models, tag and trial alone, so that a match which is played twice
// is stored once.
func (m Match) ID() string { return stableID("match", m.key(), strconv.Itoa(m.Trial)) }

// key is what resuming goes by: environment, agents, models and tag.
func (m Match) key() string {
	s := m.Scene
	return episodeKey(s.EnvironmentID, []string{s.Participants[0].ID, s.Participants[1].ID}, m.Models[:], m.Tag)
}

func episodeKey(environment string, agents, models []string, tag string) string {
	return fmt.Sprintf("%q %q %q %q", environment, agents, models, tag)
}

// Batch plays many matches at once and keeps what is finished.
type Batch struct {
	Store       Store     // every episode goes here the moment it ends; nil: none is kept
	Evaluator   Evaluator // nil: episodes are not judged
	Concurrency int       // matches that are played at once; 0: 8

	// MaxFailures is how many matches may fail before nothing more is started;
	// 0: 10, below 0: no bound.
	MaxFailures int

	// Elsewhere, where set, plays and judges matches in the place of this process, such
	// as on other machines. It is given the stored episode where only the verdict is
	// missing, and returns the episode; one that it returns beside an error is kept all
	// the same. Agents and options of the matches, and Evaluator apart from whether
	// there is one, are not used then.
	Elsewhere func(ctx context.Context, m Match, stored *Episode) (*Episode, error)

	// OnEpisode, where set, is called for every match when it is settled, one at a
	// time, in the order in which this happens.
	OnEpisode func(MatchResult)
}

// MatchStatus says how a match was settled.
type MatchStatus int

const (
	MatchPlayed MatchStatus = iota // and judged, where there is an evaluator
	MatchStored                    // the store had it
	MatchJudged                    // the store had it without a verdict; it was judged now
	MatchFailed
)

var statusNames = [...]string{"played", "stored", "judged", "failed"}

// String returns the status in a word.
func (s MatchStatus) String() string { return statusNames[s] }

// MatchResult is what became of a match.
type MatchResult struct {
	Index   int // of the match
	Match   Match
	Status  MatchStatus
	Episode *Episode // nil where it failed before its end
	Err     error    // of a failed one
}

// BatchError says that some matches failed.
type BatchError struct {
	Failed int // matches that failed
	Left   int // matches that were not begun
	Errs   []error
}

// Error tells the counts and the first failure.
func (e *BatchError) Error() string {
	s := fmt.Sprintf("%d of the episodes failed", e.Failed)
	if e.Left > 0 {
		s += fmt.Sprintf(" and %d were not begun", e.Left)
	}
	return fmt.Sprintf("%s; the first: %v", s, e.Errs[0])
}

// Unwrap returns the failures.
func (e *BatchError) Unwrap() []error { return e.Errs }

// Play plays the matches that the store does not have yet and returns what became
// of each, in the order of the matches. A stored episode stands for a match if
// environment, agents, models and tag are the same; each stands for one. One that
// has no verdict is judged, not played again, where there is an evaluator.
//
// An episode is stored as soon as it ends, and again when it is judged: what was
// played is not lost if the judge fails. A match that fails does not stop the
// others; then the error is a [*BatchError]. When ctx ends nothing more is begun,
// the episodes under way are given up, and the error is that of ctx.
func (b *Batch) Play(ctx context.Context, matches []Match) ([]MatchResult, error) {
	stored, err := b.stored(ctx, matches)
	if err != nil {
		return nil, err
	}
	r := &batchRun{Batch: b, results: make([]MatchResult, len(matches))}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(cmp.Or(b.Concurrency, 8), max(1, len(matches))) {
		wg.Go(func() {
			for i := range next {
				r.settle(ctx, i, matches[i], stored[i])
			}
		})
	}
	begun := 0
	for begun < len(matches) && r.goesOn(ctx) {
		next <- begun
		begun++
	}
	close(next)
	wg.Wait()
	return r.results[:begun], r.err(ctx, len(matches)-begun)
}

// stored returns the episode that the store has for each match, nil for none.
func (b *Batch) stored(ctx context.Context, matches []Match) ([]*Episode, error) {
	found := make([]*Episode, len(matches))
	if b.Store == nil {
		return found, nil
	}
	byKey := map[string][]*Episode{}
	tags := map[string]bool{}
	for _, m := range matches {
		if tags[m.Tag] {
			continue
		}
		tags[m.Tag] = true
		for e, err := range b.Store.Find(ctx, Query{Tag: m.Tag}) {
			if err != nil {
				return nil, err
			}
			if e.Tag == m.Tag {
				key := episodeKey(e.EnvironmentID, e.AgentIDs, e.Models, e.Tag)
				byKey[key] = append(byKey[key], e)
			}
		}
	}
	assign(matches, byKey, found)
	return found, nil
}

// assign gives each match the episode with its id, and then those without one
// another episode of the same key, one each.
func assign(matches []Match, byKey map[string][]*Episode, found []*Episode) {
	take := func(i int, fits func(*Episode) bool) {
		key := matches[i].key()
		if at := slices.IndexFunc(byKey[key], fits); found[i] == nil && at >= 0 {
			found[i] = byKey[key][at]
			byKey[key] = slices.Delete(byKey[key], at, at+1)
		}
	}
	for i, m := range matches {
		id := m.ID()
		take(i, func(e *Episode) bool { return e.ID == id })
	}
	for i := range matches {
		take(i, func(*Episode) bool { return true })
	}
}

// batchRun is a batch under way.
type batchRun struct {
	*Batch
	mu      sync.Mutex
	results []MatchResult
	errs    []error
}

// goesOn reports whether another match is to be begun.
func (r *batchRun) goesOn(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := cmp.Or(r.MaxFailures, 10)
	return ctx.Err() == nil && (most < 0 || len(r.errs) < most)
}

func (r *batchRun) settle(ctx context.Context, i int, m Match, stored *Episode) {
	result := MatchResult{Index: i, Match: m, Status: MatchStored, Episode: stored}
	switch {
	case stored == nil:
		result.Status = MatchPlayed
		result.Episode, result.Err = r.play(ctx, m)
	case r.Evaluator != nil && stored.Failed() && r.Elsewhere != nil:
		result.Status = MatchJudged
		result.Episode, result.Err = r.elsewhere(ctx, m, stored)
	case r.Evaluator != nil && stored.Failed():
		result.Status = MatchJudged
		result.Err = r.judge(ctx, stored)
	}
	if result.Err != nil {
		result.Status = MatchFailed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[i] = result
	if result.Err != nil {
		r.errs = append(r.errs, result.Err)
	}
	if r.OnEpisode != nil && (result.Err == nil || ctx.Err() == nil) {
		r.OnEpisode(result)
	}
}

// play plays a match, keeps the episode and has it judged.
func (r *batchRun) play(ctx context.Context, m Match) (*Episode, error) {
	if r.Elsewhere != nil {
		return r.elsewhere(ctx, m, nil)
	}
	opts := append(slices.Clone(m.Play), WithID(m.ID()), WithTag(m.Tag), WithModels(m.Models[0], m.Models[1], m.Models[2]))
	e, err := Play(ctx, m.Scene, m.Agents, opts...)
	if err != nil {
		return nil, err
	}
	if r.Evaluator == nil {
		return e, r.keep(ctx, e)
	}
	if judgeErr := r.judge(ctx, e); judgeErr != nil {
		return e, errors.Join(judgeErr, r.keep(ctx, e)) // judged when it is played again
	}
	return e, nil
}

// elsewhere has a match played or judged by others, and keeps the episode.
func (r *batchRun) elsewhere(ctx context.Context, m Match, stored *Episode) (*Episode, error) {
	e, err := r.Elsewhere(ctx, m, stored)
	if e == nil {
		return stored, err
	}
	if e.ID != m.ID() && (stored == nil || e.ID != stored.ID) {
		return nil, errors.Join(err, fmt.Errorf("episode: match %s came out as episode %q", m.ID(), e.ID))
	}
	return e, errors.Join(err, r.keep(ctx, e))
}

// judge gives an episode a verdict and keeps it.
func (r *batchRun) judge(ctx context.Context, e *Episode) error {
	j, err := r.Evaluator.Evaluate(ctx, e)
	if err != nil {
		return fmt.Errorf("episode %s: evaluator: %w", e.ID, err)
	}
	if n := len(e.Agents()); len(j.Rewards) != n {
		return fmt.Errorf("episode %s: evaluator gave %d rewards, want %d", e.ID, len(j.Rewards), n)
	}
	e.SetJudgement(j)
	return r.keep(ctx, e)
}

// keep stores an episode, one that is finished when ctx ends too.
func (r *batchRun) keep(ctx context.Context, e *Episode) error {
	if r.Store == nil {
		return nil
	}
	return r.Store.Put(context.WithoutCancel(ctx), e)
}

func (r *batchRun) err(ctx context.Context, left int) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(r.errs) > 0:
		return &BatchError{Failed: len(r.errs), Left: left, Errs: r.errs}
	}
	return nil
}

// BothSeats returns the matches that evaluate one model beside another: every scene
// played twice, with the agents of the first player in the first seat and then in
// the second. Models are named judge, first speaker's, second speaker's. A nil
// options adds none.
func BothSeats(scenes []Scene, judge string, a, b Player, tag string, options ...Option) []Match {
	var matches []Match
	for _, s := range scenes {
		for _, seats := range [][2]Player{{a, b}, {b, a}} {
			m := Match{Scene: s, Tag: tag, Play: options, Models: [3]string{judge, seats[0].Model, seats[1].Model}}
			for _, p := range seats {
				m.Agents = append(m.Agents, p.New())
			}
			matches = append(matches, m)
		}
	}
	number(matches)
	return matches
}

// Player is a model that plays: what it is called, and how it gets an agent for an
// episode.
type Player struct {
	Model string
	New   func() Agent
}

// number sets the trials of matches that are otherwise the same. Two models of one
// name are played twice like any others.
func number(matches []Match) {
	seen := map[string]int{}
	for i := range matches {
		key := matches[i].key()
		matches[i].Trial = seen[key]
		seen[key]++
	}
}

// BenchmarkTag returns the tag that the benchmark of SOTOPIA gives its episodes.
func BenchmarkTag(model, partner, judge, task string) string {
	return strings.Join([]string{"benchmark", model, partner, judge, task, "trial0"}, "_")
}
