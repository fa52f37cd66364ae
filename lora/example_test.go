package lora_test

import (
	"fmt"
	"log"

	"github.com/socialrl/socialrl/lora"
	"gorgonia.org/tensor"
)

// A linear layer whose weight is frozen learns, through a branch of rank one, to
// double its input.
func Example() {
	eng, err := lora.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()
	w, err := eng.NewWeight(lora.NewF32("w", []int{2, 2}, []float32{1, 0, 0, 1}), lora.F32)
	if err != nil {
		log.Fatal(err)
	}
	a := lora.NewAdapter(eng, lora.Config{Rank: 1, Alpha: 1, Targets: []string{"w"}})
	down, up := a.Add("A", 1, 2), a.Add("B", 2, 1)
	eng.Write(down.Value, []float32{0.5, 0.5})
	opt := lora.NewAdamW(a, lora.AdamWConfig{})
	layer := lora.Linear{W: w, A: down.Value, B: up.Value, Scale: a.Config.Scale(), DA: down.Grad, DB: up.Grad}

	out := make([]float32, 2)
	for range 200 {
		mark := eng.Mark()
		x, y, h := eng.Temp(1, 2), eng.Temp(1, 2), eng.Temp(1, 1)
		eng.Write(x, []float32{1, 1})
		eng.Linear(y, x, &layer, h)
		if err := eng.Read(out, y); err != nil {
			log.Fatal(err)
		}
		// The loss is ½·Σ(y − 2)², its gradient y − 2.
		eng.Write(y, []float32{out[0] - 2, out[1] - 2})
		eng.LinearBack(lora.View{}, y, x, &layer, h, false)
		if _, err := opt.Step(0.02); err != nil {
			log.Fatal(err)
		}
		eng.Reset(mark)
	}
	fmt.Printf("%.1f\n", out)
	// Output: [2.0 2.0]
}

// Tensors that are made with an engine use its matrix product.
func ExampleOpen() {
	eng, err := lora.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()
	a := tensor.New(tensor.WithEngine(eng), tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}))
	b := tensor.New(tensor.WithEngine(eng), tensor.WithShape(2, 1), tensor.WithBacking([]float32{1, 1}))
	c, err := tensor.MatMul(a, b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Data())
	// Output: [3 7]
}

func ExampleLinearDecay() {
	schedule := lora.LinearDecay(2)
	for step := range 6 {
		fmt.Print(schedule(step, 6), " ")
	}
	// Output: 0 0.5 1 0.75 0.5 0.25
}

func ExampleKey_Uniform() {
	key := lora.Key{Seed: 42, Purpose: lora.ForSampling, Index: 3}
	fmt.Println(key.Uniform(7) == key.Uniform(7), key.Uniform(7) == key.Uniform(8))
	// Output: true false
}
