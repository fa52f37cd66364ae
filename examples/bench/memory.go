package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
)

// resetPeak makes the process's peak its present memory, where the system can.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakMemory returns the most memory that the process has held since resetPeak; where
// the system does not say, what the Go runtime has taken from it.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if _, after, ok := bytes.Cut(status, []byte("VmHWM:")); err == nil && ok {
		var kib int64
		if _, err := fmt.Sscan(string(after[:min(len(after), 32)]), &kib); err == nil {
			return kib << 10
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
