// The way down into a low-rank branch: what both the large products and the streaming ones
// do with their input besides multiplying it with the weight.
#pragma once
#include "common.cuh"
#include "philox.cuh"

#define LOW_ROWS 32   // of the input, in a tile
#define LOW_RANK 16   // of the branch, in a tile
#define LOW_CHUNK 128 // columns of the input at a time
#define LOW_PITCH (LOW_CHUNK + 4)
#define LOW_THREADS 256
#define LOW_WARPS (LOW_THREADS / WARP)
#define LOW_STAGE ((LOW_ROWS + LOW_RANK) * LOW_PITCH)
#define LOW_SHARED (2 * LOW_STAGE) // numbers: one chunk is read while the next arrives

// Drop is lora.Dropout: p 0 keeps everything. Elements are counted from row0.
struct Drop {
	float p, scale; // scale = 1/(1−p)
	PhiloxKey key;
	unsigned long long row0;
};

#define DROP_ARGUMENTS \
	float drop_p, float drop_scale, unsigned drop_key0, unsigned drop_key1, unsigned drop_index, unsigned drop_step, unsigned long long drop_row0
#define DROP_OF_ARGUMENTS \
	Drop { drop_p, drop_scale, {{drop_key0, drop_key1}, drop_index, drop_step}, drop_row0 }

// drop_four applies dropout to elements (row, col) to (row, col + 3) of an input with cols
// columns.
__device__ __forceinline__ void drop_four(float (&v)[4], const Drop &d, int row, int col, int cols) {
	unsigned long long first = (d.row0 + row) * cols + col;
	unsigned skip = static_cast<unsigned>(first % 4), words[4], next[4];
	philox(words, first / 4, d.key);
	if (skip != 0) philox(next, first / 4 + 1, d.key);
#pragma unroll
	for (int i = 0; i < 4; i++) {
		unsigned word = words[i];
		if (skip == 1) word = i < 3 ? words[(i + 1) % 4] : next[0];
		if (skip == 2) word = i < 2 ? words[(i + 2) % 4] : next[i % 2];
		if (skip == 3) word = i < 1 ? words[3] : next[(i + 3) % 4];
		v[i] = unit23(word) >= d.p ? __fmul_rn(v[i], d.scale) : 0.0f;
	}
}

// load_four reads four elements of a row from column col on, 0 behind the row's end.
// whole says that float4 may be read.
__device__ __forceinline__ void load_four(float (&v)[4], const float *line, int col, int cols, bool whole) {
	if (whole && col + 4 <= cols) {
		float4 four = *reinterpret_cast<const float4 *>(line + col);
		v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
		return;
	}
#pragma unroll
	for (int i = 0; i < 4; i++) v[i] = col + i < cols ? line[col + i] : 0.0f;
}

// LowDown is the product part[t, r] = Σ_k drop(x)[t, k]·a[r, k] over a stretch of columns,
// for a tile of rows and ranks. a[r, k] stands at a[r·a_rank + k·a_col].
struct LowDown {
	const float *x;
	int stride, rows, cols;
	const float *a;
	int a_rank, a_col, rank;
	bf16 *copy; // receives the rows of x, rounded, unless it is null: copy_stride elements each
	int copy_stride;
};

// low_fetch starts to copy columns from on, up to to, of the tile's rows of x and of a into
// shared memory, zeros elsewhere.
__device__ __forceinline__ void low_fetch(float *xs, float *as, const LowDown &l, int row0, int rank0, int from, int to) {
	bool whole = aligned16(l.x, l.stride);
	for (int i = threadIdx.x; i < LOW_ROWS * LOW_CHUNK / 4; i += LOW_THREADS) {
		int row = i / (LOW_CHUNK / 4), j = i % (LOW_CHUNK / 4) * 4, t = min(row0 + row, l.rows - 1), k = from + j;
		const float *line = l.x + static_cast<long long>(t) * l.stride;
		bool there = row0 + row < l.rows;
		float *to_shared = xs + row * LOW_PITCH + j;
		if (whole && k + 4 <= to) {
			copy_async_16(to_shared, line + k, there);
			continue;
		}
#pragma unroll
		for (int e = 0; e < 4; e++) copy_async_4(to_shared + e, line + min(k + e, to - 1), there && k + e < to);
	}
	for (int i = threadIdx.x; i < LOW_RANK * LOW_CHUNK; i += LOW_THREADS) {
		int r = l.a_col == 1 ? i / LOW_CHUNK : i % LOW_RANK, j = l.a_col == 1 ? i % LOW_CHUNK : i / LOW_RANK, k = from + j;
		bool there = rank0 + r < l.rank && k < to;
		long long at = static_cast<long long>(min(rank0 + r, l.rank - 1)) * l.a_rank + static_cast<long long>(min(k, to - 1)) * l.a_col;
		copy_async_4(as + r * LOW_PITCH + j, l.a + at, there);
	}
}

// low_prepare writes what this thread has fetched of x rounded, and applies dropout to it.
__device__ __forceinline__ void low_prepare(float *xs, const LowDown &l, const Drop &d, int row0, int from, int to) {
	if (l.copy == nullptr && d.p == 0) return;
#pragma unroll 1
	for (int i = threadIdx.x; i < LOW_ROWS * LOW_CHUNK / 4; i += LOW_THREADS) {
		int row = i / (LOW_CHUNK / 4), j = i % (LOW_CHUNK / 4) * 4, t = row0 + row, k = from + j;
		if (t >= l.rows || k >= to) continue;
		float4 *four = reinterpret_cast<float4 *>(xs + row * LOW_PITCH + j);
		float v[4] = {four->x, four->y, four->z, four->w};
		if (l.copy != nullptr) {
			uint2 *copy = reinterpret_cast<uint2 *>(l.copy + static_cast<long long>(t) * l.copy_stride + k);
			*copy = make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
		}
		if (d.p == 0) continue;
		drop_four(v, d, t, k, l.cols);
		*four = make_float4(v[0], v[1], v[2], v[3]);
	}
}

// low_multiply adds the products of a chunk, of which each warp takes its columns, to acc.
__device__ __forceinline__ void low_multiply(float (&acc)[4][4], const float *xl, const float *al) {
#pragma unroll 2
	for (int q = 0; q < LOW_CHUNK / 4 / LOW_WARPS; q++) {
		int k = (q * LOW_WARPS + warp_index()) * 4;
		float4 x[4], a[4];
#pragma unroll
		for (int i = 0; i < 4; i++) {
			x[i] = *reinterpret_cast<const float4 *>(xl + 8 * i * LOW_PITCH + k);
			a[i] = *reinterpret_cast<const float4 *>(al + 4 * i * LOW_PITCH + k);
		}
#pragma unroll
		for (int i = 0; i < 4; i++) {
#pragma unroll
			for (int j = 0; j < 4; j++) {
				acc[i][j] += x[i].x * a[j].x;
				acc[i][j] += x[i].y * a[j].y;
				acc[i][j] += x[i].z * a[j].z;
				acc[i][j] += x[i].w * a[j].w;
			}
		}
	}
}

// low_down computes the tile at (row0, rank0) over columns from to to, and writes it to
// part, whose rows hold rank numbers. A lane holds rows lane%8 + 8i and ranks lane/8 + 4j;
// the warps share the columns, and their sums are added in order. One chunk is fetched while
// the one before is multiplied. shared holds LOW_SHARED numbers. The stretch starts at a
// multiple of 4.
__device__ __forceinline__ void low_down(float *part, float *shared, const LowDown &l, const Drop &d, int row0, int rank0, int from, int to) {
	float acc[4][4] = {};
	int lane = lane_index() % 8 * LOW_PITCH, lane_a = (LOW_ROWS + lane_index() / 8) * LOW_PITCH;
	low_fetch(shared, shared + LOW_ROWS * LOW_PITCH, l, row0, rank0, from, min(from + LOW_CHUNK, to));
	copy_async_commit();
	for (int chunk = from, stage = 0; chunk < to; chunk += LOW_CHUNK, stage ^= 1) {
		float *now = shared + stage * LOW_STAGE, *then = shared + (stage ^ 1) * LOW_STAGE;
		int next = chunk + LOW_CHUNK;
		if (next < to) low_fetch(then, then + LOW_ROWS * LOW_PITCH, l, row0, rank0, next, min(next + LOW_CHUNK, to));
		copy_async_commit();
		copy_async_wait<1>();
		low_prepare(now, l, d, row0, chunk, min(next, to));
		__syncthreads();
		low_multiply(acc, now + lane, now + lane_a);
		__syncthreads();
	}
	float *sums = shared; // [warp][row][rank]
#pragma unroll
	for (int i = 0; i < 4; i++) {
#pragma unroll
		for (int j = 0; j < 4; j++) {
			int row = lane_index() % 8 + 8 * i, r = lane_index() / 8 + 4 * j;
			sums[(warp_index() * LOW_ROWS + row) * LOW_RANK + r] = acc[i][j];
		}
	}
	__syncthreads();
	for (int i = threadIdx.x; i < LOW_ROWS * LOW_RANK; i += LOW_THREADS) {
		int row = row0 + i / LOW_RANK, r = rank0 + i % LOW_RANK;
		if (row >= l.rows || r >= l.rank) continue;
		float sum = 0;
#pragma unroll
		for (int w = 0; w < LOW_WARPS; w++) sum += sums[w * LOW_ROWS * LOW_RANK + i];
		part[static_cast<long long>(row) * l.rank + r] = sum;
	}
}
