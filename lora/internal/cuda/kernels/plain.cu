// Products in float32: weights of float32, views, and all kinds where nothing may be
// rounded. A warp owns STREAM_ROWS rows; each lane takes a unit of them, and sums its
// products with NR rows of x on its own until the end.
#include "stream.cuh"

#define STREAM_ROWS 2

// staged_four is the place in shared memory of four columns of x: the fours of all lanes'
// units stand side by side, the first of each unit before the second.
template <int KIND> __device__ __forceinline__ int staged_four(int four) {
	constexpr int fours = Unit<KIND>::elements / 4;
	int within = four % (WARP * fours);
	return four - within + within % fours * WARP + within / fours;
}

// stage_plain puts columns from on of NR rows of x from row0 on into rows of stretch
// numbers, zeros where there are none.
template <int KIND, int NR> __device__ __forceinline__ void stage_plain(float *to, const Stream &s, int row0, int cols, int from, int stretch) {
	bool whole = aligned16(s.x, s.x_stride);
	int fours = stretch / 4;
	for (int i = threadIdx.x; i < NR * fours; i += STREAM_THREADS) {
		int row = i / fours, four = i % fours;
		float v[4] = {};
		if (row0 + row < s.x_rows) load_four(v, s.x + static_cast<long long>(row0 + row) * s.x_stride, from + 4 * four, cols, whole);
		*reinterpret_cast<float4 *>(to + row * s.stretch + 4 * staged_four<KIND>(four)) = make_float4(v[0], v[1], v[2], v[3]);
	}
}

// decode_plain gives the count elements of a unit from element count·i on.
template <int KIND> __device__ __forceinline__ void decode_plain(float (&v)[8], const Unit<KIND> &u, float scale, const Decoder &d, int i) {
	decode_eight<KIND, false>(v, u, scale, d, i);
}

template <>
__device__ __forceinline__ void decode_plain<WEIGHT_F32>(float (&v)[8], const Unit<WEIGHT_F32> &u, float, const Decoder &, int) {
#pragma unroll
	for (int j = 0; j < 4; j++) v[j] = __uint_as_float(word(u.words, j));
}

// multiply_plain adds the products of one row's unit to acc.
template <int KIND, int NR>
__device__ __forceinline__ void multiply_plain(float (&acc)[NR], const Unit<KIND> &u, const Decoder &d, const float *xs, int stretch) {
	constexpr int count = KIND == WEIGHT_F32 ? 4 : 8;
	constexpr int unrolled = KIND == WEIGHT_NF4 ? 1 : 4; // for the registers
	float scale = unit_scale<KIND>(u, d);
#pragma unroll unrolled
	for (int i = 0; i < Unit<KIND>::elements / count; i++) {
		float v[8];
		decode_plain<KIND>(v, u, scale, d, i);
#pragma unroll
		for (int m = 0; m < NR; m++) {
#pragma unroll
			for (int four = 0; four < count / 4; four++) {
				float4 x = *reinterpret_cast<const float4 *>(xs + m * stretch + (i * count / 4 + four) * 4 * WARP);
				acc[m] += v[4 * four] * x.x;
				acc[m] += v[4 * four + 1] * x.y;
				acc[m] += v[4 * four + 2] * x.z;
				acc[m] += v[4 * four + 3] * x.w;
			}
		}
	}
}

template <int KIND, int NR> __device__ __forceinline__ void stream_plain(unsigned char *shared, const Stream &s, const Matrix &m) {
	constexpr int unit = Unit<KIND>::elements, chunk = WARP * unit;
	float *xs = reinterpret_cast<float *>(shared + (KIND == WEIGHT_NF4 ? TABLE_BYTES : 0));
	int from = blockIdx.y * s.stretch, left = min(s.stretch, m.cols - from), chunks = ceil_div(left, chunk), x0 = blockIdx.z * NR;
	if (KIND == WEIGHT_NF4) fill_tables(shared, m);
	stage_plain<KIND, NR>(xs, s, x0, m.cols, from, chunks * chunk);
	__syncthreads();

	int rows = STREAM_WARPS / s.across * STREAM_ROWS, row0 = s.block * rows, mine = warp_index() / s.across * STREAM_ROWS;
	int share = warp_index() % s.across, col = from + lane_index() * unit;
	Decoder d = decoder_of(m, shared);
	const float *lane = xs + 4 * lane_index();
	Unit<KIND> u[Unit<KIND>::depth][STREAM_ROWS];
	float acc[STREAM_ROWS][NR] = {};
	auto load = [&](Unit<KIND>(&into)[STREAM_ROWS], int c) {
#pragma unroll
		for (int r = 0; r < STREAM_ROWS; r++) {
			int row = s.first + min(row0 + mine + r, s.outputs - 1);
			into[r] = Unit<KIND>{};
			if (col + c * chunk < m.cols) load_unit<KIND>(into[r], d, row, col + c * chunk);
		}
	};
#pragma unroll
	for (int i = 0; i < Unit<KIND>::depth; i++) {
		if (share + i * s.across < chunks) load(u[i], share + i * s.across);
	}
	for (int c0 = share; c0 < chunks; c0 += Unit<KIND>::depth * s.across) {
#pragma unroll
		for (int i = 0; i < Unit<KIND>::depth; i++) {
			int c = c0 + i * s.across, next = c + Unit<KIND>::depth * s.across;
			if (c < chunks) {
#pragma unroll
				for (int r = 0; r < STREAM_ROWS; r++) multiply_plain<KIND, NR>(acc[r], u[i][r], d, lane + c * chunk, s.stretch);
			}
			if (next < chunks) load(u[i], next);
		}
	}
	__syncthreads();
	float *sums = xs; // [across][NR][rows]
#pragma unroll
	for (int r = 0; r < STREAM_ROWS; r++) {
#pragma unroll
		for (int i = 0; i < NR; i++) {
			float sum = warp_sum(acc[r][i]);
			if (lane_index() == 0) sums[(share * NR + i) * rows + mine + r] = sum;
		}
	}
	__syncthreads();
	write_sums(sums, NR, s, x0, rows, row0);
}

#define STREAM_PLAIN(name, kind, count)                                                                                       \
	BOUNDED_KERNEL(name, STREAM_THREADS, 2)(STREAM_ARGUMENTS) { STREAM_BODY((stream_plain<kind, count>)); }

STREAM_PLAIN(stream_f32_1, WEIGHT_F32, 1)
STREAM_PLAIN(stream_f32_8, WEIGHT_F32, 8)
STREAM_PLAIN(stream_bf16_f32_1, WEIGHT_BF16, 1)
STREAM_PLAIN(stream_bf16_f32_8, WEIGHT_BF16, 8)
STREAM_PLAIN(stream_nf4_f32_1, WEIGHT_NF4, 1)
STREAM_PLAIN(stream_nf4_f32_8, WEIGHT_NF4, 8)
STREAM_PLAIN(stream_int8_f32_1, WEIGHT_INT8, 1)
STREAM_PLAIN(stream_int8_f32_8, WEIGHT_INT8, 8)
