package policy

import (
	"slices"
	"strings"

	"github.com/socialrl/socialrl/lora"
)

// reward returns the configuration of the reward model's adapter.
func (w *Workload) reward() lora.Config {
	c := *w.Reward
	c.Head = true
	return c
}

// tensor is the [source] of a checkpoint of which the configuration is all that there
// is: matrices without numbers, in the form that they are stored in.
func (w *Workload) tensor(name string, shape []int) (lora.Tensor, bool) {
	if len(shape) == 1 {
		return lora.NewF32(name, shape, make([]float32, shape[0])), true
	}
	t := lora.Tensor{Name: name, DType: lora.DTypeF32, Shape: shape}
	switch {
	case w.storedInFourBits(name):
		t.DType, t.NF4 = lora.DTypeU8, &lora.NF4State{}
		if w.Model.Quantization.DoubleQuant {
			t.NF4.AbsmaxCodes = []byte{}
		}
	case w.Model.DType == "bfloat16":
		t.DType = lora.DTypeBF16
	}
	return t, true
}

// storedInFourBits reports whether the checkpoint holds a matrix in 4 bits: those of
// the blocks' linear layers, unless they are listed.
func (w *Workload) storedInFourBits(name string) bool {
	q := w.Model.Quantization
	module, linear := strings.CutSuffix(name, "_proj.weight")
	return q != nil && linear && !slices.ContainsFunc(q.SkipModules, func(skip string) bool {
		return strings.Contains("."+module+"_proj.", "."+skip+".")
	})
}

// prompts returns a step's prompts, which begin differently as far as the vocabulary
// allows.
func (w *Workload) prompts() [][]int {
	prompts := make([][]int, max(1, w.Prompts))
	for i := range prompts {
		prompts[i] = w.sequence(i, w.Prompt)
	}
	return prompts
}

// sequence returns tokens that spell a number to the base of the vocabulary, the lowest
// digit first.
func (w *Workload) sequence(number, length int) []int {
	tokens := make([]int, length)
	for i := range tokens {
		tokens[i] = number % w.Model.VocabSize
		number /= w.Model.VocabSize
	}
	return tokens
}

// examples returns a step's replies behind their prompts, followed by a number of
// tokens of the same value.
func (w *Workload) examples(more int) []Example {
	var examples []Example
	for _, prompt := range w.prompts() {
		for reply := range w.Group {
			tokens := slices.Concat(prompt, w.sequence(reply, w.Completion), make([]int, more))
			examples = append(examples, Example{Tokens: tokens, First: len(prompt)})
		}
	}
	return examples
}
