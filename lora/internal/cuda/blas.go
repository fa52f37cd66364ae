//go:build cuda && cgo

package cuda

// #include "blas.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// blasWorkspace is what cuBLAS may use of the device's memory: what its makers advise for
// the newest devices, and more than older ones want.
const blasWorkspace = 32 << 20 // bytes

// blasHandle is a loaded cuBLAS.
type blasHandle = *C.blas

// ElementType is the type of a product's factors.
type ElementType int

// Types of elements.
const (
	F32  ElementType = C.BLAS_F32
	BF16 ElementType = C.BLAS_BF16
)

// Factor is a row-major matrix in a device's memory, or, where Trans is set, its transpose.
// Stride is the distance of its rows in elements, Step that of the matrices of a batch.
type Factor struct {
	P      Ptr
	Stride int
	Trans  bool
	Step   int64
}

// Product is C = Alpha·A·B + Beta·C for A [M, K], B [K, N] and C [M, N], with float32 in C
// and in all sums. Type is that of A's and B's elements. Where Batch is not 0, it is the
// number of such products that are made at once. C.Trans is not looked at. Old contents of C
// are not read where Beta is 0.
type Product struct {
	M, N, K     int
	Type        ElementType
	A, B, C     Factor
	Alpha, Beta float32
	Batch       int
}

// blasError is a result of cuBLAS other than success.
type blasError int

// blasNames holds the names of results, without their prefix CUBLAS_STATUS_.
var blasNames = map[blasError]string{
	-1: "no current context", 1: "NOT_INITIALIZED", 3: "ALLOC_FAILED", 7: "INVALID_VALUE", 8: "ARCH_MISMATCH",
	11: "MAPPING_ERROR", 13: "EXECUTION_FAILED", 14: "INTERNAL_ERROR", 15: "NOT_SUPPORTED", 16: "LICENSE_ERROR",
}

// Error returns the result's name.
func (e blasError) Error() string {
	if name, known := blasNames[e]; known {
		return "cuBLAS: " + name
	}
	return fmt.Sprintf("cuBLAS: result %d", int(e))
}

// StartBLAS loads cuBLAS, which Multiply needs. The error says where it was looked for.
func (d *Device) StartBLAS() error {
	var text [512]byte
	b := C.blas_load((*C.char)(unsafe.Pointer(&text[0])), C.size_t(len(text)))
	if b == nil {
		return fmt.Errorf("cuBLAS (libcublas.so.13, .12 or .11, of the CUDA toolkit or of the package nvidia-cublas) cannot be loaded: %s",
			C.GoString((*C.char)(unsafe.Pointer(&text[0]))))
	}
	workspace, err := d.Alloc(blasWorkspace)
	if err == nil {
		if code := C.blas_start(b, d.context, d.stream, C.CUdeviceptr(workspace), blasWorkspace); code != 0 {
			err = blasError(code)
		}
	}
	if err != nil {
		C.blas_close(b, d.context)
		d.Free(workspace)
		return fmt.Errorf("starting cuBLAS: %w (%s)", err, d.memoryText())
	}
	d.blas = b
	return nil
}

// closeBLAS gives cuBLAS back.
func (d *Device) closeBLAS() {
	if d.blas != nil {
		C.blas_close(d.blas, d.context)
		d.blas = nil
	}
}

// blasCall is a product as cuBLAS takes it.
type blasCall = C.blas_product

// Multiply makes a product. One without elements does nothing; one without terms, K = 0,
// panics.
func (d *Device) Multiply(p *Product) {
	if p.M == 0 || p.N == 0 || d.first != nil {
		return
	}
	if p.K == 0 {
		panic("cuda: product without terms")
	}
	d.Flush()
	if d.blas == nil {
		d.Fail(fmt.Errorf("%s: cuBLAS is not started", p.String()))
		return
	}
	// Row-major matrices are column-major ones transposed: cᵀ = bᵀ·aᵀ.
	d.product = C.blas_product{
		trans_a: flag(p.B.Trans), trans_b: flag(p.A.Trans),
		m: C.int32_t(p.N), n: C.int32_t(p.M), k: C.int32_t(p.K), _type: C.int32_t(p.Type), batch: C.int32_t(p.Batch),
		a: C.CUdeviceptr(p.B.P), b: C.CUdeviceptr(p.A.P), c: C.CUdeviceptr(p.C.P),
		lda: C.int32_t(p.B.Stride), ldb: C.int32_t(p.A.Stride), ldc: C.int32_t(p.C.Stride),
		stride_a: C.int64_t(p.B.Step), stride_b: C.int64_t(p.A.Step), stride_c: C.int64_t(p.C.Step),
		alpha: C.float(p.Alpha), beta: C.float(p.Beta),
	}
	if code := C.blas_multiply(d.blas, d.context, &d.product); code != 0 {
		d.Fail(fmt.Errorf("%s: %w (%s)", p.String(), blasError(code), d.memoryText()))
	}
}

// String writes the product as "product of 3×4 and 4×5".
func (p *Product) String() string {
	text := fmt.Sprintf("product of %d×%d and %d×%d", p.M, p.K, p.K, p.N)
	if p.Batch > 0 {
		text += fmt.Sprintf(", %d times", p.Batch)
	}
	return text
}

func flag(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}
