//go:build cuda && cgo

package lora

import (
	"fmt"
	"sync"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

// cudaNames lists the engines on GPUs that open, in both precisions, those of float32
// first. Opening takes a moment, so that it is tried once.
var cudaNames = sync.OnceValue(func() (names []string) {
	for i := 0; ; i++ {
		dev, err := cuda.Open(i)
		if err != nil {
			return names
		}
		_ = dev.Close()
		names = append(names, fmt.Sprintf("cuda:%d:f32", i), fmt.Sprintf("cuda:%d", i))
	}
})

func init() { devices = cudaNames }
