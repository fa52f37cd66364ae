package lora

// Launcher is an [Engine] whose device runs kernels that other packages bring along. A
// CUDA engine is one.
type Launcher interface {
	Engine

	// Kernels makes the kernels of a module known, in the order of their names. ptx is
	// PTX for compute capability 8.0 and, unless it is the same, of a name of its own. The
	// module is compiled where the first of them is launched.
	Kernels(module, ptx string, names ...string) ([]Kernel, error)

	// Launch runs a kernel on numbers of the host, in so many blocks of so many threads:
	//
	//	kernel(out, in[0], in[1], …, words[0], words[1], …)
	//
	// What is in goes to the device, at addresses that are multiples of 256 bytes; what is
	// out comes back; a word is the bits of a scalar. An empty piece is the null pointer.
	// Launch waits for the kernel and what was called before. The error is the device's
	// first failure.
	Launch(k Kernel, blocks, threads int, out []byte, in [][]byte, words ...uint64) error
}

// Kernel is a kernel of a [Launcher]'s module. It serves all engines of the program.
type Kernel int32
