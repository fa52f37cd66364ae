package gemm_test

import (
	"fmt"

	"github.com/socialrl/socialrl/lora/internal/gemm"
)

// A linear layer with a bias, forward and backward, from one packed copy of its
// weights.
func Example() {
	pool, err := gemm.NewPool(2, "")
	if err != nil {
		panic(err)
	}
	defer pool.Close()

	w := gemm.PackF32(gemm.View([]float32{
		1, 2,
		3, 4,
		5, 6,
	}, 3, 2)) // 3 output features, 2 input features
	x := gemm.View([]float32{1, 1, 2, 0}, 2, 2)
	y := gemm.View([]float32{10, 20, 30, 10, 20, 30}, 2, 3) // the bias
	gemm.MulT(y, x, w, 1, 1, pool)
	fmt.Println(y.Data)

	dx := gemm.View(make([]float32, 4), 2, 2)
	gemm.Mul(dx, y, w, 1, 0, pool)
	fmt.Println(dx.Data)
	// Output:
	// [13 27 41 12 26 40]
	// [299 380 290 368]
}

// The workers serve other loops too; a piece may use scratch memory of its
// worker.
func ExamplePool_For() {
	pool, err := gemm.NewPool(2, "")
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	squares := make([]int, 8)
	pool.For(len(squares), 3, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			squares[i] = i * i
		}
	})
	fmt.Println(squares)
	// Output: [0 1 4 9 16 25 36 49]
}
