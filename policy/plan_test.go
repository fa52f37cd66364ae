package policy

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// smallWorkload is a step of two small groups over a tiny model of several blocks.
func smallWorkload(modelType string, kind lora.Kind) Workload {
	cfg := tinyConfig(modelType)
	cfg.Layers = 5
	return Workload{Model: cfg, Kind: kind, Adapter: lora.Config{Rank: 3, Alpha: 6, Targets: lora.AllLinear}, Reference: true,
		Reward: &lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV}, Prompts: 2, Group: 3, Prompt: 20, Completion: 9}
}

// taken goes through a step of a workload on a real engine, as a trainer does, and
// returns what the engine accounts for.
func taken(t *testing.T, engine string, w Workload, memory int64) Usage {
	t.Helper()
	ctx := context.Background()
	var u Usage
	phase := func(of func(base *Base, stats func() lora.MemoryStats)) {
		eng, err := lora.Open(engine)
		if err != nil {
			t.Fatal(err)
		}
		defer eng.Close()
		eng.Reserve(16 << 20) // in one piece, so that no ends of pieces are skipped
		base, err := newBase(eng, w.Model, kindsOf{blocks: w.Kind, vocabulary: w.Vocabulary}, noiseSource(w.Model))
		if err != nil {
			t.Fatal(err)
		}
		of(base, eng.Stats)
	}
	over := func(base *Base, cfg lora.Config) *Policy {
		a, err := NewAdapter(base, cfg, 5)
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(base, a)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	outputs := func(p *Policy, examples []Example, rows int) {
		if _, err := p.Outputs(ctx, examples, rows); err != nil {
			t.Fatal(err)
		}
	}
	phase(func(base *Base, stats func() lora.MemoryStats) {
		last := stats()
		u.Weights, u.Vectors = last.Weights, last.Views
		since := func() int64 {
			before := last.Views
			last = stats()
			return last.Views - before
		}
		p := over(base, w.Adapter)
		u.Adapter = since()
		p.Adapter().MakeTrainable()
		u.Gradients = since()
		lora.NewAdamW(p.Adapter(), lora.AdamWConfig{})
		u.Moments = since()
		p.Adapter().Clone()
		u.Reference = since()
		over(base, w.reward())
		u.Reward = since()
	})
	phase(func(base *Base, stats func() lora.MemoryStats) {
		p := over(base, w.Adapter)
		before := stats().Views
		o := SamplingOptions{N: w.Group, MaxTokens: w.Completion, Temperature: 1, StopTokens: []int{}}
		watch := everyToken(func() { u.Cache = max(u.Cache, stats().Views-before) })
		o.Constraint = watch
		generate(t, p, w.prompts(), o)
		u.Sampling = stats().ArenaPeak
	})
	phase(func(base *Base, stats func() lora.MemoryStats) {
		examples := w.examples(1)
		for i := range examples {
			examples[i].First = len(examples[i].Tokens)
		}
		outputs(over(base, w.reward()), examples, max(1, w.RewardRows))
		u.Scoring = stats().ArenaPeak
	})
	phase(func(base *Base, stats func() lora.MemoryStats) {
		outputs(over(base, w.Adapter), w.examples(0), w.Rows)
		u.Comparing = stats().ArenaPeak
	})
	phase(func(base *Base, stats func() lora.MemoryStats) {
		p := over(base, w.Adapter)
		p.Recompute, p.Memory = w.Recompute, memory
		packed, err := Pack(w.examples(0), w.Rows)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range packed.Forests {
			if _, err := p.Step(ctx, f, CrossEntropy{}, WithEntropy()); err != nil {
				t.Fatal(err)
			}
		}
		u.Update = stats().ArenaPeak
	})
	return u
}

// everyToken is called at every token and allows all.
type everyToken func()

func (f everyToken) Start(int, []int) (ConstraintState, error) { return f, nil }
func (f everyToken) Allowed() []uint64                         { f(); return []uint64{1<<23 - 1} }
func (f everyToken) Advance(int)                               {}

// noiseSource gives every tensor small numbers.
func noiseSource(cfg Config) source {
	index := uint32(0)
	return func(name string, shape []int) (lora.Tensor, bool) {
		index++
		return initial(name, shape, cfg.InitializerRange, lora.Key{Seed: 3, Purpose: lora.ForInit, Index: index}), true
	}
}

// What is planned is what engines account for, part by part and to the byte.
func TestPlanIsWhatEnginesAccountFor(t *testing.T) {
	for name, c := range plannedCases() {
		t.Run(name, func(t *testing.T) { comparePlan(t, c.engine, c.change) })
	}
}

// The same on a GPU, in both precisions, whatever the case says.
func TestCUDAPlanIsWhatEnginesAccountFor(t *testing.T) {
	gpus := slices.DeleteFunc(lora.Available(), func(name string) bool { return !strings.HasPrefix(name, "cuda:0") })
	if len(gpus) == 0 {
		_, err := lora.Open("cuda:0")
		t.Skipf("SKIPPED, NOT TESTED ON A GPU: %v", err)
	}
	for _, engine := range gpus {
		for name, c := range plannedCases() {
			t.Run(engine+"/"+name, func(t *testing.T) { comparePlan(t, engine, c.change) })
		}
	}
}

type plannedCase struct {
	engine string
	change func(*Workload)
}

// plannedCases are changes of smallWorkload.
func plannedCases() map[string]plannedCase {
	int8Kind := lora.Int8
	return map[string]plannedCase{
		"as it is":                {"cpu", func(*Workload) {}},
		"in float64":              {"float64", func(*Workload) {}},
		"norms of heads":          {"cpu", func(w *Workload) { w.Model.ModelType = Qwen3 }},
		"a head of its own":       {"cpu", func(w *Workload) { w.Model.TieEmbeddings = false }},
		"NF4":                     {"cpu", func(w *Workload) { w.Kind = lora.NF4 }},
		"NF4, vocabulary in Int8": {"cpu", func(w *Workload) { w.Kind, w.Vocabulary = lora.NF4, &int8Kind }},
		"bfloat16":                {"cpu", func(w *Workload) { w.Kind = lora.BF16 }},
		"dropout":                 {"cpu", func(w *Workload) { w.Adapter.Dropout = 0.3 }},
		"all computed again":      {"cpu", func(w *Workload) { w.Recompute = true }},
		"few rows at a time":      {"cpu", func(w *Workload) { w.Rows, w.RewardRows = 40, 64 }},
		"more than live at once":  {"cpu", func(w *Workload) { w.Prompts, w.Group = 5, 14 }},
		"one long reply":          {"cpu", func(w *Workload) { w.Prompts, w.Group, w.Completion = 1, 1, 60 }},
		"no dimension rounds":     {"cpu:generic", func(w *Workload) { w.Prompt, w.Group = 1, 7 }},
	}
}

func comparePlan(t *testing.T, engine string, change func(*Workload)) {
	t.Helper()
	w := smallWorkload(Qwen2, lora.F32)
	w.RewardRows = 8192
	change(&w)
	got, err := Plan(engine, w)
	if err != nil {
		t.Fatal(err)
	}
	want := taken(t, engine, w, 0)
	want.Again, want.Staging = got.Again, got.Staging
	if got != want {
		t.Errorf("planned %+v\n  taken %+v", got, want)
	}
}

// A budget has blocks computed again, no more of them than it takes, and what is
// planned then is what Policy.Memory brings about.
func TestPlanKeepsToABudget(t *testing.T) {
	w := smallWorkload(Qwen2, lora.F32)
	w.RewardRows = 8192
	free, err := Plan("cpu", w)
	if err != nil {
		t.Fatal(err)
	}
	before := Usage{Again: -1}
	for _, c := range []struct {
		why    string
		budget int64
		fits   bool
	}{
		{"all that it takes", free.Total(), true}, {"a byte less", free.Total() - 1, true},
		{"half of the activations", free.Total() - free.Update/2, true}, {"hardly more than weights", free.Resident() + free.Cache, false},
	} {
		w.Budget = c.budget
		u, err := Plan("cpu", w)
		if err != nil {
			t.Fatal(err)
		}
		if u.Fits(c.budget) != c.fits || u.Again <= before.Again {
			t.Errorf("%s: takes %d of %d bytes with %d blocks computed again", c.why, u.Total(), c.budget, u.Again)
		}
		if got := taken(t, "cpu", w, u.Update); got.Update != u.Update {
			t.Errorf("%s: the update takes %d bytes, planned were %d", c.why, got.Update, u.Update)
		}
		before = u
	}
}

func TestLargestGroup(t *testing.T) {
	w := smallWorkload(Qwen2, lora.F32)
	w.Group = 6
	six, err := Plan("cpu", w)
	if err != nil {
		t.Fatal(err)
	}
	w.Recompute, w.Budget = true, six.Total()
	group, u, err := LargestGroup("cpu", w)
	if err != nil || group < 6 || !u.Fits(w.Budget) {
		t.Fatalf("group of %d takes %d of %d bytes (%v)", group, u.Total(), w.Budget, err)
	}
	if w.Group = group + 1; group < 1024 {
		if more, err := Plan("cpu", w); err != nil || more.Fits(w.Budget) {
			t.Errorf("a group of %d takes %d of %d bytes as well (%v)", w.Group, more.Total(), w.Budget, err)
		}
	}
	w.Budget = six.Weights
	if group, _, err := LargestGroup("cpu", w); group != 0 || err != nil {
		t.Errorf("a group of %d fits into the room of the weights (%v)", group, err)
	}
	w.Budget = 0
	if _, _, err := LargestGroup("cpu", w); err == nil {
		t.Error("no budget is not refused")
	}
}

// A checkpoint in 4 bits keeps what it left alone as it is stored, as loading does.
func TestPlanOfAQuantizedCheckpoint(t *testing.T) {
	w := smallWorkload(Qwen2, lora.NF4)
	w.Model.DType = "bfloat16"
	plain, err := Plan("cpu", w)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why    string
		q      Quantization
		bigger bool
	}{
		{"the same form", Quantization{DoubleQuant: true}, false},
		{"scales in float32", Quantization{}, true},
		{"a layer left alone", Quantization{DoubleQuant: true, SkipModules: []string{"o_proj"}}, true},
		{"a skipped head changes nothing", Quantization{DoubleQuant: true, SkipModules: []string{"lm_head"}}, false},
	} {
		w.Model.Quantization = &c.q
		u, err := Plan("cpu", w)
		if err != nil {
			t.Fatal(err)
		}
		// The maps of scales in 8 bits are larger than all scales of a matrix so small.
		if c.bigger != (u.Weights != plain.Weights) {
			t.Errorf("%s: %d bytes, of a plain checkpoint %d", c.why, u.Weights, plain.Weights)
		}
	}
}

func TestPlanNamesWhatMakesNoSense(t *testing.T) {
	for field, change := range map[string]func(*Workload){
		"Group":             func(w *Workload) { w.Group = 0 },
		"Prompt":            func(w *Workload) { w.Prompt = 0 },
		"Completion":        func(w *Workload) { w.Completion = -1 },
		"Budget":            func(w *Workload) { w.Budget = -1 },
		"hidden_size":       func(w *Workload) { w.Model.HiddenSize = 0 },
		"Adapter.Rank":      func(w *Workload) { w.Adapter.Rank = 0 },
		"vocabulary head":   func(w *Workload) { w.Model.Classifier = true },
		"linear layer":      func(w *Workload) { w.Adapter.Targets = []string{"nothing"} },
		"example 0 has 28":  func(w *Workload) { w.Rows = 20 },
		"kind of weight 99": func(w *Workload) { w.Kind = 99 },
	} {
		w := smallWorkload(Qwen2, lora.F32)
		change(&w)
		u, err := Plan("cpu", w)
		if err == nil || !reflect.ValueOf(u).IsZero() || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v with %+v", field, err, u)
		}
	}
	if _, err := Plan("gpu", smallWorkload(Qwen2, lora.F32)); err == nil {
		t.Error("an engine of no family is not refused")
	}
}
