package lora_test

import (
	"fmt"
	"log"

	"github.com/socialrl/socialrl/lora"
)

// A matrix in 4 bits: the largest magnitude of a block is kept, all others become a
// multiple of it by one of 16 numbers.
func ExampleQuantizeNF4() {
	q, err := lora.QuantizeNF4(lora.NewF32("w", []int{2, 3}, []float32{0.5, -2, 0.1, 0, 1.1, -0.7}), false)
	if err != nil {
		log.Fatal(err)
	}
	values, err := q.Floats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("codes %x, scale %v\n", q.Data, q.NF4.Absmax)
	fmt.Printf("%.2f\n", values)
	// Output:
	// codes a087d3, scale [2]
	// [0.49 -2.00 0.16 0.00 1.13 -0.79]
}

// A layer over a frozen matrix in 4 bits computes with the numbers that its codes
// stand for.
func ExampleKind() {
	eng, err := lora.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()
	w, err := eng.NewWeight(lora.NewF32("w", []int{1, 2}, []float32{1, -0.69}), lora.NF4)
	if err != nil {
		log.Fatal(err)
	}
	x, y := eng.NewView(1, 2), eng.NewView(1, 1)
	eng.Write(x, []float32{1, 1})
	eng.Linear(y, x, &lora.Linear{W: w}, lora.View{})
	out := make([]float32, 1)
	if err := eng.Read(out, y); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v: 1 - 0.69 = %.2f\n", w.Kind(), out[0])
	// Output:
	// nf4: 1 - 0.69 = 0.30
}
