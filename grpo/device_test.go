package grpo

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// openGPU opens the float32 engine of the first GPU, and skips the test loudly where
// there is none.
func openGPU(t *testing.T) lora.Engine {
	t.Helper()
	eng, err := lora.Open("cuda:0:f32")
	if err != nil {
		for _, absent := range []string{"built without CUDA", "no NVIDIA driver", "finds no NVIDIA GPU"} {
			if strings.Contains(err.Error(), absent) {
				t.Skipf("SKIPPED, NOT TESTED ON A GPU: %v", err)
			}
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	})
	return eng
}

// epsilon is the relative error of an operation in float64.
const epsilon = 0x1p-52

// deviceCase is a step's completions: of one token, of as many as a block has threads, of
// a few more and of many; with and without old log-probabilities and reference.
func deviceCase(seed uint64, beta float64) ([]Row, policy.Targets) {
	rng := rand.New(rand.NewPCG(seed, 7))
	near := func(p []float64, shift float64) []float64 {
		q := make([]float64, len(p))
		for i := range q {
			q[i] = p[i] + shift + 0.4*rng.NormFloat64()
		}
		return q
	}
	var rows []Row
	var t policy.Targets
	for i, n := range []int{1, 2, 31, 128, 129, 500, 7, 64} {
		logp := make([]float64, n)
		for k := range logp {
			logp[k] = -2 * rng.ExpFloat64()
		}
		r := Row{Tokens: n, Micro: i / 4, Completion: Completion{Advantage: rng.NormFloat64()}}
		if i%3 != 0 { // below and above the present policy, so that whole sequences are clipped
			r.Old = near(logp, math.Copysign(0.5, -r.Advantage))
		}
		if beta != 0 && i%4 != 1 {
			r.Ref = near(logp, 0)
		}
		rows = append(rows, r)
		t.Index = append(t.Index, i)
		t.Spans = append(t.Spans, policy.Span{Start: len(t.LogProb), End: len(t.LogProb) + n})
		t.LogProb = append(t.LogProb, logp...)
	}
	return rows, t
}

// size bounds the magnitudes that are added up to a completion's loss, and those of its
// derivatives times the number of tokens.
func size(r Row, logp []float64, o Objective) (sum float64) {
	for t, p := range logp {
		rho, k := 1.0, 0.0
		if r.Old != nil {
			rho = math.Exp(math.Abs(p - r.Old[t]))
		}
		if r.Ref != nil {
			k = math.Exp(math.Abs(r.Ref[t]-p)) + math.Abs(r.Ref[t]-p)
		}
		sum += (1+rho)*(1+math.Abs(p))*math.Abs(r.Advantage) + o.Beta*k*(1+rho)
	}
	return sum
}

// The device's loss, its derivatives and its metrics are those of the host for every
// variant, level of the ratio and form of the KL term, within what the order of sums in
// float64 can make: n additions of numbers that add up to s in magnitude differ by at most
// n·ε·s, exponentials by a few ε, and the ratio of a sequence by n·ε of the sum in it.
func TestCUDALossEqualsTheHost(t *testing.T) {
	eng := openGPU(t)
	for _, v := range Variants() {
		for _, level := range []Level{TokenLevel, SequenceLevel} {
			for _, beta := range []float64{0, 0.04} {
				for _, ratioKL := range []bool{false, true} {
					o := Objective{Surrogate: v.Surrogate, Clip: Clip{Low: 0.2, High: 0.28}, Level: level, Beta: beta, RatioKL: ratioKL}
					if v.Name == "cispo" {
						o.Clip.High = 1.3
					}
					t.Run(fmt.Sprintf("%s/%s/beta %v/ratio %v", v.Name, level, beta, ratioKL), func(t *testing.T) {
						compareLosses(t, eng, v, o)
					})
				}
			}
		}
	}
}

func compareLosses(t *testing.T, eng lora.Engine, v Variant, o Objective) {
	rows, targets := deviceCase(3, o.Beta)
	Weigh(rows, v.Normaliser, 600)
	host, dev := NewLoss(o, rows), NewLoss(o, rows).On(eng)
	if dev.device == nil {
		t.Fatal("the engine's device is not used")
	}
	want, wantD, err := host.Eval(targets)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time in the memory of the first
		dev.micro = NewLoss(o, rows).micro
		got, gotD, err := dev.Eval(targets)
		if err != nil {
			t.Fatal(err)
		}
		bound, clipped := 0.0, 0.0
		for i, r := range rows {
			own := float64(r.Tokens+32) * epsilon * size(r, targets.Example(i), o) * r.Weight
			bound += own
			for k := targets.Spans[i].Start; k < targets.Spans[i].End; k++ {
				if !closeTo(gotD[k], wantD[k], own) {
					t.Errorf("derivative of token %d of all is %v, want %v within %.2g", k, gotD[k], wantD[k], own)
				}
			}
		}
		if !closeTo(got, want, bound) {
			t.Errorf("loss %v, want %v within %.2g", got, want, bound)
		}
		for m := range host.micro {
			g, w := dev.micro[m], host.micro[m]
			clipped += w.low + w.high
			if g.units != w.units || g.low != w.low || g.high != w.high || g.tokens != w.tokens || g.lowMin != w.lowMin || g.highMax != w.highMax {
				t.Errorf("micro-batch %d: counts %+v, want %+v", m, g, w)
			}
			if !closeTo(g.kl, w.kl, 1e-12*(1+w.kl)) {
				t.Errorf("micro-batch %d: divergence %v, want %v", m, g.kl, w.kl)
			}
		}
		if clipped == 0 {
			t.Error("no ratio was clipped: the case shows nothing")
		}
	}
}

// The device's advantages are those of the host: for groups that do not fill the batch,
// without rewards, of one completion, and of equal rewards, which give exactly 0.
func TestCUDAAdvantagesEqualTheHost(t *testing.T) {
	d := deviceOf(openGPU(t))
	rng := rand.New(rand.NewPCG(5, 5))
	random := func(n int, missing bool) []float64 {
		r := make([]float64, n)
		for i := range r {
			if r[i] = 10 * rng.NormFloat64(); missing && rng.IntN(3) == 0 {
				r[i] = nan
			}
		}
		return r
	}
	for name, rewards := range map[string][]float64{
		"whole groups": random(64, false), "a smaller last group": random(37, false), "some without reward": random(48, true),
		"none with reward": {nan, nan, nan, nan, nan}, "one": {3}, "equal": {0.1, 0.1, 0.1, 0.1}, "large": random(1000, true),
	} {
		for _, scale := range []Scale{ScaleGroup, ScaleBatch, ScaleNone} {
			for _, group := range []int{1, 4, 16, len(rewards)} {
				want, _ := advantages(rewards, group, scale, 1e-4)
				got, err := d.groupAdvantages(rewards, group, scale, 1e-4)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					// The deviation divides; it may be as small as eps.
					bound := float64(len(rewards)) * epsilon * 100 / 1e-4
					if scale == ScaleNone || group > 4 && len(rewards) > 20 {
						bound = float64(len(rewards)) * epsilon * 100
					}
					if !(closeTo(got[i], want[i], bound) || math.IsNaN(got[i]) && math.IsNaN(want[i])) || want[i] == 0 && got[i] != 0 {
						t.Errorf("%s, groups of %d over %s: advantage %d is %v, want %v", name, group, scale, i, got[i], want[i])
					}
				}
			}
		}
	}
}

// A loss that is not finite on the device names its completion, and nothing of it is lost.
func TestCUDALossThatIsNotFinite(t *testing.T) {
	eng := openGPU(t)
	for _, bad := range []float64{-2000, nan} {
		rows := []Row{{Tokens: 1, Weight: 1, Completion: Completion{Advantage: -1, Old: []float64{bad}}}}
		l := NewLoss(Objective{Surrogate: Clipped, Level: TokenLevel}, rows).On(eng)
		_, _, err := l.Eval(policy.Targets{Index: []int{0}, Spans: []policy.Span{{Start: 0, End: 1}}, LogProb: []float64{-1}})
		var not *lora.NonFiniteError
		if !errors.As(err, &not) || !strings.Contains(err.Error(), "completion 0") {
			t.Errorf("old log-probability %v: error %v", bad, err)
		}
	}
}

// A surrogate of one's own, and an engine of the host, are evaluated by the host.
func TestLossStaysOnTheHost(t *testing.T) {
	eng, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	own := func(rho, a, p float64, c Clip) Term { return Clipped(rho, a, p, c) }
	for name, surrogate := range map[string]Surrogate{"own": own, "known": Clipped} {
		o := Objective{Surrogate: surrogate, Level: TokenLevel}
		if _, known := o.deviceForm(); known != (name == "known") {
			t.Errorf("surrogate %s: known to the kernel: %v", name, known)
		}
		if NewLoss(o, nil).On(eng).device != nil {
			t.Errorf("surrogate %s: the CPU is taken for a device with kernels", name)
		}
	}
	forms := map[uint64]string{}
	for _, v := range Variants() {
		for _, level := range []Level{TokenLevel, SequenceLevel} {
			o := Objective{Surrogate: v.Surrogate, Level: level}
			form, known := o.deviceForm()
			if !known {
				t.Errorf("%s at %s level: not known to the kernel", v.Name, level)
			}
			forms[form] = v.Name
		}
	}
	if len(forms) != 4 || forms[deviceTruncated] != "cispo" {
		t.Errorf("forms of the loss: %v", forms)
	}
}
