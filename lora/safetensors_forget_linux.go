package lora

import "syscall"

// forget gives back the pages of a part of a mapped file. Failing, it changes nothing.
func forget(pages []byte) { _ = syscall.Madvise(pages, syscall.MADV_DONTNEED) }
