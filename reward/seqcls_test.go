package reward

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/internal/fixtures"
	"github.com/socialrl/socialrl/internal/tensortest"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// seqcls is what transformers and PEFT compute of a sequence-classification model,
// as fixtures/make/models.py writes it.
type seqcls struct {
	dir   string
	Items []struct {
		IDs   []int   `json:"ids"`
		Value float64 `json:"value"`
	} `json:"items"`
	BaseScores    []float64 `json:"base_scores"`
	AdapterScores []float64 `json:"adapter_scores"`
	AdapterLoss   float64   `json:"adapter_loss"`
	AdamW         struct {
		LR     float64   `json:"lr"`
		Warmup int       `json:"warmup"`
		Decay  float64   `json:"weight_decay"`
		Clip   float64   `json:"clip"`
		Betas  []float64 `json:"betas"`
		Eps    float64   `json:"eps"`
		Steps  []struct {
			Loss     float64 `json:"loss"`
			GradNorm float64 `json:"grad_norm"`
			LR       float64 `json:"lr"`
		} `json:"steps"`
	} `json:"adamw"`
	tensors map[string][]float32
}

// eachSeqcls runs a test for every reward model that is there.
func eachSeqcls(t *testing.T, test func(t *testing.T, c *seqcls, base *policy.Base)) {
	for _, name := range []string{"qwen2-seqcls", "llama-seqcls"} {
		t.Run(name, func(t *testing.T) {
			dir := fixtures.PathOr(t, "models", name)
			c := readSeqcls(t, dir)
			eng, err := lora.Open("cpu")
			if err != nil {
				t.Fatal(err)
			}
			defer eng.Close()
			base, err := policy.LoadBase(eng, dir, lora.F32)
			if err != nil {
				t.Fatal(err)
			}
			defer base.Close()
			test(t, c, base)
		})
	}
}

func readSeqcls(t *testing.T, dir string) *seqcls {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := &seqcls{dir: dir, tensors: map[string][]float32{}}
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	f, err := lora.OpenSafetensors(filepath.Join(dir, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range f.Names() {
		tensor, _ := f.Tensor(name)
		v, err := tensor.Floats()
		if err != nil {
			t.Fatal(err)
		}
		c.tensors[name] = append([]float32(nil), v...)
	}
	return c
}

func (c *seqcls) examples() []policy.Example {
	var out []policy.Example
	for _, it := range c.Items {
		out = append(out, policy.Example{Tokens: it.IDs, First: len(it.IDs)})
	}
	return out
}

func (c *seqcls) values() []float64 {
	var out []float64
	for _, it := range c.Items {
		out = append(out, it.Value)
	}
	return out
}

// samples splits the items into prompt and completion at the end of the beginning
// that the first four share.
func (c *seqcls) samples() []Sample {
	var out []Sample
	for _, it := range c.Items {
		out = append(out, Sample{PromptIDs: it.IDs[:37], CompletionIDs: it.IDs[37:]})
	}
	return out
}

func near(t *testing.T, what string, got, want, rel, abs float64) {
	t.Helper()
	if diff := math.Abs(got - want); !(diff <= abs || diff <= rel*math.Abs(want)) {
		t.Errorf("%s is %v, want %v (difference %.2g)", what, got, want, diff)
	}
}

func (c *seqcls) load(t *testing.T, base *policy.Base) *RewardModel {
	t.Helper()
	m, err := Load(base, filepath.Join(c.dir, "adapter"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func TestScoresEqualTransformers(t *testing.T) {
	eachSeqcls(t, func(t *testing.T, c *seqcls, base *policy.Base) {
		bare, err := policy.New(base, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][]float64{"base": c.BaseScores, "adapter": c.AdapterScores} {
			m := map[string]*RewardModel{"base": Of(bare), "adapter": c.load(t, base)}[name]
			got, err := m.Score(context.Background(), c.samples())
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				near(t, fmt.Sprintf("%s: score %d", name, i), got[i], want[i], 0, 2e-4)
			}
		}
	})
}

// A reply that ran into the limit is read with the end of the turn behind it, and a
// reply scores the same whatever it is scored with, up to the order in which float32
// sums over a prompt that is shared and one that is not.
func TestScoreReadsTheEndOfTheTurn(t *testing.T) {
	eachSeqcls(t, func(t *testing.T, c *seqcls, base *policy.Base) {
		m := c.load(t, base)
		whole := c.samples()
		cut := c.samples()
		for i := range cut {
			cut[i].CompletionIDs = cut[i].CompletionIDs[:len(cut[i].CompletionIDs)-1]
			cut[i].Truncated = true
		}
		a, err := m.Score(context.Background(), whole)
		if err != nil {
			t.Fatal(err)
		}
		for i := range cut {
			b, err := m.Score(context.Background(), cut[i:i+1])
			if err != nil {
				t.Fatal(err)
			}
			near(t, fmt.Sprintf("score of reply %d alone and without its end token", i), b[0], a[i], 0, 1e-5)
		}
	})
}

func TestGradientsEqualPEFT(t *testing.T) {
	eachSeqcls(t, func(t *testing.T, c *seqcls, base *policy.Base) {
		m := c.load(t, base)
		f, err := policy.NewForest(c.examples())
		if err != nil {
			t.Fatal(err)
		}
		loss, err := m.policy.Step(context.Background(), f, policy.SquaredError{Values: c.values()})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "loss", loss, c.AdapterLoss, 1e-4, 2e-6)
		for _, p := range m.policy.Adapter().Params() {
			got := make([]float32, p.Grad.Len())
			if err := base.Engine().Read(got, p.Grad); err != nil {
				t.Fatal(err)
			}
			tensortest.Near(t, "gradient of "+p.Name, got, c.tensors["adapter.grad."+p.Name], nil, 1e-4)
		}
	})
}

// Twenty steps of AdamW on all items: loss and norm of every step, and the adapter at
// the end.
func TestTrainingEqualsPEFT(t *testing.T) {
	eachSeqcls(t, func(t *testing.T, c *seqcls, base *policy.Base) {
		m := c.load(t, base)
		start := c.parameters(t, m)
		cfg := policy.FitConfig{Dir: t.TempDir(), SaveEvery: len(c.AdamW.Steps), Epochs: len(c.AdamW.Steps), Batch: len(c.Items), LR: c.AdamW.LR, Warmup: c.AdamW.Warmup,
			Optimizer: lora.AdamWConfig{Beta1: c.AdamW.Betas[0], Beta2: c.AdamW.Betas[1], Eps: c.AdamW.Eps, WeightDecay: c.AdamW.Decay, Clip: c.AdamW.Clip}}
		steps := 0
		cfg.OnStep = func(p policy.FitProgress) {
			want := c.AdamW.Steps[p.Step-1]
			rel := 1e-4
			near(t, fmt.Sprintf("loss before step %d", p.Step), p.Metrics["loss"], want.Loss, rel, 1e-4)
			near(t, fmt.Sprintf("gradient norm of step %d", p.Step), p.Metrics["grad_norm"], want.GradNorm, 1e-3, 0)
			near(t, fmt.Sprintf("learning rate of step %d", p.Step), p.Metrics["learning_rate"], want.LR, 1e-12, 0)
			steps++
		}
		if _, err := policy.Fit(context.Background(), m.policy, objective(c.examples(), nil, c.values()), cfg); err != nil {
			t.Fatal(err)
		}
		if steps != 20 {
			t.Errorf("%d steps, want 20", steps)
		}
		for name, got := range c.parameters(t, m) {
			tensortest.Near(t, "update of "+name, got, c.tensors["adapter.after20."+name], start[name], 1e-3)
		}
	})
}

func (c *seqcls) parameters(t *testing.T, m *RewardModel) map[string][]float32 {
	t.Helper()
	tensors, err := m.policy.Adapter().Tensors()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for _, tensor := range tensors {
		v, err := tensor.Floats()
		if err != nil {
			t.Fatal(err)
		}
		out[tensor.Name] = append([]float32(nil), v...)
	}
	return out
}

// What is saved loads with the same scores to the last bit, head included.
func TestSaveAndLoad(t *testing.T) {
	eachSeqcls(t, func(t *testing.T, c *seqcls, base *policy.Base) {
		m := c.load(t, base)
		dir := filepath.Join(t.TempDir(), "rm")
		if err := m.Save(dir); err != nil {
			t.Fatal(err)
		}
		again, err := Load(base, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		a, err := m.Score(context.Background(), c.samples())
		if err != nil {
			t.Fatal(err)
		}
		b, err := again.Score(context.Background(), c.samples())
		if err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("scores %v, after loading %v (%v)", a, b, err)
		}
	})
}

func TestLoadWithoutHeadFails(t *testing.T) {
	eachSeqcls(t, func(t *testing.T, c *seqcls, base *policy.Base) {
		a, err := policy.NewAdapter(base, lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV}, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		dir := filepath.Join(t.TempDir(), "policy")
		if err := policy.SaveAdapter(a, dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(base, dir); err == nil || !strings.Contains(err.Error(), "no head") {
			t.Errorf("error %v", err)
		}
	})
}
