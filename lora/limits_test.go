package lora_test

import (
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// The limits are those of a machine: what is measured lies within what any has.
func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a gigabyte")
	}
	e, err := lora.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	l := e.(lora.Measurer).Limits()
	if l.F32 < 1e7 || l.F32 > 1e15 || l.Read < 1e7 || l.Read > 1e14 || l.BF16 != 0 && l.BF16 < 1e7 {
		t.Errorf("limits %+v", l)
	}
	if got := (lora.Limits{F32: 1, BF16: 2}).Arithmetic(); got != 2 {
		t.Errorf("arithmetic %v, want the higher rate", got)
	}
}
