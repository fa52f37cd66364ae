package grpo

// Window describes an optimiser step to a [Normaliser].
type Window struct {
	MicroBatches int // micro-batches of the step
	Tokens       int // completion tokens of the step that count
	MaxLength    int // the most tokens that a completion may have
}

// Normaliser returns, for each completion of one micro-batch, the weight of each of
// its tokens in the step's loss. lengths holds the completions' numbers of tokens
// that count: 0 for a truncated completion that is masked.
type Normaliser func(lengths []int, w Window) []float64

// PerCompletion takes the mean over the tokens of each completion and then over
// completions and micro-batches, so that short and long ones weigh the same:
//
//	w_i = 1 / (max(1, T_i) · rows · micro-batches)
//
// Source: Shao et al., DeepSeekMath, 2024, equation 3.
func PerCompletion(lengths []int, w Window) []float64 {
	return eachWeight(lengths, func(n int) float64 {
		return float64(max(1, n)) * float64(len(lengths)) * float64(w.MicroBatches)
	})
}

// PerMicroBatch takes the mean over all tokens of a micro-batch and then over
// micro-batches, as TRL 0.16.1 does:
//
//	w = 1 / (max(1, Σ T_i) · micro-batches)
//
// With one micro-batch a step it is [PerWindow].
func PerMicroBatch(lengths []int, w Window) []float64 {
	tokens := 0
	for _, n := range lengths {
		tokens += n
	}
	return eachWeight(lengths, func(int) float64 { return float64(max(1, tokens)) * float64(w.MicroBatches) })
}

// PerWindow takes the mean over all tokens of the optimiser step, however it is
// split into micro-batches:
//
//	w = 1 / max(1, tokens of the step)
//
// Source: Yu et al., DAPO, 2025, equation 8.
func PerWindow(lengths []int, w Window) []float64 {
	return eachWeight(lengths, func(int) float64 { return float64(max(1, w.Tokens)) })
}

// PerLimit divides by a constant, so that a token's weight depends on no length:
//
//	w = 1 / (rows · longest completion allowed · micro-batches)
//
// Source: Liu et al., "Understanding R1-Zero-Like Training", 2025 (Dr. GRPO).
func PerLimit(lengths []int, w Window) []float64 {
	return eachWeight(lengths, func(int) float64 {
		return float64(len(lengths)) * float64(w.MaxLength) * float64(w.MicroBatches)
	})
}

func eachWeight(lengths []int, denominator func(length int) float64) []float64 {
	out := make([]float64, len(lengths))
	for i, n := range lengths {
		out[i] = 1 / denominator(n)
	}
	return out
}
