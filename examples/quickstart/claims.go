package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// claim is a sentence about the method that the figures bear out, or do not.
type claim struct {
	Text   string
	Figure string
	Holds  bool
}

// The bounds of the claims.
const (
	leastSpearman = 0.5
	mostRise      = 0.1
)

// claims returns what the experiments show, one claim after another. The comparison
// with shuffled rewards needs experiments that have that control.
func claims(outs []*outcome) []claim {
	var all []claim
	for _, o := range outs {
		all = append(all, o.claims()...)
	}
	beats := func(other, what string) {
		e := bootstrap(pairs(outs, goalMetric, grpoPlayer, other), difference)
		all = append(all, claim{
			Text: "GRPO beats " + what + " on goal", Holds: e.Low > 0,
			Figure: fmt.Sprintf("%+.2f [%+.2f, %+.2f]", e.Mean, e.Low, e.High),
		})
	}
	beats(clonePlayer, "the clone")
	if _, ok := outs[0].find(controlPlayer); ok {
		beats(controlPlayer, "the control with shuffled rewards")
	}
	e := bootstrap(pairs(outs, wordsMetric, grpoPlayer, clonePlayer), rise)
	return append(all, claim{
		Text: "words per utterance rise by less than 10%", Holds: e.High < mostRise,
		Figure: fmt.Sprintf("%+.1f%% [%+.1f%%, %+.1f%%]", 100*e.Mean, 100*e.Low, 100*e.High),
	})
}

// claims are those that must hold for every seed by itself.
func (o *outcome) claims() []claim {
	clone := goalMetric.mean(o.player(clonePlayer).Scores)
	seed := fmt.Sprintf("seed %d: ", o.Seed)
	return []claim{
		{
			Text: seed + "the clone is at its validation minimum", Holds: o.Clone.BestStep > 0 && o.Clone.BestStep < o.Clone.Steps,
			Figure: fmt.Sprintf("loss %.4f after step %d of %d", o.Clone.Best, o.Clone.BestStep, o.Clone.Steps),
		},
		{
			Text: seed + "training never calls the judge", Holds: o.TrainCalls == 0,
			Figure: fmt.Sprintf("%d calls; %d for the data before it, %d for the evaluation after it", o.TrainCalls, o.GatherCalls, o.EvalCalls),
		},
		{
			Text: seed + "the reward model ranks unseen replies", Holds: o.Reward.Spearman >= leastSpearman,
			Figure: fmt.Sprintf("%s over %d utterances", correlation(o.Reward), o.Reward.N),
		},
		{
			Text: seed + "the best constant reply is worse than the clone", Holds: o.ConstantOf < clone,
			Figure: fmt.Sprintf("goal %.2f to %.2f (%q)", o.ConstantOf, clone, o.Constant),
		},
	}
}

// printClaims prints a line for every claim and returns how many do not hold.
func printClaims(w io.Writer, all []claim) (failed int, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t)
	for _, c := range all {
		verdict := "PASS"
		if !c.Holds {
			verdict = "FAIL"
			failed++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", verdict, c.Text, c.Figure)
	}
	return failed, t.Flush()
}
