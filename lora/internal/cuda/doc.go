// Package cuda drives NVIDIA GPUs: devices, memory, modules of PTX, launches and graphs
// of launches, behind functions that neither exit nor panic when something is missing.
// It belongs to the CUDA engine of package lora and is built with the tags cuda and cgo;
// without them it is empty.
//
// A program, in which "scale" is a module of ptx/ with a kernel "scale_rows":
//
//	var scaleRows = cuda.Kernel("scale", "scale_rows")
//
//	dev, err := cuda.Open(0)
//	if err != nil {
//		return err // says what is missing
//	}
//	defer dev.Close()
//	p, err := dev.Alloc(4096)
//	...
//	call := dev.Call(scaleRows)
//	call.Word(uint64(p))
//	call.Word(uint64(math.Float32bits(0.5)))
//	dev.Launch(4, 1, 1, 256, 0)
//	return dev.Sync()
//
// # Linking
//
// Headers are needed to build, neither toolkit nor driver to link or to start:
// forward.c defines the driver's functions and jumps to libcuda.so.1, which it opens when
// the program starts. Where that is missing, Open is an error.
//
// # Errors
//
// The first failure of a device sticks. Everything after it does nothing, until Sync or
// a download reports it: the operation, its shapes, the driver's words, the free memory.
//
// # Order
//
// One goroutine at a time may use a device. All work is done in the order of its calls,
// on one stream; it is asynchronous, and waits only in Sync, downloads and where the
// staging memory has been filled.
package cuda
