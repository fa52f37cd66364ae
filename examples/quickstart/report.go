package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/internal/report"
	"github.com/socialrl/socialrl/reward"
	"gonum.org/v1/gonum/stat"
)

var smoothed = fmt.Sprintf("One curve for each seed. What is logged at every step is drawn as the mean of %d neighbouring steps.", 2*around+1)

// writeReport writes what the experiments found as an HTML page.
func writeReport(path string, outs []*outcome, all []claim) error {
	page := report.Page{
		Title: "A social agent, trained from scratch",
		Lead: "A model of 0.3 million weights learned to act in a miniature social world: first by imitation, then by GRPO " +
			"against a reward model that had been fitted to the credit of single utterances. All figures are from scenarios that it never trained on.",
	}
	page.Add("What the players reach",
		report.Table{Head: head(""), Rows: cells(meanRows(outs))},
		report.Text("Paired differences over the same cases, with intervals of 95% from a bootstrap over scenarios:"),
		report.Table{Head: head(""), Rows: cells(contrastRows(outs))})
	page.Add("What was to be shown", asClaims(all))
	curves, err := curves(outs)
	if err != nil {
		return err
	}
	page.Add("How GRPO learned", append([]report.Block{report.Text(smoothed)}, curves.grpo...)...)
	page.Add("How the clone and the reward model learned", curves.fit...)
	page.Add("What the reward model predicts", scatters(outs)...)
	blocks, err := dialogue(outs[0])
	if err != nil {
		return err
	}
	page.Add("One held-out episode", blocks...)
	return atomicfile.Write(path, 0o644, page.Write)
}

func head(first string) []string {
	h := []string{first}
	for _, m := range metrics {
		h = append(h, m.Name)
	}
	return h
}

func cells(rows []row) [][]string {
	var out [][]string
	for _, r := range rows {
		out = append(out, append([]string{r.Name}, r.Cells...))
	}
	return out
}

func asClaims(all []claim) report.Claims {
	var out report.Claims
	for _, c := range all {
		out = append(out, report.Claim{Text: c.Text, Figure: c.Figure, Holds: c.Holds})
	}
	return out
}

// curveBlocks are the charts of the training runs.
type curveBlocks struct{ grpo, fit []report.Block }

// logged is a kind of run and how its curves are drawn.
type logged struct {
	name, dir string
	colour    int
}

var grpoRuns = []logged{{"GRPO", "grpo", 0}, {"shuffled rewards", "control", 1}}

// curves reads the metrics of all runs.
func curves(outs []*outcome) (curveBlocks, error) {
	charts := func(of []chartSpec) ([]report.Block, error) {
		var blocks []report.Block
		for _, c := range of {
			chart, err := c.draw(outs)
			if err != nil {
				return nil, err
			}
			blocks = append(blocks, chart)
		}
		return blocks, nil
	}
	grpo, err := charts([]chartSpec{
		{"reward", "reward", grpoRuns}, {"KL divergence from the clone", "kl", grpoRuns},
		{"words per utterance", "completions/mean_words", grpoRuns}, {"loss", "loss", grpoRuns},
	})
	if err != nil {
		return curveBlocks{}, err
	}
	clone, values := []logged{{"clone", "clone", 0}}, []logged{{"reward model", "reward", 0}}
	fit, err := charts([]chartSpec{
		{"clone: loss, training", "loss", clone}, {"clone: loss, held-out episodes", "eval_loss", clone},
		{"reward model: squared error, held-out episodes", "eval_loss", values},
		{"reward model: Spearman, held-out episodes", "eval_spearman", values},
	})
	return curveBlocks{grpo, fit}, err
}

// chartSpec is a metric of some kinds of runs.
type chartSpec struct {
	title, key string
	runs       []logged
}

// draw makes a chart with one curve for each run and seed.
func (c chartSpec) draw(outs []*outcome) (report.Chart, error) {
	chart := report.Chart{Title: c.title, X: "optimiser step"}
	for _, run := range c.runs {
		for _, o := range outs {
			x, y, err := readCurve(filepath.Join(o.Dir, run.dir, "metrics.jsonl"), c.key)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return chart, err
			}
			if !strings.HasPrefix(c.key, "eval_") {
				y = smooth(y)
			}
			chart.Series = append(chart.Series, report.Series{Name: run.name, X: x, Y: y, Colour: run.colour})
		}
	}
	return chart, nil
}

// readCurve reads one metric of a run's log.
func readCurve(path, key string) (steps, values []float64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var m map[string]float64
		if err := d.Decode(&m); err == io.EOF {
			return steps, values, nil
		} else if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		if v, ok := m[key]; ok {
			steps, values = append(steps, m["step"]), append(values, v)
		}
	}
}

// around is how many values on either side [smooth] takes in.
const around = 4

// smooth returns the means of neighbouring values.
func smooth(y []float64) []float64 {
	out := make([]float64, len(y))
	for i := range y {
		out[i] = stat.Mean(y[max(0, i-around):min(len(y), i+around+1)], nil)
	}
	return out
}

// scatters show predicted against true values, one chart for each seed.
func scatters(outs []*outcome) []report.Block {
	blocks := []report.Block{report.Text("Every dot is an utterance of an episode on held-out scenarios.")}
	for _, o := range outs {
		blocks = append(blocks, report.Chart{
			Title: fmt.Sprintf("seed %d: %s", o.Seed, correlation(o.Reward)),
			X:     "true value", Y: "predicted value", Dots: true, Equal: true,
			Series: []report.Series{{X: o.True, Y: o.Predicted}},
		})
	}
	return blocks
}

// correlation says how predictions and truth go together; constant predictions, which
// an untrained model makes, go with nothing.
func correlation(e reward.Evaluation) string {
	if math.IsNaN(e.Spearman) {
		return "constant predictions, no correlation"
	}
	return fmt.Sprintf("Spearman %.2f, Pearson %.2f", e.Spearman, e.Pearson)
}

// dialogue shows an episode of the trained policy, with its credit for the goal.
func dialogue(o *outcome) ([]report.Block, error) {
	i := o.telling()
	c, e := o.Cases[i], o.player(grpoPlayer).Episodes[i]
	credit, err := attribution.Evidence{Func: world.Evidence(episode.Goal)}.Attribute(context.Background(), e, c.Learner.Name)
	if err != nil {
		return nil, err
	}
	score := o.player(grpoPlayer).Scores[i]
	intro := fmt.Sprintf("%s %s's private goal: %s The judge gives goal %g, relationship %g, knowledge %g. The darker an utterance of %s, the more credit it has for the goal.",
		e.Scenario, c.Learner.Name, c.Scenario.Goal, score.Goal, score.Relationship, score.Knowledge, c.Learner.Name)
	var lines report.Dialogue
	for k, u := range e.Utterances() {
		line := report.Line{Speaker: u.Speaker, Text: u.Text, Second: u.Speaker != c.Learner.Name}
		if own := credit.Credits[k]; own.State == attribution.Scored {
			line.Credit = own.Attribution / float64(credit.Method.Scale)
			line.Note = fmt.Sprintf("credit %g of %d, reward %.2g", own.Attribution, credit.Method.Scale, own.Reward)
		}
		lines = append(lines, line)
	}
	return []report.Block{report.Text(intro), lines}, nil
}

// telling returns the case of the trained policy whose episode shows most: of those
// with the most utterances the first one that reached the highest goal.
func (o *outcome) telling() int {
	p := o.player(grpoPlayer)
	best := 0
	for i, s := range p.Scores {
		long, longest := len(p.Episodes[i].Utterances()), len(p.Episodes[best].Utterances())
		if top := p.Scores[best].Goal; s.Goal > top || s.Goal == top && long > longest {
			best = i
		}
	}
	return best
}
