package grpo

import (
	"math"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/policy"
)

// twoForests splits three examples over two forests, as a budget of rows would.
func twoForests(logp [][]float64) []policy.Targets {
	span := func(n int) []policy.Span { return []policy.Span{{Start: 0, End: n}} }
	first := policy.Targets{Index: []int{2}, Spans: span(len(logp[2])), LogProb: logp[2]}
	rest := append(append([]float64{}, logp[0]...), logp[1]...)
	spans := append(span(len(logp[0])), policy.Span{Start: len(logp[0]), End: len(rest)})
	return []policy.Targets{first, {Index: []int{0, 1}, Spans: spans, LogProb: rest, Entropy: make([]float64, len(rest))}}
}

// A masked row has no example; the examples are the other rows in their order, in
// whatever forest they stand.
func TestLossSpansForestsAndSkipsMaskedRows(t *testing.T) {
	logp := [][]float64{{-1, -2}, {-3}, {-0.5, -0.25, -4}}
	rows := []Row{
		{Tokens: 2, Completion: Completion{Advantage: 1}},
		{Tokens: 0, Completion: Completion{Advantage: 9}},
		{Tokens: 1, Completion: Completion{Advantage: -2}, Micro: 1},
		{Tokens: 3, Completion: Completion{Advantage: 0.5}, Micro: 1},
	}
	Weigh(rows, PerWindow, 10)
	l := NewLoss(Objective{Surrogate: Clipped, Clip: Clip{0.2, 0.2}, Level: TokenLevel}, rows)
	total := 0.0
	var ds [][]float64
	for _, targets := range twoForests(logp) {
		loss, d, err := l.Eval(targets)
		if err != nil {
			t.Fatal(err)
		}
		total += loss
		ds = append(ds, d)
	}
	allClose(t, ds[0], []float64{-0.5 / 6, -0.5 / 6, -0.5 / 6}, 1e-15)
	allClose(t, ds[1], []float64{-1. / 6, -1. / 6, 2. / 6}, 1e-15)
	allClose(t, []float64{total}, []float64{(-2*1 + 2 - 3*0.5) / 6}, 1e-15)
	allClose(t, l.MicroLosses(), []float64{-2. / 6, (2 - 1.5) / 6}, 1e-15)
	if seen := l.LogProbs(); seen[1] != nil || len(seen[3]) != 3 || seen[3][2] != -4 {
		t.Errorf("log-probabilities by row: %v", seen)
	}
}

func TestLossThatIsNotFiniteNamesTheCompletion(t *testing.T) {
	rows := []Row{{Tokens: 1, Weight: 1, Completion: Completion{Advantage: -1, Old: []float64{-2000}}}}
	l := NewLoss(Objective{Surrogate: Clipped, Level: TokenLevel}, rows)
	_, _, err := l.Eval(policy.Targets{Index: []int{0}, Spans: []policy.Span{{Start: 0, End: 1}}, LogProb: []float64{-1}})
	if err == nil || !strings.Contains(err.Error(), "completion 0 is +Inf") {
		t.Errorf("error %v", err)
	}
}

func TestMetricsOfAPass(t *testing.T) {
	rows := []Row{
		{Tokens: 2, Weight: 1, Completion: Completion{Advantage: 1, Old: []float64{-2, -2}, Ref: []float64{-1, -1}}},
		{Tokens: 1, Weight: 1, Completion: Completion{Advantage: -1, Old: []float64{-1}, Ref: []float64{-3}}},
	}
	l := NewLoss(Objective{Surrogate: Clipped, Clip: Clip{0.2, 0.2}, Level: TokenLevel, Beta: 0.1}, rows)
	targets := policy.Targets{Index: []int{0, 1}, Spans: []policy.Span{{Start: 0, End: 2}, {Start: 2, End: 3}},
		LogProb: []float64{-1, -2, -3}, Entropy: []float64{1, 2, 6}}
	if _, _, err := l.Eval(targets); err != nil {
		t.Fatal(err)
	}
	m := Metrics{}
	l.addTo(m, GRPO(), true)
	k, _ := KL(-2, -1)
	for name, want := range map[string]float64{
		"kl": k / 3, "entropy": 3,
		"clip_ratio/high_mean": 1. / 3, "clip_ratio/low_mean": 1. / 3, "clip_ratio/region_mean": 2. / 3,
		"clip_ratio/low_min": 0, "clip_ratio/high_max": 0.5,
	} {
		if got, ok := m[name]; !ok || !closeTo(got, want, 1e-12) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	c := Metrics{}
	l.addTo(c, CISPO(), false)
	if len(c) != 2 || c["cispo_clip_ratio"] != m["clip_ratio/high_mean"] {
		t.Errorf("metrics of cispo without entropy: %v", c)
	}
}

func TestLengthMetrics(t *testing.T) {
	m := Metrics{}
	m.addLengths([]int{3, 5, 4}, []bool{false, true, false}, []string{"a b", "one  two three", ""})
	want := Metrics{"completions/mean_length": 4, "completions/min_length": 3, "completions/max_length": 5,
		"completions/mean_terminated_length": 3.5, "completions/min_terminated_length": 3, "completions/max_terminated_length": 4,
		"completions/clipped_ratio": 1 - 2./3, "completions/mean_tokens": (2 + 5 + 3) / 3., "completions/mean_words": 5. / 3}
	for name, v := range want {
		if !closeTo(m[name], v, 1e-12) {
			t.Errorf("%s is %v, want %v", name, m[name], v)
		}
	}
	if len(m) != len(want) {
		t.Errorf("%d metrics, want %d: %v", len(m), len(want), m)
	}
}

func TestRewardMetricsLeaveOutWhatJSONCannotHold(t *testing.T) {
	m := Metrics{}
	m.addRewards([]string{"a", "b"}, [][]float64{{1, 3, 2, 2}, {nan, nan, nan, nan}}, []float64{1, 1}, 2)
	if m["rewards/a/mean"] != 2 || m["rewards/b/failed"] != 4 || m["frac_reward_zero_std"] != 0.5 || m["reward"] != 2 {
		t.Errorf("metrics %v", m)
	}
	for name, v := range m {
		if math.IsNaN(v) {
			t.Errorf("%s is NaN", name)
		}
	}
}
