package grpo

import (
	"context"
	"fmt"
	"maps"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/reward"
)

// log writes a line of metrics after a step.
func (t *GRPOTrainer) log(m Metrics) error {
	m = maps.Clone(m)
	m["step"] = float64(t.state.Step)
	if t.run != nil {
		if err := t.run.Log(metricsLog, m); err != nil {
			return err
		}
	}
	if t.cfg.OnStep != nil {
		t.cfg.OnStep(t.state.Step, t.total, m)
	}
	return nil
}

// groupLine is a line of the log of completions.
type groupLine struct {
	Step        int              `json:"step"`
	EpisodeID   string           `json:"episode_id,omitempty"`
	Agent       string           `json:"agent,omitempty"`
	Turn        int              `json:"turn"`
	Input       string           `json:"input"`
	Completions []completionLine `json:"completions"`
}

type completionLine struct {
	Text      string            `json:"text"`
	Tokens    int               `json:"tokens"`
	Truncated bool              `json:"truncated"`
	Rewards   map[string]number `json:"rewards"`
	Advantage float64           `json:"advantage"`
}

// logCompletions writes a line for each group of a batch.
func (t *GRPOTrainer) logCompletions(b *batch) error {
	if t.run == nil {
		return nil
	}
	for g, item := range b.Items {
		it := t.data.items[item]
		line := groupLine{Step: t.state.Step, EpisodeID: it.EpisodeID, Agent: it.Agent, Turn: it.Turn, Input: it.Input}
		for i := g * t.cfg.Group; i < (g+1)*t.cfg.Group; i++ {
			line.Completions = append(line.Completions, t.completionLine(b, i))
		}
		if err := t.run.Log(completionsLog, line); err != nil {
			return err
		}
	}
	return nil
}

func (t *GRPOTrainer) completionLine(b *batch, row int) completionLine {
	r := b.Rows[row]
	line := completionLine{Text: r.Text, Tokens: len(r.Tokens), Truncated: r.Truncated, Advantage: r.Advantage, Rewards: map[string]number{}}
	for k, name := range t.names {
		line.Rewards[name] = b.Rewards[k][row]
	}
	return line
}

// forEvaluation keeps the random numbers of evaluation apart from those of training.
const forEvaluation lora.Purpose = 0x6576

// evaluate samples replies to the held-out items, with the same random numbers
// every time, scores them and logs the means as eval_reward and so on.
func (t *GRPOTrainer) evaluate(ctx context.Context) error {
	samples, rows, err := t.drawHeldOut(ctx)
	if err != nil {
		return err
	}
	rewards, err := t.score(ctx, samples)
	if err != nil {
		return err
	}
	all := Metrics{}
	all.addRewards(t.names, rewards, t.weights, t.cfg.EvalSamples)
	all.addLengths(shapes(rows))
	m := Metrics{}
	for name, v := range all {
		m["eval_"+name] = v
	}
	t.state.Evaluated = t.state.Step + 1
	return t.log(m)
}

func (t *GRPOTrainer) drawHeldOut(ctx context.Context) ([]reward.Sample, []sample, error) {
	c := &t.cfg
	prompts := make([][]int, len(c.EvalItems))
	for i, it := range c.EvalItems {
		var err error
		if prompts[i], _, err = t.prompt(it); err != nil {
			return nil, nil, fmt.Errorf("held-out item %d: %w", i, err)
		}
	}
	groups, err := t.draw(ctx, prompts, c.EvalSamples, forEvaluation, 0)
	if err != nil {
		return nil, nil, err
	}
	var samples []reward.Sample
	var rows []sample
	for i, g := range groups {
		for _, r := range g {
			samples = append(samples, newSample(c.EvalItems[i], prompts[i], r.Tokens, r.Text, r.Truncated))
			rows = append(rows, sample{Tokens: r.Tokens, Text: r.Text, Truncated: r.Truncated})
		}
	}
	return samples, rows, nil
}

func newSample(it episode.Item, prompt, tokens []int, text string, truncated bool) reward.Sample {
	return reward.Sample{Item: it, PromptIDs: prompt, CompletionIDs: tokens, Text: text, Truncated: truncated}
}
