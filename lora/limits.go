package lora

// Limits are the rates that an engine's device reaches at most, measured where it
// runs. What an operation reaches, divided by its limit, compares across machines. A GPU's
// arithmetic is that of cuBLAS on large square matrices, its memory's rate that of a copy,
// reads and writes together.
type Limits struct {
	F32  float64 // float32 multiplications and additions in registers, operations a second
	BF16 float64 // the same of bfloat16 dot products summed in float32; 0 where the device has none
	Read float64 // bytes read from memory a second
}

// Arithmetic returns the higher of the two rates of arithmetic.
func (l Limits) Arithmetic() float64 { return max(l.F32, l.BF16) }

// Measurer is an [Engine] that measures its device. The engines of CPU and CUDA are
// such.
type Measurer interface {
	// Limits takes about a second and half a gigabyte, which it gives back. Nothing
	// else may keep the device busy meanwhile.
	Limits() Limits
}
