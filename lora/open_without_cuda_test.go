//go:build !(cuda && cgo)

package lora_test

import (
	"strings"
	"testing"

	"github.com/socialrl/socialrl/lora"
)

// A program without CUDA says how to build one with it.
func TestOpenSaysHowToBuildWithCUDA(t *testing.T) {
	_, err := lora.Open("cuda:0")
	for _, want := range []string{`"cuda:0"`, "built without CUDA", "-tags cuda", "CGO_CFLAGS", "cuda.h"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %s", err, want)
		}
	}
}
