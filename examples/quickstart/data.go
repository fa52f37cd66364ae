package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/reward"
)

// dimensions are what is judged, credited and rewarded.
var dimensions = []episode.Dimension{episode.Goal, episode.Relationship, episode.Knowledge}

// corpus is a set of judged episodes of players of mixed skill, and what the stages
// of the training make of it.
type corpus struct {
	cases    []world.Case
	episodes []*episode.Episode
	items    []episode.Item // of all episodes
	parts    []reward.Part  // credits of all utterances, by dimension
}

// gather plays the cases, has the episodes judged, and credits every utterance of
// the learners. Episodes and credits are written to the folder.
func gather(ctx context.Context, ref *referee, cases []world.Case, seed uint64, dir string) (*corpus, error) {
	c := &corpus{cases: cases}
	var err error
	if c.episodes, err = ref.play(ctx, cases, world.Noisy(seed)); err != nil {
		return nil, err
	}
	credits, err := c.attribute(ctx)
	if err != nil {
		return nil, err
	}
	if c.items, err = c.itemsOf(func(int) bool { return true }); err != nil {
		return nil, err
	}
	if c.parts, _, err = reward.Join(c.items, credits); err != nil {
		return nil, err
	}
	err = writeFile(dir, "episodes.jsonl", func(w io.Writer) error { return episode.WriteJSONL(w, c.episodes...) })
	if err != nil {
		return nil, err
	}
	return c, writeFile(dir, "annotations.jsonl", func(w io.Writer) error { return attribution.WriteJSONL(w, credits...) })
}

func writeFile(dir, name string, f func(io.Writer) error) error {
	return atomicfile.Write(filepath.Join(dir, name), 0o644, f)
}

// attribute credits the learner's utterances in every dimension, by what can be read
// in the episodes.
func (c *corpus) attribute(ctx context.Context) ([]*attribution.Attribution, error) {
	var credits []*attribution.Attribution
	for _, d := range dimensions {
		method := attribution.Evidence{Dimension: d, Func: world.Evidence(d)}
		for i, e := range c.episodes {
			a, err := method.Attribute(ctx, e, c.cases[i].Learner.Name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.ID, err)
			}
			credits = append(credits, a)
		}
	}
	return credits, nil
}

// itemsOf returns the training items of the learners of some episodes.
func (c *corpus) itemsOf(chosen func(i int) bool) ([]episode.Item, error) {
	var items []episode.Item
	for i, e := range c.episodes {
		if !chosen(i) {
			continue
		}
		its, err := e.Items(c.cases[i].Learner.Name, world.Template())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.ID, err)
		}
		items = append(items, its...)
	}
	return items, nil
}

// best returns the items of the best of every n episodes of a scenario and seat, by
// the learner's goal.
func (c *corpus) best(n int) ([]episode.Item, error) {
	type seat struct {
		scenario string
		seat     int
	}
	bySeat := map[seat][]int{}
	for i, cs := range c.cases {
		key := seat{cs.Scenario.Codename, cs.Seat}
		bySeat[key] = append(bySeat[key], i)
	}
	chosen := map[int]bool{}
	for _, all := range bySeat {
		for some := range slices.Chunk(all, n) {
			i, err := c.bestOf(some)
			if err != nil {
				return nil, err
			}
			chosen[i] = true
		}
	}
	return c.itemsOf(func(i int) bool { return chosen[i] })
}

// bestOf returns the first of the episodes with the highest goal.
func (c *corpus) bestOf(some []int) (int, error) {
	goals := map[int]float64{}
	for _, i := range some {
		score, err := world.ScoreOf(c.cases[i], c.episodes[i])
		if err != nil {
			return 0, err
		}
		goals[i] = score.Goal
	}
	return slices.MaxFunc(some, func(i, j int) int { return cmp.Compare(goals[i], goals[j]) }), nil
}
