// Products of few rows with a frozen weight, y = x·wᵀ, at the speed at which memory gives
// the weight: decoding. A warp owns some rows of the weight and streams them, 16 bytes a
// lane and row at a time; x waits in shared memory. Where the columns are split between
// warps, their sums are added in order; where between blocks, each stretch's sums go to a
// part of their own, which branch_up adds.
//
// The first blocks take a low-rank branch's way down, so that it is there when the product
// is.
#pragma once
#include "lowrank.cuh"
#include "weight.cuh"

#define STREAM_THREADS 256
#define STREAM_WARPS (STREAM_THREADS / WARP)

// Stream is a product's arguments. The blocks behind those of the branch take groups of the
// weight's rows from first on, over stretch blockIdx.y of the columns, and write
// y[m, row − first] of the part of that stretch.
struct Stream {
	int block, blocks; // which of how many this is
	float *y;
	long long part; // elements between parts
	int stride, first, outputs;
	const float *bias; // added, unless it is null
	const float *x;
	int x_rows, x_stride;
	int stretch; // columns, a multiple of what a warp takes at a time
	int across;  // warps that share the columns, a power of 2
};

#define STREAM_ARGUMENTS                                                                                                            \
	float *y, long long part, int stride, int first, int outputs, const float *bias, const float *x, int x_rows, int x_stride,       \
	        int stretch, int across, int low_blocks, float *low_part, const float *a, int a_stride, int rank, int low_stretch, DROP_ARGUMENTS, \
	        MATRIX_ARGUMENTS

// stream_low runs the branch's way down in the first blocks: one for each stretch of columns
// and tile of ranks. It reports whether this is one.
__device__ __forceinline__ bool stream_low(float *part, unsigned char *shared, const LowDown &l, const Drop &d, int blocks, int stretch) {
	if (static_cast<int>(blockIdx.x) >= blocks) return false;
	if (blockIdx.y > 0 || blockIdx.z > 0) return true;
	int tiles = ceil_div(l.rank, LOW_RANK), s = blockIdx.x / tiles, from = s * stretch;
	low_down(part + static_cast<long long>(s) * l.rows * l.rank, reinterpret_cast<float *>(shared), l, d, 0, blockIdx.x % tiles * LOW_RANK,
	         from, min(from + stretch, l.cols));
	return true;
}

// STREAM_BODY is a kernel's body: product is called with its arguments.
#define STREAM_BODY(product)                                                                                                     \
	DYNAMIC_SHARED(unsigned char, shared);                                                                                       \
	LowDown l = {x, x_stride, x_rows, cols, a, a_stride, 1, rank, nullptr, 0};                                                   \
	if (stream_low(low_part, shared, l, DROP_OF_ARGUMENTS, low_blocks, low_stretch)) return;                                     \
	int block = blockIdx.x - low_blocks, blocks = gridDim.x - low_blocks;                                                                                         \
	product(shared, Stream{block, blocks, y, part, stride, first, outputs, bias, x, x_rows, x_stride, stretch, across}, MATRIX_OF_ARGUMENTS)

// Scales of 4 bits need the numbers of their codes close by.
#define PAIR_COPIES 16
#define PAIR_BYTES (256 * PAIR_COPIES * 8)
#define NESTED_BYTES (256 * 4)
#define TABLE_BYTES (PAIR_BYTES + NESTED_BYTES)

// fill_tables puts a weight's tables into shared memory: for each byte the numbers of its
// two codes, 16 times over so that half a warp reads without conflicts, and the numbers of
// scales in 8 bits.
__device__ __forceinline__ void fill_tables(unsigned char *shared, const Matrix &m) {
	float2 *pairs = reinterpret_cast<float2 *>(shared);
	float *numbers = reinterpret_cast<float *>(shared + PAIR_BYTES);
	for (int i = threadIdx.x; i < 256 * PAIR_COPIES; i += STREAM_THREADS) {
		int byte = i / PAIR_COPIES;
		pairs[i] = make_float2(m.table[byte >> 4], m.table[byte & 15]);
	}
	for (int i = threadIdx.x; i < 256; i += STREAM_THREADS) numbers[i] = m.table[TABLE_NESTED + i];
}

// Unit is what a lane loads of a row at a time: 16 bytes, and what their scale needs.
template <int KIND> struct Unit {
	static constexpr int elements = KIND == WEIGHT_F32 ? 4 : KIND == WEIGHT_BF16 ? 8 : KIND == WEIGHT_INT8 ? 16 : 32;
	static constexpr int depth = elements > 8 ? 2 : 4; // that a lane has under way of a row
	uint4 words;
	float scale;        // of the unit, or of the block of its scale
	unsigned char code; // of its scale
};

// Decoder turns units into numbers.
struct Decoder {
	Matrix m;
	const unsigned char *pairs; // this lane's copy
	const float *numbers;
	float offset;
};

__device__ __forceinline__ Decoder decoder_of(const Matrix &m, const unsigned char *tables) {
	const float *numbers = reinterpret_cast<const float *>(tables + PAIR_BYTES);
	float offset = m.table != nullptr ? m.table[TABLE_OFFSET] : 0.0f;
	return Decoder{m, tables + threadIdx.x % PAIR_COPIES * 8, numbers, offset};
}

// load_unit loads the unit at (row, col).
template <int KIND> __device__ __forceinline__ void load_unit(Unit<KIND> &u, const Decoder &d, int row, int col) {
	const unsigned char *line = d.m.data + row * d.m.pitch;
	if (KIND == WEIGHT_F32) {
		float v[4];
		load_four(v, reinterpret_cast<const float *>(line), col, d.m.cols, (reinterpret_cast<unsigned long long>(d.m.data) | d.m.pitch) % 16 == 0);
		u.words = make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3]));
		return;
	}
	constexpr int elements = Unit<KIND>::elements;
	u.words = __ldcs(reinterpret_cast<const uint4 *>(line) + col / elements);
	if (KIND == WEIGHT_INT8) u.scale = int8_scale(d.m, row, col);
	if (KIND == WEIGHT_NF4) {
		// Behind the row's end, where the codes are zeros, any finite scale does: the row's last.
		long long block = (static_cast<long long>(row) * d.m.cols + min(col, d.m.cols - 1)) / SCALE_BLOCK;
		if (d.m.nested == nullptr) {
			u.scale = static_cast<const float *>(d.m.scales)[block];
		} else {
			u.code = static_cast<const unsigned char *>(d.m.scales)[block];
			u.scale = d.m.nested[block / NESTED_BLOCK];
		}
	}
}

// word returns word i of four.
__device__ __forceinline__ unsigned word(const uint4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// unit_scale completes the scale of a unit.
template <int KIND> __device__ __forceinline__ float unit_scale(const Unit<KIND> &u, const Decoder &d) {
	if (KIND != WEIGHT_NF4 || d.m.nested == nullptr) return u.scale;
	return nested_scale(d.numbers[u.code], u.scale, d.offset);
}

// decode_eight gives elements 8·i to 8·i+7 of a unit. PAIRED says that they are rounded to
// bfloat16 afterwards.
template <int KIND, bool PAIRED>
__device__ __forceinline__ void decode_eight(float (&v)[8], const Unit<KIND> &u, float scale, const Decoder &d, int i) {
	if (KIND == WEIGHT_BF16) {
#pragma unroll
		for (int j = 0; j < 8; j++) v[j] = j % 2 == 0 ? low_bf16(word(u.words, j / 2)) : high_bf16(word(u.words, j / 2));
	} else if (KIND == WEIGHT_INT8) {
		int8_eight(v, make_uint2(word(u.words, 2 * i), word(u.words, 2 * i + 1)), scale);
	} else {
		unsigned bytes = word(u.words, i);
#pragma unroll
		for (int j = 0; j < 4; j++) {
			unsigned place = (j == 0 ? bytes << 7 : bytes >> (8 * j - 7)) & 0x7f80;
			float2 pair = *reinterpret_cast<const float2 *>(d.pairs + place);
			v[2 * j] = __fmul_rn(pair.x, scale);
			v[2 * j + 1] = __fmul_rn(pair.y, scale);
		}
		if (d.m.rounding == ROUND_NONE || PAIRED && d.m.rounding == ROUND_BF16) return;
#pragma unroll
		for (int j = 0; j < 8; j++) v[j] = rounded(v[j], d.m.rounding);
	}
}

// write_sums adds the sums of the warps that share columns, sums[across][count][rows], for
// count rows of x from x0 on and rows rows of the weight, and writes them.
__device__ __forceinline__ void write_sums(const float *sums, int count, const Stream &s, int x0, int rows, int row0) {
	float *y = s.y + blockIdx.y * s.part;
	for (int i = threadIdx.x; i < min(count, s.x_rows - x0) * rows; i += STREAM_THREADS) {
		int m = x0 + i / rows, o = row0 + i % rows;
		if (o >= s.outputs) continue;
		float sum = 0;
		for (int w = 0; w < s.across; w++) sum += sums[w * count * rows + i];
		y[static_cast<long long>(m) * s.stride + o] = s.bias != nullptr ? sum + s.bias[o] : sum;
	}
}
