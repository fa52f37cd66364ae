package grpo

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/dirtest"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// stopAt cancels a run when it reports a step, and runs it again until it is done.
func stopAt(t *testing.T, base *policy.Base, cfg Config, steps ...int) {
	t.Helper()
	for {
		ctx, cancel := context.WithCancel(context.Background())
		run := cfg
		run.OnStep = func(step, _ int, _ Metrics) {
			if len(steps) > 0 && step == steps[0] {
				steps = steps[1:]
				cancel()
			}
		}
		err := newTrainer(t, tinyPolicy(t, base), run).Train(ctx, tinyItems(5))
		stopped := ctx.Err() != nil
		cancel()
		if !stopped {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped run ended with %v", err)
		}
	}
}

// A run that is stopped, between the passes over one batch too, and resumed leaves
// the same bytes in every file as one that was not.
func TestResumedEqualsUninterrupted(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.Passes, cfg.Dropout, cfg.ShuffleRows, cfg.KeepLast = 2, 0.1, true, 1
	cfg.EvalItems, cfg.EvalEvery, cfg.EvalSamples = slices.Collect(itemsOnly(tinyItems(2))), 3, 2

	cfg.Dir = filepath.Join(t.TempDir(), "whole")
	train(t, tinyPolicy(t, base), cfg)
	want := dirtest.Files(t, cfg.Dir)

	cfg.Dir = filepath.Join(t.TempDir(), "stopped")
	stopAt(t, base, cfg, 0, 1, 3, 4)
	if diff := cmp.Diff(want, dirtest.Files(t, cfg.Dir)); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"metrics.jsonl", "completions.jsonl", "adapter/adapter_model.safetensors", "checkpoint-6/optimizer.safetensors"} {
		if want[filepath.FromSlash(name)] == "" {
			t.Errorf("no %s in %v", name, slices.Sorted(keysOf(want)))
		}
	}
}

func itemsOnly(seq iter.Seq2[episode.Item, error]) iter.Seq[episode.Item] {
	return func(yield func(episode.Item) bool) {
		for it := range seq {
			if !yield(it) {
				return
			}
		}
	}
}

func keysOf(m map[string]string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// A kill leaves whatever was written since the last checkpoint in the logs. It is
// cut off and written again.
func TestKilledEqualsUninterrupted(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.Dir = filepath.Join(t.TempDir(), "whole")
	train(t, tinyPolicy(t, base), cfg)
	want := dirtest.Files(t, cfg.Dir)

	cfg.Dir = filepath.Join(t.TempDir(), "killed")
	killed := newTrainer(t, tinyPolicy(t, base), cfg)
	boom := errors.New("killed")
	killed.scorers = []reward.Weighted{{Weight: 1, Scorer: reward.ScorerFunc(func(ctx context.Context, s []reward.Sample) ([]float64, error) {
		if killed.state.Step == 3 {
			return nil, boom
		}
		return plain.Score(ctx, s)
	})}}
	if err := killed.Train(context.Background(), tinyItems(5)); !errors.Is(err, boom) {
		t.Fatalf("error %v", err)
	}
	if n := strings.Count(dirtest.Files(t, cfg.Dir)["metrics.jsonl"], "\n"); n != 3 {
		t.Fatalf("%d lines of metrics before the kill, want 3", n)
	}
	torn, err := os.OpenFile(filepath.Join(cfg.Dir, "metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	torn.WriteString(`{"loss":`)
	torn.Close()
	train(t, tinyPolicy(t, base), cfg)
	if diff := cmp.Diff(want, dirtest.Files(t, cfg.Dir)); diff != "" {
		t.Error(diff)
	}
}

// On resume the reference is that of the start, whatever adapter the caller brings.
func TestResumeKeepsTheReference(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.Dir, cfg.MaxSteps = t.TempDir(), 6
	ctx, cancel := context.WithCancel(context.Background())
	cfg.OnStep = func(step, _ int, _ Metrics) {
		if step == 3 {
			cancel()
		}
	}
	p := tinyPolicy(t, base)
	start := tensorsOf(t, p.Adapter())
	if err := newTrainer(t, p, cfg).Train(ctx, tinyItems(5)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	cfg.OnStep = nil
	again := newTrainer(t, p, cfg) // p is no longer the start
	if err := again.Train(context.Background(), tinyItems(5)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(start, tensorsOf(t, again.frozen)); diff != "" {
		t.Errorf("the reference changed: %s", diff)
	}
}

func TestResumeWithOtherSettingsIsRefused(t *testing.T) {
	base := tiny.Base(t, "cpu")
	cfg := tinyConfig()
	cfg.Dir, cfg.MaxSteps = t.TempDir(), 1
	train(t, tinyPolicy(t, base), cfg)
	cfg.Beta = 0.5
	err := newTrainer(t, tinyPolicy(t, base), cfg).Train(context.Background(), tinyItems(5))
	if err == nil || !strings.Contains(err.Error(), "beta was 0.04, now 0.5") {
		t.Errorf("error %v", err)
	}
}
