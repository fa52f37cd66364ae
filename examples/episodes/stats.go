package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/socialrl/socialrl/episode"
)

// counts is what -stats prints.
type counts struct {
	episodes, unjudged, unplayable int
	utterances, words              int
	environments, tags             map[string]int
	seats                          map[string]*tally // by the agent's model
}

// tally adds up the scores of a model's agents.
type tally struct {
	agents int
	scores map[episode.Dimension]*mean
}

type mean struct {
	sum float64
	n   int
}

func (m *mean) String() string {
	if m == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", m.sum/float64(m.n))
}

func (c *counts) add(e *episode.Episode) {
	if c.seats == nil {
		c.environments, c.tags, c.seats = map[string]int{}, map[string]int{}, map[string]*tally{}
	}
	c.episodes++
	c.environments[e.EnvironmentID]++
	c.tags[e.Tag]++
	if e.Failed() {
		c.unjudged++
	}
	if len(e.RawMessages) == 0 {
		c.unplayable++
	}
	for _, u := range e.Utterances() {
		c.utterances++
		c.words += len(strings.Fields(u.Action.Argument))
	}
	for seat, agent := range e.Agents() {
		c.addAgent(e, agent, modelOf(e, seat))
	}
}

// modelOf returns the model of a seat.
func modelOf(e *episode.Episode, seat int) string {
	if len(e.Models) != 3 || e.Models[seat+1] == "" {
		return "(unknown)"
	}
	return e.Models[seat+1]
}

func (c *counts) addAgent(e *episode.Episode, agent, model string) {
	t := c.seats[model]
	if t == nil {
		t = &tally{scores: map[episode.Dimension]*mean{}}
		c.seats[model] = t
	}
	t.agents++
	for _, d := range dimensions() {
		score, err := e.Score(agent, d)
		if err != nil {
			continue
		}
		if t.scores[d] == nil {
			t.scores[d] = &mean{}
		}
		t.scores[d].sum += score
		t.scores[d].n++
	}
}

func dimensions() []episode.Dimension {
	return append(slices.Clone(episode.Dimensions()), episode.Overall)
}

// print prints the counts, and a table of mean scores by model. Agents without a
// score on a dimension do not count in its mean.
func (c *counts) print(w io.Writer) error {
	fmt.Fprintf(w, "episodes %d, environments %d, not judged %d, without raw messages %d\n", c.episodes, len(c.environments), c.unjudged, c.unplayable)
	fmt.Fprintf(w, "utterances %d, %.1f an episode, %.1f words each\n", c.utterances, ratio(c.utterances, c.episodes), ratio(c.words, c.utterances))
	for _, tag := range slices.Sorted(maps.Keys(c.tags)) {
		fmt.Fprintf(w, "tag %q: %d\n", tag, c.tags[tag])
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "model\tagents")
	for _, d := range dimensions() {
		fmt.Fprint(table, "\t", d.Abbreviation())
	}
	fmt.Fprintln(table)
	for _, model := range slices.Sorted(maps.Keys(c.seats)) {
		t := c.seats[model]
		fmt.Fprintf(table, "%s\t%d", model, t.agents)
		for _, d := range dimensions() {
			fmt.Fprint(table, "\t", t.scores[d])
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

func ratio(a, b int) float64 { return float64(a) / float64(max(1, b)) }
