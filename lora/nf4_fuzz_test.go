package lora

import "testing"

// Whatever the parts of a matrix in 4 bits hold, reading gives an error or a matrix
// whose numbers can be computed.
func FuzzNF4(f *testing.F) {
	const double = `{"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [2, 40], "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.5}`
	f.Add([]byte(double), make([]byte, 40), []byte{1, 2}, true)
	f.Add([]byte(double), make([]byte, 40), []byte{1}, true)
	f.Add([]byte(`{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, 40]}`), make([]byte, 40), []byte{1, 2, 3, 4}, false)
	f.Add([]byte(`{"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [1099511627776, 1099511627776]}`), []byte{}, []byte{}, false)
	f.Add([]byte(`{"shape": null`), []byte{0}, []byte{0}, true)
	f.Fuzz(func(t *testing.T, state, codes, scales []byte, double bool) {
		bytes := func(name string, b []byte) Tensor {
			return Tensor{Name: name, DType: DTypeU8, Shape: []int{len(b)}, Data: b}
		}
		all := []Tensor{bytes("w", codes), bytes("w.quant_state.bitsandbytes__nf4", state), NewF32("w.quant_map", []int{16}, make([]float32, 16))}
		if double {
			all = append(all, bytes("w.absmax", scales), NewF32("w.nested_absmax", []int{1}, []float32{2}),
				NewF32("w.nested_quant_map", []int{256}, make([]float32, 256)))
		} else {
			all = append(all, NewF32("w.absmax", []int{len(scales)}, make([]float32, len(scales))))
		}
		s := &Safetensors{tensors: map[string]stEntry{}}
		for _, part := range all {
			s.tensors[part.Name] = stEntry{Tensor: part}
		}
		w, ok, err := s.NF4("w")
		if !ok {
			t.Fatal("not taken for a matrix in 4 bits")
		}
		if err != nil {
			return
		}
		if values, err := w.Floats(); err != nil || len(values) != w.Shape[0]*w.Shape[1] {
			t.Fatalf("%d numbers of shape %v: %v", len(values), w.Shape, err)
		}
	})
}
