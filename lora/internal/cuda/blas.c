//go:build cuda && cgo

#include "blas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct cublasContext *handle;

enum {
	STATUS_CONTEXT = -1, // of our own: the context cannot be made current
	OP_N = 0,
	OP_T = 1,
	COMPUTE_32F = 68,
	GEMM_DEFAULT = -1,
	// The default, which never takes float32 for anything less, and no sums in less than
	// float32 between the parts of a product.
	MATH_MODE = 0 | 16,
};

struct blas {
	void *library;
	handle handle;
	int (*create)(handle *);
	int (*destroy)(handle);
	int (*set_stream)(handle, void *);
	int (*set_workspace)(handle, void *, size_t);
	int (*set_math_mode)(handle, int);
	int (*gemm)(handle, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int, const void *, void *, int,
	            int, int, int);
	int (*gemm_strided)(handle, int, int, int, int, int, const void *, const void *, int, int, long long, const void *, int, int, long long,
	                    const void *, void *, int, int, long long, int, int, int);
};

// open_library opens the newest version that is there.
static void *open_library(char *error, size_t bytes) {
	static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"};
	for (int i = 0; i < 3; i++) {
		void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (library != NULL) return library;
		if (i == 0) snprintf(error, bytes, "%s", dlerror());
	}
	return NULL;
}

// find looks up a function; once one is missing it only keeps that error.
static void find(blas *b, void **function, const char *name, char *error, size_t bytes) {
	if (error[0] != 0) return;
	*function = dlsym(b->library, name);
	if (*function == NULL) snprintf(error, bytes, "it has no function %s", name);
}

blas *blas_load(char *error, size_t bytes) {
	blas *b = calloc(1, sizeof *b);
	if (b == NULL) {
		snprintf(error, bytes, "no memory");
		return NULL;
	}
	b->library = open_library(error, bytes);
	if (b->library == NULL) {
		free(b);
		return NULL;
	}
	error[0] = 0;
	find(b, (void **)&b->create, "cublasCreate_v2", error, bytes);
	find(b, (void **)&b->destroy, "cublasDestroy_v2", error, bytes);
	find(b, (void **)&b->set_stream, "cublasSetStream_v2", error, bytes);
	find(b, (void **)&b->set_workspace, "cublasSetWorkspace_v2", error, bytes);
	find(b, (void **)&b->set_math_mode, "cublasSetMathMode", error, bytes);
	find(b, (void **)&b->gemm, "cublasGemmEx", error, bytes);
	find(b, (void **)&b->gemm_strided, "cublasGemmStridedBatchedEx", error, bytes);
	if (error[0] == 0) return b;
	dlclose(b->library);
	free(b);
	return NULL;
}

int blas_start(blas *b, CUcontext context, CUstream stream, CUdeviceptr workspace, size_t bytes) {
	int status;
	if (cuCtxSetCurrent(context) != CUDA_SUCCESS) return STATUS_CONTEXT;
	if ((status = b->create(&b->handle)) != 0) return status;
	if ((status = b->set_stream(b->handle, stream)) != 0) return status;
	if ((status = b->set_workspace(b->handle, (void *)workspace, bytes)) != 0) return status;
	return b->set_math_mode(b->handle, MATH_MODE);
}

int blas_multiply(blas *b, CUcontext context, const blas_product *p) {
	int ta = p->trans_a ? OP_T : OP_N, tb = p->trans_b ? OP_T : OP_N;
	if (cuCtxSetCurrent(context) != CUDA_SUCCESS) return STATUS_CONTEXT;
	if (p->batch == 0) {
		return b->gemm(b->handle, ta, tb, p->m, p->n, p->k, &p->alpha, (void *)p->a, p->type, p->lda, (void *)p->b, p->type, p->ldb, &p->beta,
		               (void *)p->c, BLAS_F32, p->ldc, COMPUTE_32F, GEMM_DEFAULT);
	}
	return b->gemm_strided(b->handle, ta, tb, p->m, p->n, p->k, &p->alpha, (void *)p->a, p->type, p->lda, p->stride_a, (void *)p->b, p->type,
	                       p->ldb, p->stride_b, &p->beta, (void *)p->c, BLAS_F32, p->ldc, p->stride_c, p->batch, COMPUTE_32F, GEMM_DEFAULT);
}

void blas_close(blas *b, CUcontext context) {
	if (b->handle != NULL && cuCtxSetCurrent(context) == CUDA_SUCCESS) b->destroy(b->handle);
	dlclose(b->library);
	free(b);
}
