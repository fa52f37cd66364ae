package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/world"
	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/reward"
)

// tiny is an experiment that shows nothing but that everything runs.
func tiny(seed uint64) settings {
	s := standard(seed)
	s.scenarios, s.episodes, s.cloneOf, s.cases = 3, 2, 1, 1
	s.clone.MaxSteps, s.clone.EvalEvery = 2, 1
	s.reward.MaxSteps, s.reward.EvalEvery = 2, 1
	s.grpo.MaxSteps, s.grpo.Group, s.grpo.MicroBatch, s.grpo.Accumulation, s.grpo.MaxCompletion = 2, 2, 2, 2, 8
	return s
}

// program runs the program and returns its exit code and output.
func program(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs, tiny)
	return code, out.String(), errs.String()
}

// TestEverythingRuns asserts completion and the shape of the output. Models that were
// hardly trained prove nothing: that is what the claims then say.
func TestEverythingRuns(t *testing.T) {
	dir := t.TempDir()
	code, out, errs := program(t, "-out", dir, "-seeds", "2", "-control")
	if code != 1 || !strings.Contains(errs, "claims do not hold") {
		t.Fatalf("exit code %d, want 1 for claims that do not hold\n%s%s", code, out, errs)
	}
	for _, want := range []string{
		"held-out scenarios", randomPlayer, clonePlayer, controlPlayer, grpoPlayer, bestPlayer,
		"goal", "relationship", "knowledge", "words", grpoPlayer + " - " + clonePlayer, grpoPlayer + " - " + controlPlayer,
		"FAIL  GRPO beats the clone on goal", "PASS  seed 2: training never calls the judge",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	for _, seed := range []string{"seed-1", "seed-2"} {
		for _, name := range []string{
			"episodes.jsonl", "annotations.jsonl", "records.json", "heldout/episodes.jsonl",
			"clone/adapter", "reward/adapter", "grpo/adapter", "control/adapter", "grpo/metrics.jsonl",
		} {
			if _, err := os.Stat(filepath.Join(dir, seed, name)); err != nil {
				t.Error(err)
			}
		}
	}
	checkEpisodes(t, filepath.Join(dir, "seed-1", "episodes.jsonl"))
	checkReport(t, filepath.Join(dir, "report.html"))

	again, same, errs := program(t, "-out", dir, "-seeds", "2", "-control")
	if again != code || same != out {
		t.Errorf("a finished experiment reports something else the second time (exit code %d):\n%s\nbefore:\n%s%s", again, same, out, errs)
	}
}

func checkEpisodes(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for e, err := range episode.ReadJSONL(f) {
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Rewards) != 2 {
			t.Fatalf("%s is not judged", e.ID)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d episodes, want 6: 2 of each of 3 scenarios", n)
	}
}

func checkReport(t *testing.T, path string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "prefers-color-scheme: dark", `class="dialogue"`, `class="dot"`, "KL divergence", "Spearman"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "<script", "src=", "NaN"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the report has %q: it must need nothing else", bad)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"-seeds", "0"}, {"-seed", "0"}, {"-out", ""}, {"-sedes", "3"}, {"extra"}} {
		if code, _, errs := program(t, args...); code != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q; want 2 and one line", args, code, errs)
		}
	}
	if code, out, _ := program(t, "-h"); code != 0 || !strings.Contains(out, "-control") {
		t.Errorf("-h: exit code %d, %q", code, out)
	}
}

// TestStopped: an interrupt ends every stage, and nothing is reported.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	x := &experiment{settings: tiny(1), seed: 1, device: "cpu", dir: t.TempDir(), log: &bytes.Buffer{}}
	if _, err := x.run(ctx); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestShuffledRewardsAreTheSameRewards(t *testing.T) {
	byIndex := reward.ScorerFunc(func(_ context.Context, samples []reward.Sample) ([]float64, error) {
		out := make([]float64, len(samples))
		for i := range out {
			out[i] = float64(i)
		}
		return out, nil
	})
	samples := make([]reward.Sample, 64)
	for i := range samples {
		samples[i] = reward.Sample{PromptIDs: []int{1, 2}, CompletionIDs: []int{i}}
	}
	score := func(seed uint64) []float64 {
		r, err := shuffled(byIndex, seed).Score(context.Background(), samples)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b, c := score(1), score(1), score(2)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("the order must depend on the seed and the samples, and on nothing else")
	}
	if slices.IsSorted(a) {
		t.Error("the rewards were not shuffled")
	}
	slices.Sort(a)
	if want, _ := byIndex.Score(context.Background(), samples); !slices.Equal(a, want) {
		t.Errorf("the rewards are others: %v", a)
	}
}

// TestBootstrap: constant differences have no interval, and an interval holds the mean
// and shrinks with the number of scenarios.
func TestBootstrap(t *testing.T) {
	constant := []pair{{3, 1}, {4, 2}, {7, 5}}
	if e := bootstrap(constant, difference); e != (estimate{2, 2, 2}) {
		t.Errorf("constant difference of 2: %+v", e)
	}
	wide := func(n int) estimate {
		var ps []pair
		for i := range n {
			ps = append(ps, pair{float64(i % 2), 0})
		}
		return bootstrap(ps, difference)
	}
	few, many := wide(20), wide(320)
	// The deviation of a mean of n coins is 0.5/sqrt(n); 1.96 of them to either side.
	for n, e := range map[float64]estimate{20: few, 320: many} {
		if want := 2 * 1.96 * 0.5 / math.Sqrt(n); math.Abs(e.High-e.Low-want) > 0.1*want+1/n || e.Mean != 0.5 {
			t.Errorf("%v coins: %+v, want an interval of about %.3f around 0.5", n, e, want)
		}
	}
	if e := bootstrap([]pair{{11, 10}, {11, 10}}, rise); math.Abs(e.Mean-0.1) > 1e-12 {
		t.Errorf("from 10 to 11: a rise of %v, want 0.1", e.Mean)
	}
}

// TestPairsAreByScenario: cases of one scenario are averaged, in all experiments.
func TestPairsAreByScenario(t *testing.T) {
	scenarios := world.Scenarios()[:2]
	one := &outcome{
		Cases: []world.Case{{Scenario: scenarios[0]}, {Scenario: scenarios[0]}, {Scenario: scenarios[1]}},
		Players: []player{
			{Name: "a", Scores: []world.Score{{Goal: 1}, {Goal: 3}, {Goal: 5}}},
			{Name: "b", Scores: []world.Score{{Goal: 0}, {Goal: 2}, {Goal: 1}}},
		},
	}
	two := &outcome{
		Cases:   []world.Case{{Scenario: scenarios[1]}},
		Players: []player{{Name: "a", Scores: []world.Score{{Goal: 9}}}, {Name: "b", Scores: []world.Score{{Goal: 3}}}},
	}
	got := pairs([]*outcome{one, two}, goalMetric, "a", "b")
	if want := []pair{{2, 1}, {7, 2}}; !slices.Equal(got, want) {
		t.Errorf("pairs %v, want %v", got, want)
	}
}

// What cannot be computed on leaves no folder behind.
func TestNothingIsLeftOfAMistake(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	for device, want := range map[string]int{"nonsense": 2, "cuda:0:f16": 2, "cpu:": 2, "cuda:99": 1} {
		code, _, stderr := program(t, "-out", out, "-device", device)
		if code != want || !strings.Contains(stderr, device) || strings.Count(stderr, "quickstart: ") != 1 {
			t.Errorf("%s: exit code %d, want %d, printed\n%s", device, code, want, stderr)
		}
	}
	if left := dirtest.Names(t, dir); len(left) > 0 {
		t.Errorf("%q are left behind", left)
	}
}
