package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/atomicfile"
)

// Range is the smallest and the largest reward of a dimension over a data set.
type Range struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// Normalise maps Min to 0 and Max to 1:
//
//	(r − Min) / (Max − Min)
//
// Rewards outside the range, which new data may have, map outside 0..1. Where Min
// and Max are equal the dimension tells no utterance from another, and every reward
// maps to 1/2.
func (g Range) Normalise(r float64) float64 {
	if g.Max == g.Min {
		return 0.5
	}
	return (r - g.Min) / (g.Max - g.Min)
}

// Ranges holds the fitted range of each dimension. Saved beside a reward model, it
// puts new data on the scale that the model was trained on.
type Ranges map[episode.Dimension]Range

// Save writes the ranges to a JSON file, whole or not at all.
func (g Ranges) Save(path string) error {
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, append(text, '\n'), 0o644)
}

// LoadRanges reads what [Ranges.Save] wrote. A range whose maximum is below its
// minimum is an error.
func LoadRanges(path string) (Ranges, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g Ranges
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for d, r := range g {
		if !(r.Min <= r.Max) {
			return nil, fmt.Errorf("%s: range of %s is %v..%v, want min <= max", path, d, r.Min, r.Max)
		}
	}
	return g, nil
}

// CombineOptions says how rewards of several dimensions become one value. The zero
// value is that of the Sotopia-RL paper (arXiv 2508.03905, section 3.2).
type CombineOptions struct {
	// Scale is the value of an utterance that is the best in every dimension; 0
	// stands for 10.
	Scale float64
	// Ranges are used instead of those of the data; nil fits them. Every dimension
	// of the parts must have one.
	Ranges Ranges
}

// CombineCounts says what became of the records of [Combine].
type CombineCounts struct {
	Records    int // made
	Duplicates int // of an input and output that a later record of the same part repeats
	Incomplete int // inputs and outputs that lack at least one dimension
}

// Combine makes one value of the rewards that the parts give to the same input and
// output: the weighted mean over dimensions of the rewards normalised to 0..1 over
// the data set, times a scale.
//
//	value = Scale · Σ_d w_d · (r_d − min_d)/(max_d − min_d) / Σ_d w_d
//
// Ranges are fitted over distinct pairs of input and output; of records that repeat
// a pair the last counts, and the pair gives one record, at the place of its first.
// A pair that lacks a dimension is dropped and counted. A constant dimension counts
// as 1/2 everywhere.
//
// A single part keeps its raw rewards and all its records: nothing is normalised,
// whatever the options. Its range is returned all the same.
//
// Parts of one dimension, without records, with a weight that is negative or not
// finite, or with a value that is not finite are errors.
func Combine(parts []Part, o CombineOptions) ([]Record, Ranges, CombineCounts, error) {
	var counts CombineCounts
	ranges := Ranges{}
	tables := make([]table, len(parts))
	for i, p := range parts {
		if err := p.check(ranges); err != nil {
			return nil, nil, counts, err
		}
		tables[i] = newTable(p.Records)
		counts.Duplicates += len(p.Records) - len(tables[i])
		ranges[p.Dimension] = tables[i].fit()
		if r, ok := o.Ranges[p.Dimension]; ok {
			ranges[p.Dimension] = r
		} else if o.Ranges != nil {
			return nil, nil, counts, fmt.Errorf("reward: the given ranges have none for %s", p.Dimension)
		}
	}
	switch len(parts) {
	case 0:
		return nil, nil, counts, errors.New("reward: nothing to combine")
	case 1:
		counts.Records, counts.Duplicates = len(parts[0].Records), 0
		return parts[0].Records, ranges, counts, nil
	}
	recs := combine(parts, tables, ranges, o, &counts)
	return recs, ranges, counts, nil
}

func (p Part) weight() float64 {
	if p.Weight == 0 {
		return 1
	}
	return p.Weight
}

// check reports what is wrong with a part, given the dimensions before it.
func (p Part) check(before Ranges) error {
	if _, twice := before[p.Dimension]; twice {
		return fmt.Errorf("reward: two parts of dimension %s", p.Dimension)
	}
	if w := p.weight(); !(w > 0) || math.IsInf(w, 0) {
		return fmt.Errorf("reward: the weight of %s is %v, want a positive number", p.Dimension, w)
	}
	if len(p.Records) == 0 {
		return fmt.Errorf("reward: dimension %s has no records", p.Dimension)
	}
	for i, r := range p.Records {
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			return fmt.Errorf("reward: record %d of %s (episode %q) has the value %v", i, p.Dimension, r.EpisodeID, r.Value)
		}
	}
	return nil
}

// pair identifies an example.
type pair struct{ input, output string }

// table holds the value of each pair.
type table map[pair]float64

func newTable(recs []Record) table {
	t := make(table, len(recs))
	for _, r := range recs {
		t[pair{r.Input, r.Output}] = r.Value
	}
	return t
}

func (t table) fit() Range {
	g := Range{math.Inf(1), math.Inf(-1)}
	for _, v := range t {
		g.Min, g.Max = min(g.Min, v), max(g.Max, v)
	}
	return g
}

// combine walks over the pairs in the order of their first appearance.
func combine(parts []Part, tables []table, ranges Ranges, o CombineOptions, counts *CombineCounts) []Record {
	scale := o.Scale
	if scale == 0 {
		scale = 10
	}
	recs := []Record{}
	seen := map[pair]bool{}
	for _, p := range parts {
		for _, r := range p.Records {
			at := pair{r.Input, r.Output}
			if seen[at] {
				continue
			}
			seen[at] = true
			mean, ok := weightedMean(parts, tables, ranges, at)
			if !ok {
				counts.Incomplete++
				continue
			}
			r.Value = scale * mean
			recs = append(recs, r)
		}
	}
	counts.Records = len(recs)
	return recs
}

func weightedMean(parts []Part, tables []table, ranges Ranges, at pair) (float64, bool) {
	sum, weights := 0.0, 0.0
	for i, p := range parts {
		v, ok := tables[i][at]
		if !ok {
			return 0, false
		}
		sum += p.weight() * ranges[p.Dimension].Normalise(v)
		weights += p.weight()
	}
	return sum / weights, true
}
