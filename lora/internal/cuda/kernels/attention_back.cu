// The gradient of attention over forests in bfloat16 on tensor cores. Probabilities are
// computed again from the logarithms of their denominators. One kernel goes, for a tile of
// keys, through the packed rows that see it and sums dk and dv, those of all heads of the
// group one after another; another goes, for a tile of packed rows, through the keys as
// the forward pass does and sums dq. Every sum has one order.
#include "attention_tile.cuh"

// attention_pack_rows copies q and do, rounded, to [head][packed row][padded], with 0 for
// columns from dim on and rows that no node claims, and sets lse2 = lse·log2(e) and
// delta = Σ do·o of each head and packed row. A warp a row. Without q_out only the numbers
// are set.
KERNEL(attention_pack_rows)(bf16 *q_out, bf16 *do_out, float *lse2, float *delta, const float *q, int q_stride, const float *d_o,
                            int do_stride, const float *o, int o_stride, const float *lse, int lse_stride, const int *plan,
                            int rows, int padded_rows, int group, int dim, int padded) {
	int p = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, head = blockIdx.y;
	if (p >= padded_rows) return;
	bool wanted = p < rows && claimed(plan, p / group);
	long long row = static_cast<long long>(head) * padded_rows + p;
	const float *from = nullptr, *out_from = nullptr, *queries = nullptr;
	if (wanted) {
		from = d_o + packed_at(p, head, group, dim, do_stride);
		out_from = o + packed_at(p, head, group, dim, o_stride);
		queries = q + packed_at(p, head, group, dim, q_stride);
	}
	float sum = 0;
	for (int c = 2 * lane_index(); c < padded; c += 2 * WARP) {
		float x[2] = {0, 0}, y[2] = {0, 0};
#pragma unroll
		for (int i = 0; i < 2; i++)
			if (wanted && c + i < dim) {
				x[i] = from[c + i];
				y[i] = queries[c + i];
				sum += x[i] * out_from[c + i];
			}
		if (!q_out) continue;
		*reinterpret_cast<unsigned *>(do_out + row * padded + c) = pack_bf16(x[0], x[1]);
		*reinterpret_cast<unsigned *>(q_out + row * padded + c) = pack_bf16(y[0], y[1]);
	}
	sum = warp_sum(sum);
	if (lane_index() != 0) return;
	delta[row] = sum;
	lse2[row] = wanted ? lse[packed_at(p, head, group, 1, lse_stride)] * LOG2_E : 0;
}

// soften_back turns a score and the gradient of its probability into what the products are
// made of:
//
//	s = 2^(s·factor − lse2),  d = s·(d − delta), 0 where a row does not see a key.
__device__ __forceinline__ void soften_back(float &s, float &d, float factor, float lse2, float delta, bool sees) {
	s = sees ? exp2_fast(fmaf(s, factor, -lse2)) : 0;
	d = sees ? s * (d - delta) : 0;
}

#define KEY_TILE 64

// write_slots writes 16 slots' columns [col, col+8·OT) of a gradient, times scale, by way of
// shared memory: to their rows of the matrix or, in the order of slots, to a partial result.
template <int OT>
__device__ __forceinline__ void write_slots(const float (&x)[OT][4], float *shared, int stride, float *to, int to_stride, bool partial,
                                            const int *plan, int slot, int col, int dim, float scale) {
	const int *kv = list(plan, PLAN_KV), *lo = list(plan, PLAN_LO), *hi = list(plan, PLAN_HI);
	__syncwarp();
	store(shared, stride, x);
	__syncwarp();
	for (int r = 0; r < 16; r++) {
		int s = slot + r;
		if (lo[s] >= hi[s]) continue;
		float *row = to + static_cast<long long>(partial ? s % KEY_TILE : kv[s]) * to_stride + col;
		for (int c = lane_index(); c < 8 * OT && col + c < dim; c += WARP) row[c] = shared[r * stride + c] * scale;
	}
}

// Back holds what both kernels read: a head's packed rows and slots.
struct Back {
	const bf16 *q, *d_o, *k, *v;
	const float *lse2, *delta;

	__device__ __forceinline__ Back(const bf16 *q, const bf16 *d_o, const float *lse2, const float *delta, const bf16 *k,
	                                const bf16 *v, const int *plan, int padded_rows, int cols)
		: lse2(lse2 + static_cast<long long>(blockIdx.y) * padded_rows), delta(delta + static_cast<long long>(blockIdx.y) * padded_rows) {
		long long rows = static_cast<long long>(blockIdx.y) * padded_rows * cols, slots = static_cast<long long>(blockIdx.y) * plan[PLAN_SLOTS] * cols;
		this->q = q + rows;
		this->d_o = d_o + rows;
		this->k = k + slots;
		this->v = v + slots;
	}
};

// key_gradients computes dk and dv of a tile of 64 slots from a range of packed rows, ROWS
// at a time: 4·SPLIT warps, of which each has 16 slots and a part of the columns.
template <int COLS, int SPLIT, int ROWS, int STAGES>
__device__ __forceinline__ void key_gradients(float *dk, int dk_stride, float *dv, int dv_stride, float *partial, Back in,
                                              const int *plan, int dim, float factor, float scale) {
	constexpr int threads = 128 * SPLIT, stride = Tile<COLS>::stride, stage_size = 2 * ROWS * stride, OT = COLS / 8 / SPLIT;
	DYNAMIC_SHARED(bf16, k_tile);
	bf16 *v_tile = k_tile + KEY_TILE * stride, *stages = v_tile + KEY_TILE * stride;
	float *ends = reinterpret_cast<float *>(stages + STAGES * stage_size);
	const int *item = list(plan, PLAN_KEY_ITEM) + 4 * blockIdx.x, *bounds = list(plan, PLAN_BOUNDS);
	int mine = warp_index() % 4 * 16, col = warp_index() / 4 * 8 * OT, slot = item[0] * KEY_TILE + mine, head = blockIdx.y;
	int lo[2], hi[2];
#pragma unroll
	for (int h = 0; h < 2; h++) {
		lo[h] = list(plan, PLAN_LO)[slot + 8 * h + lane_index() / 4];
		hi[h] = list(plan, PLAN_HI)[slot + 8 * h + lane_index() / 4];
	}
	auto bring = [&](int at, int p) {
		copy_rows<COLS, ROWS, threads>(stages + at * stage_size, in.q + static_cast<long long>(p) * COLS);
		copy_rows<COLS, ROWS, threads>(stages + at * stage_size + ROWS * stride, in.d_o + static_cast<long long>(p) * COLS);
		int i = threadIdx.x % ROWS;
		if (threadIdx.x < 2 * ROWS) copy_async_4(ends + 2 * ROWS * at + threadIdx.x, (threadIdx.x < ROWS ? in.lse2 : in.delta) + p + i);
		copy_async_commit();
	};
	float k_sum[1][OT][4], v_sum[1][OT][4];
	clear(k_sum);
	clear(v_sum);
	copy_rows<COLS, KEY_TILE, threads>(k_tile, in.k + static_cast<long long>(item[0]) * KEY_TILE * COLS);
	copy_rows<COLS, KEY_TILE, threads>(v_tile, in.v + static_cast<long long>(item[0]) * KEY_TILE * COLS);
	bring(0, item[1]);
	for (int p = item[1], at = 0; p < item[2]; p += ROWS, at ^= STAGES - 1) {
		copy_async_wait<0>();
		__syncthreads();
		if (STAGES == 2 && p + ROWS < item[2]) bring(at ^ 1, p + ROWS);
		const bf16 *q_tile = stages + at * stage_size, *do_tile = q_tile + ROWS * stride;
		const float *lse2 = ends + 2 * ROWS * at, *delta = lse2 + ROWS;
		int seen = sight(bounds, slot / BLOCK_SLOTS, p, p + ROWS - 1);
		if (seen != SEES_NOTHING) {
			float s[1][ROWS / 8][4], d[1][ROWS / 8][4];
			multiply_rows<COLS>(s, k_tile, mine, q_tile);
			multiply_rows<COLS>(d, v_tile, mine, do_tile);
#pragma unroll
			for (int n = 0; n < ROWS / 8; n++)
#pragma unroll
				for (int i = 0; i < 4; i++) {
					int r = 8 * n + lane_index() % 4 * 2 + i % 2;
					bool sees = seen == SEES_ALL || (lo[i / 2] <= p + r && p + r < hi[i / 2]);
					soften_back(s[0][n][i], d[0][n][i], factor, lse2[r], delta[r], sees);
				}
			add_product<COLS>(v_sum, s, do_tile, col);
			add_product<COLS>(k_sum, d, q_tile, col);
		}
		if (STAGES == 1) {
			__syncthreads();
			if (p + ROWS < item[2]) bring(0, p + ROWS);
		}
	}
	__syncthreads();
	bool shared_out = item[3] >= 0;
	long long first = head * dim;
	if (shared_out) {
		first = (static_cast<long long>(item[3]) * gridDim.y + head) * 2 * KEY_TILE * dim;
		dk = partial;
		dv = partial + KEY_TILE * dim;
		dk_stride = dv_stride = dim;
	}
	float *room = reinterpret_cast<float *>(k_tile) + mine * stride + col;
	write_slots(k_sum[0], room, stride, dk + first, dk_stride, shared_out, plan, slot, col, dim, scale);
	write_slots(v_sum[0], room, stride, dv + first, dv_stride, shared_out, plan, slot, col, dim, 1);
}

#define ATTENTION_KEYS(name, COLS, SPLIT, ROWS, STAGES, blocks)                                                                \
	BOUNDED_KERNEL(name, 128 * SPLIT, blocks)                                                                                  \
	(float *dk, int dk_stride, float *dv, int dv_stride, float *partial, const bf16 *q, const bf16 *d_o, const float *lse2,    \
	 const float *delta, const bf16 *k, const bf16 *v, const int *plan, int padded_rows, int dim, float factor, float scale) { \
		if (blockIdx.x >= plan[PLAN_KEY_ITEMS]) return;                                                                        \
		key_gradients<COLS, SPLIT, ROWS, STAGES>(dk, dk_stride, dv, dv_stride, partial,                                        \
		                                         Back(q, d_o, lse2, delta, k, v, plan, padded_rows, COLS), plan, dim, factor, scale); \
	}

ATTENTION_KEYS(attention_keys_32, 32, 1, 32, 2, 3)
ATTENTION_KEYS(attention_keys_64, 64, 1, 32, 2, 2)
ATTENTION_KEYS(attention_keys_128, 128, 1, 32, 2, 2)
ATTENTION_KEYS(attention_keys_256, 256, 2, 16, 1, 1)

// query_gradients computes dq of a tile of 16·WARPS packed rows.
template <int COLS, int WARPS, int STAGES>
__device__ __forceinline__ void query_gradients(float *dq, int dq_stride, Back in, const int *plan, int rows, int group, int dim,
                                                float factor, float scale) {
	constexpr int threads = 32 * WARPS, tile_rows = 16 * WARPS, stride = Tile<COLS>::stride, block = BLOCK_SLOTS * stride;
	DYNAMIC_SHARED(bf16, q_tile);
	bf16 *do_tile = q_tile + tile_rows * stride, *stages = do_tile + tile_rows * stride;
	const int *item = list(plan, PLAN_ITEM) + 4 * blockIdx.x, *bounds = list(plan, PLAN_BOUNDS);
	int first = item[0] * tile_rows, mine = 16 * warp_index(), last = min(first + mine + 16, rows) - 1;
	float lse2[2], delta[2];
#pragma unroll
	for (int h = 0; h < 2; h++) {
		lse2[h] = in.lse2[first + mine + 8 * h + lane_index() / 4];
		delta[h] = in.delta[first + mine + 8 * h + lane_index() / 4];
	}
	auto bring = [&](int at, int b) {
		copy_rows<COLS, BLOCK_SLOTS, threads>(stages + at * 2 * block, in.k + static_cast<long long>(b) * BLOCK_SLOTS * COLS);
		copy_rows<COLS, BLOCK_SLOTS, threads>(stages + (at * 2 + 1) * block, in.v + static_cast<long long>(b) * BLOCK_SLOTS * COLS);
		copy_async_commit();
	};
	float sum[1][COLS / 8][4];
	clear(sum);
	copy_rows<COLS, tile_rows, threads>(q_tile, in.q + static_cast<long long>(first) * COLS);
	copy_rows<COLS, tile_rows, threads>(do_tile, in.d_o + static_cast<long long>(first) * COLS);
	Walk now(plan, item[1], item[2]), ahead = now;
	if (ahead.more()) bring(0, ahead.block);
	for (int at = 0; now.more(); now.next(), at ^= STAGES - 1) {
		copy_async_wait<0>();
		__syncthreads();
		ahead.next();
		if (STAGES == 2 && ahead.more()) bring(at ^ 1, ahead.block);
		const bf16 *k_tile = stages + at * 2 * block, *v_tile = k_tile + block;
		int seen = sight(bounds, now.block, first + mine, last);
		if (seen != SEES_NOTHING) {
			const int *lo = list(plan, PLAN_LO) + now.block * BLOCK_SLOTS, *hi = list(plan, PLAN_HI) + now.block * BLOCK_SLOTS;
			float s[1][4][4], d[1][4][4];
			multiply_rows<COLS>(s, q_tile, mine, k_tile);
			multiply_rows<COLS>(d, do_tile, mine, v_tile);
#pragma unroll
			for (int n = 0; n < 4; n++)
#pragma unroll
				for (int i = 0; i < 4; i++) {
					int p = first + mine + i / 2 * 8 + lane_index() / 4, c = 8 * n + lane_index() % 4 * 2 + i % 2;
					bool sees = seen == SEES_ALL || (lo[c] <= p && p < hi[c]);
					soften_back(s[0][n][i], d[0][n][i], factor, lse2[i / 2], delta[i / 2], sees);
				}
			add_product<COLS>(sum, d, k_tile, 0);
		}
		if (STAGES == 1) {
			__syncthreads();
			if (ahead.more()) bring(0, ahead.block);
		}
	}
	__syncthreads();
	float *results = reinterpret_cast<float *>(q_tile) + mine * stride;
	store(results, stride, sum[0]);
	__syncwarp();
	for (int r = 0; r < 16 && first + mine + r < rows; r++) {
		int p = first + mine + r;
		if (!claimed(plan, p / group)) continue;
		float *row = dq + packed_at(p, blockIdx.y, group, dim, dq_stride);
		for (int c = lane_index(); c < dim; c += WARP) row[c] = results[r * stride + c] * scale;
	}
}

#define ATTENTION_QUERIES(name, COLS, WARPS, STAGES, blocks)                                                                    \
	BOUNDED_KERNEL(name, 32 * WARPS, blocks)                                                                                    \
	(float *dq, int dq_stride, const bf16 *q, const bf16 *d_o, const float *lse2, const float *delta, const bf16 *k,            \
	 const bf16 *v, const int *plan, int rows, int padded_rows, int group, int dim, float factor, float scale) {                \
		if (blockIdx.x >= plan[PLAN_ITEMS]) return;                                                                             \
		query_gradients<COLS, WARPS, STAGES>(dq, dq_stride, Back(q, d_o, lse2, delta, k, v, plan, padded_rows, COLS), plan, rows, \
		                                     group, dim, factor, scale);                                                        \
	}

ATTENTION_QUERIES(attention_queries_32, 32, 4, 2, 3)
ATTENTION_QUERIES(attention_queries_64, 64, 4, 2, 3)
ATTENTION_QUERIES(attention_queries_128, 128, 4, 2, 2)
ATTENTION_QUERIES(attention_queries_256, 256, 2, 1, 2)

// attention_merge_keys adds the partial results of each slot in their order; a warp a slot.
// tile is the number of slots of the items' tiles.
KERNEL(attention_merge_keys)(float *dk, int dk_stride, float *dv, int dv_stride, const float *partial, const int *plan, int dim, int tile) {
	int s = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, head = blockIdx.y, heads = gridDim.y;
	if (s >= plan[PLAN_SLOTS] || list(plan, PLAN_LO)[s] >= list(plan, PLAN_HI)[s]) return;
	const int *parts = list(plan, PLAN_KEY_TILES) + 2 * (s / tile);
	if (parts[1] == 0) return;
	long long row = list(plan, PLAN_KV)[s], step = 2LL * heads * tile * dim, size = static_cast<long long>(tile) * dim;
	const float *from = partial + (static_cast<long long>(parts[0]) * heads + head) * 2 * size + s % tile * dim;
	for (int c = lane_index(); c < dim; c += WARP) {
		float k = 0, v = 0;
		for (int i = 0; i < parts[1]; i++) {
			k += from[i * step + c];
			v += from[i * step + size + c];
		}
		dk[row * dk_stride + head * dim + c] = k;
		dv[row * dv_stride + head * dim + c] = v;
	}
}
