// Attention over forests in bfloat16 on tensor cores, forward (Dao, 2023). A block of four
// warps holds a tile of packed rows and goes through the blocks of keys that any of them
// sees, with a running soft-max in base 2; a block of keys is read once for all branches
// and heads of the tile. Where the rows are few, as in decoding, the keys of a tile are
// shared among several items, whose partial results attention_merge joins in their order.
#include "attention_tile.cuh"

#define FORWARD_THREADS 128

// attention_keep copies a plan to where it stays.
KERNEL(attention_keep)(int *to, const int *plan, int n) {
	for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) to[i] = plan[i];
}

// attention_pack copies keys and values, rounded, to [head][slot][padded], with 0 for
// columns from dim on, and for values that are not finite; found [head][block] tells of those.
KERNEL(attention_pack)(bf16 *k_out, bf16 *v_out, int *found, const float *k, int k_stride, const float *v, int v_stride,
                       const int *plan, int dim, int padded) {
	__shared__ int any;
	int slots = plan[PLAN_SLOTS], first = blockIdx.x * BLOCK_SLOTS, head = blockIdx.y;
	if (threadIdx.x == 0) any = 0;
	__syncthreads();
	if (first < slots) {
		const int *kv = list(plan, PLAN_KV) + first;
		bool k_aligned = aligned16(k + head * dim, k_stride), v_aligned = aligned16(v + head * dim, v_stride);
		bool bad = false;
		long long to = (static_cast<long long>(head) * slots + first) * padded;
		for (int i = 4 * threadIdx.x; i < BLOCK_SLOTS * padded; i += 4 * blockDim.x) {
			long long row = kv[i / padded];
			int c = i % padded;
			write4<false>(k_out + to + i, read4(k + row * k_stride + head * dim, c, dim, k_aligned), bad);
			write4<true>(v_out + to + i, read4(v + row * v_stride + head * dim, c, dim, v_aligned), bad);
		}
		if (bad) any = 1;
	}
	__syncthreads();
	if (first < slots && threadIdx.x == 0) found[head * (slots / BLOCK_SLOTS) + blockIdx.x] = any;
}

// Soft is the running soft-max of a warp's rows: those of the tensor-core layout, two a
// thread in each 16.
template <int MT, int OT> struct Soft {
	float o[MT][OT][4];
	float top[MT][2], sum[MT][2];
	int row[MT][2]; // packed rows

	__device__ __forceinline__ void start(int first) {
		clear(o);
#pragma unroll
		for (int m = 0; m < MT; m++)
#pragma unroll
			for (int h = 0; h < 2; h++) {
				top[m][h] = -infinity();
				sum[m][h] = 0;
				row[m][h] = first + 16 * m + 8 * h + lane_index() / 4;
			}
	}

	// hide_unseen sets scores to -Inf where a row does not see a slot of a block.
	__device__ __forceinline__ void hide_unseen(float (&s)[MT][4][4], const int *lo, const int *hi) {
#pragma unroll
		for (int n = 0; n < 4; n++)
#pragma unroll
			for (int i = 0; i < 2; i++) {
				int slot = 8 * n + lane_index() % 4 * 2 + i, l = lo[slot], h = hi[slot];
#pragma unroll
				for (int m = 0; m < MT; m++) {
					s[m][n][i] = hide(s[m][n][i], row[m][0], l, h);
					s[m][n][2 + i] = hide(s[m][n][2 + i], row[m][1], l, h);
				}
			}
	}

	// soften turns scores into probabilities relative to the maximum, and what was summed
	// before with them. factor turns a score into an exponent of 2.
	__device__ __forceinline__ void soften(float (&s)[MT][4][4], float factor) {
		float less[MT][2];
		bool changed = false;
#pragma unroll
		for (int m = 0; m < MT; m++)
#pragma unroll
			for (int h = 0; h < 2; h++) {
				float most = -infinity();
#pragma unroll
				for (int n = 0; n < 4; n++) most = fmaxf(most, fmaxf(s[m][n][2 * h], s[m][n][2 * h + 1]));
				most = fmaxf(most, __shfl_xor_sync(FULL_WARP, most, 1));
				most = fmaxf(most, __shfl_xor_sync(FULL_WARP, most, 2));
				most = fmaxf(top[m][h], most * factor);
				less[m][h] = exp2_fast(top[m][h] - shift(most));
				changed |= most != top[m][h];
				top[m][h] = most;
				sum[m][h] *= less[m][h];
#pragma unroll
				for (int n = 0; n < 4; n++)
#pragma unroll
					for (int i = 2 * h; i < 2 * h + 2; i++) {
						s[m][n][i] = exp2_fast(fmaf(s[m][n][i], factor, -shift(most)));
						sum[m][h] += s[m][n][i];
					}
			}
		if (!__any_sync(FULL_WARP, changed)) return;
#pragma unroll
		for (int m = 0; m < MT; m++)
#pragma unroll
			for (int n = 0; n < OT; n++)
#pragma unroll
				for (int i = 0; i < 4; i++) o[m][n][i] *= less[m][i / 2];
	}

	// finish adds the threads' parts of the sums.
	__device__ __forceinline__ void finish() {
#pragma unroll
		for (int m = 0; m < MT; m++)
#pragma unroll
			for (int h = 0; h < 2; h++) {
				sum[m][h] += __shfl_xor_sync(FULL_WARP, sum[m][h], 1);
				sum[m][h] += __shfl_xor_sync(FULL_WARP, sum[m][h], 2);
			}
	}

	// put writes the warp's rows to shared memory, and behind each the maximum and the sum.
	__device__ __forceinline__ void put(float *to, int stride) {
#pragma unroll
		for (int m = 0; m < MT; m++) {
			store(to + 16 * m * stride, stride, o[m]);
#pragma unroll
			for (int h = 0; h < 2; h++) {
				float *ends = to + (16 * m + 8 * h + lane_index() / 4) * stride + 8 * OT;
				if (lane_index() % 4 == 0) ends[0] = top[m][h], ends[1] = sum[m][h];
			}
		}
	}
};

// Keys brings blocks of keys and values to shared memory, from packed ones or, where
// DIRECT, from the matrices.
template <int COLS, bool DIRECT> struct Keys {
	const bf16 *k_packed, *v_packed;
	const int *found;
	const float *k;
	int k_stride;
	Values v;
	bool infinite; // a value that this thread has brought, or heard of, is not finite

	__device__ __forceinline__ void bring(bf16 *k_tile, bf16 *v_tile, int block) {
		if (DIRECT) {
			const int *kv = v.kv + block * BLOCK_SLOTS;
			auto key = [&](int s) { return k + static_cast<long long>(kv[s]) * k_stride; };
			auto value = [&](int s) { return v.at + static_cast<long long>(kv[s]) * v.stride; };
			bool ignored = false;
			round_rows<COLS, BLOCK_SLOTS, FORWARD_THREADS, false>(k_tile, key, v.dim, aligned16(k, k_stride), ignored);
			round_rows<COLS, BLOCK_SLOTS, FORWARD_THREADS, true>(v_tile, value, v.dim, aligned16(v.at, v.stride), infinite);
			return;
		}
		infinite |= found[block] != 0;
		copy_rows<COLS, BLOCK_SLOTS, FORWARD_THREADS>(k_tile, k_packed + static_cast<long long>(block) * BLOCK_SLOTS * COLS);
		copy_rows<COLS, BLOCK_SLOTS, FORWARD_THREADS>(v_tile, v_packed + static_cast<long long>(block) * BLOCK_SLOTS * COLS);
		copy_async_commit();
	}
};

// attend_item computes one item for one key head. Shared memory holds the tile's queries
// and STAGES blocks of keys and values.
template <int COLS, int MT, int STAGES, bool DIRECT>
__device__ __forceinline__ void attend_item(const Output &to, const float *q, int q_stride, Keys<COLS, DIRECT> keys, const int *plan,
                                            int rows, int group, int dim, float factor) {
	constexpr int tile_rows = 64 * MT, block = BLOCK_SLOTS * Tile<COLS>::stride;
	__shared__ int infinite;
	DYNAMIC_SHARED(bf16, queries);
	bf16 *stage = queries + tile_rows * Tile<COLS>::stride;
	const int *item = list(plan, PLAN_ITEM) + 4 * blockIdx.x, *bounds = list(plan, PLAN_BOUNDS);
	int head = blockIdx.y, first = item[0] * tile_rows, mine = warp_index() * 16 * MT;
	int last_seen = min(first + mine + 16 * MT, rows) - 1;

	Soft<MT, COLS / 8> soft;
	soft.start(first + mine);
	Walk now(plan, item[1], item[2]), ahead = now;
	if (threadIdx.x == 0) infinite = 0;
	auto query = [&](int r) { return first + r < rows ? q + packed_at(first + r, head, group, dim, q_stride) : nullptr; };
	bool ignored = false;
	round_rows<COLS, tile_rows, FORWARD_THREADS, false>(queries, query, dim, aligned16(q, q_stride), ignored);
	if (ahead.more()) keys.bring(stage, stage + block, ahead.block);
	for (int at = 0; now.more(); now.next(), at ^= STAGES - 1) {
		copy_async_wait<0>();
		__syncthreads();
		ahead.next();
		bf16 *k_tile = stage + at * 2 * block, *v_tile = k_tile + block;
		if (STAGES == 2 && ahead.more()) keys.bring(stage + (at ^ 1) * 2 * block, stage + (at ^ 1) * 2 * block + block, ahead.block);
		int seen = sight(bounds, now.block, first + mine, last_seen);
		if (seen != SEES_NOTHING) {
			float s[MT][4][4];
			multiply_rows<COLS>(s, queries, mine, k_tile);
			if (seen == SEES_PART)
				soft.hide_unseen(s, list(plan, PLAN_LO) + now.block * BLOCK_SLOTS, list(plan, PLAN_HI) + now.block * BLOCK_SLOTS);
			soft.soften(s, factor);
			add_product<COLS>(soft.o, s, v_tile, 0);
		}
		if (STAGES == 1) {
			__syncthreads();
			if (ahead.more()) keys.bring(stage, stage + block, ahead.block);
		}
	}
	if (keys.infinite) infinite = 1;
	soft.finish();
	__syncthreads();
	constexpr int stride = Tile<COLS>::stride;
	float *results = reinterpret_cast<float *>(queries) + mine * stride;
	soft.put(results, stride);
	__syncwarp();
	for (int r = 0; r < 16 * MT && first + mine + r < rows; r++) {
		int p = first + mine + r;
		const float *result = results + r * stride;
		Place place = place_row(to, plan, item, p, mine + r, tile_rows, group, dim, result[COLS], result[COLS + 1], lane_index() == 0);
		for (int c = lane_index(); place.o && c < dim; c += WARP) {
			float x = result[c];
			if (infinite) x += infinite_sum(plan, item, keys.v, p, c, [](float v) { return bf16_to_f32(f32_to_bf16(v)); });
			place.o[c] = x * place.scale;
		}
	}
}

// attention_packed_COLS reads packed keys and values.
#define ATTENTION_PACKED(name, COLS, MT, STAGES)                                                                             \
	BOUNDED_KERNEL(name, FORWARD_THREADS, 2)                                                                                 \
	(float *o, int o_stride, float *lse, int lse_stride, const float *q, int q_stride, const bf16 *k_packed,                 \
	 const bf16 *v_packed, const int *found, const float *v, int v_stride, float *partial_o, float *partial_sum,             \
	 const int *plan, int rows, int group, int dim, float factor) {                                                          \
		if (blockIdx.x >= plan[PLAN_ITEMS]) return;                                                                          \
		int head = blockIdx.y, slots = plan[PLAN_SLOTS];                                                                     \
		long long skip = static_cast<long long>(head) * slots * COLS;                                                        \
		attend_item<COLS, MT, STAGES, false>({o, lse, o_stride, lse_stride, partial_o, partial_sum}, q, q_stride,            \
		                                     {k_packed + skip, v_packed + skip, found + head * (slots / BLOCK_SLOTS),        \
		                                      nullptr, 0, {v + head * dim, v_stride, dim, list(plan, PLAN_KV)}, false},      \
		                                     plan, rows, group, dim, factor);                                                \
	}

ATTENTION_PACKED(attention_packed_32, 32, 2, 2)
ATTENTION_PACKED(attention_packed_64, 64, 2, 2)
ATTENTION_PACKED(attention_packed_128, 128, 2, 2)
ATTENTION_PACKED(attention_packed_256, 256, 1, 1)

// attention_direct_COLS reads keys and values where they are.
#define ATTENTION_DIRECT(name, COLS, STAGES, blocks)                                                                         \
	BOUNDED_KERNEL(name, FORWARD_THREADS, blocks)                                                                            \
	(float *o, int o_stride, float *lse, int lse_stride, const float *q, int q_stride, const float *k, int k_stride,         \
	 const float *v, int v_stride, float *partial_o, float *partial_sum, const int *plan, int rows, int group, int dim,      \
	 float factor) {                                                                                                         \
		if (blockIdx.x >= plan[PLAN_ITEMS]) return;                                                                          \
		int head = blockIdx.y;                                                                                               \
		attend_item<COLS, 1, STAGES, true>({o, lse, o_stride, lse_stride, partial_o, partial_sum}, q, q_stride,              \
		                                   {nullptr, nullptr, nullptr, k + head * dim, k_stride,                             \
		                                    {v + head * dim, v_stride, dim, list(plan, PLAN_KV)}, false},                    \
		                                   plan, rows, group, dim, factor);                                                  \
	}

ATTENTION_DIRECT(attention_direct_32, 32, 2, 3)
ATTENTION_DIRECT(attention_direct_64, 64, 2, 3)
ATTENTION_DIRECT(attention_direct_128, 128, 2, 3)
ATTENTION_DIRECT(attention_direct_256, 256, 1, 2)

// attention_merge joins the partial results of each packed row in their order; a warp a
// row. tile_rows is the number of rows of the items' tiles.
KERNEL(attention_merge)(float *o, int o_stride, float *lse, int lse_stride, const float *partial_o, const float *partial_sum,
                        const int *plan, int rows, int group, int dim, int tile_rows) {
	int p = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, head = blockIdx.y, heads = gridDim.y;
	if (p >= rows || !claimed(plan, p / group)) return;
	const int *parts = list(plan, PLAN_TILES) + 2 * (p / tile_rows);
	long long step = static_cast<long long>(heads) * tile_rows;
	long long row = (static_cast<long long>(parts[0]) * heads + head) * tile_rows + p % tile_rows;
	const float *ends = partial_sum + 2 * row, *values = partial_o + row * dim;
	float top = -infinity(), sum = 0;
	for (int i = lane_index(); i < parts[1]; i += WARP) top = fmaxf(top, ends[2 * i * step]);
	top = warp_max(top);
	for (int i = lane_index(); i < parts[1]; i += WARP) sum += ends[2 * i * step + 1] * exp2_fast(ends[2 * i * step] - shift(top));
	sum = warp_sum(sum);
	float *out = o + packed_at(p, head, group, dim, o_stride);
	for (int c = lane_index(); c < dim; c += WARP) {
		float x = 0;
#pragma unroll 4
		for (int i = 0; i < parts[1]; i++)
			if (ends[2 * i * step + 1] != 0) x += values[i * step * dim + c] * exp2_fast(ends[2 * i * step] - shift(top));
		out[c] = x / sum;
	}
	if (lane_index() == 0) lse[packed_at(p, head, group, 1, lse_stride)] = log_denominator(top, sum);
}
