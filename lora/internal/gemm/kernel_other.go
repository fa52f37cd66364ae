//go:build !amd64 || purego

package gemm

import "sync/atomic"

// available lists the variants, the best first.
var available = []*kernels{&generic}

var spinSink atomic.Int32

// pause gives way for an instant while spinning.
func pause() {
	for range 16 {
		spinSink.Load()
	}
}
