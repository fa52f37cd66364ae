package reward

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/episode"
)

// grid is a table of a report: names in its first column. A line break in a cell parts
// a figure from what is said about it.
type grid struct {
	title, note string
	head        []string
	rows        [][]string
}

// WriteMarkdown writes the figures as Markdown.
func (r *Report) WriteMarkdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# %s\n\n%s\n", escapeMarkdown(r.Title), escapeMarkdown(r.lead()))
	for _, g := range r.grids() {
		g.writeMarkdown(b)
	}
	return b.Flush()
}

func (g grid) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n", g.title)
	if g.note != "" {
		fmt.Fprintf(w, "%s\n\n", escapeMarkdown(g.note))
	}
	writeRow(w, g.head)
	fmt.Fprintf(w, "|---%s|\n", strings.Repeat("|---:", len(g.head)-1))
	for _, row := range g.rows {
		writeRow(w, row)
	}
}

func writeRow(w io.Writer, cells []string) {
	fmt.Fprint(w, "|")
	for _, c := range cells {
		fmt.Fprintf(w, " %s |", escapeMarkdown(c))
	}
	fmt.Fprintln(w)
}

var markdownEscapes = strings.NewReplacer("\r", " ", "\n", " ", "\\", `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`", "*", `\*`, "_", `\_`, "#", `\#`)

// escapeMarkdown makes a text stand for itself on one line, in a table too.
func escapeMarkdown(s string) string {
	s = markdownEscapes.Replace(s)
	// brackets make links only in pairs with what follows
	return strings.NewReplacer("](", `]\(`, "]:", `]\:`, "![", `!\[`).Replace(s)
}

// lead says what the report is about.
func (r *Report) lead() string {
	by := "no judge is named"
	if len(r.Judges) > 0 {
		by = "judged by " + strings.Join(r.Judges, ", ")
	}
	failed := fmt.Sprintf("%d appearances without a verdict", len(r.Failures))
	return fmt.Sprintf("%d episodes, %d models, %s; %s.", r.Episodes, len(r.Models), by, failed)
}

const (
	scoresNote = "Means with the margin of the sotopia benchmark (95%, from the variance within settings: 0 where none was played twice), and below it the interval of 95% " +
		"from a bootstrap over environments. Self-play counts twice."
	differencesNote = "First model minus second, on the scenes that both were in (the same environment, characters and seat), " +
		"with the interval of 95% from a bootstrap over environments."
	lengthsNote   = "Turns are those in which an agent could act; to leave is no utterance; failed episodes count."
	agreementNote = "The second judge against the first, over both agents of all episodes that both judged."
)

// grids are the tables of the report that have something to show.
func (r *Report) grids() []grid {
	all := []grid{r.scoresGrid(), r.differencesGrid(), r.lengthsGrid(), r.pairsGrid(), r.agreementGrid(), r.failuresGrid()}
	return slices.DeleteFunc(all, func(g grid) bool { return len(g.rows) == 0 })
}

func (r *Report) scoresGrid() grid {
	g := grid{title: "Scores", note: scoresNote, head: []string{"model", "judged", "failed"}}
	for _, d := range r.Dimensions {
		g.head = append(g.head, d.Abbreviation())
	}
	r.eachSeat(func(name string, s SeatReport) {
		row := []string{name, fmt.Sprint(s.Count), fmt.Sprint(s.Failed)}
		for _, d := range r.Dimensions {
			row = append(row, s.Scores[d].text(true))
		}
		g.rows = append(g.rows, row)
	})
	return g
}

// eachSeat calls f for each model's figures and those of its seats.
func (r *Report) eachSeat(f func(name string, s SeatReport)) {
	for _, m := range r.Models {
		f(m.Model, m.All)
		f(m.Model+"\n(first speaker)", m.First)
		f(m.Model+"\n(second speaker)", m.Second)
	}
}

// text writes a figure, its margin where asked, and below its interval.
func (f Figure) text(margin bool) string {
	switch {
	case f.N == 0:
		return "–"
	case margin:
		return fmt.Sprintf("%.2f ± %.2f\n[%.2f, %.2f]", f.Mean, f.Margin, f.Low, f.High)
	}
	return fmt.Sprintf("%.2f\n[%.2f, %.2f]", f.Mean, f.Low, f.High)
}

// signed writes a difference and its interval.
func (f Figure) signed() string {
	if f.N == 0 {
		return "–"
	}
	return fmt.Sprintf("%+.2f\n[%+.2f, %+.2f]", f.Mean, f.Low, f.High)
}

func (r *Report) differencesGrid() grid {
	g := grid{title: "Paired differences", note: differencesNote, head: []string{"models", "scenes"}}
	for _, d := range r.Dimensions {
		g.head = append(g.head, d.Abbreviation())
	}
	g.head = append(g.head, "words")
	for _, d := range r.Differences {
		row := []string{d.A + " − " + d.B, fmt.Sprint(d.Scenes)}
		for _, dim := range r.Dimensions {
			row = append(row, d.Scores[dim].signed())
		}
		g.rows = append(g.rows, append(row, d.Words.signed()))
	}
	return g
}

func (r *Report) lengthsGrid() grid {
	g := grid{title: "Turns and words", note: lengthsNote, head: []string{"model", "turns", "utterances", "words per utterance"}}
	tokens := len(r.Models) > 0 && r.Models[0].All.Tokens != nil
	if tokens {
		g.head = append(g.head, "tokens per utterance")
	}
	replies := slices.ContainsFunc(r.Models, func(m ModelReport) bool { return m.All.Replies != nil })
	if replies {
		g.head = append(g.head, "replies repaired", "replies lost")
	}
	r.eachSeat(func(name string, s SeatReport) {
		row := []string{name, s.Turns.text(false), s.Utterances.text(false), s.Words.text(false)}
		if tokens {
			row = append(row, s.Tokens.text(false))
		}
		if replies {
			row = append(row, replyCells(s.Replies)...)
		}
		g.rows = append(g.rows, row)
	})
	return g
}

// replyCells tell how many replies needed repair, and how many could not be read.
func replyCells(s *episode.ReplyStats) []string {
	if s == nil {
		return []string{"–", "–"}
	}
	return []string{fmt.Sprintf("%d of %d", s.Repaired, s.Replies), fmt.Sprintf("%d of %d", s.Lost, s.Replies)}
}

func (r *Report) pairsGrid() grid {
	g := grid{title: "Who played whom", head: []string{"first speaker", "second speaker", "episodes"}}
	for _, p := range r.Pairs {
		g.rows = append(g.rows, []string{p.First, p.Second, fmt.Sprint(p.Episodes)})
	}
	return g
}

func (r *Report) agreementGrid() grid {
	g := grid{title: "Agreement of two judges", note: agreementNote,
		head: []string{"dimension", "pairs", "mean absolute difference", "mean difference", "Spearman", "exact match"}}
	if r.Agreement == nil {
		return g
	}
	for _, d := range sortedDimensions(r.Agreement.Dimensions) {
		a := r.Agreement.Dimensions[d]
		spearman := "–"
		if finite(a.Spearman) != nil {
			spearman = fmt.Sprintf("%.2f", a.Spearman)
		}
		g.rows = append(g.rows, []string{string(d), fmt.Sprint(a.N), fmt.Sprintf("%.2f", a.MeanAbsoluteDifference),
			fmt.Sprintf("%+.2f", a.MeanDifference), spearman, fmt.Sprintf("%.0f%%", 100*a.ExactMatch)})
	}
	return g
}

// sortedDimensions returns the keys in the order of reports.
func sortedDimensions[V any](m map[episode.Dimension]V) []episode.Dimension {
	a := appearance{scores: map[episode.Dimension]float64{}}
	for d := range maps.Keys(m) {
		a.scores[d] = 0
	}
	return scoredDimensions([]appearance{a})
}

func (r *Report) failuresGrid() grid {
	g := grid{title: "Without a verdict", head: []string{"episode", "agent", "model", "why"}}
	for _, f := range r.Failures {
		g.rows = append(g.rows, []string{cmp.Or(f.EpisodeID, "(no id)"), f.Agent, f.Model, f.Reason})
	}
	return g
}
