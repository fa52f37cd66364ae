//go:build amd64 && !purego

package gemm

import (
	"slices"
	"testing"
)

// Products of bfloat16 are preferred on processors of AMD alone.
func TestPreferenceFollowsTheMaker(t *testing.T) {
	for name, want := range map[string]bool{"AuthenticAMD": true, "GenuineIntel": false, "": false} {
		if got := fastDots(name); got != want {
			t.Errorf("maker %q: %v, want %v", name, got, want)
		}
	}
	if len(maker()) != 12 {
		t.Errorf("the maker's name is %q, want 12 characters", maker())
	}
	names := Variants()
	if i := slices.Index(names, "avx512bf16"); i >= 0 && (i == 0) != fastDots(maker()) {
		t.Errorf("variants of a processor by %s: %v", maker(), names)
	}
}
