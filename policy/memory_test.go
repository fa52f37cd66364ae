package policy

import (
	"context"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// budgeted returns a tiny policy of several blocks on an engine of its own, with what
// a case asks for.
func budgeted(t testing.TB, engine, modelType string, dropout float64, head bool) *Policy {
	t.Helper()
	eng, err := lora.Open(engine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { eng.Close() })
	cfg := tinyConfig(modelType)
	cfg.Layers = 5
	base, err := NewBase(eng, cfg, 7)
	if err != nil {
		t.Fatal(err)
	}
	p := tinyPolicy(t, base, head)
	p.SetDropout(dropout)
	return p
}

// crossOrSquare returns a loss for what a forest asks for.
func crossOrSquare(f *Forest) Loss {
	if f.Targets() > 0 {
		return CrossEntropy{}
	}
	return SquaredError{Values: make([]float64, f.Examples())}
}

// The forests of these tests: a group, of which some rows are read; examples of which
// all rows are; scores.
func memoryForests(t testing.TB) map[string]*Forest {
	t.Helper()
	out := map[string]*Forest{}
	for name, examples := range map[string][]Example{
		"a group":   group(40, 3, 20, 23),
		"all read":  {{Tokens: []int{1, 2, 3, 4, 5, 6}, First: 1}},
		"one score": {{Tokens: []int{1, 2, 3, 4, 5, 6}, First: 6}},
	} {
		f, err := NewForest(examples)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = f
	}
	return out
}

// What a step takes is known before it is taken, to the byte, on every engine, with and
// without dropout, for every bound.
func TestStepMemoryIsWhatAStepTakes(t *testing.T) {
	for name, f := range memoryForests(t) {
		for _, engine := range []string{"cpu", "cpu:generic", "float64"} {
			for _, modelType := range []string{Qwen2, Qwen3} {
				for _, dropout := range []float64{0, 0.2} {
					for again := range 6 {
						p := budgeted(t, engine, modelType, dropout, f.Targets() == 0)
						p.Memory = p.measure(f, newOptions(f, nil), again)
						want := p.StepMemory(f)
						if want > p.Memory {
							t.Errorf("%s: a step takes %d bytes, more than its bound of %d", name, want, p.Memory)
						}
						if _, err := p.Step(context.Background(), f, crossOrSquare(f)); err != nil {
							t.Fatal(err)
						}
						if got := p.Engine().Stats().ArenaPeak; got != want {
							t.Errorf("%s on %s, %s, dropout %v, %d blocks again: the arena held %d bytes, want %d", name, engine, modelType, dropout, again, got, want)
						}
					}
				}
			}
		}
	}
}

// The more blocks are computed again, the less memory a step takes, and a bound that
// nothing keeps gives the least.
func TestMemoryBound(t *testing.T) {
	f := memoryForests(t)["a group"]
	p := budgeted(t, "cpu", Qwen2, 0, false)
	p.bind()
	o := newOptions(f, nil)
	var bytes []int64
	for again := range 6 {
		bytes = append(bytes, p.measure(f, o, again))
	}
	least := slices.Min(bytes)
	if !slices.IsSortedFunc(bytes, func(a, b int64) int { return int(b - a) }) || bytes[0] < 2*least {
		t.Errorf("blocks computed again: bytes %v, want them to fall", bytes)
	}
	for _, c := range []struct {
		why    string
		memory int64
		want   int64
	}{
		{"no bound", 0, bytes[0]}, {"a bound that all blocks keep", bytes[0], bytes[0]},
		{"one byte less", bytes[0] - 1, bytes[1]}, {"a bound between", bytes[2] + 1, bytes[2]}, {"a bound that none keeps", 1, bytes[5]},
	} {
		if p.Memory = c.memory; p.StepMemory(f) != c.want {
			t.Errorf("%s: %d bytes, want %d", c.why, p.StepMemory(f), c.want)
		}
	}
	p.Memory, p.Recompute = 0, true
	if got := p.StepMemory(f); got != bytes[5] {
		t.Errorf("recomputation: %d bytes, want %d", got, bytes[5])
	}
}

// A bound on memory changes no bit of a gradient.
func TestMemoryBoundKeepsGradients(t *testing.T) {
	f := memoryForests(t)["a group"]
	for _, modelType := range []string{Qwen2, Qwen3} {
		for _, full := range []bool{false, true} {
			var want [][]float32
			for again := range 6 {
				p := budgeted(t, "cpu", modelType, map[bool]float64{false: 0.1}[full], false)
				if full {
					a, err := NewFull(p.Base())
					if err != nil {
						t.Fatal(err)
					}
					if p, err = New(p.Base(), a); err != nil {
						t.Fatal(err)
					}
				}
				p.Memory = p.measure(f, newOptions(f, nil), again)
				p.BeginStep(3, 4)
				got := stepGradients(t, p, f)
				if again == 0 {
					want = got
				} else if !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
					t.Errorf("%s, full %v: gradients differ with %d blocks computed again", modelType, full, again)
				}
			}
		}
	}
}

func stepGradients(t testing.TB, p *Policy, f *Forest) [][]float32 {
	t.Helper()
	if _, err := p.Step(context.Background(), f, CrossEntropy{}); err != nil {
		t.Fatal(err)
	}
	var out [][]float32
	for _, param := range p.Adapter().Params() {
		g := make([]float32, param.Grad.Len())
		if err := p.Engine().Read(g, param.Grad); err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

// In the steady state passes allocate a few small slices, and no more of them for a
// deeper model: no matrix is made anew.
func TestSteadyStateAllocations(t *testing.T) {
	ctx := context.Background()
	f := memoryForests(t)["a group"]
	run := func(layers int, what string) float64 {
		eng, err := lora.Open("cpu")
		if err != nil {
			t.Fatal(err)
		}
		defer eng.Close()
		cfg := tinyConfig(Qwen2)
		cfg.Layers = layers
		base, err := NewBase(eng, cfg, 7)
		if err != nil {
			t.Fatal(err)
		}
		p := tinyPolicy(t, base, false)
		s := p.NewSession()
		defer s.Close()
		for i := range 3 {
			if _, err := s.Add([]int{1, 2, 3}, SamplingOptions{MaxTokens: 200}, uint32(i)); err != nil {
				t.Fatal(err)
			}
		}
		return testing.AllocsPerRun(20, map[string]func(){
			"training": func() { _, err = p.Step(ctx, f, CrossEntropy{}) },
			"decoding": func() { _, err = s.Step(ctx) },
			"scoring":  func() { _, err = p.LogProbs(ctx, f, 1) },
		}[what])
	}
	for what, most := range map[string]float64{"training": 24, "decoding": 32, "scoring": 8} {
		few, many := run(2, what), run(6, what)
		if few > most || many > most {
			t.Errorf("%s: %v allocations with 2 layers, %v with 6, want at most %v", what, few, many, most)
		}
	}
}
