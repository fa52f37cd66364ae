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
	c.Group, c.MicroBatch, c.Accumulation, c.MaxSteps, c.Seed = b.group, b.group, 1, b.warmup+b.steps, b.seed
	c.MaxPrompt, c.MaxCompletion, c.EndTokens, c.EvalEvery = b.prompt, b.reply, []int{}, 0
	c.Encode = func(episode.Item) ([]int, error) { return b.sequence(b.prompt), nil }
	c.OnPhase = func(p grpo.Phase) {
		fmt.Fprintf(b.err, "bench: step %s: %s\n", b.stepOf(len(w.steps)), p)
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
		for i := range b.warmup + b.steps {
			if !yield(episode.Item{EpisodeID: fmt.Sprint("prompt ", i)}, nil) {
				return
			}
		}
	}
}

// phaseLines makes a line of each phase and one of the whole step, in seconds.
func (b *bench) phaseLines(w *stopwatch) []line {
	name := fmt.Sprintf("grpo P=%d C=%d G=%d ", b.prompt, b.reply, b.group)
	steps := w.steps[b.warmup:]
	whole, least := make([]float64, len(steps)), 0.0
	var lines []line
	for _, p := range phases {
		spent := make([]float64, len(steps))
		for i, step := range steps {
			spent[i] = step[p]
			whole[i] += step[p]
		}
		limit, of := b.phaseLimit(p)
		least += limit
		l := newLine(name+string(p), seconds, spent, limit, of)
		l.Bytes = b.streamed()
		if l.Median > 0 {
			l.Note = fmt.Sprintf("%.1f tokens/s", b.phaseTokens(p)/l.Median)
		}
		lines = append(lines, l)
	}
	l := newLine(name+"step", seconds, whole, least, ofPhases)
	l.Bytes = b.streamed()
	l.Note = "activations " + cli.Size(w.memory)
	return append(lines, l)
}

// phaseTokens returns the tokens that a phase draws, or reads as an unshared batch would.
func (b *bench) phaseTokens(p grpo.Phase) float64 {
	if p == grpo.SamplePhase {
		return float64(b.group * b.reply)
	}
	return float64(b.group * (b.prompt + b.reply))
}

// phaseLimit returns the seconds that a phase takes at least, and what sets them.
func (b *bench) phaseLimit(p grpo.Phase) (least float64, of string) {
	if !(b.report.Limits.F32 > 0) {
		return 0, ""
	}
	group := b.groupWork()
	switch p {
	case grpo.SamplePhase:
		return b.sampleLimit()
	case grpo.ScorePhase:
		group.targets = 0
		return b.forward(group) / b.arithmetic(), ofArithmetic
	case grpo.ReferencePhase:
		return b.forward(group) / b.arithmetic(), ofArithmetic
	}
	return b.training(group) / b.arithmetic(), ofArithmetic
}

// groupWork is the work of a prompt and its replies, all of whose tokens are targets.
func (b *bench) groupWork() work {
	g := b.group
	return work{rows: b.prompt + g*b.reply, targets: g * b.reply,
		pairs: sequenceWork(b.prompt).pairs + g*(b.prompt*b.reply+sequenceWork(b.reply).pairs)}
}

// sampleLimit is the limit of reading a prompt and drawing the replies to it: what draws
// a token of each is bound by arithmetic, or by reading the weights.
func (b *bench) sampleLimit() (least float64, of string) {
	draw := work{rows: b.group, targets: b.group, pairs: b.group * (b.prompt + b.reply/2)}
	least, of = b.forward(draw)/b.arithmetic(), ofArithmetic
	if read := float64(b.streamed()) / b.report.Limits.Read; read > least {
		least, of = read, ofRead
	}
	return float64(b.reply)*least + b.forward(sequenceWork(b.prompt))/b.arithmetic(), of
}
