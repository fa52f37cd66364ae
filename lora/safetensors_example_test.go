package lora_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/lora"
)

// Two tensors are written and one is read back, row by row.
func ExampleOpenSafetensors() {
	dir, err := os.MkdirTemp("", "tensors")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.safetensors")
	err = lora.WriteSafetensors(path, []lora.Tensor{
		lora.NewF32("norm.weight", []int{2}, []float32{1, 1}),
		lora.NewBF16("up.weight", []int{3, 2}, []float32{1, 2, 3, 4, 5, 6}),
	}, map[string]string{"format": "pt"})
	if err != nil {
		fmt.Println(err)
		return
	}

	s, err := lora.OpenSafetensors(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(s.Names())
	up, _ := s.Tensor("up.weight")
	rows, err := up.Rows(2)
	if err != nil {
		fmt.Println(err)
		return
	}
	for first, block := range rows {
		fmt.Println(up.DType, first, block)
	}
	// Output:
	// [norm.weight up.weight]
	// BF16 0 [1 2 3 4]
	// BF16 2 [5 6]
}

// Features that change what an adapter computes are refused by name.
func ExampleParseConfig() {
	c, err := lora.ParseConfig([]byte(`{"peft_type": "LORA", "r": 8, "lora_alpha": 64, "target_modules": ["q_proj", "v_proj"]}`))
	fmt.Println(c.Targets, c.Scale(), err)
	_, err = lora.ParseConfig([]byte(`{"peft_type": "LORA", "use_dora": true, "bias": "all"}`))
	fmt.Println(err)
	// Output:
	// [q_proj v_proj] 8 <nil>
	// bias: "all": trained biases not supported; use_dora: true: DoRA not supported
}
