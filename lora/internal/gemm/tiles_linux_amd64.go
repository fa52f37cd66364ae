//go:build !purego

package gemm

import (
	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// hasTiles reports whether the processor multiplies tiles of bfloat16 and the system lets
// this process use them: it keeps their contents for those that ask.
func hasTiles() bool {
	const requestPermission, tileData = 0x1023, 18
	if !cpu.X86.HasAMXTile || !cpu.X86.HasAMXBF16 || !cpu.X86.HasAVX512BF16 {
		return false
	}
	_, _, failed := unix.Syscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return failed == 0
}
