// What surrounds the large products of a linear layer: the input rounded to bfloat16, the
// low-rank branch down and up, and the gradients of its two matrices and of the bias. All
// sums are float32 and taken in an order that the shapes alone decide.
#include "lowrank.cuh"

#define LINEAR_THREADS 256

// round_rows sets to[t, k] to x rounded, for k up to the next multiple of 4.
// Grid: stretches of columns × rows, or fewer.
BOUNDED_KERNEL(round_rows, LINEAR_THREADS, 4)(bf16 *to, int to_stride, const float *x, int rows, int cols, int stride) {
	bool whole = aligned16(x, stride);
	int k = 4 * (blockIdx.x * LINEAR_THREADS + threadIdx.x);
	if (k >= cols) return;
	for (int t = blockIdx.y; t < rows; t += gridDim.y) {
		float v[4];
		load_four(v, x + static_cast<long long>(t) * stride, k, cols, whole);
		*reinterpret_cast<uint2 *>(to + static_cast<long long>(t) * to_stride + k) = make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
	}
}

// branch_down sets part[s][t, r] = Σ_k drop(x)[t, k]·a[r, k] over stretch s of the columns,
// and copy to x rounded unless it is null. stretch is a multiple of 128.
// Grid: tiles of rows × stretches × tiles of ranks. It takes LOW_SHARED numbers of dynamic
// shared memory.
BOUNDED_KERNEL(branch_down, LOW_THREADS, 2)(float *part, const float *x, int rows, int cols, int stride, const float *a, int a_rank,
                                            int a_col, int rank, bf16 *copy, int copy_stride, int stretch, DROP_ARGUMENTS) {
	DYNAMIC_SHARED(float, shared);
	LowDown l = {x, stride, rows, cols, a, a_rank, a_col, rank, blockIdx.z == 0 ? copy : nullptr, copy_stride};
	int from = blockIdx.y * stretch, to = min(from + stretch, cols);
	low_down(part + static_cast<long long>(blockIdx.y) * rows * rank, shared, l, DROP_OF_ARGUMENTS, blockIdx.x * LOW_ROWS,
	         blockIdx.z * LOW_RANK, from, to);
}

// sum_parts sets y[t, r] = scale · Σ_s part[s][t, r], a thread an element.
BOUNDED_KERNEL(sum_parts, LINEAR_THREADS, 4)(float *y, int rows, int cols, int stride, const float *part, int parts, float scale) {
	int n = rows * cols, i = blockIdx.x * LINEAR_THREADS + threadIdx.x;
	if (i >= n) return;
	float sum = 0;
	for (int s = 0; s < parts; s++) sum += part[static_cast<long long>(s) * n + i];
	y[static_cast<long long>(i / cols) * stride + i % cols] = scale * sum;
}

#define UP_COLS 64  // of the output, in a tile: four a thread
#define UP_RANK 16  // of the branch at a time
#define UP_PITCH (UP_COLS + 4)

// Up is what branch_up reads besides the branch's second matrix.
struct Up {
	const float *y;      // what is added to: its old contents where parts is −1, or parts sums over columns
	int parts;           // 0: nothing
	const float *h;      // h[t, r] = Σ_s h[s·h_part + t·h_stride + r]
	int h_stride, h_parts;
	long long h_part;
	float *h_out;        // receives h unless it is null
	int h_out_stride;
};

// up_fill_h puts ranks rank0.. of the tile's rows of h into hs [UP_RANK][tile], and writes
// them out where that is this block's to do.
__device__ __forceinline__ void up_fill_h(float *hs, const Up &u, int row0, int tile, int rows, int rank0, int rank) {
	for (int i = threadIdx.x; i < tile * UP_RANK; i += LINEAR_THREADS) {
		int t = row0 + i / UP_RANK, r = rank0 + i % UP_RANK;
		float sum = 0;
		if (t < rows && r < rank) {
			const float *h = u.h + static_cast<long long>(t) * u.h_stride + r;
			for (int s = 0; s < u.h_parts; s++) sum += h[s * u.h_part];
			if (u.h_out != nullptr && blockIdx.x == 0) u.h_out[static_cast<long long>(t) * u.h_out_stride + r] = sum;
		}
		hs[i % UP_RANK * (tile + 1) + i / UP_RANK] = sum;
	}
}

// up_base gives what the four columns from n on of row t begin with.
__device__ __forceinline__ void up_base(float (&v)[4], const Up &u, const float *bias, int t, int rows, int n, int cols, int stride, bool whole) {
#pragma unroll
	for (int j = 0; j < 4; j++) v[j] = bias != nullptr && n + j < cols ? bias[n + j] : 0.0f;
	if (u.parts == 0) return;
	float four[4];
	bool sums = u.parts > 0;
	int count = sums ? u.parts : 1, line = sums ? cols : stride;
	whole = sums ? cols % 4 == 0 : whole;
	for (int s = 0; s < count; s++) {
		load_four(four, u.y + (static_cast<long long>(s) * rows + t) * line, n, cols, whole);
#pragma unroll
		for (int j = 0; j < 4; j++) v[j] = s == 0 ? four[j] + v[j] : v[j] + four[j];
	}
}

// up computes a tile of ROWS·16 rows and UP_COLS columns; a thread holds ROWS rows, 16 apart.
template <int ROWS>
__device__ __forceinline__ void up(float *y, int rows, int cols, int stride, const float *bias, const Up &u, const float *b, int b_rank,
                                   int b_col, int rank, float scale, const Drop &d) {
	constexpr int tile = 16 * ROWS;
	__shared__ float hs[UP_RANK * (tile + 1)];
	__shared__ __align__(16) float bs[UP_RANK * UP_PITCH];
	int row0 = blockIdx.y * tile, col0 = blockIdx.x * UP_COLS, line = threadIdx.x / 16, n = threadIdx.x % 16 * 4;
	float acc[ROWS][4] = {};
	for (int rank0 = 0; rank0 < rank; rank0 += UP_RANK) {
		__syncthreads();
		up_fill_h(hs, u, row0, tile, rows, rank0, rank);
		for (int i = threadIdx.x; i < UP_RANK * UP_COLS; i += LINEAR_THREADS) {
			int r = b_col == 1 ? i / UP_COLS : i % UP_RANK, c = b_col == 1 ? i % UP_COLS : i / UP_RANK;
			bool there = rank0 + r < rank && col0 + c < cols;
			bs[r * UP_PITCH + c] = there ? b[static_cast<long long>(rank0 + r) * b_rank + static_cast<long long>(col0 + c) * b_col] : 0.0f;
		}
		__syncthreads();
#pragma unroll
		for (int r = 0; r < UP_RANK; r++) {
			float4 right = *reinterpret_cast<const float4 *>(bs + r * UP_PITCH + n);
#pragma unroll
			for (int i = 0; i < ROWS; i++) {
				float left = hs[r * (tile + 1) + line + 16 * i];
				acc[i][0] += left * right.x;
				acc[i][1] += left * right.y;
				acc[i][2] += left * right.z;
				acc[i][3] += left * right.w;
			}
		}
	}
	bool whole = aligned16(y, stride);
	n += col0;
	if (n >= cols) return;
#pragma unroll
	for (int i = 0; i < ROWS; i++) {
		int t = row0 + line + 16 * i;
		if (t >= rows) continue;
		float v[4], low[4];
#pragma unroll
		for (int j = 0; j < 4; j++) low[j] = scale * acc[i][j];
		if (d.p > 0) drop_four(low, d, t, n, cols);
		up_base(v, u, bias, t, rows, n, cols, stride, whole);
		float *to = y + static_cast<long long>(t) * stride + n;
		if (whole && n + 4 <= cols) {
			*reinterpret_cast<float4 *>(to) = make_float4(v[0] + low[0], v[1] + low[1], v[2] + low[2], v[3] + low[3]);
			continue;
		}
#pragma unroll
		for (int j = 0; j < 4; j++) {
			if (n + j < cols) to[j] = v[j] + low[j];
		}
	}
}

// branch_up sets y = base + bias + drop(scale · h·b) for h [rows, rank] and b [rank, cols],
// whose element (r, n) stands at b[r·b_rank + n·b_col]: what a linear layer has besides its
// product, or that and the product's sums. Grid: tiles of columns × tiles of rows, of 16 or
// of 64.
#define BRANCH_UP(name, tile, blocks)                                                                                                        \
	BOUNDED_KERNEL(name, LINEAR_THREADS, blocks)(float *y, int rows, int cols, int stride, const float *base, int parts, const float *bias, \
	                                        const float *h, int h_stride, int h_parts, long long h_part, float *h_out, int h_out_stride, \
	                                        const float *b, int b_rank, int b_col, int rank, float scale, DROP_ARGUMENTS) {             \
		up<tile>(y, rows, cols, stride, bias, Up{base, parts, h, h_stride, h_parts, h_part, h_out, h_out_stride}, b, b_rank, b_col,     \
		         rank, scale, DROP_OF_ARGUMENTS);                                                                                        \
	}

BRANCH_UP(branch_up_16, 1, 2)
BRANCH_UP(branch_up_64, 4, 4)

#define GRAD_COLS 128 // of the input, in a tile: four a lane
#define GRAD_ROWS 64  // of the batch at a time
#define GRAD_SUMS 4   // ranks whose sums the warps exchange at a time

// grad computes part[s][r, n] = Σ_t p[t, r]·drop(q)[t, n] for a tile of ranks and columns
// over stretch s of the batch's rows. The warps share the rows, and their sums are added in
// order.
template <bool DROPS>
__device__ __forceinline__ void grad(float *part, const float *p, int p_stride, int rank, const float *q, int rows, int cols, int stride,
                                     int stretch, const Drop &d) {
	constexpr int warps = LINEAR_THREADS / WARP;
	__shared__ __align__(16) float ps[GRAD_ROWS * LOW_RANK];
	__shared__ __align__(16) float sums[warps * GRAD_SUMS * GRAD_COLS];
	bool whole = aligned16(q, stride);
	int rank0 = blockIdx.z * LOW_RANK, n = blockIdx.x * GRAD_COLS + 4 * lane_index();
	int from = blockIdx.y * stretch, to = min(from + stretch, rows);
	float acc[LOW_RANK][4] = {};
	for (int t0 = from; t0 < to; t0 += GRAD_ROWS) {
		__syncthreads();
		for (int i = threadIdx.x; i < GRAD_ROWS * LOW_RANK; i += LINEAR_THREADS) {
			int t = t0 + i / LOW_RANK, r = rank0 + i % LOW_RANK;
			bool there = t < to && r < rank;
			ps[i] = !there ? 0.0f : p == nullptr ? 1.0f : p[static_cast<long long>(t) * p_stride + r];
		}
		__syncthreads();
#pragma unroll 4
		for (int i = warp_index(); i < GRAD_ROWS; i += warps) {
			if (t0 + i >= to || n >= cols) continue;
			float v[4];
			load_four(v, q + static_cast<long long>(t0 + i) * stride, n, cols, whole);
			if (DROPS) drop_four(v, d, t0 + i, n, cols);
#pragma unroll
			for (int r = 0; r < LOW_RANK; r += 4) {
				float4 left = *reinterpret_cast<const float4 *>(ps + i * LOW_RANK + r);
#pragma unroll
				for (int j = 0; j < 4; j++) {
					acc[r][j] += left.x * v[j];
					acc[r + 1][j] += left.y * v[j];
					acc[r + 2][j] += left.z * v[j];
					acc[r + 3][j] += left.w * v[j];
				}
			}
		}
	}
#pragma unroll
	for (int g = 0; g < LOW_RANK; g += GRAD_SUMS) { // so many ranks at a time
		__syncthreads();
#pragma unroll
		for (int r = 0; r < GRAD_SUMS; r++) {
			float4 *sum = reinterpret_cast<float4 *>(sums + (warp_index() * GRAD_SUMS + r) * GRAD_COLS + 4 * lane_index());
			*sum = make_float4(acc[g + r][0], acc[g + r][1], acc[g + r][2], acc[g + r][3]);
		}
		__syncthreads();
		for (int i = threadIdx.x; i < GRAD_SUMS * GRAD_COLS; i += LINEAR_THREADS) {
			int r = rank0 + g + i / GRAD_COLS, c = blockIdx.x * GRAD_COLS + i % GRAD_COLS;
			if (r >= rank || c >= cols) continue;
			float sum = 0;
#pragma unroll
			for (int w = 0; w < warps; w++) sum += sums[w * GRAD_SUMS * GRAD_COLS + i];
			part[(static_cast<long long>(blockIdx.y) * rank + r) * cols + c] = sum;
		}
	}
}

// branch_grad is the gradient of a branch's matrix, for ranks p [rows, rank] and an input or
// output q [rows, cols]; p null stands for a column of ones. branch_grad_drop applies
// dropout to q. Grid: tiles of columns × stretches of rows × tiles of ranks.
#define BRANCH_GRAD(name, drops, blocks)                                                                                             \
	BOUNDED_KERNEL(name, LINEAR_THREADS, blocks)(float *part, const float *p, int p_stride, int rank, const float *q, int rows, int cols, \
	                                             int stride, int stretch, DROP_ARGUMENTS) {                                              \
		grad<drops>(part, p, p_stride, rank, q, rows, cols, stride, stretch, DROP_OF_ARGUMENTS);                                         \
	}

BRANCH_GRAD(branch_grad, false, 2)
BRANCH_GRAD(branch_grad_drop, true, 1)

// add_parts adds g[r·g_rank + n·g_col] += scale · Σ_s part[s][r, n], a thread an element.
BOUNDED_KERNEL(add_parts, LINEAR_THREADS, 4)(float *g, int rank, int cols, int g_rank, int g_col, const float *part, int parts, float scale) {
	int n = rank * cols, i = blockIdx.x * LINEAR_THREADS + threadIdx.x;
	if (i >= n) return;
	float sum = 0;
	for (int s = 0; s < parts; s++) sum += part[static_cast<long long>(s) * n + i];
	g[static_cast<long long>(i / cols) * g_rank + static_cast<long long>(i % cols) * g_col] += scale * sum;
}
