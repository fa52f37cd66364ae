//go:build cuda && cgo

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
)

// Alloc returns memory of undefined contents, aligned to 256 bytes. Zero bytes are the
// address 0. The error says what is free; it does not stick.
func (d *Device) Alloc(bytes int64) (Ptr, error) {
	if bytes == 0 || d.first != nil {
		return 0, d.first
	}
	d.Flush()
	var p cu.DevicePtr
	err := d.locked(func() (err error) {
		p, err = cu.MemAlloc(bytes)
		return err
	})
	switch {
	case err == cu.OutOfMemory:
		return 0, fmt.Errorf("out of memory: %s wanted, %s: %w", bytesText(bytes), d.memoryText(), ErrOutOfMemory)
	case err != nil:
		return 0, fmt.Errorf("allocating %s: %w", bytesText(bytes), err)
	}
	d.allocated[Ptr(p)] = bytes
	return Ptr(p), nil
}

// Free waits for all work and gives memory back. Address 0 is ignored.
func (d *Device) Free(p Ptr) {
	if _, ours := d.allocated[p]; !ours {
		return
	}
	d.wait()
	delete(d.allocated, p)
	err := d.locked(func() error { return cu.MemFree(cu.DevicePtr(p)) })
	if err != nil {
		d.Fail(fmt.Errorf("freeing memory: %w", err))
	}
}

// Clear sets bytes to 0.
func (d *Device) Clear(p Ptr, bytes int64) {
	if bytes == 0 || d.first != nil {
		return
	}
	d.Flush()
	if code := C.driver_clear(d.context, d.stream, C.CUdeviceptr(p), C.size_t(bytes)); code != C.CUDA_SUCCESS {
		d.fail(fmt.Sprintf("clearing %s", bytesText(bytes)), code)
	}
}

// pinned is memory of the host that the device reads and writes by itself.
type pinned struct {
	memory unsafe.Pointer
	size   int64
}

// pin makes pinned memory.
func (d *Device) pin(bytes int64) (pinned, error) {
	p := pinned{size: bytes}
	if code := C.driver_pinned(d.context, &p.memory, C.size_t(bytes)); code != C.CUDA_SUCCESS {
		return pinned{}, fmt.Errorf("pinning %s of host memory: %w", bytesText(bytes), Error(code))
	}
	return p, nil
}

// pinMirrored allocates pinned memory and as much on the device.
func (d *Device) pinMirrored(bytes int64) (host pinned, mirror Ptr, err error) {
	if host, err = d.pin(bytes); err != nil {
		return pinned{}, 0, err
	}
	if mirror, err = d.Alloc(bytes); err != nil {
		d.unpin(host)
		return pinned{}, 0, err
	}
	return host, mirror, nil
}

// unpin gives pinned memory back.
func (d *Device) unpin(p pinned) {
	if p.memory != nil {
		C.driver_unpin(d.context, p.memory)
	}
}

// bytes returns n bytes from an offset on.
func (p pinned) bytes(at, n int64) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(p.memory, at)), n)
}
