package policy

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/socialrl/socialrl/lora"
)

// toyObjective teaches sequences in which each token follows from the one before.
func toyObjective(n int) Objective {
	rng := rand.New(rand.NewPCG(2, 2))
	var o Objective
	for i := range n {
		tokens := []int{2 + rng.IntN(20)}
		for range 6 {
			tokens = append(tokens, 2+(tokens[len(tokens)-1]*3)%20)
		}
		o.Examples = append(o.Examples, Example{tokens, 1})
		o.Groups = append(o.Groups, strconv.Itoa(i/3))
	}
	o.Loss = func([]int) Loss { return CrossEntropy{} }
	o.Evaluate = meanCrossEntropy
	return o
}

func toyConfig(dir string) FitConfig {
	return FitConfig{Dir: dir, Epochs: 4, Batch: 5, LR: 0.01, Warmup: 2, Held: 0.2, EvalEvery: 3, SaveEvery: 2, Budget: 30}
}

// toyFit runs Fit from a fresh policy, as a restarted program would.
func toyFit(t *testing.T, ctx context.Context, cfg FitConfig) (FitResult, error) {
	t.Helper()
	base := tinyBase(t, "cpu", Qwen2)
	a, err := NewAdapter(base, lora.Config{Rank: 3, Alpha: 6, Dropout: 0.1, Targets: lora.AllLinear}, 5)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(base, a)
	if err != nil {
		t.Fatal(err)
	}
	return Fit(ctx, p, toyObjective(30), cfg)
}

// contents maps the files below a folder to their text.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		if strings.HasPrefix(rel, checkpointName) && !strings.HasPrefix(rel, checkpointName+"20/") {
			return err
		}
		out[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFitLearns(t *testing.T) {
	var evals []float64
	cfg := toyConfig(t.TempDir())
	cfg.Epochs, cfg.LR = 20, 0.03
	cfg.OnStep = func(p FitProgress) {
		if p.Evaluation {
			evals = append(evals, p.Metrics["eval_loss"])
		}
	}
	res, err := toyFit(t, context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Steps != 100 || res.Best != slices.Min(evals) || res.Best > evals[0]/2 {
		t.Errorf("%+v; held-out losses %v", res, evals)
	}
}

// A run that is cancelled or killed at any step and started again leaves the same
// files, byte for byte, as one that was not: metrics, adapter, the last checkpoint.
// Only earlier checkpoints may differ, where cancelling saved one more.
func TestFitResumesBitForBit(t *testing.T) {
	whole := t.TempDir()
	if _, err := toyFit(t, context.Background(), toyConfig(whole)); err != nil {
		t.Fatal(err)
	}
	want := contents(t, whole)
	for _, how := range []string{"cancelled", "killed"} {
		for _, stops := range [][]int{{1}, {2, 9}, {3, 4, 19}, {20}} {
			dir := t.TempDir()
			for _, at := range stops {
				interrupt(t, dir, how, at)
			}
			if _, err := toyFit(t, context.Background(), toyConfig(dir)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
				t.Errorf("%s at %v:\n%s", how, stops, diff)
			}
		}
	}
}

// interrupt runs Fit and ends it after a step: by its context, or as a kill would,
// between two writes.
func interrupt(t *testing.T, dir, how string, at int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer func() {
		if r := recover(); r != nil && r != "killed" {
			panic(r)
		}
	}()
	cfg := toyConfig(dir)
	cfg.OnStep = func(p FitProgress) {
		switch {
		case p.Step != at:
		case how == "killed":
			panic("killed")
		default:
			cancel()
		}
	}
	if _, err := toyFit(t, ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted at %d: error is %v", at, err)
	}
}

func TestFitRefusesAnotherConfiguration(t *testing.T) {
	dir := t.TempDir()
	interrupt(t, dir, "cancelled", 4)
	cfg := toyConfig(dir)
	cfg.LR = 0.02
	_, err := toyFit(t, context.Background(), cfg)
	if err == nil || !strings.Contains(err.Error(), "LR was 0.01, now 0.02") {
		t.Errorf("error is %v", err)
	}
}

func TestFitRefusesOtherData(t *testing.T) {
	dir := t.TempDir()
	interrupt(t, dir, "cancelled", 4)
	o := toyObjective(30)
	o.Examples[7].Tokens[2]++
	p := tinyPolicy(t, tinyBase(t, "cpu", Qwen2), false)
	p.adapter.Config.Dropout = 0.1
	_, err := Fit(context.Background(), p, o, toyConfig(dir))
	if err == nil || !strings.Contains(err.Error(), "Data was") {
		t.Errorf("error is %v", err)
	}
}

func TestFitStopsEarly(t *testing.T) {
	cfg := toyConfig(t.TempDir())
	cfg.LR, cfg.Patience, cfg.EvalEvery = 3, 2, 1 // far too high: the loss rises
	res, err := toyFit(t, context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Stopped || res.Steps == 20 {
		t.Errorf("%+v", res)
	}
}

func TestSplitsKeepGroupsTogether(t *testing.T) {
	groups := groupsOf(toyObjective(30))
	train, held := splitGroups(groups, 0.2, 42)
	if len(train)+len(held) != 30 || len(held) != 6 {
		t.Fatalf("%d training and %d held-out examples", len(train), len(held))
	}
	for _, i := range held {
		for _, j := range train {
			if groups[i] == groups[j] {
				t.Errorf("examples %d and %d of group %s are on both sides", i, j, groups[i])
			}
		}
	}
	for epoch := range 3 {
		order := newOrder(groups, train, 42).epoch(epoch)
		for k := 1; k < len(order); k++ {
			if order[k]%3 != 0 && order[k] != order[k-1]+1 {
				t.Errorf("epoch %d: %d follows %d", epoch, order[k], order[k-1])
			}
		}
	}
}

// One step over a batch has the gradient of the same batch in any number of forests:
// accumulation is only a matter of memory.
func TestAccumulationChangesNothing(t *testing.T) {
	p := tinyPolicy(t, tinyBase(t, "float64", Llama), false)
	o := toyObjective(12)
	var want []float32
	for _, budget := range []int{0, 40, 12, 6} {
		packed, err := Pack(o.Examples, budget)
		if err != nil {
			t.Fatal(err)
		}
		p.adapter.ZeroGrad()
		for _, f := range packed.Forests {
			if _, err := p.Step(context.Background(), f, CrossEntropy{}, WithTotal(packed.Targets)); err != nil {
				t.Fatal(err)
			}
		}
		var grads []float32
		for _, param := range p.adapter.Params() {
			grads = append(grads, readView(t, p.Engine(), param.Grad)...)
		}
		if want == nil {
			want = grads
		}
		if d := relative(grads, want); d > 1e-6 {
			t.Errorf("budget %d: gradient differs by %.2g", budget, d)
		}
	}
}
