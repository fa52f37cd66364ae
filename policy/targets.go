package policy

// Targets is what a forward pass gives to a loss: one log-probability for each
// target token of each example, or one score for each example. Examples stand in
// the order in which they were given to NewForest or Pack.
type Targets struct {
	// Index is, for each example, its index in the caller's order: with several
	// forests a step, a forest holds only some of the step's examples.
	Index []int
	// Spans is, for each example, the range of its numbers in LogProb.
	Spans []Span
	// LogProb is the log-probability of each target token under
	// soft-max(logits/temperature), in nats.
	LogProb []float64
	// Entropy is the entropy in nats of the distribution that each target was read
	// from; nil where it was not asked for.
	Entropy []float64
	// Score is one number for each example; nil where log-probabilities were asked
	// for.
	Score []float64
	// Total is the number of target tokens (of examples, where scores are read) of
	// the whole optimiser step.
	Total int
}

// Example returns the log-probabilities of the i-th example.
func (t Targets) Example(i int) []float64 { return t.LogProb[t.Spans[i].Start:t.Spans[i].End] }

// ExampleEntropy returns the entropies of the i-th example, or nil.
func (t Targets) ExampleEntropy(i int) []float64 {
	if t.Entropy == nil {
		return nil
	}
	return t.Entropy[t.Spans[i].Start:t.Spans[i].End]
}

// Loss turns a forward pass into a number and its derivatives. The optimiser step's loss
// is the sum of what Eval returns for all of the step's examples, of which it sees those
// of one forest at a time, or of one part of a forest: see Policy.Memory. What an example
// contributes must not depend on which others it comes with; a loss that couples the
// examples of a forest needs [WithWhole].
type Loss interface {
	// Eval returns the loss that these targets contribute to the optimiser step
	// and its derivative with respect to each element of t.LogProb (of t.Score
	// where that is set).
	Eval(t Targets) (loss float64, d []float64, err error)
}

// LossFunc makes a Loss of a function.
type LossFunc func(t Targets) (loss float64, d []float64, err error)

// Eval calls the function.
func (f LossFunc) Eval(t Targets) (float64, []float64, error) { return f(t) }

// CrossEntropy is the mean negative log-probability over all target tokens of the
// optimiser step:
//
//	loss = −1/Total · Σ log p(token),  d = −1/Total
type CrossEntropy struct{}

// Eval implements [Loss].
func (CrossEntropy) Eval(t Targets) (float64, []float64, error) {
	d := make([]float64, len(t.LogProb))
	scale := -1 / float64(max(1, t.Total))
	loss := 0.0
	for i, lp := range t.LogProb {
		loss += scale * lp
		d[i] = scale
	}
	return loss, d, nil
}

// SquaredError is the mean squared difference of each example's score from its
// value, over the optimiser step:
//
//	loss = 1/Total · Σ (score − value)²,  d = 2/Total · (score − value)
type SquaredError struct {
	Values []float64 // by the caller's index
}

// Eval implements [Loss].
func (s SquaredError) Eval(t Targets) (float64, []float64, error) {
	d := make([]float64, len(t.Score))
	scale := 1 / float64(max(1, t.Total))
	loss := 0.0
	for i, score := range t.Score {
		diff := score - s.Values[t.Index[i]]
		loss += scale * diff * diff
		d[i] = 2 * scale * diff
	}
	return loss, d, nil
}
