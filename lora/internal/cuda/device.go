//go:build cuda && cgo

package cuda

// #cgo LDFLAGS: -L${SRCDIR}/link -Wl,--as-needed -ldl
// #include "driver.h"
// #include "forward.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
)

// The oldest driver and the oldest device that the kernels run on.
const (
	minDriver     = 11070 // CUDA 11.7
	minCapability = 80    // Ampere
)

// Ptr is an address in a device's memory; 0 is none.
type Ptr uint64

// Add returns the address so many bytes further.
func (p Ptr) Add(bytes int64) Ptr { return p + Ptr(bytes) }

// Device is a GPU with its primary context and one stream.
type Device struct {
	name         string
	sms          int
	major, minor int
	total        int64

	device  cu.Device
	primary cu.CUContext
	context C.CUcontext
	queue   cu.Stream
	stream  C.CUstream

	first     error     // the failure that sticks
	last      operation // launched last, or held back
	call      C.driver_call
	modules   map[string]C.CUmodule
	functions []function // by KernelID
	allocated map[Ptr]int64
	staging   staging
	inbox     pinned // what is downloaded arrives here
	region    region
	launches  int64 // of kernels alone
	graphs    int64 // launches of graphs
	closers   []func()
	blas      blasHandle // nil until StartBLAS
	product   blasCall   // made last
}

// Open opens the GPU of a number. The error says what is missing: a driver, a GPU of that
// number, or a newer one of either.
func Open(ordinal int) (*Device, error) {
	if err := checkDriver(); err != nil {
		return nil, err
	}
	d := &Device{modules: map[string]C.CUmodule{}, allocated: map[Ptr]int64{}}
	if err := d.find(ordinal); err != nil {
		return nil, err
	}
	if err := d.start(); err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return d, nil
}

// checkDriver reports a driver that is missing, does not start or is too old.
func checkDriver() error {
	if text := C.GoString(C.forward_error()); text != "" {
		return fmt.Errorf("no NVIDIA driver: %s", text)
	}
	code := C.CUresult(C.forward_init())
	switch code {
	case C.CUDA_SUCCESS:
	case C.CUDA_ERROR_NO_DEVICE:
		return errors.New("the driver finds no NVIDIA GPU")
	default:
		return fmt.Errorf("the driver does not start: %w", Error(code))
	}
	if v := cu.Version(); v < minDriver {
		return fmt.Errorf("the driver knows CUDA %s, needed is %s or later: update the driver", versionText(v), versionText(minDriver))
	}
	return nil
}

// versionText writes a version of CUDA as people do: 12040 is 12.4.
func versionText(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// find looks the device up.
func (d *Device) find(ordinal int) error {
	count, err := cu.NumDevices()
	if err != nil {
		return fmt.Errorf("counting GPUs: %w", err)
	}
	if count == 0 {
		return errors.New("the driver finds no NVIDIA GPU")
	}
	if ordinal < 0 || ordinal >= count {
		return fmt.Errorf("there is no GPU %d, allowed are 0 to %d", ordinal, count-1)
	}
	if d.device, err = cu.GetDevice(ordinal); err != nil {
		return fmt.Errorf("GPU %d: %w", ordinal, err)
	}
	if err := d.describe(); err != nil {
		return fmt.Errorf("GPU %d: %w", ordinal, err)
	}
	if d.major*10+d.minor < minCapability {
		return fmt.Errorf("%s has compute capability %d.%d, needed is %d.%d or later",
			d.name, d.major, d.minor, minCapability/10, minCapability%10)
	}
	return nil
}

// describe reads the device's properties.
func (d *Device) describe() (err error) {
	if d.name, err = d.device.Name(); err != nil {
		return err
	}
	if d.total, err = d.device.TotalMem(); err != nil {
		return err
	}
	for attribute, into := range map[cu.DeviceAttribute]*int{
		cu.MultiprocessorCount:    &d.sms,
		cu.ComputeCapabilityMajor: &d.major,
		cu.ComputeCapabilityMinor: &d.minor,
	} {
		if *into, err = d.device.Attribute(attribute); err != nil {
			return err
		}
	}
	return nil
}

// start makes the context, the stream and the memory for transfers.
func (d *Device) start() (err error) {
	if d.primary, err = d.device.RetainPrimaryCtx(); err != nil {
		return fmt.Errorf("making a context: %w", err)
	}
	d.closers = append(d.closers, func() { _ = d.device.ReleasePrimaryCtx() })
	err = d.locked(func() error {
		if code := C.driver_context(&d.context); code != C.CUDA_SUCCESS {
			return Error(code)
		}
		d.queue, err = cu.MakeStream(cu.NonBlocking)
		return err
	})
	if err == nil {
		d.stream = C.CUstream(unsafe.Pointer(d.queue.C()))
		err = d.startTransfers()
	}
	if err != nil {
		_ = d.Close()
		return fmt.Errorf("starting: %w", err)
	}
	return nil
}

// locked calls f on a thread whose context is the device's.
func (d *Device) locked(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(d.primary); err != nil {
		return err
	}
	return f()
}

// Name returns the device's name, such as "NVIDIA H100 80GB HBM3".
func (d *Device) Name() string { return d.name }

// SMs returns the number of multiprocessors.
func (d *Device) SMs() int { return d.sms }

// Capability returns the compute capability.
func (d *Device) Capability() (major, minor int) { return d.major, d.minor }

// Memory returns the bytes that are free now and that there are.
func (d *Device) Memory() (free, total int64) {
	_ = d.locked(func() (err error) {
		free, total, err = cu.MemInfo()
		return err
	})
	return free, max(total, d.total)
}

// Close waits for the device and gives everything back. It returns the first failure that
// was not reported. A second call does nothing.
func (d *Device) Close() error {
	if d.first == errClosed {
		return nil
	}
	err := d.Sync()
	d.closeBLAS()
	d.closeRegion()
	_ = d.locked(func() error {
		for p := range d.allocated {
			_ = cu.MemFree(cu.DevicePtr(p))
		}
		if d.queue != cu.NoStream {
			_ = d.queue.Destroy()
		}
		return nil
	})
	d.closeTransfers()
	d.unloadModules()
	for _, f := range d.closers {
		f()
	}
	*d = Device{name: d.name, first: errClosed}
	return err
}
