package main

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/internal/progress"
	"github.com/socialrl/socialrl/reward"
)

// secondVerdicts returns the episodes with the second judge's verdicts. With a judge,
// those that the place lacks or has without a verdict are judged first, and stored.
func (s *settings) secondVerdicts(ctx context.Context, episodes []*episode.Episode, io cli.Streams) ([]*episode.Episode, error) {
	if s.judge == "" {
		source, closeSource, err := cli.OpenSource(ctx, s.second, episode.Query{}, io.In)
		if err != nil {
			return nil, err
		}
		defer closeSource()
		return collect(ctx, []*episode.Episode{}, source)
	}
	endpoints := episode.Endpoints{URL: s.url}
	llm, err := endpoints.Open(s.judge)
	if err != nil {
		return nil, err
	}
	store, err := cli.OpenStore(ctx, s.second)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	bar := progress.New(io.Err, "judge", len(episodes))
	defer bar.Close()
	j := rejudging{
		store: store, name: s.judge, bar: bar,
		judge: reward.KeepFailures(reward.Judge{LLM: llm, Tries: s.tries, Temperature: s.temperature}),
	}
	return j.all(ctx, episodes, s.concurrency)
}

// rejudging puts episodes to a second judge.
type rejudging struct {
	store episode.Store
	judge episode.Evaluator
	name  string

	mu  sync.Mutex
	bar *progress.Bar
}

// all returns the episodes as the second judge sees them, in their order.
func (j *rejudging) all(ctx context.Context, episodes []*episode.Episode, concurrency int) ([]*episode.Episode, error) {
	out := make([]*episode.Episode, len(episodes))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrency)
	for i, e := range episodes {
		g.Go(func() error {
			var err error
			out[i], err = j.one(ctx, e)
			return err
		})
	}
	return out, g.Wait()
}

// one returns the stored verdict on an episode, or else asks for it and stores it.
func (j *rejudging) one(ctx context.Context, e *episode.Episode) (*episode.Episode, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stored, err := j.store.Get(ctx, e.ID)
	switch {
	case err != nil && !errors.Is(err, episode.ErrNotFound):
		return nil, err
	case err == nil && !stored.Failed():
		j.step()
		return stored, nil
	}
	judged, err := reward.Rejudge(ctx, j.judge, j.name, e)
	if err != nil {
		return nil, err
	}
	j.step()
	return judged, j.store.Put(ctx, judged)
}

func (j *rejudging) step() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bar.Add(1)
}
