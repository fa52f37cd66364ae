package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

func newModelOf(t testing.TB, base *policy.Base, opts ...Option) *RewardModel {
	t.Helper()
	m, err := New(base, lora.Config{Rank: 4, Alpha: 16, Targets: lora.QV, Dropout: 0.1}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// shouts are records of four episodes in which capital letters are worth more.
func shouts() []Record {
	var out []Record
	for e := range 4 {
		for turn := range 4 {
			text := []string{"aba", "ABA", "cac", "CAC"}[(e+turn)%4]
			it := episode.Item{EpisodeID: fmt.Sprint("episode ", e), Turn: turn, Input: strings.Repeat("go ", 1+turn) + fmt.Sprint(e), Output: text}
			value := 0.0
			if text == strings.ToUpper(text) {
				value = 2
			}
			out = append(out, NewRecord(it, value))
		}
	}
	return out
}

func quick(dir string) TrainConfig {
	return TrainConfig{Dir: dir, FitConfig: policy.FitConfig{LR: 1e-2, Epochs: 5, Batch: 4, Held: 0.25, SaveEvery: 2, Keep: 1}}
}

// Records of an episode that was held out are predicted after training.
func TestTrainPredictsHeldOutEpisodes(t *testing.T) {
	m := newModelOf(t, tiny.Base(t, "cpu"))
	var first, last map[string]float64
	cfg := quick(t.TempDir())
	cfg.OnStep = func(p policy.FitProgress) {
		if p.Evaluation && first == nil {
			first = p.Metrics
		}
		if p.Evaluation {
			last = p.Metrics
		}
	}
	used := 0
	cfg.OnCount = func(n, tooLong int) { used = n - tooLong }
	if err := m.Train(context.Background(), shouts(), cfg); err != nil {
		t.Fatal(err)
	}
	if used != 16 {
		t.Errorf("%d records used, want 16", used)
	}
	if !(last["eval_mse"] < 0.5*first["eval_mse"]) || !(last["eval_spearman"] > 0.8) || !(last["eval_pearson"] > 0.8) {
		t.Errorf("held-out episode before %v, after %v", first, last)
	}
}

// The text of a record is read as the chat template writes it, up to and with the
// token that ends the reply's turn.
func TestRecordsEndWithTheEndOfTheTurn(t *testing.T) {
	base := tiny.Base(t, "cpu")
	e, err := newModelOf(t, base).render("hi", "ho")
	if err != nil {
		t.Fatal(err)
	}
	want := "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nho<|im_end|>"
	if got := base.Tokenizer().Decode(e.Tokens); got != want || e.Tokens[len(e.Tokens)-1] != tiny.End || e.First != len(e.Tokens) {
		t.Errorf("%q, last token %d, first target %d of %d", got, e.Tokens[len(e.Tokens)-1], e.First, len(e.Tokens))
	}
}

// Tokens that were sampled score as the same text does.
func TestTokensScoreAsTheirText(t *testing.T) {
	base := tiny.Base(t, "cpu")
	m := newModelOf(t, base)
	enc, err := policy.NewEncoder(base.Tokenizer(), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := enc.Prompt("hi")
	if err != nil {
		t.Fatal(err)
	}
	reply := base.Tokenizer().Encode("ho")
	got, err := m.Score(context.Background(), []Sample{
		{Item: episode.Item{Input: "hi"}, Text: "ho"},
		{PromptIDs: prompt, CompletionIDs: reply, Truncated: true},
		{PromptIDs: prompt, CompletionIDs: append(reply, tiny.End)},
	})
	if err != nil || got[0] == 0 || got[0] != got[1] || got[0] != got[2] {
		t.Errorf("scores %v (%v), want three equal ones", got, err)
	}
}

func TestWhatIsTooLong(t *testing.T) {
	base := tiny.Base(t, "cpu")
	m := newModelOf(t, base, WithMaxLength(60))
	long := strings.Repeat("x", 100)
	got, err := m.Score(context.Background(), []Sample{{Text: "short"}, {Text: long}, {PromptIDs: make([]int, 70), CompletionIDs: []int{1}}})
	if err != nil || math.IsNaN(got[0]) || !math.IsNaN(got[1]) || !math.IsNaN(got[2]) {
		t.Errorf("scores %v (%v), want a number and two NaN", got, err)
	}
	cfg := quick(t.TempDir())
	cfg.OnCount = func(used, tooLong int) {
		if used != 0 || tooLong != 1 {
			t.Errorf("%d used, %d too long", used, tooLong)
		}
	}
	if err := m.Train(context.Background(), []Record{{Input: long, Output: "y"}}, cfg); err == nil || !strings.Contains(err.Error(), "1 are too long") {
		t.Errorf("error %v", err)
	}
}

func TestTrainRefusesNaN(t *testing.T) {
	err := newModelOf(t, tiny.Base(t, "cpu")).Train(context.Background(), []Record{{EpisodeID: "e", Value: math.NaN()}}, quick(t.TempDir()))
	if err == nil || !strings.Contains(err.Error(), `record 0 (episode "e") has the value NaN`) {
		t.Errorf("error %v", err)
	}
}

func TestTrainConfigDefaults(t *testing.T) {
	got := TrainConfig{Dir: "d"}.fitConfig(800)
	// 760 of 800 records in steps of 8, 30 times; a tenth of them warm up.
	if got.Dir != "d" || got.LR != 1e-5 || got.Batch != 8 || got.Epochs != 30 || got.Held != 0.05 || got.Warmup != 285 {
		t.Errorf("%+v", got)
	}
	none := TrainConfig{FitConfig: policy.FitConfig{Dir: "e", Held: -1, Warmup: -1, MaxSteps: 10}}.fitConfig(800)
	if none.Dir != "e" || none.Held != 0 || none.Warmup != 0 || none.MaxSteps != 10 {
		t.Errorf("%+v", none)
	}
}

// Training that is stopped and resumed leaves the same bytes as training that is not.
func TestResumedTrainingEqualsUninterrupted(t *testing.T) {
	base := tiny.Base(t, "cpu")
	whole := filepath.Join(t.TempDir(), "whole")
	if err := newModelOf(t, base).Train(context.Background(), shouts(), quick(whole)); err != nil {
		t.Fatal(err)
	}
	stopped := filepath.Join(t.TempDir(), "stopped")
	ctx, cancel := context.WithCancel(context.Background())
	cfg := quick(stopped)
	cfg.OnStep = func(p policy.FitProgress) {
		if p.Step == 5 {
			cancel()
		}
	}
	if err := newModelOf(t, base).Train(ctx, shouts(), cfg); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if err := newModelOf(t, base).Train(context.Background(), shouts(), quick(stopped)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dirtest.Files(t, whole), dirtest.Files(t, stopped)); diff != "" {
		t.Error(diff)
	}
}
