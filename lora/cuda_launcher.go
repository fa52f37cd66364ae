//go:build cuda && cgo

package lora

import (
	"fmt"

	"github.com/socialrl/socialrl/lora/internal/cuda"
)

var _ interface {
	Kernels(module, ptx string, names ...string) ([]Kernel, error)
	Launch(k Kernel, blocks, threads int, out []byte, in [][]byte, words ...uint64) error
} = (*cudaEngine)(nil)

// Kernels makes the kernels of a module of another package known.
func (e *cudaEngine) Kernels(module, ptx string, names ...string) ([]Kernel, error) {
	ids, err := cuda.Register(module, ptx, names...)
	if err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	kernels := make([]Kernel, len(ids))
	for i, id := range ids {
		kernels[i] = Kernel(id)
	}
	return kernels, nil
}

// Launch runs a kernel on numbers of the host.
func (e *cudaEngine) Launch(k Kernel, blocks, threads int, out []byte, in [][]byte, words ...uint64) error {
	defer e.Reset(e.Mark())
	room := e.tempBytes(int64(len(out)))
	call := e.kernel(cuda.KernelID(k)).ptr(room)
	for _, data := range in {
		call.ptr(e.dev.Stage(data))
	}
	for _, w := range words {
		call.u64(w)
	}
	call.launch(blocks, 1, 1, threads, 0)
	return fetch(e, out, room)
}
