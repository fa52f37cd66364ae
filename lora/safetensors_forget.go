package lora

import (
	"os"
	"unsafe"
)

// Forget tells the system that a tensor's bytes will hardly be read again, so that they
// no longer count as the process's memory. Nothing is lost: who reads them all the same
// waits for the system's cache. Names without a tensor are ignored.
func (s *Safetensors) Forget(name string) {
	e, ok := s.tensors[name]
	if !ok || len(e.Data) == 0 {
		return
	}
	for _, f := range s.files {
		if f.path != e.file || f.mapped == nil {
			continue
		}
		page := os.Getpagesize()
		start := int(uintptr(unsafe.Pointer(unsafe.SliceData(e.Data))) - uintptr(unsafe.Pointer(unsafe.SliceData(f.mapped))))
		end := start + len(e.Data)
		if start, end = (start+page-1)/page*page, end/page*page; 0 <= start && start < end && end <= len(f.mapped) {
			forget(f.mapped[start:end])
		}
	}
}
