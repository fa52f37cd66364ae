//go:build cuda && cgo

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"unsafe"
)

const (
	stagingSize  = 8 << 20 // bytes
	stagingShare = 8       // the ring is at least so many times as large as what is staged at once
	stagingAlign = 256     // bytes
	inboxSize    = 1 << 20 // bytes
)

// staging is a ring of pinned memory with a mirror on the device. What is staged lies at
// one offset in both.
type staging struct {
	host    pinned
	mirror  Ptr
	at      int64
	retired []pinned // smaller ones, which operations under way may still read
}

// startTransfers makes the ring and the inbox.
func (d *Device) startTransfers() (err error) {
	if d.inbox, err = d.pin(inboxSize); err != nil {
		return err
	}
	return d.growStaging(stagingSize)
}

// growStaging replaces the ring by a larger one.
func (d *Device) growStaging(bytes int64) error {
	host, mirror, err := d.pinMirrored(bytes)
	if err != nil {
		return err
	}
	s := &d.staging
	if s.host.memory != nil {
		s.retired = append(s.retired, s.host)
	}
	s.host, s.mirror, s.at = host, mirror, 0
	return nil
}

// closeTransfers gives pinned memory back.
func (d *Device) closeTransfers() {
	for _, p := range append(d.staging.retired, d.staging.host, d.inbox) {
		d.unpin(p)
	}
}

// reserve returns the offset of n free bytes of the ring. Where it begins anew, it waits
// for all that was staged before.
func (d *Device) reserve(n int64) int64 {
	s := &d.staging
	if n*stagingShare > s.host.size {
		size := s.host.size
		for n*stagingShare > size {
			size *= 2
		}
		if err := d.growStaging(size); err != nil {
			d.Fail(fmt.Errorf("staging %s: %w", bytesText(n), err))
			return 0
		}
	}
	if s.at+n > s.host.size {
		d.wait()
		s.at = 0
	}
	at := s.at
	s.at += (n + stagingAlign - 1) &^ (stagingAlign - 1)
	return at
}

// Stage copies host data to the device and returns its address there, aligned to 256
// bytes, for the operation under way: launches that follow may read it until much more
// has been staged, at least seven times the largest piece. No data is the address 0.
func (d *Device) Stage(data []byte) Ptr {
	n := int64(len(data))
	if n == 0 || d.first != nil {
		return 0
	}
	if d.region.open {
		return d.stageInRegion(data)
	}
	at := d.reserve(n)
	if d.first != nil {
		return 0
	}
	copy(d.staging.host.bytes(at, n), data)
	dst := d.staging.mirror.Add(at)
	d.upload(dst, unsafe.Add(d.staging.host.memory, at), n)
	return dst
}

// upload starts a copy from pinned memory.
func (d *Device) upload(dst Ptr, src unsafe.Pointer, n int64) {
	if code := C.driver_upload(d.context, d.stream, C.CUdeviceptr(dst), src, C.size_t(n)); code != C.CUDA_SUCCESS {
		d.fail(fmt.Sprintf("copying %s to the device", bytesText(n)), code)
	}
}

// Upload copies host data of any size to dst. It returns when the data may be changed.
func (d *Device) Upload(dst Ptr, data []byte) {
	d.Flush()
	for len(data) > 0 && d.first == nil {
		n := min(int64(len(data)), d.staging.host.size/stagingShare)
		at := d.reserve(n)
		copy(d.staging.host.bytes(at, n), data[:n])
		d.upload(dst, unsafe.Add(d.staging.host.memory, at), n)
		dst, data = dst.Add(n), data[n:]
	}
}

// Download waits for all work and copies from the device. It returns the failure that
// sticks.
func (d *Device) Download(dst []byte, src Ptr) error {
	d.Flush()
	for len(dst) > 0 && d.first == nil {
		n := min(int64(len(dst)), inboxSize)
		code := C.driver_download(d.context, d.stream, d.inbox.memory, C.CUdeviceptr(src), C.size_t(n))
		if code != C.CUDA_SUCCESS {
			d.fail(fmt.Sprintf("reading %s after %s", bytesText(n), d.last.String()), code)
			break
		}
		copy(dst[:n], d.inbox.bytes(0, n))
		src, dst = src.Add(n), dst[n:]
	}
	return d.first
}
