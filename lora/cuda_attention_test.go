//go:build cuda && cgo

package lora_test

import (
	"strings"
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

// Heads that no kernel is made for are an error of the operation, after which the engine
// works on.
func TestCUDAAttentionHeadTooLarge(t *testing.T) {
	requireGPU(t)
	e, err := lora.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	tree := lora.Tree{{Parent: -1, Len: 2, Rows: 2}}
	attend := func(dim int) error {
		q, o, lse := e.NewView(2, dim), e.NewView(2, dim), e.NewView(2, 1)
		e.Attention(o, lse, q, q, q, tree, lora.HeadShape{Heads: 1, KVHeads: 1, HeadDim: dim})
		e.AttentionBack(e.NewView(2, dim), e.NewView(2, dim), e.NewView(2, dim), o, o, lse, q, q, q, tree,
			lora.HeadShape{Heads: 1, KVHeads: 1, HeadDim: dim})
		return e.Sync()
	}
	if err := attend(257); err == nil || !strings.Contains(err.Error(), "head dimension above 256") {
		t.Errorf("heads of 257 elements: error %v", err)
	}
	if err := attend(256); err != nil {
		t.Errorf("heads of 256 elements: %v", err)
	}
}
