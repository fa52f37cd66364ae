//go:build !(cuda && cgo)

package lora_test

import (
	"strconv"
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

// A name that no build knows is named, and no build is advised.
func TestOpenNamesAnUnknownVariantOfCUDA(t *testing.T) {
	for _, name := range []string{"cuda:0:f16", "cuda:x", "cuda:-1", "cuda:0:f32:"} {
		_, err := lora.Open(name)
		if err == nil || !strings.Contains(err.Error(), strconv.Quote(name)+": unknown variant") || strings.Contains(err.Error(), "-tags") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
