package jobs

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/socialrl/socialrl/episode"
)

// Play is [episode.Batch.Play] with the work done by workers: they play and judge, and
// what they bring is kept in the store of the batch. Its Concurrency is how many matches
// are in the queue at once (0: 64), so that no worker waits for another's. production says
// who plays and judges, as JSON; see [Player].
//
// When ctx is done the matches that nobody has begun are taken back. Episodes that are
// played meanwhile stay in the queue, where the next run finds them.
func (q *Queue) Play(ctx context.Context, b episode.Batch, production any, matches []episode.Match) ([]episode.MatchResult, error) {
	text, err := json.Marshal(production)
	if err != nil {
		return nil, err
	}
	r := &playRun{queue: q, production: text, jobs: map[string]collected{}}
	if b.Concurrency == 0 {
		b.Concurrency = 64
	}
	b.Elsewhere = r.perform
	tell := b.OnEpisode
	b.OnEpisode = func(result episode.MatchResult) {
		r.settled(result)
		if tell != nil {
			tell(result)
		}
	}
	results, err := b.Play(ctx, matches)
	if troubled := r.trouble(); err == nil {
		err = troubled
	}
	return results, err
}

// playRun is the state of one call of Play.
type playRun struct {
	queue      *Queue
	production json.RawMessage

	mu   sync.Mutex
	jobs map[string]collected // that are not settled, by the id of the match
	err  error                // of cleaning up
}

// collected is a job whose result has arrived.
type collected struct {
	Job
	failure error // what went wrong in it
}

// perform has a worker play or judge.
func (r *playRun) perform(ctx context.Context, m episode.Match, stored *episode.Episode) (*episode.Episode, error) {
	job, err := r.job(m, stored)
	if err != nil {
		return nil, err
	}
	text, err := r.queue.Wait(ctx, job)
	if err != nil {
		if ctx.Err() != nil {
			r.note(r.queue.Withdraw(job))
		}
		return nil, err
	}
	e, failure := unpack(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs[m.ID()] = collected{job, failure}
	return e, failure
}

func (r *playRun) job(m episode.Match, stored *episode.Episode) (Job, error) {
	p := performance{Production: r.production, Scene: m.Scene, Models: m.Models, Tag: m.Tag, Trial: m.Trial}
	if stored != nil {
		var err error
		if p.Episode, err = writeEpisode(stored); err != nil {
			return Job{}, err
		}
	}
	return NewJob(Play, "episode "+m.ID(), p)
}

// settled forgets the job of a match whose episode is in the store now, or that failed on
// the worker and is to be tried again by the next run. What could not be stored stays.
func (r *playRun) settled(result episode.MatchResult) {
	id := result.Match.ID()
	r.mu.Lock()
	job, ok := r.jobs[id]
	delete(r.jobs, id)
	r.mu.Unlock()
	if ok && (result.Err == nil || job.failure != nil) {
		r.note(r.queue.Forget(job.Job))
	}
}

func (r *playRun) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *playRun) trouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
