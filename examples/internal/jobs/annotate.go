package jobs

import (
	"context"
	"errors"
	"iter"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/credit"
)

// AnnotateOptions say what workers are to annotate.
type AnnotateOptions struct {
	attribution.AnnotateOptions // MaxCost must be 0

	Methods  credit.Methods
	Endpoint credit.Endpoint // where the workers find the model
	Ahead    int             // episodes whose jobs are in the queue before their turn; 0 is 32
}

// annotationRun is the state of one call of Annotate.
type annotationRun struct {
	AnnotateOptions
	queue   *Queue
	methods []attribution.Attributor // of type elsewhere
	pending map[attribution.Key]bool // what is to be done
	waiting map[attribution.Key]Job  // what was submitted and not collected
	last    *Job                     // the job that was collected last
}

// Annotate is [attribution.Annotate] with the work done by workers. Jobs are handed out
// in the order of episodes, agents and methods, and the lines of the file stand in that
// order. Episodes are read twice.
//
// When ctx is done the jobs that nobody has begun are taken back. Results that are not
// in the file yet stay in the queue, where the next run finds them.
func (q *Queue) Annotate(ctx context.Context, episodes iter.Seq2[*episode.Episode, error], o AnnotateOptions) (attribution.Summary, error) {
	if o.MaxCost > 0 {
		return attribution.Summary{}, errors.New("jobs: Annotate: what workers spend cannot be bounded by MaxCost")
	}
	if o.Ahead == 0 {
		o.Ahead = 32
	}
	o.Concurrency = 1
	r := &annotationRun{AnnotateOptions: o, queue: q, pending: map[attribution.Key]bool{}, waiting: map[attribution.Key]Job{}}
	if err := r.prepare(); err != nil {
		return attribution.Summary{}, err
	}
	if err := r.plan(ctx, episodes); err != nil {
		return attribution.Summary{}, err
	}
	ahead := Ahead(episodes, o.Ahead, func(ep *episode.Episode) error { return r.submit(ctx, ep) })
	sum, err := attribution.Annotate(ctx, ahead, r.methods, r.AnnotateOptions.AnnotateOptions)
	return sum, errors.Join(err, r.end(err))
}

// prepare makes the methods.
func (r *annotationRun) prepare() error {
	for _, one := range r.Methods.Each() {
		local, err := one.Attributor(func() (episode.LLM, error) { return episode.LLMFunc(nil), nil }) // workers open theirs
		if err != nil {
			return err
		}
		payload := annotation{Methods: one, Endpoint: r.Endpoint, Price: r.Price}
		r.methods = append(r.methods, elsewhere{r, local.Method(), payload})
	}
	return nil
}

// plan finds out what is to be done. What is wrong with single episodes the run itself
// will tell.
func (r *annotationRun) plan(ctx context.Context, episodes iter.Seq2[*episode.Episode, error]) error {
	dry := attribution.AnnotateOptions{Path: r.Path, FailuresPath: r.FailuresPath, Agents: r.Agents, DryRun: true}
	dry.OnRequest = func(k attribution.Key, _ episode.Request) { r.pending[k] = true }
	_, err := attribution.Annotate(ctx, episodes, r.methods, dry)
	if incomplete := (*attribution.IncompleteError)(nil); errors.As(err, &incomplete) {
		return nil
	}
	return err
}

// submit puts the jobs of an episode into the queue.
func (r *annotationRun) submit(ctx context.Context, ep *episode.Episode) error {
	agents := ep.Agents()
	if r.Agents != nil {
		agents = r.Agents(ep)
	}
	for _, agent := range agents {
		for _, m := range r.methods {
			key := attribution.Key{EpisodeID: ep.ID, Agent: agent, Method: m.(elsewhere).method}
			if _, submitted := r.waiting[key]; submitted || !r.pending[key] {
				continue
			}
			job, err := annotateJob(ep, key, m.(elsewhere).payload)
			if err == nil {
				err = r.queue.Submit(ctx, job)
			}
			if err != nil {
				return err
			}
			r.waiting[key] = job
		}
	}
	return nil
}

// collected notes that a result has arrived.
func (r *annotationRun) collected(key attribution.Key, job Job) {
	delete(r.waiting, key)
	delete(r.pending, key)
	r.last = &job
}

// forgetLast removes the result that was collected last from the queue.
func (r *annotationRun) forgetLast() error {
	if r.last == nil {
		return nil
	}
	job := *r.last
	r.last = nil
	return r.queue.Forget(job)
}

// end cleans up after a run that ended with err.
func (r *annotationRun) end(err error) error {
	if incomplete := (*attribution.IncompleteError)(nil); err == nil || errors.As(err, &incomplete) {
		return r.forgetLast()
	}
	for _, job := range r.waiting {
		if err := r.queue.Withdraw(job); err != nil {
			return err
		}
	}
	return nil
}
