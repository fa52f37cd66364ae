// Weights of any kind turned into plain numbers: whole rows for the large products, single
// rows for embeddings.
#include "weight.cuh"

#define UNPACK_THREADS 256

// store_eight writes eight numbers, at a multiple of 16 bytes.
__device__ __forceinline__ void store_eight(float *to, const float (&v)[8]) {
	float4 *four = reinterpret_cast<float4 *>(to);
	four[0] = make_float4(v[0], v[1], v[2], v[3]);
	four[1] = make_float4(v[4], v[5], v[6], v[7]);
}

__device__ __forceinline__ void store_eight(bf16 *to, const float (&v)[8]) {
	*reinterpret_cast<uint4 *>(to) = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
}

// load_eight reads elements (row, col) to (row, col + 7) of one of the engine's own weights.
template <int KIND> __device__ __forceinline__ void load_eight(float (&v)[8], const Matrix &m, int row, int col, const float *numbers) {
	const unsigned char *line = m.data + row * m.pitch;
	if (KIND == WEIGHT_NF4) {
		nf4_eight(v, *reinterpret_cast<const unsigned *>(line + col / 2), m, row, col, numbers);
	} else if (KIND == WEIGHT_INT8) {
		int8_eight(v, *reinterpret_cast<const uint2 *>(line + col), int8_scale(m, row, col));
	} else {
		uint4 words = *reinterpret_cast<const uint4 *>(line + 2 * col);
		unsigned pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
		for (int i = 0; i < 8; i++) v[i] = i % 2 == 0 ? low_bf16(pairs[i / 2]) : high_bf16(pairs[i / 2]);
	}
}

// unpack sets to[r, c] = m[row0 + r, c] for count rows, each of stride elements, a multiple
// of 8; c goes up to the next multiple of 8. A thread takes eight elements of some rows.
// Grid: stretches of columns × rows, or fewer.
template <int KIND, class T> __device__ __forceinline__ void unpack(T *to, int stride, const Matrix &m, int row0, int count) {
	__shared__ float numbers[16];
	if (KIND == WEIGHT_NF4) {
		if (threadIdx.x < 16) numbers[threadIdx.x] = m.table[threadIdx.x];
		__syncthreads();
	}
	int col = 8 * (blockIdx.x * UNPACK_THREADS + threadIdx.x);
	if (col >= m.cols) return;
	for (int row = blockIdx.y; row < count; row += gridDim.y) {
		float v[8];
		load_eight<KIND>(v, m, row0 + row, col, numbers);
		store_eight(to + static_cast<long long>(row) * stride + col, v);
	}
}

#define UNPACK(name, kind, type)                                                                              \
	BOUNDED_KERNEL(name, UNPACK_THREADS, 4)(type * to, int stride, int row0, int count, MATRIX_ARGUMENTS) { \
		unpack<kind>(to, stride, MATRIX_OF_ARGUMENTS, row0, count);                                           \
	}

UNPACK(unpack_nf4_bf16, WEIGHT_NF4, bf16)
UNPACK(unpack_int8_bf16, WEIGHT_INT8, bf16)
UNPACK(unpack_nf4_f32, WEIGHT_NF4, float)
UNPACK(unpack_int8_f32, WEIGHT_INT8, float)
UNPACK(unpack_bf16_f32, WEIGHT_BF16, float)

// gather sets dst[i] = m[ids[i]] for the rows of dst, a block's stretch of columns each.
// Grid: stretches × rows.
BOUNDED_KERNEL(gather, UNPACK_THREADS, 4)(float *dst, int stride, const int *ids, int kind, MATRIX_ARGUMENTS) {
	Matrix m = MATRIX_OF_ARGUMENTS;
	int row = ids[blockIdx.y], col = blockIdx.x * UNPACK_THREADS + threadIdx.x;
	if (col < cols) dst[static_cast<long long>(blockIdx.y) * stride + col] = weight_at(m, kind, row, col);
}
