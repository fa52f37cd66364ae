package grpo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/lora"
)

// stream serves prompts in the order of the run: epoch after epoch without end.
type stream struct {
	items   []episode.Item
	shuffle bool
	seed    uint64
	epoch   int
	order   []int // of the epoch
}

// collect reads all items. A run needs their number before its first step.
func collect(items iter.Seq2[episode.Item, error]) ([]episode.Item, error) {
	var all []episode.Item
	for it, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, it)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("grpo: no items to train on")
	}
	return all, nil
}

// fingerprint tells sets of items apart by their prompts.
func fingerprint(items []episode.Item) string {
	h := sha256.New()
	for _, it := range items {
		fmt.Fprintf(h, "%q %q %d %q\n", it.EpisodeID, it.Agent, it.Turn, it.Input)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// at returns the index of the n-th item of the run, counted from 0.
func (s *stream) at(n int) int {
	epoch := n / len(s.items)
	if s.order == nil || epoch != s.epoch {
		s.epoch, s.order = epoch, s.orderOf(epoch)
	}
	return s.order[n%len(s.items)]
}

// orderOf returns an epoch's order: episodes shuffled, the items of each together
// and in their own order, so that a batch shares their beginnings.
func (s *stream) orderOf(epoch int) []int {
	groups := episodesOf(s.items)
	if s.shuffle {
		rng := shuffler(s.seed, epoch)
		rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	}
	order := make([]int, 0, len(s.items))
	for _, g := range groups {
		order = append(order, g...)
	}
	return order
}

// episodesOf returns the indices of the items of each episode and agent, in the
// order of first appearance. Items without an episode stand alone.
func episodesOf(items []episode.Item) [][]int {
	type key struct{ episode, agent string }
	var groups [][]int
	at := map[key]int{}
	for i, it := range items {
		k := key{it.EpisodeID, it.Agent}
		g, ok := at[k]
		if !ok || it.EpisodeID == "" {
			g, groups = len(groups), append(groups, nil)
			at[k] = g
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// shuffler returns a generator that depends on the seed and a number only.
func shuffler(seed uint64, step int) *rand.Rand {
	w := lora.Key{Seed: seed, Purpose: lora.ForShuffle, Step: uint32(step)}.Philox(0)
	return rand.New(rand.NewPCG(uint64(w[0])<<32|uint64(w[1]), uint64(w[2])<<32|uint64(w[3])))
}

// totalSteps returns the number of optimiser steps of the whole run.
func (c *Config) totalSteps(items int) int {
	batches := math.Ceil(c.Epochs * float64(items) / float64(c.prompts()))
	steps := int(batches) * c.Passes
	if c.MaxSteps > 0 && (steps == 0 || c.MaxSteps < steps) {
		return c.MaxSteps
	}
	return steps
}

// Split holds out a share of the episodes, at least one where the share is more
// than 0 and there are two. Items without an episode count as one each. Both parts
// keep the order of the items; the choice depends on the seed only.
func Split(items []episode.Item, share float64, seed uint64) (train, held []episode.Item) {
	names := map[string]int{}
	groups := make([]int, len(items))
	for i, it := range items {
		g, known := names[it.EpisodeID]
		if !known || it.EpisodeID == "" {
			g = i
			names[it.EpisodeID] = g
		}
		groups[i] = g
	}
	var distinct []int
	for i, g := range groups {
		if g == i {
			distinct = append(distinct, g)
		}
	}
	n := min(int(math.Round(share*float64(len(distinct)))), len(distinct)-1)
	if share > 0 && len(distinct) > 1 {
		n = max(n, 1)
	}
	out := map[int]bool{}
	for _, k := range shuffler(seed, 0).Perm(len(distinct))[:max(0, n)] {
		out[distinct[k]] = true
	}
	for i, it := range items {
		if out[groups[i]] {
			held = append(held, it)
		} else {
			train = append(train, it)
		}
	}
	return train, held
}

// Items serves a slice in the form that [GRPOTrainer.Train] takes.
func Items(items []episode.Item) iter.Seq2[episode.Item, error] {
	return func(yield func(episode.Item, error) bool) {
		for _, it := range items {
			if !yield(it, nil) {
				return
			}
		}
	}
}
