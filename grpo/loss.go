package grpo

import (
	"fmt"
	"math"
	"slices"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// Row is one completion of an optimiser step.
type Row struct {
	Completion
	Tokens int     // tokens that count; 0 for one that is masked, which has no example in the forest
	Weight float64 // of each of its tokens in the step's loss; see [Normaliser]
	Micro  int     // index of its micro-batch
}

// Loss is the GRPO loss of one optimiser step, a [policy.Loss]. It serves one pass
// over one step's forests: it remembers what the metrics need. One goroutine at a
// time may use it.
//
//	loss = Σ_i w_i · Σ_t l_{i,t}
//
// over the completions i of all micro-batches, with l of the [Objective] and w of
// the [Normaliser].
type Loss struct {
	objective Objective
	rows      []Row
	examples  []int // example in the caller's order -> row
	micro     []microStats
	seen      [][]float64 // row -> log-probabilities of this pass
	device    *device     // nil: the host evaluates
}

// NewLoss returns the loss of a step's completions. Example k of the forests is the
// k-th row with tokens.
func NewLoss(o Objective, rows []Row) *Loss {
	l := &Loss{objective: o, rows: rows, seen: make([][]float64, len(rows))}
	for i, r := range rows {
		for r.Micro >= len(l.micro) {
			l.micro = append(l.micro, newMicroStats())
		}
		if r.Tokens > 0 {
			l.examples = append(l.examples, i)
		} else {
			l.micro[r.Micro].addMasked(levels[o.Level].whole)
		}
	}
	return l
}

// On has the loss evaluated by the device of an engine, in one launch a forest, where the
// engine is a [lora.Launcher] and the objective's surrogate one of this package; it changes
// nothing otherwise. It returns l. The numbers are those of the host up to the rounding of
// sums in float64.
func (l *Loss) On(eng lora.Engine) *Loss {
	if _, known := l.objective.deviceForm(); known {
		l.device = deviceOf(eng)
	}
	return l
}

// Weigh sets the rows' weights by a normaliser: it groups them by micro-batch and
// counts their tokens.
func Weigh(rows []Row, n Normaliser, maxLength int) {
	w := Window{MaxLength: maxLength}
	lengths := map[int][]int{}
	for _, r := range rows {
		lengths[r.Micro] = append(lengths[r.Micro], r.Tokens)
		w.Tokens += r.Tokens
	}
	w.MicroBatches = len(lengths)
	weights := map[int][]float64{}
	for m, l := range lengths {
		weights[m] = n(l, w)
	}
	for i := range rows {
		m := rows[i].Micro
		rows[i].Weight, weights[m] = weights[m][0], weights[m][1:]
	}
}

// Eval implements [policy.Loss]. A loss that is not finite is an error that wraps
// [*lora.NonFiniteError] and names the completion.
func (l *Loss) Eval(t policy.Targets) (float64, []float64, error) {
	d := make([]float64, len(t.LogProb))
	each, err := l.evaluate(d, t)
	if err != nil {
		return 0, nil, err
	}
	total := 0.0
	for k, index := range t.Index {
		loss, err := l.take(l.examples[index], each[k], t.Example(k), t.ExampleEntropy(k))
		if err != nil {
			return 0, nil, err
		}
		total += loss
	}
	return total, d, nil
}

// evaluated is the loss of a completion before its weight.
type evaluated struct {
	loss  float64
	stats TokenStats
}

// evaluate returns the loss of each completion, and sets d to the derivatives of the
// step's loss.
func (l *Loss) evaluate(d []float64, t policy.Targets) ([]evaluated, error) {
	if l.device != nil {
		return l.device.evaluate(l, d, t)
	}
	each := make([]evaluated, len(t.Index))
	for k, index := range t.Index {
		r, part := l.rows[l.examples[index]], d[t.Spans[k].Start:t.Spans[k].End]
		each[k].loss, each[k].stats = l.objective.Eval(part, t.Example(k), r.Completion)
		for i := range part {
			part[i] *= r.Weight
		}
	}
	return each, nil
}

// take checks the loss of a completion, takes its part in the metrics and returns it with
// its weight.
func (l *Loss) take(i int, e evaluated, logp, entropy []float64) (float64, error) {
	r := l.rows[i]
	if math.IsNaN(e.loss) || math.IsInf(e.loss, 0) {
		bad := &lora.NonFiniteError{What: fmt.Sprintf("the loss of completion %d", i), Value: e.loss}
		return 0, fmt.Errorf("grpo: %w: log-probabilities %.6g, when sampled %.6g, of the reference %.6g", bad, logp, r.Old, r.Ref)
	}
	l.seen[i] = slices.Clone(logp)
	l.micro[r.Micro].add(e.loss*r.Weight, e.stats, entropy)
	return e.loss * r.Weight, nil
}

// LogProbs returns, for each row, the log-probabilities that Eval was given; nil for
// a row without tokens. After the first pass over a batch they are what the ratios
// of the later passes are taken against.
func (l *Loss) LogProbs() [][]float64 { return l.seen }

// MicroLosses returns each micro-batch's part of the step's loss; they add up to it.
func (l *Loss) MicroLosses() []float64 {
	out := make([]float64, len(l.micro))
	for i, m := range l.micro {
		out[i] = m.loss
	}
	return out
}
