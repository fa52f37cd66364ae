package gemm

import (
	"syscall"
	"unsafe"
)

const (
	hugePage  = 2 << 20
	leastHuge = 1 << 20 // bytes from which on large pages are worth asking for
)

// inHugePages asks for large pages for s: a matrix that is read from end to end in pages
// of 4 KiB has the processor look up an address every few hundred cycles, and no page is
// fetched before its first line is read. What lies beside s in its pages is memory of the
// garbage collector too. A system without large pages refuses, which does no harm.
func inHugePages(s []float32) {
	bytes := 4 * uintptr(len(s))
	if bytes < leastHuge {
		return
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	before := start % hugePage
	whole := (before + bytes + hugePage - 1) / hugePage * hugePage
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start-before, whole, syscall.MADV_HUGEPAGE)
}
