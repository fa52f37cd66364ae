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
	total := 0.0
	for k, index := range t.Index {
		i := l.examples[index]
		span := t.Spans[k]
		loss, err := l.row(i, d[span.Start:span.End], t.Example(k), t.ExampleEntropy(k))
		if err != nil {
			return 0, nil, err
		}
		total += loss
	}
	return total, d, nil
}

// row evaluates one completion and takes its part in the metrics.
func (l *Loss) row(i int, d, logp, entropy []float64) (float64, error) {
	r := l.rows[i]
	loss, stats := l.objective.Eval(d, logp, r.Completion)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		bad := &lora.NonFiniteError{What: fmt.Sprintf("the loss of completion %d", i), Value: loss}
		return 0, fmt.Errorf("grpo: %w: log-probabilities %.6g, when sampled %.6g, of the reference %.6g", bad, logp, r.Old, r.Ref)
	}
	for t := range d {
		d[t] *= r.Weight
	}
	l.seen[i] = slices.Clone(logp)
	l.micro[r.Micro].add(loss*r.Weight, stats, entropy)
	return loss * r.Weight, nil
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
