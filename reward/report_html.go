package reward

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/report"
)

// WriteHTML writes the report as one page that needs nothing else: the tables of
// [Report.WriteMarkdown], charts, and every episode with its scores and reasons, the
// utterances shaded by their credit where the report has any. Names and texts of
// episodes are shown as they are; the page runs no script but its own and fetches
// nothing.
func (r *Report) WriteHTML(w io.Writer) error {
	page := report.Page{Title: r.Title, Lead: r.lead()}
	for _, g := range r.grids() {
		blocks := []report.Block{g.table()}
		if g.note != "" {
			blocks = append([]report.Block{report.Text(g.note)}, blocks...)
		}
		switch g.title {
		case "Scores":
			blocks = append(blocks, r.scoreCharts()...)
		case "Paired differences":
			blocks = append(blocks, r.differenceCharts()...)
		}
		page.Add(g.title, blocks...)
	}
	var blocks []report.Block
	if len(r.credits) > 0 {
		blocks = append(blocks, report.Text("The darker an utterance, the more credit it has: by the first of the methods that are named below it."))
	}
	page.Add("Episodes", append(blocks, r.browse())...)
	return page.Write(w)
}

// table shows a grid; under a model's own row those of its seats do not repeat the name.
func (g grid) table() report.Table {
	t := report.Table{Head: g.head}
	for _, row := range g.rows {
		if i := strings.Index(row[0], "\n("); i >= 0 {
			row = append([]string{row[0][i:]}, row[1:]...)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// mostRows is how many rows a chart shows; what is beyond stands in the table.
const mostRows = 24

// scoreCharts show each dimension: models with both seats.
func (r *Report) scoreCharts() []report.Block {
	var blocks []report.Block
	for _, d := range r.Dimensions {
		c := report.Intervals{Title: string(d), X: "mean and interval of 95%; empty dots: first and second speaker"}
		if lo, hi, ok := d.Range(); ok && d != episode.Overall {
			c.Lo, c.Hi = lo, hi
		}
		for i, m := range r.Models {
			for seat, s := range []SeatReport{m.All, m.First, m.Second} {
				f := s.Scores[d]
				if f.N == 0 || len(c.Rows) >= mostRows {
					continue
				}
				name := []string{m.Model, "", ""}[seat]
				c.Rows = append(c.Rows, report.Row{Name: name, Value: f.Mean, Low: f.Low, High: f.High, Colour: i, Hollow: seat > 0})
			}
		}
		blocks = append(blocks, c)
	}
	return blocks
}

// differenceCharts show each pair of models: all dimensions.
func (r *Report) differenceCharts() []report.Block {
	var blocks []report.Block
	for i, d := range r.Differences {
		c := report.Intervals{Title: d.A + " − " + d.B, X: "difference of means, and interval of 95%", Zero: true}
		for _, dim := range r.Dimensions {
			if f := d.Scores[dim]; f.N > 0 {
				c.Rows = append(c.Rows, report.Row{Name: string(dim), Value: f.Mean, Low: f.Low, High: f.High, Colour: i})
			}
		}
		if len(c.Rows) > 0 {
			blocks = append(blocks, c)
		}
	}
	return blocks
}

// browse lists the episodes.
func (r *Report) browse() report.Browse {
	list := report.Browse{Facets: []string{"model", "tag", "verdict"}, Order: "goal"}
	for plays := range slices.Chunk(r.plays, agents) { // both agents of an episode are neighbours
		list.Entries = append(list.Entries, r.entry(plays))
	}
	return list
}

// entry shows an episode; plays are its two agents.
func (r *Report) entry(plays []play) report.Entry {
	e := plays[0].episode
	out := report.Entry{Title: cmp.Or(e.Codename, e.EnvironmentID, e.ID, "episode"), Key: math.NaN()}
	verdict, sum, n := "judged", 0.0, 0.0
	for _, p := range plays {
		note := p.agent + " (" + p.model + ")"
		if goal, ok := p.scores[episode.Goal]; ok {
			note += fmt.Sprintf(" goal %.3g", goal)
			sum, n = sum+goal, n+1
		}
		if !p.judged() {
			verdict = "without a verdict"
			note += " without a verdict"
		}
		out.Notes = append(out.Notes, note)
	}
	if n > 0 {
		out.Key = sum / n
	}
	out.Facets = [][]string{{plays[0].model, plays[1].model}, {cmp.Or(e.Tag, "(none)")}, {verdict}}
	out.Body = r.entryBody(plays)
	return out
}

// entryBody is what an episode shows when it is opened.
func (r *Report) entryBody(plays []play) []report.Block {
	e := plays[0].episode
	end, _, _ := strings.Cut(e.Reasoning, "\n")
	blocks := []report.Block{report.Text(untagged(e.Scenario))}
	var marks report.Sided
	var credits [agents][]*attribution.Attribution
	for i, p := range plays {
		goal, _ := e.SocialGoals.Get(p.agent)
		marks = append(marks, report.Marks{Name: p.agent, Note: "Goal: " + untagged(goal), Lines: marksOf(p)})
		credits[i] = r.credits[creditKey{e.ID, p.agent}]
	}
	blocks = append(blocks, dialogueOf(plays, credits))
	if end != "" {
		blocks = append(blocks, report.Text(end))
	}
	blocks = append(blocks, marks)
	if reason := failureReason(e); !plays[0].judged() && reason != episode.ErrNotJudged.Error() {
		blocks = append(blocks, report.Text(reason))
	}
	return append(blocks, report.Text(fmt.Sprintf("episode %s, environment %s", e.ID, e.EnvironmentID)))
}

// marksOf are an agent's scores with the judge's reasons.
func marksOf(p play) []report.Mark {
	reasons := Reasons(p.episode, p.seat)
	var out []report.Mark
	for _, d := range sortedDimensions(p.scores) {
		out = append(out, report.Mark{Name: string(d), Score: fmt.Sprintf("%.4g", p.scores[d]), Reason: reasons[d]})
	}
	return out
}

// dialogueOf shows what was said and done, shaded by each agent's first attribution;
// the notes name all.
func dialogueOf(plays []play, credits [agents][]*attribution.Attribution) report.Dialogue {
	var out report.Dialogue
	for _, u := range plays[0].episode.Utterances() {
		line := report.Line{Speaker: u.Speaker, Text: u.Text}
		for i, p := range plays {
			if p.agent == u.Speaker {
				line.Second = i == 1
				line.Credit, line.Note = shade(credits[i], u.Index)
			}
		}
		out = append(out, line)
	}
	return out
}

// shade returns how dark an utterance is, 0..1, and what its credits are.
func shade(list []*attribution.Attribution, index int) (dark float64, note string) {
	var notes []string
	for _, a := range list {
		i := slices.IndexFunc(a.Credits, func(c attribution.Credit) bool { return c.Index == index && c.Speaker == a.Agent })
		if i < 0 {
			continue
		}
		share, text := creditText(a, a.Credits[i])
		if len(notes) == 0 {
			dark = share
		}
		notes = append(notes, text)
	}
	return min(max(dark, 0), 1), strings.Join(notes, " · ")
}

// creditText tells one credit, and its size against the largest that could be.
func creditText(a *attribution.Attribution, c attribution.Credit) (share float64, text string) {
	name := a.Method.String()
	switch c.State {
	case attribution.Scored:
		text = fmt.Sprintf("credit %.3g, reward %.3g (%s)", c.Attribution, c.Reward, name)
		if a.Method.Scale > 0 {
			return c.Attribution / float64(a.Method.Scale), text
		}
	case attribution.RewardOnly:
		text = fmt.Sprintf("reward %.3g (%s)", c.Reward, name)
	case attribution.MaskedOut:
		return 0, "masked (" + name + ")"
	default:
		return 0, "no credit (" + name + ")"
	}
	largest := 0.0
	for _, o := range a.Own() {
		largest = max(largest, math.Abs(o.Reward))
	}
	if largest == 0 {
		return 0, text
	}
	return math.Abs(c.Reward) / largest, text
}
