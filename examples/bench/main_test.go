package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/examples/internal/clitest"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

var command clitest.Program = run

func TestMain(m *testing.M) { command.Main(m) }

// small makes every row a matter of milliseconds on a tiny model.
const small = " -device float64 -time 0s -reps 2 -steps 2 -warmup 1 -square 8 -read 4 -tokens 2 -branches 3 -group 2 -prompt 6 -reply 3 -rank 2 -turns 2"

// Every row gives numbers, in the table and in the file.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	model := clitest.WriteModel(t, dir)
	data := clitest.WriteFile(t, dir, "items.json", `[{"episode_id":"a","input":"Hello","output":"x"},{"episode_id":"a","input":"Hello there","output":"yy"},{"episode_id":"b","input":"z","output":"z"}]`)
	out := filepath.Join(dir, "bench.json")
	code, stdout, stderr := command.Run("", append(strings.Fields(small), "-model", model, "-kind", "f32,nf4", "-data", data, "-json", out)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, l := range r.Rows {
		names[l.Name]++
		if !(l.Median > 0) || l.Spread < 0 || len(l.Values) < 2 || l.Unit == "" || l.Peak <= 0 || !strings.Contains(stdout, l.Name) {
			t.Errorf("line %+v", l)
		}
	}
	for name, times := range map[string]int{
		"gemm 4x32x32": 2, "gemm 4x48x32": 2, "gemm 4x32x48": 2, "gemm 8x8x8": 2, "gemm 4x258x32": 1, "gemm 8x48x32 in cache": 1, "gemm 8x48x32": 1,
		"prefill 4": 2, "decode 1 stream after 4": 2, "decode 3 branches of 4": 2, "sft 2 items merged": 1, "sft 2 items flat": 1, "sft 2 items flat : merged": 1,
		"update P=6 C=3 G=4 merged": 1, "update P=6 C=3 G=4 flat : merged": 1,
		"grpo P=6 C=3 G=2 sample": 1, "grpo P=6 C=3 G=2 score": 1, "grpo P=6 C=3 G=2 reference": 1, "grpo P=6 C=3 G=2 update": 1, "grpo P=6 C=3 G=2 step": 1,
	} {
		if names[name] != times {
			t.Errorf("%d rows %q, want %d", names[name], name, times)
		}
	}
}

// The limits of a CPU stand above the table, and shares of them in it.
func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the machine")
	}
	model := clitest.WriteModel(t, t.TempDir())
	code, stdout, stderr := command.Run("", append(strings.Fields(small), "-device", "cpu", "-model", model, "-rows", "gemm 8x8x8 f32")...)
	if code != 0 || !strings.Contains(stdout, "limits: f32 ") || !strings.Contains(stdout, "% ") {
		t.Errorf("exit code %d, printed\n%s%s", code, stdout, stderr)
	}
}

func TestList(t *testing.T) {
	model := clitest.WriteModel(t, t.TempDir())
	code, stdout, _ := command.Run("", "-model", model, "-list", "-rows", "^(update|decode)")
	if want := "decode bf16\ndecode branches bf16\nupdate bf16\n"; code != 0 || stdout != want {
		t.Errorf("exit code %d, %q, want %q", code, stdout, want)
	}
}

// An interrupt ends the run; the rows measured so far are in the file.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	model, out := clitest.WriteModel(t, dir), filepath.Join(dir, "bench.json")
	args := append(strings.Fields(small), "-model", model, "-rows", "prefill|update", "-json", out)
	if code, stderr := clitest.Start(t, "interrupt 2 of 2", args...); code != 1 || !strings.HasSuffix(stderr, "interrupted; start again to go on\n") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), "prefill") {
		t.Errorf("%v: %s", err, text)
	}
}

// The made-up episode shares what an episode shares.
func TestMadeUpEpisode(t *testing.T) {
	b := &bench{settings: &settings{turns: 10}, config: tiny.Config()}
	b.config.VocabSize = 1 << 17
	packed, err := policy.Pack(b.madeUp(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if packed.Flat != 10880-10 || packed.Rows != 6024-10 || packed.Targets != 600 {
		t.Errorf("%d tokens, %d distinct, %d targets", packed.Flat, packed.Rows, packed.Targets)
	}
}

// Operations of two tokens, of which the second is read, by hand for a model of width
// 2: one layer with a head of 2 and a feed-forward of 3, vocabulary 5.
func TestWork(t *testing.T) {
	b := &bench{settings: &settings{}, config: policy.Config{HiddenSize: 2, Layers: 1, Heads: 1, KVHeads: 1, HeadDim: 2, IntermediateSize: 3, VocabSize: 5}}
	weights, head, pairs := 4*2*2+3*2*3, 2*5, 3
	w := sequenceWork(2)
	if got, want := b.forward(w), float64(2*2*weights+2*head+4*2*pairs); got != want {
		t.Errorf("forward %v, want %v", got, want)
	}
	if got, want := b.training(w), float64(4*2*weights+6*head+14*2*pairs); got != want {
		t.Errorf("training %v, want %v", got, want)
	}
}

func TestLine(t *testing.T) {
	l := newLine("x", "s", []float64{4, 1, 2, 3}, 0, ofRead)
	if l.Median != 2.5 || l.Best != 1 || l.Spread != 3/2.5 || l.Of != "" || l.share() != 0 {
		t.Errorf("%+v", l)
	}
	for unit, best := range map[string]float64{"s": 2, "tokens/s": 4} {
		l := newLine("x", unit, []float64{4, 2}, 1.5, ofRead)
		share := map[string]float64{"s": 0.5, "tokens/s": 2}[unit]
		if l.Best != best || l.share() != share {
			t.Errorf("%s: best %v, share %v, want %v and %v", unit, l.Best, l.share(), best, share)
		}
	}
}

// Steps of training that come first do not count.
func TestWarmUp(t *testing.T) {
	b := &bench{settings: &settings{steps: 2, warmup: 1, group: 2, prompt: 3, reply: 4}, base: loaded(t)}
	w := &stopwatch{}
	for _, s := range []float64{100, 2, 4} {
		w.steps = append(w.steps, map[grpo.Phase]float64{grpo.SamplePhase: s, grpo.UpdatePhase: s / 2})
	}
	lines := b.phaseLines(w)
	for i, want := range map[int][]float64{0: {2, 4}, 3: {1, 2}, 4: {3, 6}} {
		if !slices.Equal(lines[i].Values, want) {
			t.Errorf("%s: %v, want %v", lines[i].Name, lines[i].Values, want)
		}
	}
	for i, want := range []string{"warm-up 1 of 1", "1 of 2", "2 of 2"} {
		if got := b.stepOf(i); got != want {
			t.Errorf("step %d is called %q, want %q", i, got, want)
		}
	}
}

func loaded(t *testing.T) *policy.Base {
	eng, err := lora.Open("float64")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { eng.Close() })
	base, err := policy.NewBase(eng, tiny.Config(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// The least time of each phase, by hand for the model of TestWork: a prompt of 2 tokens
// with 2 replies of 2, on a machine of 10 operations and 100 bytes a second.
func TestPhaseLimits(t *testing.T) {
	b := &bench{settings: &settings{group: 2, prompt: 2, reply: 2}, base: loaded(t),
		config: policy.Config{HiddenSize: 2, Layers: 1, Heads: 1, KVHeads: 1, HeadDim: 2, IntermediateSize: 3, VocabSize: 5, TieEmbeddings: true}}
	b.report.Limits = lora.Limits{F32: 10, Read: 100}
	weights, head := 4*2*2+3*2*3, 2*5
	rows, targets, pairs := 2+4, 4, 3+2*(4+3)
	draw := float64(b.base.Engine().Stats().Weights) / 100
	for p, want := range map[grpo.Phase]float64{
		grpo.SamplePhase:    2*draw + float64(2*2*weights+2*head+4*2*3)/10,
		grpo.ScorePhase:     float64(2*rows*weights+4*2*pairs) / 10,
		grpo.ReferencePhase: float64(2*rows*weights+2*targets*head+4*2*pairs) / 10,
		grpo.UpdatePhase:    float64(4*rows*weights+6*targets*head+14*2*pairs) / 10,
	} {
		if got, _ := b.phaseLimit(p); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s takes %v s at least, want %v", p, got, want)
		}
	}
}

// The stopwatch gives each step's phases.
func TestStopwatch(t *testing.T) {
	w := &stopwatch{spent: map[grpo.Phase]float64{}}
	for range 2 {
		w.begin(grpo.SamplePhase)
		w.begin(grpo.UpdatePhase)
		w.done()
	}
	if len(w.steps) != 2 || len(w.steps[0]) != 2 || len(w.steps[1]) != 2 {
		t.Errorf("%+v", w.steps)
	}
}

func TestUsage(t *testing.T) {
	for flags, want := range map[string]string{
		"":                    "-model is missing",
		"-model m -kind x":    `-kind has "x"`,
		"-model m -kind ,":    "-kind names no kind",
		"-model m -group 1":   "-group is 1",
		"-model m -rows (":    "-rows: ",
		"-model m -budget=-1": "-budget is -1",
		"-model m -warmup=-1": "-warmup is -1",
	} {
		command.Want(t, 2, want, strings.Fields(flags)...)
	}
	model := clitest.WriteModel(t, t.TempDir())
	command.Want(t, 1, `-rows "xyz" matches no row`, "-model", model, "-rows", "xyz")
	command.Want(t, 1, "none", "-model", "none")
	command.Want(t, 1, "none.json", strings.Fields(small+" -rows sft -data none.json -model "+model)...)
}
