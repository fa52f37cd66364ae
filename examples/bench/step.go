package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/cli"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/reward"
)

// phases are those of a step, in their order.
var phases = []grpo.Phase{grpo.SamplePhase, grpo.ScorePhase, grpo.ReferencePhase, grpo.UpdatePhase}

// stopwatch adds up the time of each phase of a step.
type stopwatch struct {
	phase grpo.Phase
	since time.Time
	spent map[grpo.Phase]float64
	steps []map[grpo.Phase]float64 // of the steps that are done

	memory int64 // bytes of activations that the update took
}

// begin ends the phase under way and begins another; "" begins none.
func (w *stopwatch) begin(p grpo.Phase) {
	now := time.Now()
	if w.phase != "" {
		w.spent[w.phase] += now.Sub(w.since).Seconds()
	}
	w.phase, w.since = p, now
}

// done ends a step.
func (w *stopwatch) done() {
	w.begin("")
	w.steps = append(w.steps, w.spent)
	w.spent = map[grpo.Phase]float64{}
}

// grpo measures whole steps of the trainer: the replies are sampled, scored by a reward
// model of the policy's shape over the same base, compared with the reference, and
// learned from. A reply never ends early.
func (b *bench) grpo(ctx context.Context, j job) ([]line, error) {
	p, closePolicy, err := b.trainee()
	if err != nil {
		return nil, err
	}
	defer closePolicy()
	rm, err := reward.New(b.base, lora.Config{Rank: b.rank, Alpha: 4 * float64(b.rank), Targets: lora.QV})
	if err != nil {
		return nil, err
	}
	defer rm.Close()
	w := &stopwatch{spent: map[grpo.Phase]float64{}}
	t, err := grpo.NewGRPOTrainer(p, []reward.Weighted{{Scorer: rm, Weight: 1, Name: "model"}}, b.trainer(w))
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.Train(ctx, b.prompts()); err != nil {
		return nil, err
	}
	return b.phaseLines(w), nil
}

// trainer returns the trainer's configuration.
func (b *bench) trainer(w *stopwatch) grpo.Config {
	c := grpo.Default()
	c.Group, c.MicroBatch, c.Accumulation, c.MaxSteps, c.Seed = b.group, b.group, 1, b.steps, b.seed
	c.MaxPrompt, c.MaxCompletion, c.EndTokens, c.EvalEvery = b.prompt, b.reply, []int{}, 0
	c.Encode = func(episode.Item) ([]int, error) { return b.sequence(b.prompt), nil }
	c.OnPhase = func(p grpo.Phase) {
		fmt.Fprintf(b.err, "bench: step %d of %d: %s\n", len(w.steps)+1, b.steps, p)
		w.begin(p)
	}
	c.OnStep = func(_, _ int, m grpo.Metrics) {
		w.done()
		w.memory = max(w.memory, int64(m["forest/memory"]))
	}
	return c
}

// prompts returns an item for each step.
func (b *bench) prompts() iter.Seq2[episode.Item, error] {
	return func(yield func(episode.Item, error) bool) {
		for i := range b.steps {
			if !yield(episode.Item{EpisodeID: fmt.Sprint("prompt ", i)}, nil) {
				return
			}
		}
	}
}

// phaseLines makes a line of each phase and one of the whole step, in seconds.
func (b *bench) phaseLines(w *stopwatch) []line {
	name := fmt.Sprintf("grpo P=%d C=%d G=%d ", b.prompt, b.reply, b.group)
	whole := make([]float64, len(w.steps))
	var lines []line
	for _, p := range phases {
		seconds := make([]float64, len(w.steps))
		for i, step := range w.steps {
			seconds[i] = step[p]
			whole[i] += step[p]
		}
		lines = append(lines, newLine(name+string(p), "s", seconds, 0, ""))
	}
	l := newLine(name+"step", "s", whole, 0, "")
	l.Note = "activations " + cli.Size(w.memory)
	return append(lines, l)
}
