// Frozen weights [rows, cols] on the device. A row takes pitch bytes; rows of the engine's
// own weights start at multiples of 64 bytes and end in zeros up to the next one, those of
// views anywhere. The numbers are those of the Go package, bit for bit.
#pragma once
#include "common.cuh"

// The kinds of weights, as lora.Kind counts them. WEIGHT_NF4 stands for both kinds of 4
// bits: which of them a weight is, its nested scales tell.
enum { WEIGHT_F32, WEIGHT_BF16, WEIGHT_NF4, WEIGHT_NF4_SINGLE, WEIGHT_INT8 };

// SCALE_BLOCK elements share a scale, NESTED_BLOCK scales of 8 bits one of their own.
#define SCALE_BLOCK 64
#define NESTED_BLOCK 256

// The parts of a table in 4 bits: the numbers of the codes, those of the codes of scales,
// and what is added to every scale.
#define TABLE_NESTED 16
#define TABLE_OFFSET (16 + 256)

// Values behind codes of 4 bits are rounded to float32, bfloat16 or half precision.
enum { ROUND_NONE, ROUND_BF16, ROUND_F16 };

// Matrix is a weight as kernels take it, each part an argument of its own. Codes of 4 bits
// stand two a byte, the first in the upper half. Their blocks of SCALE_BLOCK count through
// the matrix in row-major order; those of 8 bits begin anew in each row.
struct Matrix {
	const unsigned char *data;
	long long pitch;
	int rows, cols;
	const void *scales;   // float32, or codes of 8 bits where nested is not null
	const float *nested;  // scales of scales
	const float *table;   // of 4 bits
	int rounding;
};

#define MATRIX_ARGUMENTS                                                                                             \
	const unsigned char *data, long long pitch, int rows, int cols, const void *scales, const float *nested, \
	        const float *table, int rounding
#define MATRIX_OF_ARGUMENTS \
	Matrix { data, pitch, rows, cols, scales, nested, table, rounding }

// rounded returns a finite number rounded as a weight in 4 bits asks.
__device__ __forceinline__ float rounded(float x, int rounding) {
	if (rounding == ROUND_BF16) return bf16_to_f32(f32_to_bf16(x));
	if (rounding == ROUND_F16) return round_f16(x);
	return x;
}

// nested_scale is a scale in 8 bits: the number of its code times its block's scale, and
// the offset.
__device__ __forceinline__ float nested_scale(float number, float block, float offset) {
	return __fadd_rn(__fmul_rn(number, block), offset);
}

// nf4_scale is the scale of a block of codes of 4 bits.
__device__ __forceinline__ float nf4_scale(const Matrix &m, long long block) {
	if (m.nested == nullptr) return static_cast<const float *>(m.scales)[block];
	int code = static_cast<const unsigned char *>(m.scales)[block];
	return nested_scale(m.table[TABLE_NESTED + code], m.nested[block / NESTED_BLOCK], m.table[TABLE_OFFSET]);
}

// int8_scale is the scale of the block of element (row, col).
__device__ __forceinline__ float int8_scale(const Matrix &m, int row, int col) {
	long long blocks = ceil_div(m.cols, SCALE_BLOCK);
	return static_cast<const float *>(m.scales)[row * blocks + col / SCALE_BLOCK];
}

// weight_at is element (row, col) of a weight of any kind.
__device__ __forceinline__ float weight_at(const Matrix &m, int kind, int row, int col) {
	const unsigned char *line = m.data + row * m.pitch;
	switch (kind) {
	case WEIGHT_F32:
		return reinterpret_cast<const float *>(line)[col];
	case WEIGHT_BF16:
		return bf16_to_f32(reinterpret_cast<const bf16 *>(line)[col]);
	case WEIGHT_INT8:
		return __fmul_rn(static_cast<float>(reinterpret_cast<const signed char *>(line)[col]), int8_scale(m, row, col));
	}
	int code = line[col / 2] >> (col % 2 == 0 ? 4 : 0) & 15;
	long long element = static_cast<long long>(row) * m.cols + col;
	return rounded(__fmul_rn(m.table[code], nf4_scale(m, element / SCALE_BLOCK)), m.rounding);
}

// Eight consecutive elements of a row, from a multiple of 8: what unpacking and streaming
// decode at a time. Behind the row's end they are finite.

// nf4_eight decodes four bytes, whose first code is element (row, col).
__device__ __forceinline__ void nf4_eight(float (&v)[8], unsigned bytes, const Matrix &m, int row, int col, const float *numbers) {
	long long first = static_cast<long long>(row) * m.cols + col, block = first / SCALE_BLOCK;
	int left = SCALE_BLOCK - static_cast<int>(first % SCALE_BLOCK); // elements in the first block
	float scale = nf4_scale(m, block), next = scale;
	if (left < 8 && col + left < m.cols) next = nf4_scale(m, block + 1);
#pragma unroll
	for (int i = 0; i < 8; i++) {
		int code = bytes >> (8 * (i / 2) + (i % 2 == 0 ? 4 : 0)) & 15;
		v[i] = rounded(__fmul_rn(numbers[code], i < left ? scale : next), m.rounding);
	}
}

// byte_number is signed byte i of a word: put into the lowest bits of 2²³, from which that
// number and the offset that makes bytes positive are taken again.
__device__ __forceinline__ float byte_number(unsigned word, int i) {
	return __uint_as_float(__byte_perm(word ^ 0x80808080u, 0x4b000000u, 0x7540 + i)) - (8388608.0f + 128.0f);
}

// int8_eight decodes eight bytes of a block.
__device__ __forceinline__ void int8_eight(float (&v)[8], uint2 bytes, float scale) {
#pragma unroll
	for (int i = 0; i < 8; i++) v[i] = __fmul_rn(byte_number(i < 4 ? bytes.x : bytes.y, i % 4), scale);
}
