package policy

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/lora"
)

// The tolerances of the comparison with the Python libraries, which compute in
// float32 as we do.
const (
	logitTolerance  = 2e-4 // absolute
	gradTolerance   = 1e-4 // norm of the difference over norm, each tensor
	updateTolerance = 1e-3 // the same, of the change of each tensor over 20 steps
	lossTolerance   = 1e-4 // relative
	lossFloor       = 2e-6 // absolute
	normTolerance   = 2e-5 // relative, of a gradient's norm
	runNorm         = 1e-3 // the same, over 20 steps
	greedyMargin    = 1e-3 // tokens are compared where the best two logits differ by more
)

// referenceCase is one model directory with what the Python libraries computed.
type referenceCase struct {
	dir     string
	tensors *lora.Safetensors
	ref     struct {
		Sequences []struct {
			IDs         []int `json:"ids"`
			FirstTarget int   `json:"first_target"`
		}
		Greedy []struct {
			Adapter        bool
			Sequence       int
			Tokens         []int
			SmallestMargin float64 `json:"smallest_margin"`
		}
		Items []struct {
			IDs   []int
			Value float64
		}
		BaseLoss      float64   `json:"base_loss"`
		AdapterLoss   float64   `json:"adapter_loss"`
		BaseScores    []float64 `json:"base_scores"`
		AdapterScores []float64 `json:"adapter_scores"`
		AdamW         struct {
			LR, Clip, Eps float64
			Warmup        int
			WeightDecay   float64 `json:"weight_decay"`
			Betas         []float64
			Steps         []struct {
				Loss     float64
				GradNorm float64 `json:"grad_norm"`
				LR       float64
			}
		}
	}
}

// referenceCases lists the cases of the fixtures folder, or of testdata without it.
func referenceCases(t *testing.T) []referenceCase {
	t.Helper()
	root := fixtures.PathOr(t, "models")
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var cases []referenceCase
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "nf4") {
			continue // stored in 4 bits
		}
		cases = append(cases, openReference(t, filepath.Join(root, e.Name())))
	}
	return cases
}

func openReference(t *testing.T, dir string) referenceCase {
	t.Helper()
	c := referenceCase{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &c.ref); err != nil {
		t.Fatal(err)
	}
	if c.tensors, err = lora.OpenSafetensors(filepath.Join(dir, "reference.safetensors")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.tensors.Close() })
	return c
}

func (c referenceCase) floats(t *testing.T, name string) []float32 {
	t.Helper()
	tensor, ok := c.tensors.Tensor(name)
	if !ok {
		t.Fatalf("%s: the reference has no %s", c.dir, name)
	}
	v, err := tensor.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c referenceCase) classifies() bool { return len(c.ref.Items) > 0 }

// examples are the sequences of a language model, or the items of a reward model.
func (c referenceCase) examples() []Example {
	var out []Example
	for _, s := range c.ref.Sequences {
		out = append(out, Example{s.IDs, s.FirstTarget})
	}
	for _, s := range c.ref.Items {
		out = append(out, Example{s.IDs, len(s.IDs)})
	}
	return out
}

func (c referenceCase) loss() Loss {
	if !c.classifies() {
		return CrossEntropy{}
	}
	var s SquaredError
	for _, item := range c.ref.Items {
		s.Values = append(s.Values, item.Value)
	}
	return s
}

func openEngine(t *testing.T, name string) lora.Engine {
	t.Helper()
	eng, err := lora.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	return eng
}

func (c referenceCase) load(t *testing.T, eng lora.Engine, adapter bool) *Policy {
	t.Helper()
	base, err := LoadBase(eng, c.dir, lora.F32)
	if err != nil {
		t.Fatal(err)
	}
	var a *lora.Adapter
	if adapter {
		if a, err = LoadAdapter(base, filepath.Join(c.dir, "adapter")); err != nil {
			t.Fatal(err)
		}
	}
	p, err := New(base, a)
	if err != nil {
		t.Fatal(err)
	}
	p.SetDropout(0)
	return p
}

// exactEngines lists the engines that compute in float32 or better, variants of the CPU's
// and GPUs included. Those that are left out round attention to bfloat16 whatever the
// kind of the weights: the tolerances here are those of float32. Their operations are
// held to bounds of bfloat16 by the suite of package lora.
func exactEngines() []string {
	return slices.DeleteFunc(lora.Available(), func(name string) bool {
		return strings.HasPrefix(name, "cuda:") && !strings.HasSuffix(name, ":f32")
	})
}

// onReferences runs a test for every case on every exact engine.
func onReferences(t *testing.T, keep func(referenceCase) bool, test func(t *testing.T, c referenceCase, eng lora.Engine)) {
	cases := referenceCases(t)
	for _, engine := range exactEngines() {
		for _, c := range cases {
			if keep(c) {
				t.Run(engine+"/"+filepath.Base(c.dir), func(t *testing.T) { test(t, c, openEngine(t, engine)) })
			}
		}
	}
}

func isLanguageModel(c referenceCase) bool { return !c.classifies() }
func isRewardModel(c referenceCase) bool   { return c.classifies() }
func isEither(referenceCase) bool          { return true }

func newForest(t *testing.T, examples ...Example) *Forest {
	t.Helper()
	f, err := NewForest(examples)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLogitsEqualTheReference(t *testing.T) {
	onReferences(t, isLanguageModel, func(t *testing.T, c referenceCase, eng lora.Engine) {
		for _, adapter := range []bool{false, true} {
			prefix := map[bool]string{false: "base.", true: "adapter."}[adapter]
			p := c.load(t, eng, adapter)
			for i, s := range c.ref.Sequences {
				got, err := p.Logits(context.Background(), s.IDs)
				if err != nil {
					t.Fatal(err)
				}
				want := c.floats(t, prefix+"logits."+strconv.Itoa(i))
				within(t, prefix+"logits", flatten(got), want, logitTolerance)
				targets, err := p.LogProbs(context.Background(), newForest(t, Example{s.IDs, 1}), 1)
				if err != nil {
					t.Fatal(err)
				}
				within(t, prefix+"logps", narrow(targets.LogProb), c.floats(t, prefix+"logps."+strconv.Itoa(i)), logitTolerance)
			}
		}
	})
}

func TestScoresEqualTheReference(t *testing.T) {
	onReferences(t, isRewardModel, func(t *testing.T, c referenceCase, eng lora.Engine) {
		for _, adapter := range []bool{false, true} {
			got, err := c.load(t, eng, adapter).Scores(context.Background(), newForest(t, c.examples()...))
			if err != nil {
				t.Fatal(err)
			}
			want := map[bool][]float64{false: c.ref.BaseScores, true: c.ref.AdapterScores}[adapter]
			within(t, "scores", narrow(got.Score), narrow(want), logitTolerance)
		}
	})
}

func TestLossAndGradientsEqualTheReference(t *testing.T) {
	onReferences(t, isEither, func(t *testing.T, c referenceCase, eng lora.Engine) {
		for _, recompute := range []bool{false, true} {
			p := c.load(t, eng, true)
			p.Recompute = recompute
			loss, err := p.Step(context.Background(), newForest(t, c.examples()...), c.loss())
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, "loss", loss, c.ref.AdapterLoss, lossTolerance, lossFloor)
			c.compareGradients(t, p.Adapter(), "adapter.grad.")
		}
	})
}

func TestFullFineTuningGradientsEqualTheReference(t *testing.T) {
	hasBaseGradients := func(c referenceCase) bool { return c.ref.BaseLoss != 0 }
	onReferences(t, hasBaseGradients, func(t *testing.T, c referenceCase, eng lora.Engine) {
		base := c.load(t, eng, false).Base()
		full, err := NewFull(base)
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(base, full)
		if err != nil {
			t.Fatal(err)
		}
		loss, err := p.Step(context.Background(), newForest(t, c.examples()...), c.loss())
		if err != nil {
			t.Fatal(err)
		}
		closeTo(t, "loss", loss, c.ref.BaseLoss, lossTolerance, lossFloor)
		c.compareGradients(t, full, "base.grad.")
	})
}

func (c referenceCase) compareGradients(t *testing.T, a *lora.Adapter, prefix string) {
	t.Helper()
	for _, param := range a.Params() {
		got := readView(t, a.Engine(), param.Grad)
		want := c.floats(t, prefix+param.Name)
		if d := relative(got, want); !(d <= gradTolerance) {
			t.Errorf("gradient of %s: relative difference %.2g, want at most %g", param.Name, d, gradTolerance)
		}
	}
}

func TestTwentyStepsEqualTheReference(t *testing.T) {
	onReferences(t, isEither, func(t *testing.T, c referenceCase, eng lora.Engine) {
		p, w := c.load(t, eng, true), c.ref.AdamW
		start, err := p.Adapter().Tensors()
		if err != nil {
			t.Fatal(err)
		}
		opt := lora.NewAdamW(p.Adapter(), lora.AdamWConfig{Beta1: w.Betas[0], Beta2: w.Betas[1], Eps: w.Eps, WeightDecay: w.WeightDecay, Clip: w.Clip})
		schedule := lora.LinearDecay(w.Warmup)
		forest := newForest(t, c.examples()...)
		for i, want := range w.Steps {
			loss, err := p.Step(context.Background(), forest, c.loss())
			if err != nil {
				t.Fatal(err)
			}
			lr := w.LR * schedule(i, len(w.Steps))
			closeTo(t, "learning rate", lr, want.LR, 1e-12, 1e-15)
			norm, err := opt.Step(lr)
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, "loss of step "+strconv.Itoa(i), loss, want.Loss, lossTolerance, stepFloor(c))
			closeTo(t, "gradient norm of step "+strconv.Itoa(i), norm, want.GradNorm, runNorm, 0)
		}
		c.compareUpdates(t, p.Adapter(), start)
	})
}

// stepFloor is the absolute bound on losses over 20 steps: llama-seqcls ends near a
// loss of zero.
func stepFloor(c referenceCase) float64 {
	if filepath.Base(c.dir) == "llama-seqcls" {
		return 1e-4
	}
	return lossFloor
}

func (c referenceCase) compareUpdates(t *testing.T, a *lora.Adapter, start []lora.Tensor) {
	t.Helper()
	for i, param := range a.Params() {
		before, err := start[i].Floats()
		if err != nil {
			t.Fatal(err)
		}
		got := minus(readView(t, a.Engine(), param.Value), before)
		want := minus(c.floats(t, "adapter.after20."+param.Name), before)
		if d := relative(got, want); !(d <= updateTolerance) {
			t.Errorf("update of %s: relative difference %.2g, want at most %g", param.Name, d, updateTolerance)
		}
	}
}

func TestGreedyRepliesEqualTheReference(t *testing.T) {
	onReferences(t, isLanguageModel, func(t *testing.T, c referenceCase, eng lora.Engine) {
		for _, adapter := range []bool{false, true} {
			p := c.load(t, eng, adapter)
			for _, g := range c.ref.Greedy {
				if g.Adapter != adapter || g.SmallestMargin <= greedyMargin {
					continue
				}
				got, err := p.Generate(context.Background(), [][]int{c.ref.Sequences[g.Sequence].IDs}, SamplingOptions{MaxTokens: 24})
				if err != nil {
					t.Fatal(err)
				}
				if want := g.Tokens; !slices.Equal(got[0][0].Tokens, want) {
					t.Errorf("sequence %d, adapter %v: greedy %v, want %v", g.Sequence, adapter, got[0][0].Tokens, want)
				}
			}
		}
	})
}

func readView(t *testing.T, eng lora.Engine, v lora.View) []float32 {
	t.Helper()
	out := make([]float32, v.Len())
	if err := eng.Read(out, v); err != nil {
		t.Fatal(err)
	}
	return out
}

// relative returns |a − b| / |b|, Euclidean norms.
func relative(a, b []float32) float64 {
	var diff, norm float64
	for i := range b {
		d := float64(a[i]) - float64(b[i])
		diff += d * d
		norm += float64(b[i]) * float64(b[i])
	}
	if norm == 0 {
		return math.Sqrt(diff)
	}
	return math.Sqrt(diff / norm)
}

func minus(a, b []float32) []float32 {
	out := make([]float32, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}

func within(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	worst := 0.0
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= worst) {
			worst = d
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("%s: largest difference %.3g, want at most %g", what, worst, tolerance)
	}
}

func closeTo(t *testing.T, what string, got, want, relative, floor float64) {
	t.Helper()
	if d := math.Abs(got - want); !(d <= max(relative*math.Abs(want), floor)) {
		t.Errorf("%s is %v, want %v (difference %.3g)", what, got, want, d)
	}
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func flatten(rows [][]float32) []float32 {
	var out []float32
	for _, r := range rows {
		out = append(out, r...)
	}
	return out
}
