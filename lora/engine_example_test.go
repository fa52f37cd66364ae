package lora_test

import (
	"fmt"

	"github.com/socialrl/socialrl/lora"
	"gorgonia.org/tensor"
)

// A linear layer y = x·Wᵀ + bias on an engine: write the inputs, run, read the result.
func ExampleEngine_linear() {
	e, err := lora.Open("float64") // or "cpu", "cuda:0"
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	w, bias := e.NewView(2, 3), e.NewView(1, 2)
	e.Write(w, []float32{1, 0, 0, 0, 1, 1})
	e.Write(bias, []float32{10, 20})

	mark := e.Mark() // what Temp makes from here on is given back below
	x, y := e.Temp(1, 3), e.Temp(1, 2)
	e.Write(x, []float32{1, 2, 3})
	e.Linear(y, x, &lora.Linear{W: e.ViewWeight(w), Bias: bias}, lora.View{})
	out := make([]float32, 2)
	if err := e.Read(out, y); err != nil {
		fmt.Println(err)
	}
	e.Reset(mark)
	fmt.Println(out)
	// Output: [11 25]
}

// An engine multiplies gorgonia tensors that were made with it.
func ExampleEngine_matMul() {
	e, err := lora.Open("cpu")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	a := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}), tensor.WithEngine(e))
	b := tensor.New(tensor.WithShape(2, 1), tensor.WithBacking([]float32{1, 1}), tensor.WithEngine(e))
	c, err := tensor.MatMul(a, b)
	fmt.Println(c.Data(), err)
	// Output: [3 7] <nil>
}
