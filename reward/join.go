package reward

import (
	"fmt"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// Part is what one dimension contributes to the records.
type Part struct {
	Dimension episode.Dimension
	Weight    float64 // relative to the other parts; 0 stands for 1
	Records   []Record
}

// JoinCounts says what became of the credits and items of a [Join].
type JoinCounts struct {
	Joined       int // credits that found their item: records
	Masked       int // credits that were masked out: no record
	Unscored     int // own utterances without a score: no record
	Unplaced     int // credits without an item of their turn
	Unattributed int // pairs of item and dimension without a credit, such as turns in which the agent did nothing
}

// Join gives training items the rewards of their utterances. It returns a part for
// each dimension of the attributions, in the order of their first appearance, with
// the records in the order of the items. An utterance belongs to the item of its
// turn. Masked and unscored utterances give no record; all that is left out is
// counted.
//
// Two attributions of one episode, agent and dimension by different methods or
// scales contradict each other: that is an error, choose one before.
func Join(items []episode.Item, attributions []*attribution.Attribution) ([]Part, JoinCounts, error) {
	var counts JoinCounts
	j := joiner{rewards: map[place]float64{}, methods: map[source]attribution.Method{}}
	for _, a := range attributions {
		if err := j.add(a, &counts); err != nil {
			return nil, counts, err
		}
	}
	parts := make([]Part, len(j.dimensions))
	used := map[place]bool{}
	for d, dimension := range j.dimensions {
		parts[d].Dimension = dimension
		for _, it := range items {
			at := place{source{it.EpisodeID, it.Agent, dimension}, it.Turn}
			r, ok := j.rewards[at]
			switch {
			case ok:
				parts[d].Records = append(parts[d].Records, NewRecord(it, r))
				used[at] = true
			case !j.skipped[at]:
				counts.Unattributed++
			}
		}
		counts.Joined += len(parts[d].Records)
	}
	counts.Unplaced += len(j.rewards) - len(used)
	return parts, counts, nil
}

// source is an agent's part in an episode as one dimension sees it.
type source struct {
	episode, agent string
	dimension      episode.Dimension
}

// place is one turn of a source.
type place struct {
	source
	turn int
}

type joiner struct {
	dimensions []episode.Dimension
	rewards    map[place]float64
	skipped    map[place]bool // masked out or unscored
	methods    map[source]attribution.Method
}

func (j *joiner) add(a *attribution.Attribution, counts *JoinCounts) error {
	s := source{a.EpisodeID, a.Agent, a.Method.Dimension}
	if m, ok := j.methods[s]; ok && m != a.Method {
		return fmt.Errorf("reward: episode %s, agent %s: %s is attributed by both %s and %s", s.episode, s.agent, s.dimension, m, a.Method)
	}
	j.methods[s] = a.Method
	j.dimension(s.dimension)
	for _, c := range a.Own() {
		j.credit(place{s, c.Turn}, c, counts)
	}
	return nil
}

func (j *joiner) credit(at place, c attribution.Credit, counts *JoinCounts) {
	if at.turn < 0 {
		counts.Unplaced++
		return
	}
	switch c.State {
	case attribution.Scored, attribution.RewardOnly:
		j.rewards[at] = c.Reward
		return
	case attribution.MaskedOut:
		counts.Masked++
	default:
		counts.Unscored++
	}
	if j.skipped == nil {
		j.skipped = map[place]bool{}
	}
	j.skipped[at] = true
}

func (j *joiner) dimension(d episode.Dimension) {
	for _, known := range j.dimensions {
		if known == d {
			return
		}
	}
	j.dimensions = append(j.dimensions, d)
}
