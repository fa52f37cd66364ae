package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
)

// result is all that is found.
type result struct {
	pairs  []pair
	groups []group // all annotators of a dimension, where they are more than two
}

// pair is the agreement of two annotators.
type pair struct {
	predicted, truth string
	attribution.Agreement
	kappas
}

// group is the agreement of several annotators.
type group struct {
	dimension episode.Dimension
	raters    []string
	n         int
	kappas
}

// kappas are Fleiss' kappa of the labels, and of the question whether a label is
// the highest, which is what makes an utterance a key utterance.
type kappas struct{ labels, top float64 }

func newKappas(labels [][]float64, top int) kappas {
	whole, key := make([][]int, len(labels)), make([][]int, len(labels))
	for r, ls := range labels {
		whole[r], key[r] = make([]int, len(ls)), make([]int, len(ls))
		for i, l := range ls {
			whole[r][i] = int(l)
			if int(l) == top {
				key[r][i] = 1
			}
		}
	}
	return kappas{attribution.FleissKappa(whole), attribution.FleissKappa(key)}
}

// compare compares all pairs of annotators on one dimension, or those with the one
// that is the truth, and all of a dimension together.
func compare(raters []attribution.Rater, truth string, top int) (*result, error) {
	if truth != "" && !slices.ContainsFunc(raters, func(r attribution.Rater) bool { return r.Name == truth }) {
		return nil, fmt.Errorf("-truth: no annotator is called %q", truth)
	}
	r := &result{}
	for i, x := range raters {
		for _, y := range raters[i+1:] {
			switch truth {
			case "", y.Name:
				r.pair(x, y, top)
			case x.Name:
				r.pair(y, x, top)
			}
		}
	}
	if len(r.pairs) == 0 {
		return nil, errors.New("no two annotators labelled the same utterance on one dimension")
	}
	byDimension := map[episode.Dimension][]attribution.Rater{}
	for _, x := range raters {
		same := append(byDimension[x.Dimension], x)
		byDimension[x.Dimension] = same
	}
	for _, x := range raters {
		if same := byDimension[x.Dimension]; len(same) > 2 && same[0].Name == x.Name {
			r.group(x.Dimension, same, top)
		}
	}
	return r, nil
}

// pair compares two annotators, if there is something to compare.
func (r *result) pair(predicted, truth attribution.Rater, top int) {
	labels := attribution.Shared(predicted, truth)
	if predicted.Dimension != truth.Dimension || len(labels[0]) == 0 {
		return
	}
	r.pairs = append(r.pairs, pair{
		predicted.Name, truth.Name, attribution.Agree(labels[0], labels[1], float64(top)), newKappas(labels, top),
	})
}

// group compares all annotators of a dimension on what all of them labelled.
func (r *result) group(d episode.Dimension, raters []attribution.Rater, top int) {
	g := group{dimension: d}
	for _, x := range raters {
		g.raters = append(g.raters, x.Name)
	}
	labels := attribution.Shared(raters...)
	g.n, g.kappas = len(labels[0]), newKappas(labels, top)
	r.groups = append(r.groups, g)
}

// print writes the figures as a Markdown table and lines of text.
func (r *result) print(w io.Writer, top int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| predicted | truth | utterances | mean abs. difference | Spearman | exact match | accuracy of %d | precision | recall | F1 | kappa | kappa of %[1]d |\n", top)
	b.WriteString("|---|---|" + strings.Repeat("---:|", 10) + "\n")
	for _, p := range r.pairs {
		fmt.Fprintf(&b, "| %s | %s | %d |", cell(p.predicted), cell(p.truth), p.N)
		for _, v := range []float64{p.MeanAbsoluteDifference, p.Spearman, p.ExactMatch, p.Accuracy, p.Precision, p.Recall, p.F1, p.labels, p.top} {
			b.WriteString(" " + figure(v) + " |")
		}
		b.WriteByte('\n')
	}
	for _, g := range r.groups {
		fmt.Fprintf(&b, "\n%s: Fleiss' kappa of %d annotators on %d utterances that all of them labelled: %s; of key utterances (%d or not): %s\n",
			g.dimension, len(g.raters), g.n, figure(g.labels), top, figure(g.top))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cell(name string) string { return strings.ReplaceAll(name, "|", `\|`) }

// figure is "-" where there is none, as of a constant side.
func figure(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.3f", v)
}
