// The part of cuBLAS that is used, as plain loops on the emulated device's streams.

#include "driver.h"

#include <vector>

typedef int cublasStatus_t;
typedef struct cublasContext *cublasHandle_t;

struct cublasContext {
	CUstream stream;
};

namespace {

enum Status { success = 0, not_initialised = 1, alloc_failed = 3, invalid_value = 7, execution_failed = 13, not_supported = 15 };
enum Type { r_32f = 0, r_64f = 1, r_16bf = 14 };
enum Compute { compute_32f = 68, compute_32f_pedantic = 69 };

// Operand is a matrix by columns, which op may transpose.
struct Operand {
	const char *data;
	int type, leading, transposed;
	long long stride; // between the matrices of a batch, in elements

	float at(int batch, long long row, long long col) const {
		long long i = batch * stride + (transposed ? col + row * leading : row + col * leading);
		if (type == r_32f) return reinterpret_cast<const float *>(data)[i];
		return __uint_as_float(unsigned(reinterpret_cast<const unsigned short *>(data)[i]) << 16);
	}
};

size_t width_of(int type) { return type == r_16bf ? 2 : type == r_64f ? 8 : 4; }

// covers reports whether a matrix of a batch lies in device memory.
bool covers(const void *p, int type, long long leading, long long columns, long long rows, long long stride, int batch) {
	if (rows == 0 || columns == 0 || batch == 0) return true;
	long long elements = (batch - 1) * stride + (columns - 1) * leading + rows;
	return emulator::on_device(CUdeviceptr(p), elements * width_of(type));
}

struct Product {
	int m, n, k, batch;
	float alpha, beta;
	Operand a, b;
	float *c;
	int leading;
	long long stride;
};

// multiply computes c = alpha·a·b + beta·c, summed in float64 in the order of k, with
// both operands unpacked so that the inner loop runs along memory.
void multiply(const Product &p, int batch) {
	std::vector<float> a(size_t(p.m) * p.k), b(size_t(p.k) * p.n);
	for (int l = 0; l < p.k; l++) {
		for (int i = 0; i < p.m; i++) a[size_t(l) * p.m + i] = p.a.at(batch, i, l);
		for (int j = 0; j < p.n; j++) b[size_t(j) * p.k + l] = p.b.at(batch, l, j);
	}
	std::vector<double> sums(p.m);
	for (int j = 0; j < p.n; j++) {
		std::fill(sums.begin(), sums.end(), 0);
		for (int l = 0; l < p.k; l++) {
			double x = b[size_t(j) * p.k + l];
			for (int i = 0; i < p.m; i++) sums[i] += x * a[size_t(l) * p.m + i];
		}
		float *out = p.c + batch * p.stride + (long long)j * p.leading;
		for (int i = 0; i < p.m; i++) out[i] = float(p.alpha * sums[i]) + (p.beta == 0 ? 0 : p.beta * out[i]);
	}
}

cublasStatus_t gemm(cublasHandle_t h, int ta, int tb, int m, int n, int k, const void *alpha, const Operand &a, const Operand &b,
                    const void *beta, void *c, int ct, int ldc, long long sc, int batch, int compute) {
	if (!h) return not_initialised;
	if (m < 0 || n < 0 || k < 0 || batch < 0 || ta < 0 || ta > 1 || tb < 0 || tb > 1) return invalid_value;
	if (ct != r_32f || a.type != b.type || (a.type != r_32f && a.type != r_16bf)) return not_supported;
	if (compute != compute_32f && compute != compute_32f_pedantic) return not_supported;
	int rows_a = ta ? k : m, rows_b = tb ? n : k, columns_a = ta ? m : k, columns_b = tb ? k : n;
	if (a.leading < std::max(1, rows_a) || b.leading < std::max(1, rows_b) || ldc < std::max(1, m)) return invalid_value;
	if (!covers(a.data, a.type, a.leading, columns_a, rows_a, a.stride, batch) || !covers(b.data, b.type, b.leading, columns_b, rows_b, b.stride, batch) || !covers(c, ct, ldc, n, m, sc, batch)) {
		emulator::complain(CUDA_ERROR_ILLEGAL_ADDRESS, "cublas: an operand of %d × %d × %d does not lie in device memory", m, n, k);
		return execution_failed;
	}
	Product p = {m, n, k, batch, *static_cast<const float *>(alpha), *static_cast<const float *>(beta), a, b, static_cast<float *>(c), ldc, sc};
	CUresult r = emulator::submit(h->stream, [p] {
		for (int i = 0; i < p.batch; i++) multiply(p, i);
	});
	return r ? execution_failed : success;
}

} // namespace

// REFUSED gives the code that SOCIALRL_EMULATOR_FAIL plans for a function.
#define REFUSED(name)                                               \
	emulator::Entry entry(#name, emulator::Entry::context);            \
	if (entry.refused) return entry.refused == CUDA_ERROR_UNKNOWN ? int(execution_failed) : int(entry.refused)

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *h) {
	REFUSED(cublasCreate);
	*h = new cublasContext{nullptr};
	return success;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t h) {
	REFUSED(cublasDestroy);
	if (!h) return not_initialised;
	delete h;
	return success;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t h, CUstream stream) {
	REFUSED(cublasSetStream);
	if (!h) return not_initialised;
	h->stream = stream;
	return success;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t h, int) {
	REFUSED(cublasSetMathMode);
	return h ? success : not_initialised;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void *workspace, size_t bytes) {
	REFUSED(cublasSetWorkspace);
	if (!h) return not_initialised;
	return bytes == 0 || emulator::on_device(CUdeviceptr(workspace), bytes) ? success : invalid_value;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int *version) {
	*version = 120400;
	return success;
}

const char *cublasGetStatusString(cublasStatus_t status) {
	switch (status) {
	case success: return "success";
	case not_initialised: return "the library was not initialized";
	case alloc_failed: return "the resource allocation failed";
	case invalid_value: return "an unsupported value or parameter was passed to the function";
	case execution_failed: return "the function failed to launch on the GPU";
	case not_supported: return "the functionality requested is not supported";
	default: return "unknown error";
	}
}

cublasStatus_t cublasGemmEx(cublasHandle_t h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda,
                            const void *b, int bt, int ldb, const void *beta, void *c, int ct, int ldc, int compute, int) {
	REFUSED(cublasGemmEx);
	return gemm(h, ta, tb, m, n, k, alpha, {static_cast<const char *>(a), at, lda, ta, 0}, {static_cast<const char *>(b), bt, ldb, tb, 0}, beta, c, ct, ldc, 0, 1, compute);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda,
                                          long long sa, const void *b, int bt, int ldb, long long sb, const void *beta, void *c, int ct, int ldc,
                                          long long sc, int batch, int compute, int) {
	REFUSED(cublasGemmStridedBatchedEx);
	return gemm(h, ta, tb, m, n, k, alpha, {static_cast<const char *>(a), at, lda, ta, sa}, {static_cast<const char *>(b), bt, ldb, tb, sb}, beta, c, ct, ldc, sc, batch, compute);
}

} // extern "C"
