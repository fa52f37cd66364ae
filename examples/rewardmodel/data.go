package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/reward"
)

// data says where the records come from.
type data struct {
	records, episodes, annotations string
	dimensions, ranges, save       string
	items                          cli.Items
	filter                         cli.Filter
	scale                          float64
}

func (d *data) define(fs *flag.FlagSet) {
	fs.StringVar(&d.records, "records", "", "JSON `file` of records: objects with input, output and value")
	fs.StringVar(&d.episodes, "episodes", "", "JSON lines `file` of episodes, instead of -records")
	fs.StringVar(&d.annotations, "annotations", "", "JSON lines `file` of attributions of these episodes")
	d.items.Define(fs)
	d.filter.Define(fs)
	fs.StringVar(&d.dimensions, "dimensions", "", "comma-separated `dimensions` to combine, each with an optional weight, such as goal:2,knowledge; all that are annotated if empty")
	fs.Float64Var(&d.scale, "scale", 10, "value of an utterance that is the best in every dimension")
	fs.StringVar(&d.ranges, "ranges", "", "`file` with the ranges of an earlier run, to put new annotations on its scale")
	fs.StringVar(&d.save, "save-records", "", "`file` to write the records to; without -model that is all that is done")
}

func (d *data) check() error {
	switch {
	case (d.records == "") == (d.episodes == ""):
		return cli.Usagef("one of -records and -episodes is needed")
	case (d.episodes == "") != (d.annotations == ""):
		return cli.Usagef("-episodes and -annotations belong together")
	case !(d.scale > 0):
		return cli.Usagef("-scale is %v, want more than 0", d.scale)
	}
	if _, err := d.weights(); err != nil {
		return err
	}
	return d.items.Check()
}

// weights returns the dimensions of the flag with their weights; nil is all.
func (d *data) weights() (map[episode.Dimension]float64, error) {
	out := map[episode.Dimension]float64{}
	for _, part := range cli.Split(d.dimensions) {
		name, number, weighted := strings.Cut(part, ":")
		dimension, err := episode.ParseDimension(name)
		if err != nil {
			return nil, cli.Usagef("-dimensions: %v", err)
		}
		out[dimension] = 1
		if !weighted {
			continue
		}
		if out[dimension], err = strconv.ParseFloat(number, 64); err != nil || !(out[dimension] > 0) {
			return nil, cli.Usagef("-dimensions: the weight of %s is %q, want a number above 0", name, number)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// load returns the records, and the ranges where dimensions were combined.
func (d *data) load(w io.Writer) (recs []reward.Record, ranges reward.Ranges, err error) {
	if d.records != "" {
		recs, err = reward.ReadRecords(d.records)
		return recs, nil, err
	}
	return d.join(w)
}

// keep writes the records where the flags say so.
func (d *data) keep(recs []reward.Record) error {
	if d.save == "" {
		return nil
	}
	return reward.WriteRecords(d.save, recs)
}

func (d *data) join(w io.Writer) ([]reward.Record, reward.Ranges, error) {
	items, err := d.items.ReadFile(d.episodes, &d.filter)
	if err != nil {
		return nil, nil, err
	}
	var attributions []*attribution.Attribution
	for a, err := range attribution.ReadFile(d.annotations) {
		if err != nil {
			return nil, nil, err
		}
		attributions = append(attributions, a)
	}
	parts, counts, err := reward.Join(items, attributions)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.annotations, err)
	}
	fmt.Fprintf(w, "credits with an item %d, masked %d, unscored %d, without an item %d\n", counts.Joined, counts.Masked, counts.Unscored, counts.Unplaced)
	return d.combine(w, parts)
}

func (d *data) combine(w io.Writer, parts []reward.Part) ([]reward.Record, reward.Ranges, error) {
	weights, err := d.weights()
	if err != nil {
		return nil, nil, err
	}
	o := reward.CombineOptions{Scale: d.scale}
	if d.ranges != "" {
		if o.Ranges, err = reward.LoadRanges(d.ranges); err != nil {
			return nil, nil, err
		}
	}
	chosen := parts
	if weights != nil {
		chosen = nil
		for _, p := range parts {
			if w, ok := weights[p.Dimension]; ok {
				p.Weight = w
				chosen = append(chosen, p)
				delete(weights, p.Dimension)
			}
		}
		if len(weights) > 0 {
			return nil, nil, fmt.Errorf("%s: no attributions of dimension %s", d.annotations, slices.Sorted(maps.Keys(weights))[0])
		}
	}
	recs, ranges, counts, err := reward.Combine(chosen, o)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(w, "records %d, duplicates %d, without all dimensions %d\n", counts.Records, counts.Duplicates, counts.Incomplete)
	return recs, ranges, nil
}
