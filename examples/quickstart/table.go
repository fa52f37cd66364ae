package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/socialrl/socialrl/examples/internal/world"
)

// player returns the row of a player. It panics where there is none.
func (o *outcome) player(name string) player {
	p, ok := o.find(name)
	if !ok {
		panic("quickstart: no player " + name)
	}
	return p
}

func (o *outcome) find(name string) (player, bool) {
	for _, p := range o.Players {
		if p.Name == name {
			return p, true
		}
	}
	return player{}, false
}

// scoresOf returns a player's scores in all experiments.
func scoresOf(outs []*outcome, name string) []world.Score {
	var all []world.Score
	for _, o := range outs {
		all = append(all, o.player(name).Scores...)
	}
	return all
}

// contrast is a comparison of two players over the same cases.
type contrast struct{ a, b string }

// contrasts lists the comparisons that the players of the experiments allow.
func contrasts(outs []*outcome) []contrast {
	all := []contrast{{clonePlayer, randomPlayer}, {grpoPlayer, clonePlayer}}
	if _, ok := outs[0].find(controlPlayer); ok {
		all = append(all, contrast{grpoPlayer, controlPlayer})
	}
	return append(all, contrast{bestPlayer, grpoPlayer})
}

// row is one line of a table: a name and a figure for each metric.
type row struct {
	Name  string
	Cells []string
}

// meanRows returns the players' means.
func meanRows(outs []*outcome) []row {
	var rows []row
	for _, p := range outs[0].Players {
		r := row{Name: p.Name}
		for _, m := range metrics {
			r.Cells = append(r.Cells, fmt.Sprintf("%.2f", m.mean(scoresOf(outs, p.Name))))
		}
		rows = append(rows, r)
	}
	return rows
}

// contrastRows returns the paired differences with their intervals.
func contrastRows(outs []*outcome) []row {
	var rows []row
	for _, c := range contrasts(outs) {
		r := row{Name: c.a + " - " + c.b}
		for _, m := range metrics {
			e := bootstrap(pairs(outs, m, c.a, c.b), difference)
			r.Cells = append(r.Cells, fmt.Sprintf("%+.2f [%+.2f, %+.2f]", e.Mean, e.Low, e.High))
		}
		rows = append(rows, r)
	}
	return rows
}

// printTables prints what the players reached on the held-out scenarios.
func printTables(w io.Writer, outs []*outcome) error {
	cases := 0
	for _, o := range outs {
		cases += len(o.Cases)
	}
	scenarios := len(pairs(outs, goalMetric, clonePlayer, randomPlayer))
	fmt.Fprintf(w, "\n%d held-out scenarios, %d episodes a player\n", scenarios, cases)
	if err := printRows(w, meanRows(outs)); err != nil {
		return err
	}
	fmt.Fprintf(w, "\npaired differences, intervals of 95%% from a bootstrap over scenarios\n")
	return printRows(w, contrastRows(outs))
}

func printRows(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\t")
	for _, m := range metrics {
		fmt.Fprintf(t, "%s\t", m.Name)
	}
	fmt.Fprintln(t)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t", r.Name)
		for _, c := range r.Cells {
			fmt.Fprintf(t, "%s\t", c)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
