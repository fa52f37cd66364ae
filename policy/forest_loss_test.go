package policy

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// weighted is a loss whose derivatives differ from target to target, so that targets
// which share a row must keep theirs apart.
type weighted struct{ by [][]float64 }

func (w weighted) Eval(t Targets) (float64, []float64, error) {
	loss, d := 0.0, make([]float64, 0, len(t.LogProb))
	for i, at := range t.Index {
		if t.Score != nil {
			loss += w.by[at][0] * t.Score[i] * t.Score[i]
			d = append(d, 2*w.by[at][0]*t.Score[i])
			continue
		}
		for j, lp := range t.Example(i) {
			loss += w.by[at][j] * lp
			d = append(d, w.by[at][j])
		}
	}
	return loss, d, nil
}

func randomWeights(rng *rand.Rand, examples []Example) weighted {
	var w weighted
	for _, e := range examples {
		row := make([]float64, max(1, len(e.Tokens)-e.First))
		for j := range row {
			row[j] = rng.NormFloat64()
		}
		w.by = append(w.by, row)
	}
	return w
}

// gradientsOf returns the loss and all gradients of one step over forests.
func gradientsOf(t *testing.T, p *Policy, forests []*Forest, loss Loss) (float64, []float32) {
	t.Helper()
	p.adapter.ZeroGrad()
	sum := 0.0
	for _, f := range forests {
		l, err := p.Step(context.Background(), f, loss, WithTemperature(0.7))
		if err != nil {
			t.Fatal(err)
		}
		sum += l
	}
	var grads []float32
	for _, param := range p.adapter.Params() {
		grads = append(grads, readView(t, p.Engine(), param.Grad)...)
	}
	return sum, grads
}

// TestForestEqualsUnsharedBatch is the promise that everything rests on: merging
// beginnings changes the cost and nothing else. Random tries hold duplicates, equal
// replies with different weights, and examples that begin others.
func TestForestEqualsUnsharedBatch(t *testing.T) {
	for _, engine := range []string{"float64", "cpu"} {
		tolerance := map[string]float64{"float64": 1e-6, "cpu": 2e-5}[engine] // gradients are read as float32
		for _, scores := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(1, 7))
			p := tinyPolicy(t, tinyBase(t, engine, Qwen3), scores)
			for range 12 {
				examples := randomExamples(rng, 1+rng.IntN(9), 3)
				examples = append(examples, examples[rng.IntN(len(examples))])
				if scores {
					for i := range examples {
						examples[i].First = len(examples[i].Tokens)
					}
				}
				w := randomWeights(rng, examples)
				loss, grads := gradientsOf(t, p, []*Forest{newForest(t, examples...)}, w)
				var alone []*Forest
				for i := range examples {
					alone = append(alone, buildForest(examples[i:i+1], []int{i}))
				}
				wantLoss, want := gradientsOf(t, p, alone, w)
				closeTo(t, engine+" loss", loss, wantLoss, 1e-5, 1e-5)
				if d := relative(grads, want); !(d <= tolerance) {
					t.Errorf("%s, scores %v: gradients differ by %.2g, want at most %g", engine, scores, d, tolerance)
				}
			}
		}
	}
}

// TestGradientsEqualCentralDifferences checks the whole model on the reference
// engine: every kind of parameter, of an adapter and of full fine-tuning.
func TestGradientsEqualCentralDifferences(t *testing.T) {
	for _, modelType := range []string{Qwen2, Qwen3, Llama} {
		base := tinyBase(t, "float64", modelType)
		full, err := NewFull(base)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := New(base, full)
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string]*Policy{"adapter": tinyPolicy(t, base, false), "head": tinyPolicy(t, base, true), "full": whole} {
			rng := rand.New(rand.NewPCG(9, 9))
			examples := randomExamples(rng, 5, 4)
			if name == "head" {
				for i := range examples {
					examples[i].First = len(examples[i].Tokens)
				}
			}
			checkDifferences(t, modelType+" "+name, p, newForest(t, examples...), randomWeights(rng, examples), name == "head")
		}
	}
}

const h = 1.0 / 1024 // of the difference quotients

// checkDifferences compares, for two elements of every parameter, the gradient with
// (loss(x+h) − loss(x−h)) / 2h. Log-probabilities come out in float64. Scores come out
// in float32: each term w·s² of the loss is then off by 2·2⁻²⁴ of itself at most, which
// the quotient divides by h.
func checkDifferences(t *testing.T, name string, p *Policy, f *Forest, loss weighted, scores bool) {
	t.Helper()
	value, _ := gradientsOf(t, p, []*Forest{f}, loss)
	noise := 0.0
	if scores {
		noise = math.Ldexp(2, -24) / h * sumOfTerms(t, p, f, loss)
	}
	grads := map[string][]float32{}
	for _, param := range p.adapter.Params() {
		grads[param.Name] = readView(t, p.Engine(), param.Grad)
	}
	for _, param := range p.adapter.Params() {
		x := readView(t, p.Engine(), param.Value)
		for _, i := range []int{0, len(x) / 2} {
			got := float64(grads[param.Name][i])
			want := slope(t, p, f, loss, param, x, i)
			if math.Abs(got-want) > 1e-5*max(1, math.Abs(want), math.Abs(value))+noise {
				t.Errorf("%s: d loss / d %s[%d] is %v, difference quotient %v", name, param.Name, i, got, want)
			}
		}
	}
}

// sumOfTerms returns Σ |w|·s².
func sumOfTerms(t *testing.T, p *Policy, f *Forest, loss weighted) float64 {
	t.Helper()
	got, err := p.Scores(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, at := range got.Index {
		sum += math.Abs(loss.by[at][0]) * got.Score[i] * got.Score[i]
	}
	return sum
}

func slope(t *testing.T, p *Policy, f *Forest, loss Loss, param *lora.Param, x []float32, i int) float64 {
	t.Helper()
	at := func(step float32) float64 {
		moved := slices.Clone(x)
		moved[i] += step
		p.Engine().Write(param.Value, moved)
		l, _ := gradientsOf(t, p, []*Forest{f}, loss)
		return l
	}
	up, down := at(h), at(-h)
	p.Engine().Write(param.Value, x)
	return (up - down) / (float64(x[i]+h) - float64(x[i]-h))
}
