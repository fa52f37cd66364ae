package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/reward"
)

// lessons are what a policy learns from its episodes: items and records, which know no
// judge.
type lessons struct {
	best    []episode.Item  // to be cloned
	records []reward.Record // what single utterances are worth, those of the rounds before included
	items   []episode.Item  // whose prompts GRPO answers
}

// prepare makes the lessons of a round and writes them to its folder.
func (l *loop) prepare(dir, player string) (lessons, error) {
	seats, err := playedBy(filepath.Join(dir, "episodes.jsonl"), player)
	if err != nil {
		return lessons{}, err
	}
	var out lessons
	if out.items, err = l.itemsOf(seats); err != nil {
		return lessons{}, err
	}
	if out.best, err = l.itemsOf(best(seats, l.keepOf)); err != nil {
		return lessons{}, err
	}
	if out.records, err = l.recordsOf(out.items, filepath.Join(dir, "annotations.jsonl")); err != nil {
		return lessons{}, err
	}
	if len(out.best) == 0 || len(out.records) == 0 {
		return lessons{}, fmt.Errorf("%d episodes give %d items to clone and %d reward records: nothing to learn from", len(seats), len(out.best), len(out.records))
	}
	return out, errors.Join(
		writeItems(filepath.Join(dir, "items.json"), out.items),
		writeItems(filepath.Join(dir, "best.json"), out.best),
		reward.WriteRecords(filepath.Join(dir, "records.json"), out.records),
	)
}

func writeItems(path string, items []episode.Item) error {
	return writeFile(path, func(w io.Writer) error { return episode.WriteItems(w, episode.ItemSeq(items...)) })
}

// playedBy returns a policy's seats in the judged episodes of a file.
func playedBy(path, player string) ([]episode.Seated, error) {
	var seats []episode.Seated
	for e, err := range judged(episode.ReadFile(path)) {
		if err != nil {
			return nil, err
		}
		for _, agent := range seatsOf(e, player) {
			seats = append(seats, episode.Seated{Episode: e, Agent: agent})
		}
	}
	return seats, nil
}

// itemsOf returns the training items of seats, those that do nothing left out.
func (l *loop) itemsOf(seats []episode.Seated) ([]episode.Item, error) {
	var items []episode.Item
	for _, s := range seats {
		own, err := s.Episode.Items(s.Agent, l.template())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Episode.ID, err)
		}
		items = append(items, slices.DeleteFunc(own, episode.Item.DidNothing)...)
	}
	return items, nil
}

// best returns of every n seats of an environment the one with the highest score on goal,
// or overall where there is no such score; of equals the first.
func best(seats []episode.Seated, n int) []episode.Seated {
	var order []string
	groups := map[string][]episode.Seated{}
	for _, s := range seats {
		key := cmp.Or(s.Episode.EnvironmentID, s.Episode.Scenario)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], s)
	}
	var chosen []episode.Seated
	for _, key := range order {
		for some := range slices.Chunk(groups[key], n) {
			chosen = append(chosen, slices.MaxFunc(some, func(a, b episode.Seated) int { return cmp.Compare(merit(a), merit(b)) }))
		}
	}
	return chosen
}

// merit is what seats are compared by.
func merit(s episode.Seated) float64 {
	v, err := s.Episode.Score(s.Agent, episode.Goal)
	if err != nil {
		v, _ = s.Episode.Score(s.Agent, episode.Overall)
	}
	return v
}

// recordsOf joins items with the credits of a file, puts them beside those of the rounds
// before, and combines the dimensions over all of them: a reward model that knew only what
// one policy says would not know what to think of anything else.
func (l *loop) recordsOf(items []episode.Item, path string) ([]reward.Record, error) {
	credits, err := readCredits(path)
	if err != nil {
		return nil, err
	}
	parts, _, err := reward.Join(items, credits)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		i := slices.IndexFunc(l.parts, func(q reward.Part) bool { return q.Dimension == p.Dimension })
		if i < 0 {
			l.parts = append(l.parts, p)
		} else {
			l.parts[i].Records = append(l.parts[i].Records, p.Records...)
		}
	}
	if !slices.ContainsFunc(l.parts, func(p reward.Part) bool { return len(p.Records) > 0 }) {
		return nil, nil
	}
	records, _, _, err := reward.Combine(l.parts, reward.CombineOptions{})
	return records, err
}

func readCredits(path string) ([]*attribution.Attribution, error) {
	var credits []*attribution.Attribution
	for a, err := range attribution.ReadFile(path) {
		if err != nil {
			return nil, err
		}
		credits = append(credits, a)
	}
	return credits, nil
}

// sortCredits puts the lines of a file of credits into the order of the episodes of
// another one; lines of one episode are ordered by agent and method.
func sortCredits(path, episodes string) error {
	credits, err := readCredits(path)
	if err != nil {
		return err
	}
	place := map[string]int{}
	for e, err := range episode.ReadFile(episodes) {
		if err != nil {
			return err
		}
		place[e.ID] = len(place)
	}
	order := func(a, b *attribution.Attribution) int {
		return cmp.Or(cmp.Compare(place[a.EpisodeID], place[b.EpisodeID]), cmp.Compare(a.Key.String(), b.Key.String()))
	}
	if slices.IsSortedFunc(credits, order) {
		return nil
	}
	slices.SortStableFunc(credits, order)
	return writeFile(path, func(w io.Writer) error { return attribution.WriteJSONL(w, credits...) })
}
