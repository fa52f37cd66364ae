// Products of tiles of bfloat16 in shared memory on tensor cores. Rows of a tile are padded
// by 16 bytes, so that the eight rows that ldmatrix reads at once lie in different banks.
#pragma once

#include "attention.cuh"

// Tile is the layout of rows of COLS numbers, a multiple of 16.
template <int COLS> struct Tile {
	static constexpr int stride = COLS + 8;

	// left reads rows [row, row+16) and columns [col, col+16) as the left factor of a product.
	static __device__ __forceinline__ void left(unsigned (&a)[4], const bf16 *tile, int row, int col) {
		ldmatrix_x4(a, tile + (row + lane_index() % 16) * stride + col + lane_index() / 16 * 8);
	}
	// right reads the same for a right factor of which the tile's rows are the columns:
	// columns [row, row+8) in b[0], b[1] and [row+8, row+16) in b[2], b[3].
	static __device__ __forceinline__ void right(unsigned (&b)[4], const bf16 *tile, int row, int col) {
		int lane = lane_index();
		ldmatrix_x4(b, tile + (row + lane / 16 * 8 + lane % 8) * stride + col + lane / 8 % 2 * 8);
	}
	// right_rows reads the same for a right factor of which the tile's rows are the rows:
	// columns [col, col+8) in b[0], b[1] and [col+8, col+16) in b[2], b[3].
	static __device__ __forceinline__ void right_rows(unsigned (&b)[4], const bf16 *tile, int row, int col) {
		ldmatrix_x4_trans(b, tile + (row + lane_index() % 16) * stride + col + lane_index() / 16 * 8);
	}
};

// mma_pair multiplies by both halves of what right and right_rows read.
__device__ __forceinline__ void mma_pair(float (&d0)[4], float (&d1)[4], const unsigned (&a)[4], const unsigned (&b)[4]) {
	const unsigned b0[2] = {b[0], b[1]}, b1[2] = {b[2], b[3]};
	mma_bf16(d0, a, b0);
	mma_bf16(d1, a, b1);
}

// multiply_rows sets s = x·yᵀ for 16·MT rows of x from x_row on and the first 8·NT rows of y.
template <int COLS, int MT, int NT>
__device__ __forceinline__ void multiply_rows(float (&s)[MT][NT][4], const bf16 *x, int x_row, const bf16 *y) {
#pragma unroll
	for (int m = 0; m < MT; m++)
#pragma unroll
		for (int n = 0; n < NT; n++)
#pragma unroll
			for (int i = 0; i < 4; i++) s[m][n][i] = 0;
#pragma unroll 4
	for (int col = 0; col < COLS; col += 16) {
		unsigned a[MT][4];
#pragma unroll
		for (int m = 0; m < MT; m++) Tile<COLS>::left(a[m], x, x_row + 16 * m, col);
#pragma unroll
		for (int n = 0; n < NT; n += 2) {
			unsigned b[4];
			Tile<COLS>::right(b, y, 8 * n, col);
#pragma unroll
			for (int m = 0; m < MT; m++) mma_pair(s[m][n], s[m][n + 1], a[m], b);
		}
	}
}

// as_left rounds a product's result to the left factor of the next one: columns [16k, 16k+16).
template <int NT> __device__ __forceinline__ void as_left(unsigned (&a)[4], const float (&s)[NT][4], int k) {
	a[0] = pack_bf16(s[2 * k][0], s[2 * k][1]);
	a[1] = pack_bf16(s[2 * k][2], s[2 * k][3]);
	a[2] = pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]);
	a[3] = pack_bf16(s[2 * k + 1][2], s[2 * k + 1][3]);
}

// add_product adds s·y to o, for the first 8·NT rows of y and columns [col, col+8·OT).
template <int COLS, int MT, int NT, int OT>
__device__ __forceinline__ void add_product(float (&o)[MT][OT][4], const float (&s)[MT][NT][4], const bf16 *y, int col) {
#pragma unroll
	for (int k = 0; k < NT / 2; k++) {
		unsigned a[MT][4];
#pragma unroll
		for (int m = 0; m < MT; m++) as_left<NT>(a[m], s[m], k);
#pragma unroll
		for (int n = 0; n < OT; n += 2) {
			unsigned b[4];
			Tile<COLS>::right_rows(b, y, 16 * k, col + 8 * n);
#pragma unroll
			for (int m = 0; m < MT; m++) mma_pair(o[m][n], o[m][n + 1], a[m], b);
		}
	}
}

// clear sets a result to 0.
template <int MT, int NT> __device__ __forceinline__ void clear(float (&o)[MT][NT][4]) {
#pragma unroll
	for (int m = 0; m < MT; m++)
#pragma unroll
		for (int n = 0; n < NT; n++)
#pragma unroll
			for (int i = 0; i < 4; i++) o[m][n][i] = 0;
}

// store writes 16 rows of a result to a matrix of float32 in shared memory.
template <int OT> __device__ __forceinline__ void store(float *to, int stride, const float (&o)[OT][4]) {
	to += lane_index() / 4 * stride + lane_index() % 4 * 2;
#pragma unroll
	for (int n = 0; n < OT; n++) {
		*reinterpret_cast<float2 *>(to + 8 * n) = make_float2(o[n][0], o[n][1]);
		*reinterpret_cast<float2 *>(to + 8 * stride + 8 * n) = make_float2(o[n][2], o[n][3]);
	}
}

// copy_rows starts to copy rows of COLS numbers that follow each other in memory.
template <int COLS, int ROWS, int THREADS> __device__ __forceinline__ void copy_rows(bf16 *tile, const bf16 *from) {
	constexpr int pieces = COLS / 8;
#pragma unroll
	for (int first = 0; first < ROWS * pieces; first += THREADS) {
		int i = first + threadIdx.x;
		if (ROWS * pieces % THREADS == 0 || i < ROWS * pieces)
			copy_async_16(tile + i / pieces * Tile<COLS>::stride + i % pieces * 8, from + 8 * i);
	}
}

// rounded returns x rounded to bfloat16; where FINITE, NaN and Inf become 0 and are taken
// note of.
template <bool FINITE> __device__ __forceinline__ float rounded(float x, bool &found) {
	x = bf16_to_f32(f32_to_bf16(x));
	return FINITE ? finite_or_zero(x, found) : x;
}

// write4 rounds four numbers into a tile.
template <bool FINITE> __device__ __forceinline__ void write4(bf16 *at, float4 x, bool &found) {
	uint2 pairs;
	pairs.x = pack_bf16(rounded<FINITE>(x.x, found), rounded<FINITE>(x.y, found));
	pairs.y = pack_bf16(rounded<FINITE>(x.z, found), rounded<FINITE>(x.w, found));
	*reinterpret_cast<uint2 *>(at) = pairs;
}

// round_rows rounds ROWS rows of dim numbers into a tile, with 0 for columns from dim on.
// row_at returns where a row begins, or null for zeros; aligned says that float4 may be
// read there.
template <int COLS, int ROWS, int THREADS, bool FINITE, class RowAt>
__device__ __forceinline__ void round_rows(bf16 *tile, RowAt row_at, int dim, bool aligned, bool &found) {
	constexpr int pieces = COLS / 4, all = ROWS * pieces, batch = all / THREADS < 8 ? all / THREADS : 8;
	if (!aligned || dim % 4 != 0) {
#pragma unroll 1
		for (int i = threadIdx.x; i < ROWS * COLS; i += THREADS) {
			const float *row = row_at(i / COLS);
			float x = row && i % COLS < dim ? row[i % COLS] : 0;
			tile[i / COLS * Tile<COLS>::stride + i % COLS] = f32_to_bf16(rounded<FINITE>(x, found));
		}
		return;
	}
#pragma unroll 1
	for (int first = threadIdx.x; first < all; first += batch * THREADS) {
		float4 got[batch]; // several reads under way at once
#pragma unroll
		for (int j = 0; j < batch; j++) {
			int i = first + j * THREADS, c = i % pieces * 4;
			const float *row = row_at(i / pieces);
			got[j] = make_float4(0, 0, 0, 0);
			if (row && c < dim) got[j] = *reinterpret_cast<const float4 *>(row + c);
		}
#pragma unroll
		for (int j = 0; j < batch; j++) {
			int i = first + j * THREADS;
			write4<FINITE>(tile + i / pieces * Tile<COLS>::stride + i % pieces * 4, got[j], found);
		}
	}
}
