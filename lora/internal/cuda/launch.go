//go:build cuda && cgo

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// maxWords is the number of arguments that a kernel may have.
const maxWords = 64

// Call collects the arguments of a launch: a word of 8 bytes each, of which a kernel
// reads as many as its parameter has. It is kept and used again by the one who launches,
// so that a launch allocates nothing.
type Call struct {
	op    operation
	words [maxWords]uint64
	n     int
}

// Begin empties the call and names its kernel.
func (c *Call) Begin(k KernelID) {
	c.n, c.op.n, c.op.kernel = 0, 0, k
}

// Word appends an argument.
func (c *Call) Word(w uint64) {
	if c.n == maxWords {
		panic("cuda: too many arguments for a kernel")
	}
	c.words[c.n] = w
	c.n++
}

// Shape notes the shape of an operand, for the text of errors.
func (c *Call) Shape(rows, cols int) {
	if c.op.n < len(c.op.shapes) {
		c.op.shapes[c.op.n] = shape{rows, cols}
		c.op.n++
	}
}

// Grid is the size of a launch: blocks along three axes, threads of a block, and bytes of
// dynamic shared memory.
type Grid struct {
	X, Y, Z, Block, Shared int
}

// Launch starts a kernel. A grid without blocks does nothing.
func (d *Device) Launch(c *Call, g Grid) {
	if d.first != nil || g.X == 0 || g.Y == 0 || g.Z == 0 {
		return
	}
	f := d.function(c.op.kernel)
	if f == nil || !d.share(f, c, g.Shared) {
		return
	}
	d.last = c.op
	d.call = C.driver_call{
		function: C.uintptr_t(uintptr(unsafe.Pointer(f.handle))),
		grid:     [3]C.uint32_t{C.uint32_t(g.X), C.uint32_t(g.Y), C.uint32_t(g.Z)},
		block:    C.uint32_t(g.Block), shared: C.uint32_t(g.Shared), words: C.uint32_t(c.n),
	}
	if d.region.open && d.holdBack(&d.call, c.words[:c.n]) {
		return
	}
	d.issue(&d.call, c.words[:c.n])
}

// share lets a kernel use its dynamic shared memory.
func (d *Device) share(f *function, c *Call, bytes int) bool {
	if bytes <= f.shared {
		return true
	}
	code := C.driver_share(d.context, f.handle, C.int(bytes))
	if code != C.CUDA_SUCCESS {
		d.fail(fmt.Sprintf("%s with %d bytes of shared memory", c.op.String(), bytes), code)
		return false
	}
	f.shared = bytes
	return true
}

// issue launches a kernel alone.
func (d *Device) issue(call *C.driver_call, words []uint64) {
	if d.first != nil {
		return
	}
	d.launches++
	code := C.driver_launch(d.context, d.stream, call, (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(words))))
	if code != C.CUDA_SUCCESS {
		d.fail(fmt.Sprintf("%s (grid %d×%d×%d, block %d, %d bytes of shared memory)", d.last.String(),
			call.grid[0], call.grid[1], call.grid[2], call.block, call.shared), code)
	}
}

// Launches returns how many kernels were launched alone so far, and how many graphs.
func (d *Device) Launches() (kernels, graphs int64) { return d.launches, d.graphs }
