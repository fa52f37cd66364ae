package grpo_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"unicode"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/grpo"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
	"github.com/socialrl/socialrl/reward"
)

// Two groups of three replies. In the second all are equally good, so there is
// nothing to learn from it.
func ExampleAdvantages() {
	rewards := []float64{1, 2, 6, 5, 5, 5}
	fmt.Printf("%.3f\n", grpo.Advantages(rewards, 3, grpo.ScaleGroup, 1e-4))
	fmt.Printf("%.3f\n", grpo.Advantages(rewards, 3, grpo.ScaleNone, 0))
	// Output:
	// [-0.756 -0.378 1.134 0.000 0.000 0.000]
	// [-2.000 -1.000 3.000 0.000 0.000 0.000]
}

func ExampleKL() {
	k, dk := grpo.KL(math.Log(0.5), math.Log(0.25))
	fmt.Printf("estimate %.3f nats, derivative %.3f\n", k, dk)
	// Output: estimate 0.193 nats, derivative 0.500
}

// A loss of one's own is one function: here the ratio is not clipped at all.
func ExampleVariant() {
	unclipped := grpo.Variant{
		Name: "unclipped",
		Surrogate: func(rho, advantage, _ float64, _ grpo.Clip) grpo.Term {
			return grpo.Term{Loss: -rho * advantage, DRho: -advantage}
		},
		Normaliser: grpo.PerWindow,
	}
	o := grpo.Objective{Surrogate: unclipped.Surrogate, Level: grpo.TokenLevel}
	d := make([]float64, 2)
	loss, _ := o.Eval(d, []float64{-1, -2}, grpo.Completion{Advantage: 0.5, Old: []float64{-1, -3}})
	fmt.Printf("loss %.3f, derivatives %.3f\n", loss, d)
	// Output: loss -1.859, derivatives [-0.500 -1.359]
}

// A policy of random weights learns to write capital letters, from 0.4 to 5 of 6.
func ExampleGRPOTrainer() {
	base, closeBase, err := tiny.Load("cpu") // for a model of the hub, lora.Open and policy.LoadBase
	if err != nil {
		log.Fatal(err)
	}
	defer closeBase()
	adapter, err := policy.NewAdapter(base, lora.Config{Rank: 8, Alpha: 16, Targets: lora.AllLinear}, 1)
	if err != nil {
		log.Fatal(err)
	}
	p, err := policy.New(base, adapter)
	if err != nil {
		log.Fatal(err)
	}

	capitals := reward.Each(func(s reward.Sample) float64 {
		n := 0
		for _, c := range s.Text {
			if unicode.IsUpper(c) {
				n++
			}
		}
		return float64(n)
	})
	cfg := grpo.Default()
	cfg.Group, cfg.MicroBatch, cfg.Accumulation = 16, 32, 1
	cfg.LearningRate, cfg.MaxCompletion, cfg.Epochs, cfg.Beta = 1e-2, 6, 30, 0.001
	first, last := 0.0, 0.0
	cfg.OnStep = func(step, _ int, m grpo.Metrics) {
		if step == 1 {
			first = m["reward"]
		}
		last = m["reward"]
	}
	t, err := grpo.NewGRPOTrainer(p, []reward.Weighted{{Scorer: capitals, Weight: 1, Name: "capitals"}}, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	items := func(yield func(episode.Item, error) bool) {
		for range 2 {
			yield(episode.Item{Input: "Shout!"}, nil)
		}
	}
	if err := t.Train(context.Background(), items); err != nil {
		log.Fatal(err)
	}
	fmt.Println("steps:", t.Step())
	fmt.Println("reward rose:", last > first+1)
	// Output:
	// steps: 30
	// reward rose: true
}
