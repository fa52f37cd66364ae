package grpo

import (
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
