package policy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// eachSection calls f for all sections, those above before those below.
func eachSection(sections []*section, f func(s *section)) {
	for _, s := range sections {
		f(s)
		eachSection(s.below, f)
	}
}

// Sections hold every row once, and every example; one of more rows than asked for is a
// single segment; and above it lie the keys of its path.
func TestCutKeepsEveryRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		f := newForest(t, randomExamples(rng, 1+rng.IntN(12), 3)...)
		for _, most := range []int{1, 3, 8, 100} {
			rows, examples := 0, 0
			eachSection(cut(f, most), func(s *section) {
				own := 0
				for _, n := range s.tree {
					if n.Rows > 0 {
						own++
					}
				}
				if s.lo >= s.hi || s.rows() > most && own > 1 || s.above != int(f.positions[s.lo]) {
					t.Fatalf("rows %d to %d in %d segments, %d keys above, position %d", s.lo, s.hi, own, s.above, f.positions[s.lo])
				}
				rows += s.rows()
				if s.examples != nil {
					examples += s.examples.Examples()
				}
			})
			if rows != f.Rows() || examples != f.Examples() {
				t.Fatalf("%d of %d rows, %d of %d examples", rows, f.Rows(), examples, f.Examples())
			}
		}
	}
}

func TestCut(t *testing.T) {
	turns := []Example{{[]int{1, 2, 3, 9, 9}, 3}, {[]int{1, 2, 3, 4, 5, 9, 9}, 5}, {[]int{1, 2, 3, 4, 5, 6, 7, 9, 9}, 7}}
	for _, c := range []struct {
		why      string
		examples []Example
		most     int
		want     string
	}{
		{"a group: the prompt, then replies in parts of about one size", group(40, 8, 11, 23), 60, "0-40(40-80 80-120)"},
		{"fewer rows than a reply: one at a time", group(4, 2, 5, 23), 1, "0-4(4-8 8-12)"},
		{"all in one", group(4, 2, 5, 23), 12, "0-12"},
		{"turns: the history in segments, each with the reply to it", turns, 3, "0-3(3-5(5-8 8-9) 9-10)"},
		{"turns: what fits below a segment stays together", turns, 6, "0-3(3-9 9-10)"},
		{"roots that fit, beside one that does not", append(turns, Example{[]int{5, 5, 5}, 1}, Example{[]int{6, 6}, 1}), 4, "0-3(3-5(5-9) 9-10) 10-13"},
	} {
		if got := spell(cut(newForest(t, c.examples...), c.most)); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

// spell writes sections as their rows, with those below in brackets.
func spell(sections []*section) (text string) {
	for i, s := range sections {
		if i > 0 {
			text += " "
		}
		text += fmt.Sprintf("%d-%d", s.lo, s.hi)
		if len(s.below) > 0 {
			text += "(" + spell(s.below) + ")"
		}
	}
	return text
}

// stepAs takes a step as planned, and returns its loss and all gradients.
func stepAs(t *testing.T, p *Policy, f *Forest, loss Loss, plan stepPlan) (float64, []float32) {
	t.Helper()
	p.bind()
	p.adapter.ZeroGrad()
	s := &stepper{n: p.net, f: f, o: newOptions(f, nil), plan: plan, loss: loss,
		mask: dropout{rate: p.dropout.rate, seed: 3, step: 4, rows: 5}}
	if err := s.run(context.Background(), plan.parts, nil); err != nil {
		t.Fatal(err)
	}
	var grads []float32
	for _, param := range p.adapter.Params() {
		grads = append(grads, readView(t, p.Engine(), param.Grad)...)
	}
	return s.value, grads
}

// plansOf returns the ways to compute a forest in parts of a number of rows.
func plansOf(p *Policy, f *Forest, most int) (plans []stepPlan) {
	parts, blocks := cut(f, most), p.base.cfg.Layers
	for _, again := range [][2]int{{0, 0}, {1, 0}, {blocks, 0}, {blocks, 1}, {blocks, blocks}} {
		plans = append(plans, stepPlan{parts: parts, stems: again[0], leaves: again[1]})
	}
	return plans
}

// variants returns a policy of each kind that a step treats differently.
func variants(t *testing.T, engine string) map[string]*Policy {
	t.Helper()
	out := map[string]*Policy{}
	for _, modelType := range []string{Qwen2, Qwen3} {
		base := tinyBase(t, engine, modelType)
		full, err := NewFull(base)
		if err != nil {
			t.Fatal(err)
		}
		if out[modelType+" full"], err = New(base, full); err != nil {
			t.Fatal(err)
		}
		qv, err := NewAdapter(base, lora.Config{Rank: 2, Alpha: 4, Targets: lora.QV}, 5)
		if err != nil {
			t.Fatal(err)
		}
		if out[modelType+" q and v"], err = New(base, qv); err != nil {
			t.Fatal(err)
		}
		out[modelType], out[modelType+" scores"], out[modelType+" dropout"] = tinyPolicy(t, base, false), tinyPolicy(t, base, true), tinyPolicy(t, base, false)
		out[modelType+" dropout"].SetDropout(0.3)
	}
	return out
}

// A step in parts gives the loss and the gradients of the whole, on the reference engine
// up to the rounding of float64 sums; on the CPU within what separates any two orders of
// sums there. Dropout drops the same.
func TestPartsGiveTheGradientsOfTheWhole(t *testing.T) {
	for _, engine := range []string{"float64", "cpu"} {
		tolerance := map[string]float64{"float64": 1e-6, "cpu": 2e-5}[engine]
		for name, p := range variants(t, engine) {
			rng := rand.New(rand.NewPCG(2, 7))
			for range 4 {
				examples := randomExamples(rng, 2+rng.IntN(9), 3)
				examples = append(examples, examples[rng.IntN(len(examples))])
				if name == Qwen2+" scores" || name == Qwen3+" scores" {
					for i := range examples {
						examples[i].First = len(examples[i].Tokens)
					}
				}
				w, f := randomWeights(rng, examples), newForest(t, examples...)
				wantLoss, want := stepAs(t, p, f, w, stepPlan{parts: whole(f)})
				for _, most := range []int{1, 4, 9} {
					var first []float32
					for i, plan := range plansOf(p, f, most) {
						loss, grads := stepAs(t, p, f, w, plan)
						closeTo(t, engine+" loss", loss, wantLoss, 1e-5, 1e-5)
						if d := relative(grads, want); !(d <= tolerance) {
							t.Errorf("%s, %s, parts of %d rows, %d and %d blocks again: gradients differ by %.2g, want at most %g", engine, name, most, plan.stems, plan.leaves, d, tolerance)
						}
						if i == 0 {
							first = grads
						} else if !slices.Equal(grads, first) {
							t.Errorf("%s, %s, parts of %d rows: gradients change with %d and %d blocks computed again", engine, name, most, plan.stems, plan.leaves)
						}
					}
				}
			}
		}
	}
}

// What a step in parts takes is known to the byte.
func TestMemoryOfPartsIsWhatTheyTake(t *testing.T) {
	turns := []Example{}
	for i := range 4 {
		turns = append(turns, Example{slices.Concat(seq(10 + 3*i)[1:], []int{20, 21, 22, i}), 12 + 3*i})
	}
	for name, examples := range map[string][]Example{"a group": group(40, 5, 9, 23), "turns": turns} {
		f := newForest(t, examples...)
		for _, engine := range []string{"cpu", "float64"} {
			for _, most := range []int{1, 20} {
				for _, dropout := range []float64{0, 0.2} {
					for i := range 5 {
						p := budgeted(t, engine, Qwen3, dropout, false)
						p.bind()
						plan := plansOf(p, f, most)[i]
						want := p.measurePlan(f, newOptions(f, nil), plan)
						stepAs(t, p, f, CrossEntropy{}, plan)
						if got := p.Engine().Stats().ArenaPeak; got != want {
							t.Errorf("%s on %s, parts of %d rows, dropout %v, %d and %d blocks again: the arena held %d bytes, want %d",
								name, engine, most, dropout, plan.stems, plan.leaves, got, want)
						}
					}
				}
			}
		}
	}
}

// A step is computed in large parts; where it does not fit, in smaller ones, and then with
// the fewest rows computed again; the step takes what was planned.
func TestMemoryBoundCutsFirst(t *testing.T) {
	f := newForest(t, group(40, 16, 10, 23)...)
	p := budgeted(t, "cpu", Qwen2, 0, false)
	p.bind()
	p.partRows = []int{72, 36}
	o := newOptions(f, nil)
	at := func(most, stems, leaves int) int64 {
		return p.measurePlan(f, o, stepPlan{parts: cut(f, most), stems: stems, leaves: leaves})
	}
	for _, c := range []struct {
		why    string
		memory int64
		want   string
	}{
		{"no bound", 0, "2 parts, 0 and 0 again"},
		{"one that large parts keep", at(72, 0, 0), "2 parts, 0 and 0 again"},
		{"a byte less", at(72, 0, 0) - 1, "4 parts, 0 and 0 again"},
		{"one that small parts do not keep", at(36, 0, 0) - 1, "4 parts, 1 and 0 again"},
		{"one that nothing keeps", 1, "4 parts, 5 and 5 again"},
	} {
		p.Memory = c.memory
		plan, leaves := p.plan(f, o), 0
		eachSection(plan.parts, func(s *section) {
			if len(s.below) == 0 {
				leaves++
			}
		})
		if got := fmt.Sprintf("%d parts, %d and %d again", leaves, plan.stems, plan.leaves); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
		if c.memory > 1 && plan.bytes > c.memory {
			t.Errorf("%s: %d bytes, more than %d", c.why, plan.bytes, c.memory)
		}
	}
	o.whole = true
	for memory, again := range map[int64]int{0: 0, p.measure(f, o, 2): 2} {
		if p.Memory = memory; len(p.plan(f, o).parts) != 1 || p.plan(f, o).stems != 0 || p.plan(f, o).leaves != again {
			t.Errorf("the loss needs all examples, %d bytes: %+v", memory, p.plan(f, o))
		}
	}
	p.Memory = at(36, 1, 0)
	if _, err := p.Step(context.Background(), f, CrossEntropy{}); err != nil || p.Engine().Stats().ArenaPeak != p.StepMemory(f) {
		t.Errorf("the arena held %d bytes, want %d: %v", p.Engine().Stats().ArenaPeak, p.StepMemory(f), err)
	}
}
