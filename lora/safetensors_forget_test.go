package lora_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// A tensor that was forgotten reads as before, and so do its neighbours.
func TestForgetLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var tensors []lora.Tensor
	for i, name := range []string{"a", "b", "c"} {
		v := make([]float32, 5000*(i+1)+i)
		for j := range v {
			v[j] = float32(i + j)
		}
		tensors = append(tensors, lora.NewF32(name, []int{len(v)}, v))
	}
	if err := lora.WriteSafetensors(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	f, err := lora.OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{"b", "none", "a", "b", "c"} {
		f.Forget(name)
		for _, want := range tensors {
			if got, ok := f.Tensor(want.Name); !ok || !bytes.Equal(got.Data, want.Data) {
				t.Errorf("after %q was forgotten, %q is other than before", name, want.Name)
			}
		}
	}
}
