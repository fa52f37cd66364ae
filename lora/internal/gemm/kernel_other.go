//go:build !amd64 || purego

package gemm

import "sync/atomic"

// written lists the variants that there are.
func written() []*kernels { return []*kernels{&generic} }

var spinSink atomic.Int32

// pause gives way for an instant while spinning.
func pause() {
	for range 16 {
		spinSink.Load()
	}
}
