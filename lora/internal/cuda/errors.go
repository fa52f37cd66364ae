//go:build cuda && cgo

package cuda

// #include "driver.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"
)

var errClosed = errors.New("the device is closed")

// Error is a result of the driver other than success.
type Error int

// ErrOutOfMemory is the driver's result where memory is lacking.
const ErrOutOfMemory Error = C.CUDA_ERROR_OUT_OF_MEMORY

// Error returns the driver's name of the result and its explanation.
func (e Error) Error() string {
	name, text := C.driver_error_name(C.CUresult(e)), C.driver_error_text(C.CUresult(e))
	if name == nil || text == nil {
		return fmt.Sprintf("CUDA error %d", int(e))
	}
	return C.GoString(name) + ": " + C.GoString(text)
}

// operation is what a failure names: an operation and the shapes it works on.
type operation struct {
	kernel KernelID
	shapes [8]shape
	n      int
}

type shape struct{ rows, cols int }

// String writes the operation as "rms_norm of 3×4, 3×4, 1×4".
func (o *operation) String() string {
	var b strings.Builder
	b.WriteString(o.kernel.String())
	for i, s := range o.shapes[:o.n] {
		sep := ", "
		if i == 0 {
			sep = " of "
		}
		fmt.Fprintf(&b, "%s%d×%d", sep, s.rows, s.cols)
	}
	return b.String()
}

// fail makes a result the device's failure, unless it is success or there is one already.
func (d *Device) fail(what string, code C.CUresult) {
	if code == C.CUDA_SUCCESS || d.first != nil {
		return
	}
	d.Fail(fmt.Errorf("%s: %w (%s)", what, Error(code), d.memoryText()))
}

// Fail makes err the device's failure, unless there is one already.
func (d *Device) Fail(err error) {
	if d.first == nil {
		d.first = err
	}
}

// memoryText says how much memory is free.
func (d *Device) memoryText() string {
	free, total := d.Memory()
	return fmt.Sprintf("%s of %s free on %s", bytesText(free), bytesText(total), d.name)
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// Err returns the failure that sticks, without waiting for what is under way.
func (d *Device) Err() error { return d.first }

// Sync waits until all work is done. It returns the first failure since it was called
// last, after which the device works again, if it can.
func (d *Device) Sync() error {
	d.wait()
	err := d.first
	if err != errClosed {
		d.first = nil
	}
	return err
}

// wait waits until all work is done. A failure that shows only now is that of an earlier
// operation, of which the last is named.
func (d *Device) wait() {
	d.Flush()
	if d.stream == nil {
		return
	}
	if code := C.driver_wait(d.context, d.stream); code != C.CUDA_SUCCESS && d.first == nil {
		d.fail("after "+d.last.String(), code)
	}
	d.region.synced()
}
