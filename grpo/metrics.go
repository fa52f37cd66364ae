package grpo

import (
	"math"
	"slices"

	"github.com/socialrl/socialrl/reward"
)

// Metrics are the numbers of one optimiser step under TRL's names. Beside those:
//
//	rewards/NAME/failed          completions that the scorer gave no reward (NaN)
//	reward_group_std             mean of the groups' deviations (TRL 0.16.1's reward_std)
//	completions/mean_words       words a completion, of its action where it holds one; see reward.Words
//	completions/mean_tokens      tokens a completion, the end token left out
//	prompts/mean_length          tokens a prompt
//	prompts/cut                  prompts of which only the last tokens were kept
//	skipped_steps                steps passed over so far because a number was not finite, where one just was
//	forest/saving                rows of the unshared batch over rows of the forest
//	forest/memory                bytes of activations of the largest forest
type Metrics map[string]float64

// microStats sums over the completions of a micro-batch.
type microStats struct {
	loss            float64 // part of the step's loss
	tokens          int
	units           float64
	low, high       float64
	kl, entropy     float64
	lowMin, highMax float64 // over completions; NaN without any
}

func newMicroStats() microStats { return microStats{lowMin: math.NaN(), highMax: math.NaN()} }

func (m *microStats) add(loss float64, s TokenStats, entropy []float64) {
	m.loss += loss
	m.tokens += s.Tokens
	m.units += s.Units
	m.low += s.Low
	m.high += s.High
	m.kl += s.KL
	for _, e := range entropy {
		m.entropy += e
	}
	m.extremes(s.Low/max(1, s.Units), s.High/max(1, s.Units))
}

// addMasked counts a completion without tokens: at sequence level it is one with
// ratio 1, at token level it is none.
func (m *microStats) addMasked(whole bool) {
	if whole {
		m.units++
		m.extremes(0, 0)
	}
}

func (m *microStats) extremes(low, high float64) {
	if math.IsNaN(m.lowMin) {
		m.lowMin, m.highMax = low, high
	}
	m.lowMin, m.highMax = min(m.lowMin, low), max(m.highMax, high)
}

// addTo enters the means over micro-batches of what one pass saw.
func (l *Loss) addTo(out Metrics, v Variant, withEntropy bool) {
	mean := func(name string, of func(m microStats) float64) {
		values := make([]float64, len(l.micro))
		for i, m := range l.micro {
			values[i] = of(m)
		}
		out.set(name, meanOf(values))
	}
	if l.objective.Beta != 0 {
		mean("kl", func(m microStats) float64 { return m.kl / float64(max(1, m.tokens)) })
	}
	if withEntropy {
		mean("entropy", func(m microStats) float64 { return m.entropy / float64(max(1, m.tokens)) })
	}
	if v.Clips != "" {
		mean(v.Clips, func(m microStats) float64 { return m.high / max(1, m.units) })
		return
	}
	mean("clip_ratio/low_mean", func(m microStats) float64 { return m.low / max(1, m.units) })
	mean("clip_ratio/high_mean", func(m microStats) float64 { return m.high / max(1, m.units) })
	mean("clip_ratio/region_mean", func(m microStats) float64 { return (m.low + m.high) / max(1, m.units) })
	mean("clip_ratio/low_min", func(m microStats) float64 { return m.lowMin })
	mean("clip_ratio/high_max", func(m microStats) float64 { return m.highMax })
}

// set enters a number unless it is NaN, which JSON cannot hold.
func (m Metrics) set(name string, v float64) {
	if !math.IsNaN(v) {
		m[name] = v
	}
}

// addRewards enters what the rewards [scorer][row] of a batch look like.
func (m Metrics) addRewards(names []string, rewards [][]float64, weights []float64, group int) {
	for k, name := range names {
		mean, std := MeanStd(rewards[k])
		m.set("rewards/"+name+"/mean", mean)
		m.set("rewards/"+name+"/std", std)
		if failed := countNaN(rewards[k]); failed > 0 {
			m["rewards/"+name+"/failed"] = float64(failed)
		}
	}
	sum := WeightedSum(rewards, weights)
	mean, std := MeanStd(sum)
	m.set("reward", mean)
	m.set("reward_std", std)
	if group > 1 {
		m.set("reward_group_std", GroupDeviation(sum, group))
		m.set("frac_reward_zero_std", ZeroDeviation(sum, group))
	}
}

// addLengths enters how long the completions of a batch are. Truncated ones ran
// into the limit, the others ended by themselves and hold an end token.
func (m Metrics) addLengths(lengths []int, truncated []bool, texts []string) {
	var ended, tokens, words []float64
	all := make([]float64, len(lengths))
	for i, n := range lengths {
		all[i] = float64(n)
		if truncated[i] {
			tokens = append(tokens, float64(n))
		} else {
			ended = append(ended, float64(n))
			tokens = append(tokens, float64(n-1))
		}
		words = append(words, float64(reward.Words(reward.Sample{Text: texts[i]})))
	}
	if len(all) == 0 {
		return
	}
	m["completions/clipped_ratio"] = 1 - float64(len(ended))/float64(len(all))
	if len(ended) == 0 {
		ended = []float64{0}
	}
	m.addSpread("completions/", "_length", all)
	m.addSpread("completions/", "_terminated_length", ended)
	m["completions/mean_tokens"] = meanOf(tokens)
	m["completions/mean_words"] = meanOf(words)
}

func (m Metrics) addSpread(prefix, suffix string, x []float64) {
	m[prefix+"mean"+suffix] = meanOf(x)
	m[prefix+"min"+suffix] = slices.Min(x)
	m[prefix+"max"+suffix] = slices.Max(x)
}

// meanOf returns the mean of the numbers that are not NaN.
func meanOf(x []float64) float64 {
	mean, _ := MeanStd(x)
	return mean
}

func countNaN(x []float64) int {
	n := 0
	for _, v := range x {
		if math.IsNaN(v) {
			n++
		}
	}
	return n
}
