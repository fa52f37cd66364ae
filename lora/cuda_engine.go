//go:build cuda && cgo

package lora

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/socialrl/socialrl/lora/internal/cuda"
	"gorgonia.org/tensor"
)

// cudaEngine is the engine on an NVIDIA GPU.
//
// An operation checks its arguments on the host and launches kernels; it does not wait.
// What varies between two steps of decoding goes to the device as staged data, never as
// an argument of a launch, so that the steps are launched as one graph: see Recorder.
type cudaEngine struct {
	tensor.StdEng
	cudaMemory
	bf16 bool // products of frozen weights and attention round their factors to bfloat16
	call cudaCall

	scatter    scatterOrder
	attend     cudaAttention
	head       cudaHead
	sample     cudaSample
	outboxAt   cuda.Ptr
	outboxSize int // elements
}

var _ Engine = (*cudaEngine)(nil)

func init() { openers["cuda"] = openCUDA }

// openCUDA is Open's entry for the family "cuda". The variant is the GPU's number and,
// after a colon, the precision.
func openCUDA(variant string) (Engine, error) {
	ordinal, f32, err := cudaVariant(variant)
	if err != nil {
		return nil, err
	}
	e, err := newCUDAEngine(ordinal, !f32)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// newCUDAEngine makes an engine on a GPU.
func newCUDAEngine(ordinal int, bf16 bool) (*cudaEngine, error) {
	dev, err := cuda.Open(ordinal)
	if err != nil {
		return nil, err
	}
	if err := dev.StartBLAS(); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	e := &cudaEngine{cudaMemory: cudaMemory{dev: dev}, bf16: bf16}
	e.call.e = e
	return e, nil
}

// Name returns "cuda", the GPU's name, and the precision.
func (e *cudaEngine) Name() string {
	if e.bf16 {
		return "cuda " + e.dev.Name() + " bf16"
	}
	return "cuda " + e.dev.Name() + " f32"
}

// Sync waits until all operations are done.
func (e *cudaEngine) Sync() error { return deviceError(e.dev.Sync()) }

// Close waits for the device and releases all memory.
func (e *cudaEngine) Close() error { return deviceError(e.dev.Close()) }

var _ Recorder = (*cudaEngine)(nil)

// Record calls f between the beginning and the end of a region of the device.
func (e *cudaEngine) Record(key uint64, f func()) {
	e.dev.Begin(key)
	defer e.dev.End()
	f()
}

// deviceError puts the package's name before a device's failure.
func deviceError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lora: %w", err)
}

// cudaCall collects the arguments of one launch. An engine has one, so that launches
// allocate nothing:
//
//	e.kernel(kernelScale).view(v).dims(v).f32(s).launch(blocks, 1, 1, 256, 0)
type cudaCall struct {
	e    *cudaEngine
	call cuda.Call
}

// kernel begins a launch.
func (e *cudaEngine) kernel(k cuda.KernelID) *cudaCall {
	e.call.call.Begin(k)
	return &e.call
}

// ptr passes an address of the device.
func (c *cudaCall) ptr(p cuda.Ptr) *cudaCall {
	c.call.Word(uint64(p))
	return c
}

// view passes the address of v's first element, 0 for the zero View.
func (c *cudaCall) view(v View) *cudaCall {
	if v.IsNone() {
		return c.ptr(0)
	}
	c.call.Shape(v.Rows, v.Cols)
	return c.ptr(c.e.address(v))
}

// dims passes v's rows, columns and stride.
func (c *cudaCall) dims(v View) *cudaCall { return c.i32(v.Rows).i32(v.Cols).i32(v.Stride) }

// i32 passes an int.
func (c *cudaCall) i32(n int) *cudaCall {
	require(n == int(int32(n)), "lora: cuda: argument beyond 32 bits")
	return c.u32(uint32(int32(n)))
}

// u32 passes an unsigned.
func (c *cudaCall) u32(n uint32) *cudaCall {
	c.call.Word(uint64(n))
	return c
}

// i64 passes a long long.
func (c *cudaCall) i64(n int) *cudaCall { return c.u64(uint64(n)) }

// u64 passes an unsigned long long.
func (c *cudaCall) u64(n uint64) *cudaCall {
	c.call.Word(n)
	return c
}

// f32 passes a float.
func (c *cudaCall) f32(x float64) *cudaCall { return c.u32(math.Float32bits(float32(x))) }

// f64 passes a double.
func (c *cudaCall) f64(x float64) *cudaCall { return c.u64(math.Float64bits(x)) }

// launch starts the kernel on a grid of blocks of so many threads, with bytes of dynamic
// shared memory. Where the grid is empty it does nothing.
func (c *cudaCall) launch(gridX, gridY, gridZ, block, shared int) {
	c.e.dev.Launch(&c.call, cuda.Grid{X: gridX, Y: gridY, Z: gridZ, Block: block, Shared: shared})
}

// blocks returns how many blocks of a number of threads go through n elements, one a
// thread, but no more than fill the device several times.
func (e *cudaEngine) blocks(n, threads int) int {
	return min((n+threads-1)/threads, 16*e.dev.SMs())
}

// bytesOf returns the memory of data, whose elements hold no pointers.
func bytesOf[T any](data []T) []byte {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*int(unsafe.Sizeof(data[0])))
}

// stage copies host data, whose elements hold no pointers, to the device for the
// operation under way; no data is the address 0. See [cuda.Device.Stage].
func stage[T any](e *cudaEngine, data []T) cuda.Ptr { return e.dev.Stage(bytesOf(data)) }

// stage32 stages ids.
func (e *cudaEngine) stage32(ids []int32) cuda.Ptr { return stage(e, ids) }

// fetch waits for all operations and copies numbers from the device. It returns the
// device's first failure.
func fetch[T any](e *cudaEngine, dst []T, src cuda.Ptr) error {
	return deviceError(e.dev.Download(bytesOf(dst), src))
}

// Launches returns how many kernels were launched one by one so far, and how many graphs.
func (e *cudaEngine) Launches() (kernels, graphs int64) { return e.dev.Launches() }
