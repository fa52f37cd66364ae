// Attention over forests in float32, forward and backward, without tensor cores. A block
// of 128 threads holds tiles of B rows in shared memory, B being 32, or 16 where heads are
// large. Thread (ty, tx) of 8 × 16 has B/8 rows of each product, and of the columns every
// 16th of scores and a few neighbours of results.
#include "attention.cuh"

#define THREADS_F32 128

template <int COLS, int B> struct Tile32 {
	static constexpr int stride = COLS + 4, scores = B + 4;
	static constexpr int R = B / 8, C = B / 16, N = COLS / 16; // rows, scores and columns of a thread
	static constexpr int wide = N < 4 ? N : 4;                 // neighbouring columns

	static __device__ __forceinline__ int ty() { return threadIdx.x / 16; }
	static __device__ __forceinline__ int tx() { return threadIdx.x % 16; }
	static __device__ __forceinline__ int row(int r) { return ty() * R + r; }
	static __device__ __forceinline__ int score(int c) { return tx() + 16 * c; }
	static __device__ __forceinline__ int column(int n) { return n / wide * 16 * wide + tx() * wide + n % wide; }

	// load reads B rows, 0 for columns from dim on and where row_at is null. Where FINITE,
	// what is not finite becomes 0 and is taken note of.
	template <bool FINITE, class RowAt> static __device__ __forceinline__ void load(float *tile, RowAt row_at, int dim, bool &found) {
#pragma unroll 4
		for (int i = threadIdx.x; i < B * COLS; i += THREADS_F32) {
			const float *row = row_at(i / COLS);
			float x = row && i % COLS < dim ? row[i % COLS] : 0;
			tile[i / COLS * stride + i % COLS] = FINITE ? finite_or_zero(x, found) : x;
		}
	}

	// multiply_rows sets s = x·yᵀ.
	static __device__ __forceinline__ void multiply_rows(float (&s)[R][C], const float *x, const float *y) {
#pragma unroll
		for (int r = 0; r < R; r++)
#pragma unroll
			for (int c = 0; c < C; c++) s[r][c] = 0;
#pragma unroll 1
		for (int d = 0; d < COLS; d += 4) {
			float4 a[R], b[C];
#pragma unroll
			for (int r = 0; r < R; r++) a[r] = *reinterpret_cast<const float4 *>(x + row(r) * stride + d);
#pragma unroll
			for (int c = 0; c < C; c++) b[c] = *reinterpret_cast<const float4 *>(y + score(c) * stride + d);
#pragma unroll
			for (int r = 0; r < R; r++)
#pragma unroll
				for (int c = 0; c < C; c++)
					s[r][c] = fmaf(a[r].w, b[c].w, fmaf(a[r].z, b[c].z, fmaf(a[r].y, b[c].y, fmaf(a[r].x, b[c].x, s[r][c]))));
		}
	}

	// put writes a thread's scores to shared memory; the rows are those of its half warp.
	static __device__ __forceinline__ void put(float *p, const float (&s)[R][C]) {
#pragma unroll
		for (int r = 0; r < R; r++)
#pragma unroll
			for (int c = 0; c < C; c++) p[row(r) * scores + score(c)] = s[r][c];
	}

	// add_product adds p·y to o, p being what put wrote.
	static __device__ __forceinline__ void add_product(float (&o)[R][N], const float *p, const float *y) {
#pragma unroll 2
		for (int j = 0; j < B; j++) {
			float a[R], b[N];
#pragma unroll
			for (int r = 0; r < R; r++) a[r] = p[row(r) * scores + j];
#pragma unroll
			for (int n = 0; n < N; n++) b[n] = y[j * stride + column(n)];
#pragma unroll
			for (int r = 0; r < R; r++)
#pragma unroll
				for (int n = 0; n < N; n++) o[r][n] = fmaf(a[r], b[n], o[r][n]);
		}
	}

	static __device__ __forceinline__ void clear(float (&o)[R][N]) {
#pragma unroll
		for (int r = 0; r < R; r++)
#pragma unroll
			for (int n = 0; n < N; n++) o[r][n] = 0;
	}
};

// row_max and row_sum combine what the 16 threads of a row have.
__device__ __forceinline__ float row_max(float x) {
#pragma unroll
	for (int step = 8; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, step));
	return x;
}

__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
	for (int step = 8; step > 0; step /= 2) x += __shfl_xor_sync(FULL_WARP, x, step);
	return x;
}

// PackedRows tells where packed rows from first on begin in a matrix of the query heads;
// null for those that no node claims.
struct PackedRows {
	const float *at;
	int stride, first, rows, group, dim;
	const int *plan;

	__device__ __forceinline__ const float *operator()(int r) const {
		int p = first + r;
		if (p >= rows || !claimed(plan, p / group)) return nullptr;
		return at + packed_at(p, blockIdx.y, group, dim, stride);
	}
};

// SlotRows tells where the rows of slots from first on begin in a matrix of the key heads.
struct SlotRows {
	const float *at;
	int stride;
	const int *kv; // of the first slot

	__device__ __forceinline__ const float *operator()(int s) const { return at + static_cast<long long>(kv[s]) * stride; }
};

// attend_f32 computes one item for one key head.
template <int COLS, int B>
__device__ __forceinline__ void attend_f32(const Output &to, const float *q, int q_stride, const float *k, int k_stride, const Values &v,
                                           const int *plan, int rows, int group, int dim, float factor) {
	typedef Tile32<COLS, B> T;
	__shared__ int infinite;
	DYNAMIC_SHARED(float, q_tile);
	float *k_tile = q_tile + B * T::stride, *v_tile = k_tile + B * T::stride, *p_tile = v_tile + B * T::stride;
	const int *item = list(plan, PLAN_ITEM) + 4 * blockIdx.x, *lo = list(plan, PLAN_LO), *hi = list(plan, PLAN_HI);
	int first = item[0] * B;
	float o[T::R][T::N], top[T::R], sum[T::R];
	T::clear(o);
#pragma unroll
	for (int r = 0; r < T::R; r++) top[r] = -infinity(), sum[r] = 0;
	bool found = false, ignored = false;
	if (threadIdx.x == 0) infinite = 0;
	T::template load<false>(q_tile, PackedRows{q, q_stride, first, rows, group, dim, plan}, dim, ignored);
	for (Walk w(plan, item[1], item[2]); w.more(); w.next())
		for (int slot = w.block * BLOCK_SLOTS; slot < (w.block + 1) * BLOCK_SLOTS; slot += B) {
			T::template load<false>(k_tile, SlotRows{k, k_stride, v.kv + slot}, dim, ignored);
			T::template load<true>(v_tile, SlotRows{v.at, v.stride, v.kv + slot}, dim, found);
			__syncthreads();
			float s[T::R][T::C];
			T::multiply_rows(s, q_tile, k_tile);
#pragma unroll
			for (int r = 0; r < T::R; r++) {
				float most = -infinity(), part = 0;
#pragma unroll
				for (int c = 0; c < T::C; c++) {
					int j = slot + T::score(c);
					s[r][c] = hide(s[r][c], first + T::row(r), lo[j], hi[j]);
					most = fmaxf(most, s[r][c]);
				}
				most = fmaxf(top[r], row_max(most) * factor);
				float less = exp2_fast(top[r] - shift(most));
				top[r] = most;
#pragma unroll
				for (int c = 0; c < T::C; c++) {
					s[r][c] = exp2_fast(fmaf(s[r][c], factor, -shift(most)));
					part += s[r][c];
				}
				sum[r] = sum[r] * less + row_sum(part);
#pragma unroll
				for (int n = 0; n < T::N; n++) o[r][n] *= less;
			}
			T::put(p_tile, s);
			__syncwarp();
			T::add_product(o, p_tile, v_tile);
			__syncthreads();
		}
	if (found) infinite = 1;
	__syncthreads();
#pragma unroll
	for (int r = 0; r < T::R; r++) {
		int p = first + T::row(r);
		if (p >= rows) continue;
		Place place = place_row(to, plan, item, p, T::row(r), B, group, dim, top[r], sum[r], T::tx() == 0);
		if (!place.o) continue;
#pragma unroll
		for (int n = 0; n < T::N; n++)
			if (T::column(n) < dim) place.o[T::column(n)] = o[r][n] * place.scale;
	}
	if (!infinite) return;
	__syncwarp();
	auto whole = [](float x) { return x; };
#pragma unroll 1
	for (int r = 0; r < T::R; r++) {
		int p = first + T::row(r);
		if (p >= rows) continue;
		Place place = place_row(to, plan, item, p, T::row(r), B, group, dim, 0, 1, false);
		for (int c = T::tx(); place.o && c < dim; c += 16) place.o[c] += infinite_sum(plan, item, v, p, c, whole);
	}
}

#define ATTENTION_F32(name, COLS, B)                                                                                     \
	BOUNDED_KERNEL(name, THREADS_F32, 2)                                                                                 \
	(float *o, int o_stride, float *lse, int lse_stride, const float *q, int q_stride, const float *k, int k_stride,     \
	 const float *v, int v_stride, float *partial_o, float *partial_sum, const int *plan, int rows, int group, int dim,  \
	 float factor) {                                                                                                     \
		if (blockIdx.x >= plan[PLAN_ITEMS]) return;                                                                      \
		int head = blockIdx.y;                                                                                           \
		attend_f32<COLS, B>({o, lse, o_stride, lse_stride, partial_o, partial_sum}, q, q_stride, k + head * dim, k_stride, \
		                    {v + head * dim, v_stride, dim, list(plan, PLAN_KV)}, plan, rows, group, dim, factor);       \
	}

ATTENTION_F32(attention_f32_32, 32, 32)
ATTENTION_F32(attention_f32_64, 64, 32)
ATTENTION_F32(attention_f32_128, 128, 32)
ATTENTION_F32(attention_f32_256, 256, 16)

// Inputs of the gradient: matrices, and of each head and packed row lse·log2(e) and
// Σ do·o (attention_pack_rows).
struct Inputs {
	const float *q, *d_o, *k, *v;
	int q_stride, do_stride, k_stride, v_stride;
	const float *lse2, *delta;
	const int *plan;
	int rows, padded_rows, group, dim;
	float factor, scale;

	__device__ __forceinline__ PackedRows queries(int p) const { return {q, q_stride, p, rows, group, dim, plan}; }
	__device__ __forceinline__ PackedRows outputs(int p) const { return {d_o, do_stride, p, rows, group, dim, plan}; }
	__device__ __forceinline__ SlotRows keys(int s) const { return {k + blockIdx.y * dim, k_stride, list(plan, PLAN_KV) + s}; }
	__device__ __forceinline__ SlotRows values(int s) const { return {v + blockIdx.y * dim, v_stride, list(plan, PLAN_KV) + s}; }

	// soften turns a score and the gradient of its probability into the probability and the
	// gradient of the score, 0 where packed row p does not see a slot.
	__device__ __forceinline__ void soften(float &s, float &d, int p, int slot) const {
		bool sees = list(plan, PLAN_LO)[slot] <= p && p < list(plan, PLAN_HI)[slot];
		long long at = static_cast<long long>(blockIdx.y) * padded_rows + p;
		s = sees ? exp2_fast(fmaf(s, factor, -lse2[at])) : 0;
		d = sees ? s * (d - delta[at]) : 0;
	}
};

// key_gradients_f32 computes dk and dv of a tile of B slots from a range of packed rows.
template <int COLS, int B>
__device__ __forceinline__ void key_gradients_f32(float *dk, int dk_stride, float *dv, int dv_stride, float *partial, const Inputs &in) {
	typedef Tile32<COLS, B> T;
	DYNAMIC_SHARED(float, k_tile);
	float *v_tile = k_tile + B * T::stride, *q_tile = v_tile + B * T::stride, *do_tile = q_tile + B * T::stride;
	float *p_tile = do_tile + B * T::stride, *d_tile = p_tile + B * T::scores;
	const int *item = list(in.plan, PLAN_KEY_ITEM) + 4 * blockIdx.x;
	int slot = item[0] * B, dim = in.dim;
	bool ignored = false;
	float k_sum[T::R][T::N], v_sum[T::R][T::N];
	T::clear(k_sum);
	T::clear(v_sum);
	T::template load<false>(k_tile, in.keys(slot), dim, ignored);
	T::template load<false>(v_tile, in.values(slot), dim, ignored);
	for (int p = item[1]; p < item[2]; p += B) {
		T::template load<false>(q_tile, in.queries(p), dim, ignored);
		T::template load<false>(do_tile, in.outputs(p), dim, ignored);
		__syncthreads();
		float s[T::R][T::C], d[T::R][T::C];
		T::multiply_rows(s, k_tile, q_tile);
		T::multiply_rows(d, v_tile, do_tile);
#pragma unroll
		for (int r = 0; r < T::R; r++)
#pragma unroll
			for (int c = 0; c < T::C; c++) in.soften(s[r][c], d[r][c], p + T::score(c), slot + T::row(r));
		T::put(p_tile, s);
		T::put(d_tile, d);
		__syncwarp();
		T::add_product(v_sum, p_tile, do_tile);
		T::add_product(k_sum, d_tile, q_tile);
		__syncthreads();
	}
	long long base = blockIdx.y * dim;
	if (item[3] >= 0) {
		base = (static_cast<long long>(item[3]) * gridDim.y + blockIdx.y) * 2 * B * dim;
		dk = partial;
		dv = partial + B * dim;
		dk_stride = dv_stride = dim;
	}
#pragma unroll
	for (int r = 0; r < T::R; r++) {
		int s = slot + T::row(r);
		if (list(in.plan, PLAN_LO)[s] >= list(in.plan, PLAN_HI)[s]) continue;
		long long row = item[3] >= 0 ? T::row(r) : list(in.plan, PLAN_KV)[s];
#pragma unroll
		for (int n = 0; n < T::N; n++) {
			int c = T::column(n);
			if (c >= dim) continue;
			dk[base + row * dk_stride + c] = k_sum[r][n] * in.scale;
			dv[base + row * dv_stride + c] = v_sum[r][n];
		}
	}
}

// query_gradients_f32 computes dq of a tile of B packed rows.
template <int COLS, int B> __device__ __forceinline__ void query_gradients_f32(float *dq, int dq_stride, const Inputs &in) {
	typedef Tile32<COLS, B> T;
	DYNAMIC_SHARED(float, k_tile);
	float *v_tile = k_tile + B * T::stride, *q_tile = v_tile + B * T::stride, *do_tile = q_tile + B * T::stride;
	float *d_tile = do_tile + B * T::stride;
	const int *item = list(in.plan, PLAN_ITEM) + 4 * blockIdx.x;
	int first = item[0] * B;
	bool ignored = false;
	float sum[T::R][T::N];
	T::clear(sum);
	T::template load<false>(q_tile, in.queries(first), in.dim, ignored);
	T::template load<false>(do_tile, in.outputs(first), in.dim, ignored);
	for (Walk w(in.plan, item[1], item[2]); w.more(); w.next())
		for (int slot = w.block * BLOCK_SLOTS; slot < (w.block + 1) * BLOCK_SLOTS; slot += B) {
			T::template load<false>(k_tile, in.keys(slot), in.dim, ignored);
			T::template load<false>(v_tile, in.values(slot), in.dim, ignored);
			__syncthreads();
			float s[T::R][T::C], d[T::R][T::C];
			T::multiply_rows(s, q_tile, k_tile);
			T::multiply_rows(d, do_tile, v_tile);
#pragma unroll
			for (int r = 0; r < T::R; r++)
#pragma unroll
				for (int c = 0; c < T::C; c++) in.soften(s[r][c], d[r][c], first + T::row(r), slot + T::score(c));
			T::put(d_tile, d);
			__syncwarp();
			T::add_product(sum, d_tile, k_tile);
			__syncthreads();
		}
#pragma unroll
	for (int r = 0; r < T::R; r++) {
		int p = first + T::row(r);
		if (p >= in.rows || !claimed(in.plan, p / in.group)) continue;
		float *row = dq + packed_at(p, blockIdx.y, in.group, in.dim, dq_stride);
#pragma unroll
		for (int n = 0; n < T::N; n++)
			if (T::column(n) < in.dim) row[T::column(n)] = sum[r][n] * in.scale;
	}
}

#define INPUTS                                                                                                               \
	const float *q, int q_stride, const float *d_o, int do_stride, const float *k, int k_stride, const float *v, int v_stride, \
		const float *lse2, const float *delta, const int *plan, int rows, int padded_rows, int group, int dim, float factor, float scale
#define GIVEN \
	{q, d_o, k, v, q_stride, do_stride, k_stride, v_stride, lse2, delta, plan, rows, padded_rows, group, dim, factor, scale}

#define ATTENTION_BACK_F32(keys_name, queries_name, COLS, B)                                                           \
	BOUNDED_KERNEL(keys_name, THREADS_F32, 2)                                                                          \
	(float *dk, int dk_stride, float *dv, int dv_stride, float *partial, INPUTS) {                                     \
		if (blockIdx.x < plan[PLAN_KEY_ITEMS]) key_gradients_f32<COLS, B>(dk, dk_stride, dv, dv_stride, partial, GIVEN); \
	}                                                                                                                  \
	BOUNDED_KERNEL(queries_name, THREADS_F32, 2)(float *dq, int dq_stride, INPUTS) {                                   \
		if (blockIdx.x < plan[PLAN_ITEMS]) query_gradients_f32<COLS, B>(dq, dq_stride, GIVEN);                         \
	}

ATTENTION_BACK_F32(attention_keys_f32_32, attention_queries_f32_32, 32, 32)
ATTENTION_BACK_F32(attention_keys_f32_64, attention_queries_f32_64, 64, 32)
ATTENTION_BACK_F32(attention_keys_f32_128, attention_queries_f32_128, 128, 32)
ATTENTION_BACK_F32(attention_keys_f32_256, attention_queries_f32_256, 256, 16)
