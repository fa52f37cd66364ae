// The head's log-probabilities and their gradient, on chunks of logits that the
// vocabulary product has just left in memory.
//
// A chunk z [rows, cols] holds the logits over the temperature of rows from row0 and
// tokens from token0; it starts at a multiple of 16 bytes and its stride is a multiple of
// 4. token0 is a multiple of HEAD_BLOCK. The targets of all rows are listed row by row:
// those of row n are entries start[n] to start[n+1], of which entry i is the caller's
// target number order[i].
#include "common.cuh"

#define HEAD_THREADS 128
#define HEAD_QUADS 4
#define HEAD_BLOCK (HEAD_THREADS * HEAD_QUADS * 4)

// HeadSums are the sums of a row over a block of tokens: with p = exp(z − top),
// sum = Σ p and moment = Σ p·(z − top).
struct HeadSums {
	float top, sum, moment;
};

// head_column is the token of the block that a thread has as the first of its quad q.
__device__ __forceinline__ int head_column(int q) { return 4 * (threadIdx.x + q * HEAD_THREADS); }

// load_block reads this thread's quads of a block; what lies behind the row's end is −Inf.
__device__ __forceinline__ void load_block(float (&x)[4 * HEAD_QUADS], const float *z, int left) {
#pragma unroll
	for (int q = 0; q < HEAD_QUADS; q++) {
		int c = head_column(q);
		float4 four = {};
		if (c < left) four = *reinterpret_cast<const float4 *>(z + c);
		x[4 * q] = c < left ? four.x : -infinity();
		x[4 * q + 1] = c + 1 < left ? four.y : -infinity();
		x[4 * q + 2] = c + 2 < left ? four.z : -infinity();
		x[4 * q + 3] = c + 3 < left ? four.w : -infinity();
	}
}

// head_sums sets sums[r, token0/HEAD_BLOCK + b] for each row r of a chunk and each block b
// of its tokens, and logits[order[i]] to the logit of each target that the chunk holds.
// Grid: blocks of the chunk × its rows. blocks is the number of those of the vocabulary.
BOUNDED_KERNEL(head_sums, HEAD_THREADS, 8)(HeadSums *sums, double *logits, const float *z, int cols, int stride, int row0,
                                           int token0, int blocks, const int *start, const int *order, const int *tokens) {
	__shared__ float shared[WARP];
	int row = blockIdx.y, first = blockIdx.x * HEAD_BLOCK, left = min(cols - first, HEAD_BLOCK);
	z += static_cast<long long>(row) * stride + first;
	float x[4 * HEAD_QUADS];
	load_block(x, z, left);
	float top = -infinity();
#pragma unroll
	for (int i = 0; i < 4 * HEAD_QUADS; i++) top = fmaxf(top, x[i]);
	top = block_max<HEAD_THREADS>(top, shared);
	float shift = top == -infinity() ? 0 : top, sum = 0, moment = 0;
#pragma unroll
	for (int i = 0; i < 4 * HEAD_QUADS; i++) {
		float d = x[i] - shift, p = expf(d);
		sum += p;
		moment += p != 0 ? p * d : 0;
	}
	sum = block_sum<HEAD_THREADS>(sum, shared);
	moment = block_sum<HEAD_THREADS>(moment, shared);
	if (threadIdx.x == 0) {
		int block = (token0 + first) / HEAD_BLOCK;
		sums[static_cast<long long>(row) * blocks + block] = {top, sum, moment};
	}
	for (int i = start[row0 + row] + threadIdx.x; i < start[row0 + row + 1]; i += HEAD_THREADS) {
		int c = tokens[i] - token0 - first;
		if (c >= 0 && c < left) logits[order[i]] = z[c];
	}
}

// head_finish joins the sums of rows from row0 on: lse[n] = log Σ exp(z), entropy[n] unless
// it is null, and takes lse[n] from log_probs[order[i]], the logits of the row's targets.
// A warp takes a row.
BOUNDED_KERNEL(head_finish, HEAD_THREADS, 4)(double *log_probs, double *lse, double *entropy, const HeadSums *sums,
                                             const int *start, const int *order, int row0, int rows, int blocks) {
	int row = blockIdx.x * (HEAD_THREADS / WARP) + warp_index(), n = row0 + row;
	if (row >= rows) return;
	sums += static_cast<long long>(row) * blocks;
	float top = -infinity();
	for (int b = lane_index(); b < blocks; b += WARP) top = fmaxf(top, sums[b].top);
	top = warp_max(top);
	double sum = 0, moment = 0;
	for (int b = lane_index(); b < blocks; b += WARP) {
		HeadSums s = sums[b];
		double shift = s.top == -infinity() ? 0 : static_cast<double>(s.top) - top;
		double scale = s.top == -infinity() ? 0 : exp(shift);
		sum += s.sum * scale;
		moment += (s.moment + s.sum * shift) * scale;
	}
	sum = warp_sum(sum);
	moment = warp_sum(moment);
	double all = top + log(sum);
	if (lane_index() == 0) {
		lse[n] = all;
		if (entropy) entropy[n] = log(sum) - moment / sum;
	}
	for (int i = start[n] + lane_index(); i < start[n + 1]; i += WARP) log_probs[order[i]] -= all;
}

// HeadRow is what the gradient needs of a row: −lse in two parts, and the sum of the
// derivatives on it over the temperature, negative.
struct HeadRow {
	float minus_lse, rest, scale;
};

// head_gradient turns a chunk of logits into the derivatives of the loss with respect to
// the products h·w: exp(z − lse)·scale, plus values[i] at each target. A row without
// targets becomes zeros. They replace the logits, unless rounded is not null and keep is 0,
// and go to rounded, whose stride is a multiple of 4. Grid: blocks of the chunk × its rows.
BOUNDED_KERNEL(head_gradient, HEAD_THREADS, 8)(float *z, bf16 *rounded, int keep, int cols, int stride, int rounded_stride, int row0,
                                               int token0, const HeadRow *rows, const int *start, const int *tokens,
                                               const float *values) {
	int row = blockIdx.y, first = blockIdx.x * HEAD_BLOCK, left = min(cols - first, HEAD_BLOCK);
	int from = start[row0 + row], to = start[row0 + row + 1];
	HeadRow r = rows[row0 + row];
	z += static_cast<long long>(row) * stride + first;
	float x[4 * HEAD_QUADS];
	if (from < to) load_block(x, z, left);
#pragma unroll
	for (int i = 0; i < 4 * HEAD_QUADS; i++) x[i] = from < to ? expf((x[i] + r.minus_lse) + r.rest) * r.scale : 0;
	for (int t = from; t < to; t++) { // each by the thread that has its column, in order
		int c = tokens[t] - token0 - first;
		if (c / 4 % HEAD_THREADS != static_cast<int>(threadIdx.x)) continue;
#pragma unroll
		for (int i = 0; i < 4 * HEAD_QUADS; i++) {
			if (head_column(i / 4) + i % 4 == c) x[i] += values[t];
		}
	}
	if (rounded) rounded += static_cast<long long>(row) * rounded_stride + first;
#pragma unroll
	for (int q = 0; q < HEAD_QUADS; q++) {
		int c = head_column(q);
		if (c >= left) continue;
		if (keep || !rounded) *reinterpret_cast<float4 *>(z + c) = {x[4 * q], x[4 * q + 1], x[4 * q + 2], x[4 * q + 3]};
		if (rounded) *reinterpret_cast<uint2 *>(rounded + c) = {pack_bf16(x[4 * q], x[4 * q + 1]), pack_bf16(x[4 * q + 2], x[4 * q + 3])};
	}
}
