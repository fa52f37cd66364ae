#pragma once

#include <cuda.h>
#include <stddef.h>
#include <stdint.h>

// The functions of cuBLAS that the engine calls, found at run time: declared by hand, since
// they are the same from version 11 to 13 and their headers are large. Results are cuBLAS's.
typedef struct blas blas;

// Types of elements.
enum { BLAS_F32 = 0, BLAS_BF16 = 14 };

// A product of column-major matrices: c = alpha·op(a)·op(b) + beta·c, with c [m, n] and k
// terms in each sum. a and b have elements of one type, c has float32, which is also the
// type of all sums. batch products whose matrices lie strides apart are made at once; where
// batch is 0, strides are not looked at.
typedef struct {
	int32_t trans_a, trans_b, m, n, k, type, batch;
	int32_t lda, ldb, ldc;
	float alpha, beta;
	CUdeviceptr a, b, c;
	int64_t stride_a, stride_b, stride_c;
} blas_product;

// blas_load finds the library and its functions. Where that fails it returns NULL and writes
// what is missing to error.
blas *blas_load(char *error, size_t bytes);

// blas_start makes a handle for a stream, with float32 arithmetic where elements are float32
// and a workspace of its own, so that equal calls give equal bytes.
int blas_start(blas *b, CUcontext context, CUstream stream, CUdeviceptr workspace, size_t bytes);
int blas_multiply(blas *b, CUcontext context, const blas_product *p);

// blas_close gives the handle back, and the library.
void blas_close(blas *b, CUcontext context);
