package grpo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// plain is a reward that a model of random weights can learn: ten times the share
// of ASCII among the tokens.
var plain = reward.Each(func(s reward.Sample) float64 {
	n := 0
	for _, id := range s.CompletionIDs {
		if id < 128 {
			n++
		}
	}
	return 10 * float64(n) / float64(max(1, len(s.CompletionIDs)))
})

func tinyPolicy(t testing.TB, base *policy.Base) *policy.Policy {
	t.Helper()
	a, err := policy.NewAdapter(base, lora.Config{Rank: 4, Alpha: 8, Targets: lora.AllLinear}, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.New(base, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return p
}

// tinyConfig takes six steps of two groups of four.
func tinyConfig() Config {
	cfg := Default()
	cfg.Group, cfg.MicroBatch, cfg.Accumulation, cfg.MaxCompletion = 4, 4, 2, 6
	cfg.LearningRate, cfg.MaxSteps, cfg.Epochs, cfg.SaveEvery, cfg.EvalEvery = 1e-2, 6, 100, 2, 0
	return cfg
}

func tinyItems(n int) iter.Seq2[episode.Item, error] {
	return func(yield func(episode.Item, error) bool) {
		for i := range n {
			it := episode.Item{EpisodeID: string(rune('a' + i/2)), Agent: "Ann", Turn: i % 2, Input: strings.Repeat("hi ", 1+i%2) + string(rune('A'+i/2))}
			if !yield(it, nil) {
				return
			}
		}
	}
}

func newTrainer(t testing.TB, p *policy.Policy, cfg Config) *GRPOTrainer {
	t.Helper()
	tr, err := NewGRPOTrainer(p, []reward.Weighted{{Scorer: plain, Weight: 1, Name: "plain"}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func train(t testing.TB, p *policy.Policy, cfg Config) {
	t.Helper()
	if err := newTrainer(t, p, cfg).Train(context.Background(), tinyItems(5)); err != nil {
		t.Fatal(err)
	}
}

// The reward of a policy that is trained on it rises.
func TestTrainingRaisesTheReward(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.Group, cfg.MicroBatch, cfg.Accumulation, cfg.MaxSteps, cfg.Beta = 8, 16, 1, 25, 0
	var rewards []float64
	cfg.OnStep = func(_, _ int, m Metrics) { rewards = append(rewards, m["reward"]) }
	train(t, tinyPolicy(t, base), cfg)
	first, last := meanOf(rewards[:5]), meanOf(rewards[20:])
	if len(rewards) != 25 || !(last > first+1) {
		t.Errorf("mean reward of the first five steps is %.2f, of the last five %.2f", first, last)
	}
}

// With a frozen copy of the start as reference the divergence at the first step is
// exactly 0, and grows.
func TestDivergenceStartsAtZero(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	var kl []float64
	cfg.OnStep = func(_, _ int, m Metrics) { kl = append(kl, m["kl"]) }
	train(t, tinyPolicy(t, base), cfg)
	if kl[0] != 0 || !(kl[5] > 0) {
		t.Errorf("divergence %v, want it to start at exactly 0 and to grow", kl)
	}
}

// Every step draws, scores, asks the reference and updates; where there are two passes
// over a batch, the second only updates, and without a KL term nobody asks a reference.
func TestPhases(t *testing.T) {
	base := tiny.Base(t, "cpu")
	for _, c := range []struct {
		why    string
		change func(*Config)
		want   []Phase
	}{
		{"a step", func(c *Config) { c.MaxSteps = 1 }, []Phase{SamplePhase, ScorePhase, ReferencePhase, UpdatePhase}},
		{"two passes", func(c *Config) { c.MaxSteps, c.Passes = 2, 2 }, []Phase{SamplePhase, ScorePhase, ReferencePhase, UpdatePhase, UpdatePhase}},
		{"no KL term", func(c *Config) { c.MaxSteps, c.Beta = 1, 0 }, []Phase{SamplePhase, ScorePhase, UpdatePhase}},
	} {
		cfg := tinyConfig()
		var got []Phase
		cfg.OnPhase = func(p Phase) { got = append(got, p) }
		c.change(&cfg)
		train(t, tinyPolicy(t, base), cfg)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: phases %v, want %v", c.why, got, c.want)
		}
	}
}

// What ties a batch to memory does not change it: one forest or many, eight
// micro-batches or one.
func TestBudgetAndMicroBatchesDoNotChangeTheGradient(t *testing.T) {
	base := tiny.Base(t, "cpu")
	run := func(change func(*Config)) (got Metrics) {
		cfg := tinyConfig()
		cfg.Loss, cfg.MaxSteps = DAPO(), 1
		cfg.OnStep = func(_, _ int, m Metrics) { got = m }
		change(&cfg)
		train(t, tinyPolicy(t, base), cfg)
		return got
	}
	want := run(func(*Config) {})
	if want["forest/saving"] < 2 {
		t.Errorf("two groups of four save %v, want more than 2", want["forest/saving"])
	}
	for name, change := range map[string]func(*Config){
		"forests of few tokens":  func(c *Config) { c.Budget = 64 },
		"one micro-batch":        func(c *Config) { c.MicroBatch, c.Accumulation = 8, 1 },
		"micro-batches of a row": func(c *Config) { c.MicroBatch, c.Accumulation = 1, 8 },
		"rows shuffled":          func(c *Config) { c.ShuffleRows = true },
	} {
		got := run(change)
		compareNumber(t, name+": gradient norm", got["grad_norm"], want["grad_norm"], 1e-5, 0)
		compareNumber(t, name+": loss", got["loss"], want["loss"], 1e-5, 1e-7)
	}
}

func TestCompletionsLog(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.Dir, cfg.MaxSteps, cfg.Shuffle = t.TempDir(), 1, false
	p := tinyPolicy(t, base)
	half := reward.Each(func(s reward.Sample) float64 {
		if len(s.Text)%2 == 0 {
			return math.NaN()
		}
		return 1
	})
	tr, err := NewGRPOTrainer(p, []reward.Weighted{{Scorer: plain, Weight: 1, Name: "plain"}, {Scorer: half, Weight: 2}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.Train(context.Background(), tinyItems(5)); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace([]byte(dirtest.Files(t, cfg.Dir)["completions.jsonl"])), []byte("\n"))
	if len(lines) != 2 {
		t.Fatalf("%d lines, want one a group", len(lines))
	}
	var line groupLine
	if err := json.Unmarshal(lines[1], &line); err != nil {
		t.Fatal(err)
	}
	if line.Step != 1 || line.EpisodeID != "a" || line.Turn != 1 || line.Input != "hi hi A" || len(line.Completions) != 4 {
		t.Errorf("line %+v", line)
	}
	for _, c := range line.Completions {
		if len(c.Rewards) != 2 || (len(c.Text)%2 == 0) != math.IsNaN(float64(c.Rewards["reward1"])) || c.Tokens == 0 {
			t.Errorf("completion %+v", c)
		}
	}
}

func TestNewGRPOTrainerRefuses(t *testing.T) {
	base := tiny.Base(t, "cpu")
	p := tinyPolicy(t, base)
	for want, change := range map[string]func(*Config){
		"Group is 0, want at least 1":                               func(c *Config) { c.Group = 0 },
		"MicroBatch·Accumulation is 8, want a multiple of Group, 3": func(c *Config) { c.Group = 3 },
		"a single completion has no advantage":                      func(c *Config) { c.Group = 1 },
		"Level is word, want token or sequence":                     func(c *Config) { c.Level = "word" },
		"Scale is , want group, batch or none":                      func(c *Config) { c.Scale = "" },
		"Temperature is 0, want more than 0":                        func(c *Config) { c.Temperature = 0 },
		"Loss is , want a variant":                                  func(c *Config) { c.Loss = Variant{} },
		"Reference is none, want start or base":                     func(c *Config) { c.Reference = "none" },
	} {
		cfg := tinyConfig()
		change(&cfg)
		if _, err := NewGRPOTrainer(p, []reward.Weighted{{Scorer: plain, Weight: 1}}, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := NewGRPOTrainer(p, nil, tinyConfig()); err == nil {
		t.Error("no scorer is no error")
	}
	bare, err := policy.New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewGRPOTrainer(bare, []reward.Weighted{{Scorer: plain, Weight: 1}}, tinyConfig()); err == nil {
		t.Error("the bare base is no error")
	}
}

func TestTrainStopsAtABadItem(t *testing.T) {
	base := tiny.Base(t, "cpu")
	bad := errors.New("items.jsonl:7: broken")
	items := func(yield func(episode.Item, error) bool) { yield(episode.Item{}, bad) }
	if err := newTrainer(t, tinyPolicy(t, base), tinyConfig()).Train(context.Background(), items); !errors.Is(err, bad) {
		t.Errorf("error %v", err)
	}
	none := func(func(episode.Item, error) bool) {}
	if err := newTrainer(t, tinyPolicy(t, base), tinyConfig()).Train(context.Background(), none); err == nil {
		t.Error("no items is no error")
	}
}

// Where nothing can be learned, because all rewards are equal and there is no KL
// term, the step is taken, the gradient is 0 and the metrics say why.
func TestEqualRewardsAreReported(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.Beta, cfg.MaxSteps = 0, 1
	var got Metrics
	cfg.OnStep = func(_, _ int, m Metrics) { got = m }
	tr, err := NewGRPOTrainer(tinyPolicy(t, base), []reward.Weighted{{Scorer: reward.Each(func(reward.Sample) float64 { return 0.1 }), Weight: 1}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.Train(context.Background(), tinyItems(5)); err != nil {
		t.Fatal(err)
	}
	if got["frac_reward_zero_std"] != 1 || got["grad_norm"] != 0 || got["loss"] != 0 {
		t.Errorf("metrics %v", got)
	}
}

// All completions may be truncated and masked: there is nothing to learn from, and
// nothing breaks.
func TestAllMasked(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.MaskTruncated, cfg.MaxSteps, cfg.MaxCompletion = true, 1, 1
	cfg.EndTokens = []int{}
	var got Metrics
	cfg.OnStep = func(_, _ int, m Metrics) { got = m }
	train(t, tinyPolicy(t, base), cfg)
	if got["completions/clipped_ratio"] != 1 || got["grad_norm"] != 0 || got["loss"] != 0 {
		t.Errorf("metrics %v", got)
	}
}

// A loss that is not finite costs its step and nothing else; where it never ends the
// run fails and says which completion it was.
func TestStepsThatAreNotFiniteAreSkipped(t *testing.T) {
	base := tiny.Base(t, "cpu")
	for _, c := range []struct {
		why   string
		bad   func(step int) bool
		steps int
		err   string
	}{
		{"one bad step", func(step int) bool { return step == 1 }, 4, ""},
		{"nothing but bad steps", func(int) bool { return true }, 40, "11 of 11 steps skipped: grpo: lora: the loss of completion "},
	} {
		t.Run(c.why, func(t *testing.T) {
			cfg := tinyConfig()
			cfg.MaxSteps = c.steps
			p := tinyPolicy(t, base)
			var tr *GRPOTrainer
			cfg.Loss.Surrogate = func(rho, a, lp float64, clip Clip) Term {
				if c.bad(tr.Step()) {
					return Term{Loss: nan}
				}
				return Clipped(rho, a, lp, clip)
			}
			var skipped []float64
			cfg.OnStep = func(_, _ int, m Metrics) { skipped = append(skipped, m["skipped_steps"]) }
			tr = newTrainer(t, p, cfg)
			err := tr.Train(context.Background(), tinyItems(5))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || !slices.Equal(skipped, []float64{0, 1, 0, 0}) {
				t.Errorf("skipped steps %v, %v", skipped, err)
			}
		})
	}
}
