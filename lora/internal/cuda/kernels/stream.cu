// Products on tensor cores: weights of 2 bytes or less, with x and the weight in bfloat16. A
// warp owns 16 rows, which are the rows of the tile that it multiplies, and NT·8 rows of x
// are its columns. The order of k within a product is free as long as both sides share it:
// the eight elements that a lane has loaded of a row are its part of two products in turn.
#include "stream.cuh"

// staged_group is the place in shared memory of eight columns of x. A lane's unit may hold
// several groups of eight; they stand so that lanes next to each other read next to each
// other.
template <int KIND> __device__ __forceinline__ int staged_group(int group) {
	constexpr int groups = Unit<KIND>::elements / 8, lanes = 4;
	int within = group % (lanes * groups);
	return group - within + within % groups * lanes + within / groups;
}

// stage_rounded puts columns from to to of x, rounded, into rows of pitch bytes.
template <int KIND>
__device__ __forceinline__ void stage_rounded(unsigned char *to_shared, int pitch, const Stream &s, int cols, int from, int stretch) {
	bool whole = aligned16(s.x, s.x_stride);
	int groups = stretch / 8;
	for (int i = threadIdx.x; i < s.x_rows * groups; i += STREAM_THREADS) {
		int row = i / groups, group = i % groups, k = from + 8 * group;
		const float *line = s.x + static_cast<long long>(row) * s.x_stride;
		float v[4], w[4];
		load_four(v, line, k, cols, whole);
		load_four(w, line, k + 4, cols, whole);
		uint4 *to = reinterpret_cast<uint4 *>(to_shared + row * pitch) + staged_group<KIND>(group);
		*to = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(w[0], w[1]), pack_bf16(w[2], w[3]));
	}
}

// pairs_of gives eight decoded elements as tensor cores take them.
template <int KIND>
__device__ __forceinline__ void pairs_of(unsigned (&p)[4], const Unit<KIND> &u, float scale, const Decoder &d, int i) {
	if (KIND == WEIGHT_BF16) {
		p[0] = u.words.x, p[1] = u.words.y, p[2] = u.words.z, p[3] = u.words.w;
		return;
	}
	float v[8];
	decode_eight<KIND, true>(v, u, scale, d, i);
#pragma unroll
	for (int j = 0; j < 4; j++) p[j] = pack_bf16(v[2 * j], v[2 * j + 1]);
}

// multiply_units adds the product of a unit of two rows of the weight, and of x, whose rows
// lie at xs for this lane, to acc.
template <int KIND, int NT>
__device__ __forceinline__ void multiply_units(float (&acc)[NT][4], const Unit<KIND> (&u)[2], const Decoder &d, const unsigned char *xs,
                                               int pitch, int x_rows) {
	constexpr int unrolled = NT > 2 ? 2 : 4; // for the registers
	float scale[2] = {unit_scale<KIND>(u[0], d), unit_scale<KIND>(u[1], d)};
#pragma unroll unrolled
	for (int i = 0; i < Unit<KIND>::elements / 8; i++) {
		unsigned p[2][4];
		pairs_of<KIND>(p[0], u[0], scale[0], d, i);
		pairs_of<KIND>(p[1], u[1], scale[1], d, i);
		unsigned left[4] = {p[0][0], p[1][0], p[0][1], p[1][1]}, right[4] = {p[0][2], p[1][2], p[0][3], p[1][3]};
#pragma unroll
		for (int j = 0; j < NT; j++) {
			uint4 four = make_uint4(0, 0, 0, 0);
			if (8 * j + lane_index() / 4 < x_rows) four = *reinterpret_cast<const uint4 *>(xs + 8 * j * pitch + 64 * i);
			unsigned first[2] = {four.x, four.y}, second[2] = {four.z, four.w};
			mma_bf16(acc[j], left, first);
			mma_bf16(acc[j], right, second);
		}
	}
}

// rows_of gives the two rows of a group of the weight's rows that this lane reads.
__device__ __forceinline__ void rows_of(int (&row)[2], const Stream &s, int first) {
	first += lane_index() / 4;
	row[0] = s.first + min(first, s.outputs - 1);
	row[1] = s.first + min(first + 8, s.outputs - 1);
}

// stream_rounded goes through groups of rows, gridDim.x apart. What a warp reads of the next
// group is under way before it is done with the one before.
template <int KIND, int NT> __device__ __forceinline__ void stream_rounded(unsigned char *shared, const Stream &s, const Matrix &m) {
	constexpr int unit = Unit<KIND>::elements, depth = Unit<KIND>::depth, chunk = 4 * unit; // columns that a warp takes at a time
	int from = blockIdx.y * s.stretch, left = min(s.stretch, m.cols - from), chunks = ceil_div(left, chunk);
	int height = STREAM_WARPS / s.across * 16, groups = ceil_div(s.outputs, height), pitch = 2 * s.stretch + (s.stretch % 64 == 0 ? 64 : 0);
	int mine = warp_index() / s.across * 16, share = warp_index() % s.across, col = from + lane_index() % 4 * unit;
	float *sums = reinterpret_cast<float *>(shared + (KIND == WEIGHT_NF4 ? TABLE_BYTES : 0));
	unsigned char *xs = reinterpret_cast<unsigned char *>(sums + STREAM_WARPS * 16 * 8 * NT);
	Decoder d = decoder_of(m, shared);
	Unit<KIND> u[depth][2];
	int row[2];
	rows_of(row, s, s.block * height + mine);
#pragma unroll
	for (int i = 0; i < depth; i++) {
		int c = share + i * s.across;
		if (c >= chunks) continue;
		load_unit<KIND>(u[i][0], d, row[0], col + c * chunk);
		load_unit<KIND>(u[i][1], d, row[1], col + c * chunk);
	}
	if (KIND == WEIGHT_NF4) fill_tables(shared, m);
	stage_rounded<KIND>(xs, pitch, s, m.cols, from, chunks * chunk);
	__syncthreads();

	const unsigned char *lane = xs + lane_index() / 4 * pitch + 16 * (lane_index() % 4);
	for (int group = s.block; group < groups; group += s.blocks) {
		bool last = group + s.blocks >= groups;
		int next[2];
		rows_of(next, s, (group + s.blocks) * height + mine);
		float acc[NT][4] = {};
		for (int c0 = share; c0 < chunks; c0 += depth * s.across) {
#pragma unroll
			for (int i = 0; i < depth; i++) {
				int c = c0 + i * s.across, after = c + depth * s.across;
				if (c >= chunks) continue;
				multiply_units<KIND, NT>(acc, u[i], d, lane + 2 * c * chunk, pitch, s.x_rows);
				bool here = after < chunks;
				if (!here && last) continue;
				if (!here) after = share + i * s.across;
				load_unit<KIND>(u[i][0], d, here ? row[0] : next[0], col + after * chunk);
				load_unit<KIND>(u[i][1], d, here ? row[1] : next[1], col + after * chunk);
			}
		}
		row[0] = next[0], row[1] = next[1];
		__syncthreads();
#pragma unroll
		for (int j = 0; j < NT; j++) {
#pragma unroll
			for (int i = 0; i < 4; i++) {
				int x = 8 * j + 2 * (lane_index() % 4) + i % 2;
				sums[(share * 8 * NT + x) * height + mine + lane_index() / 4 + i / 2 * 8] = acc[j][i];
			}
		}
		__syncthreads();
		write_sums(sums, 8 * NT, s, 0, height, group * height);
	}
}

#define STREAM_ROUNDED(name, kind, tiles)                                                                                     \
	BOUNDED_KERNEL(name, STREAM_THREADS, 2)(STREAM_ARGUMENTS) { STREAM_BODY((stream_rounded<kind, tiles>)); }

STREAM_ROUNDED(stream_bf16_8, WEIGHT_BF16, 1)
STREAM_ROUNDED(stream_bf16_16, WEIGHT_BF16, 2)
STREAM_ROUNDED(stream_bf16_32, WEIGHT_BF16, 4)
STREAM_ROUNDED(stream_nf4_8, WEIGHT_NF4, 1)
STREAM_ROUNDED(stream_nf4_16, WEIGHT_NF4, 2)
STREAM_ROUNDED(stream_nf4_32, WEIGHT_NF4, 4)
STREAM_ROUNDED(stream_int8_8, WEIGHT_INT8, 1)
STREAM_ROUNDED(stream_int8_16, WEIGHT_INT8, 2)
STREAM_ROUNDED(stream_int8_32, WEIGHT_INT8, 4)
