// Elementwise operations on matrices of float32, and the moving of rows. A matrix is a
// pointer, rows, cols and stride. Blocks along y go through rows, threads along x through
// columns, four at a time where all addresses allow it; a grid of any size will do.
#include "common.cuh"

template <class F> __device__ __forceinline__ void sweep(int rows, int cols, F f) {
	for (long long i = blockIdx.y; i < rows; i += gridDim.y)
		for (unsigned j = blockIdx.x * blockDim.x + threadIdx.x; j < static_cast<unsigned>(cols); j += gridDim.x * blockDim.x)
			f(i, j);
}

// Rows names rows of a matrix: row i is rows[i], or i itself.
struct Rows {
	float *base;
	long long stride;
	const int *rows;

	__device__ __forceinline__ float *operator[](long long i) const { return base + (rows ? rows[i] : i) * stride; }
	__device__ __forceinline__ bool aligned() const { return aligned16(base, static_cast<int>(stride)); }
};

__device__ __forceinline__ Rows rows_of(const float *base, int stride, const int *rows = nullptr) {
	return {const_cast<float *>(base), stride, rows};
}

// combine sets dst[i][j] = op(dst[i][j], src[i][j]).
template <class Op> __device__ __forceinline__ void combine(Rows dst, Rows src, int rows, int cols, Op op) {
	int quads = dst.aligned() && src.aligned() ? cols / 4 : 0;
	sweep(rows, quads, [&](long long i, unsigned q) {
		float4 *to = reinterpret_cast<float4 *>(dst[i]) + q;
		float4 a = *to, b = reinterpret_cast<const float4 *>(src[i])[q];
		*to = make_float4(op(a.x, b.x), op(a.y, b.y), op(a.z, b.z), op(a.w, b.w));
	});
	sweep(rows, cols - 4 * quads, [&](long long i, unsigned j) {
		float *to = dst[i] + 4 * quads + j;
		*to = op(*to, src[i][4 * quads + j]);
	});
}

__device__ __forceinline__ float second(float, float b) { return b; }
__device__ __forceinline__ float sum(float a, float b) { return a + b; }

// zero_elements sets v = 0.
KERNEL(zero_elements)(float *v, int rows, int cols, int stride) {
	sweep(rows, cols, [&](long long i, unsigned j) { v[i * stride + j] = 0; });
}

// copy_elements sets dst = src.
KERNEL(copy_elements)(float *dst, int rows, int cols, int stride, const float *src, int src_stride) {
	combine(rows_of(dst, stride), rows_of(src, src_stride), rows, cols, second);
}

// accumulate_elements sets dst += src.
KERNEL(accumulate_elements)(float *dst, int rows, int cols, int stride, const float *src, int src_stride) {
	combine(rows_of(dst, stride), rows_of(src, src_stride), rows, cols, sum);
}

// scale_elements sets v *= s.
KERNEL(scale_elements)(float *v, int rows, int cols, int stride, float s) {
	combine(rows_of(v, stride), rows_of(v, stride), rows, cols, [s](float a, float) { return a * s; });
}

// pick_rows sets dst[i] = src[ids[i]].
KERNEL(pick_rows)(float *dst, int rows, int cols, int stride, const float *src, int src_stride, const int *ids) {
	combine(rows_of(dst, stride), rows_of(src, src_stride, ids), rows, cols, second);
}

// put_rows sets dst[ids[i]] = src[i]; the ids are distinct.
KERNEL(put_rows)(float *dst, int rows, int cols, int stride, const float *src, int src_stride, const int *ids) {
	combine(rows_of(dst, stride, ids), rows_of(src, src_stride), rows, cols, second);
}

// scatter_rows adds rows of d to rows of dw: segment s adds, one after the other, rows
// order[starts[s]] to order[starts[s+1]-1] to row ids[s]. Block (x, y) does some columns
// of segments y, y + gridDim.y, ...
KERNEL(scatter_rows)(float *dw, int stride, const float *d, int cols, int d_stride,
                     const int *ids, const int *starts, const int *order, int segments) {
	sweep(segments, cols, [&](long long s, unsigned j) {
		float *to = dw + static_cast<long long>(ids[s]) * stride + j;
		float total = *to;
		for (int k = starts[s]; k < starts[s + 1]; k++) total += d[static_cast<long long>(order[k]) * d_stride + j];
		*to = total;
	});
}

constexpr int SQUARES_THREADS = 256;

// sum_squares sets partial[b] to block b's part of the sum of squares: of every
// gridDim.x-th element, beginning with those of its threads.
BOUNDED_KERNEL(sum_squares, SQUARES_THREADS, 4)(double *partial, const float *v, int rows, int cols, int stride) {
	__shared__ double shared[WARP];
	double total = 0;
	for (long long i = 0; i < rows; i++)
		for (long long j = blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x; j < cols; j += static_cast<long long>(gridDim.x) * blockDim.x) {
			double x = v[i * stride + j];
			total += x * x;
		}
	total = block_sum<SQUARES_THREADS>(total, shared);
	if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// sum_partials sets total to the sum of n numbers. One block.
BOUNDED_KERNEL(sum_partials, SQUARES_THREADS, 1)(double *total, const double *partial, int n) {
	__shared__ double shared[WARP];
	double sum = 0;
	for (int i = threadIdx.x; i < n; i += SQUARES_THREADS) sum += partial[i];
	sum = block_sum<SQUARES_THREADS>(sum, shared);
	if (threadIdx.x == 0) *total = sum;
}
