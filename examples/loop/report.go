package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/reward"
)

// report prints what the policies reached in the evaluations.
func (l *loop) report() error {
	var all []*reward.Summary
	var words []float64
	for round := range l.rounds + 1 {
		name := policyName(round)
		episodes, err := readEpisodes(l.evaluationFile(round))
		if err != nil {
			return err
		}
		found, err := reward.Summarize(episodes)
		if err != nil {
			return err
		}
		if found[name] == nil {
			return fmt.Errorf("%s: %s plays in no episode", l.evaluationFile(round), name)
		}
		all, words = append(all, found[name]), append(words, wordsOf(episodes, name))
	}
	return print(l.Out, all, words)
}

func readEpisodes(path string) ([]*episode.Episode, error) {
	var all []*episode.Episode
	for e, err := range episode.ReadFile(path) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// wordsOf is the mean number of words of what a model says at a time.
func wordsOf(episodes []*episode.Episode, model string) float64 {
	said, words := 0, 0
	for _, e := range episodes {
		for _, agent := range seatsOf(e, model) {
			for _, u := range e.UtterancesOf(agent) {
				if u.Action.Type == episode.Speak {
					said++
					words += len(strings.Fields(u.Action.Argument))
				}
			}
		}
	}
	return float64(words) / float64(max(said, 1))
}

// print prints a line for each policy, with the dimensions that are judged; margins are
// the sotopia benchmark's.
func print(w io.Writer, all []*reward.Summary, words []float64) error {
	var dims []episode.Dimension
	for _, d := range append(episode.Dimensions(), episode.Overall) {
		if _, ok := all[0].All[d]; ok {
			dims = append(dims, d)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\tepisodes\t")
	for _, d := range dims {
		fmt.Fprintf(t, "%s\t", d)
	}
	fmt.Fprintln(t, "words")
	for round, s := range all {
		fmt.Fprintf(t, "%s\t%d\t", policyName(round), s.Count)
		for _, d := range dims {
			fmt.Fprintf(t, "%.2f ± %.2f\t", s.All[d].Mean, s.All[d].Margin)
		}
		fmt.Fprintf(t, "%.2f\n", words[round])
	}
	return t.Flush()
}
