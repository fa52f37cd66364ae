//go:build cuda && cgo

package lora_test

import (
	"testing"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/lora/internal/enginetest"
)

func TestCUDAAttention(t *testing.T) {
	requireGPU(t)
	for _, name := range []string{"cuda:0", "cuda:0:f32"} {
		t.Run(name, func(t *testing.T) {
			enginetest.RunAttention(t, func() (lora.Engine, error) { return lora.Open(name) })
		})
	}
}
