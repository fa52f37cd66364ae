// Draws one token a row of logits [rows, cols], as lora.Sampling says: the same token as
// the engines of the CPU draw.
//
// A row is cut into slices, a block each, so that few rows of a large vocabulary keep a
// whole GPU busy. Logits are only read; each kernel computes from them again what the
// penalty, the mask and the temperature make of them. What top-k and top-p keep is found
// by radix selection: histograms of 11, 11 and 10 bits of the logits' order, with the
// number of tokens and, as integers, their probabilities, in whatever order they are added.
#include "philox.cuh"

#define SAMPLE_THREADS 256
#define SAMPLE_QUADS 4
#define SAMPLE_SLICE (SAMPLE_THREADS * SAMPLE_QUADS * 4)
#define SAMPLE_BINS 2048
#define BINS_PER_THREAD (SAMPLE_BINS / SAMPLE_THREADS)
#define LOGIT_MAX 3.402823466e38f // the largest finite float32

// SampleRow says how a row is drawn from.
struct SampleRow {
	double top_p; // 0: all
	PhiloxKey key;
	float inverse;      // of the temperature
	float penalty;      // 0: none
	float min_shift;    // what is added to the largest logit for the least that stays
	int top_k;          // 0: all
	int seen, seen_end; // range of the tokens that the penalty applies to
	int allowed;        // first word of the mask; −1: none
	int how;            // GREEDY, PLAIN or FILTERED
};

enum { GREEDY, PLAIN, FILTERED };

// SamplePart is what a slice of a row holds: the sums of the plain distribution, the
// largest logit that is left, and the best token of the slice with its score.
struct SamplePart {
	float top, sum, largest, score;
	int token; // −1: none
	int bad;   // a logit is NaN or +Inf
};

// SampleSearch is the state of a row's selection.
struct SampleSearch {
	unsigned long long above; // what was found to lie above the prefix: tokens or mass
	unsigned long long mass;  // mass above the prefix
	unsigned long long total; // mass of what top-k leaves; 0: not known yet
	unsigned prefix;          // upper bits of the threshold
	unsigned low;             // the lowest order that stays
	int cut;                  // the last token that stays of those with order low
	int level;                // of the next histogram: 0, 1, 2
	int by;                   // NOTHING, TOKENS or MASS
};

enum { NOTHING, TOKENS, MASS };

// SampleBins are histograms of a row: of the first level, and of the last one taken.
struct SampleBins {
	unsigned long long mass[2][SAMPLE_BINS];
	unsigned tokens[2][SAMPLE_BINS];
};

// SampleLogits are the operands that all kernels read.
struct SampleLogits {
	const float *row;      // logits of the row
	const unsigned *seen;  // bit v of a row: the penalty applies to token v; null: to none
	const unsigned *allow; // bit v: token v is allowed; null: all
	int cols;
	bool aligned; // row may be read four at a time
};

__device__ __forceinline__ SampleLogits sample_logits(const float *logits, int cols, int stride, const SampleRow &r,
                                                      const unsigned *seen, const unsigned *allowed, int row) {
	SampleLogits l;
	l.row = logits + static_cast<long long>(row) * stride;
	l.seen = r.penalty != 0 ? seen + static_cast<long long>(row) * ceil_div(cols, 32) : nullptr;
	l.allow = r.allowed >= 0 ? allowed + r.allowed : nullptr;
	l.cols = cols;
	l.aligned = aligned16(l.row);
	return l;
}

// load_logits reads tokens v to v+3; what lies behind the row's end is −Inf.
__device__ __forceinline__ void load_logits(float (&x)[4], const SampleLogits &l, int v) {
	if (l.aligned && v + 3 < l.cols) {
		float4 four = *reinterpret_cast<const float4 *>(l.row + v);
		x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
		return;
	}
#pragma unroll
	for (int i = 0; i < 4; i++) x[i] = v + i < l.cols ? l.row[v + i] : -infinity();
}

// load_left reads tokens v to v+3 as they are drawn from: after penalty, mask, temperature.
__device__ __forceinline__ void load_left(float (&z)[4], const SampleLogits &l, const SampleRow &r, int v) {
	load_logits(z, l, v);
	unsigned seen = l.seen && v < l.cols ? l.seen[v / 32] >> (v % 32) : 0;
	unsigned allow = l.allow && v < l.cols ? l.allow[v / 32] >> (v % 32) : 0xf;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		if (seen >> i & 1) z[i] = z[i] > 0 ? z[i] / r.penalty : __fmul_rn(z[i], r.penalty);
		z[i] = __fmul_rn(allow >> i & 1 ? z[i] : -infinity(), r.inverse);
	}
}

// slice_token is the first token of a thread's quad q in its slice.
__device__ __forceinline__ int slice_token(int q) { return blockIdx.x * SAMPLE_SLICE + 4 * (q * SAMPLE_THREADS + threadIdx.x); }

// order maps numbers to integers that compare as they do.
__device__ __forceinline__ unsigned order(float x) {
	unsigned bits = __float_as_uint(x == 0 ? 0.0f : x);
	return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// better reports whether a token beats another: the higher score, the lower token on a tie.
__device__ __forceinline__ bool better(float score, int token, float than, int other) {
	return token >= 0 && (other < 0 || score > than || (score == than && token < other));
}

// warp_best gives every lane the best token of the warp.
__device__ __forceinline__ void warp_best(float &score, int &token) {
#pragma unroll
	for (int step = WARP / 2; step > 0; step /= 2) {
		float s = __shfl_xor_sync(FULL_WARP, score, step);
		int t = __shfl_xor_sync(FULL_WARP, token, step);
		if (better(s, t, score, token)) score = s, token = t;
	}
}

// block_best gives the first warp the best token of the block.
__device__ __forceinline__ void block_best(float &score, int &token, float *scores, int *tokens) {
	warp_best(score, token);
	if (lane_index() == 0) scores[warp_index()] = score, tokens[warp_index()] = token;
	__syncthreads();
	if (warp_index() > 0) return;
	int i = lane_index() % (SAMPLE_THREADS / WARP);
	score = scores[i], token = tokens[i];
	warp_best(score, token);
}

// Kept says what the filters leave: orders above low, of those with order low the tokens
// up to cut, and logits from least on.
struct Kept {
	unsigned low;
	int cut;
	float least;
};

__device__ __forceinline__ void load_kept(float (&z)[4], const SampleLogits &l, const SampleRow &r, const Kept &k, int v) {
	load_left(z, l, r, v);
#pragma unroll
	for (int i = 0; i < 4; i++) {
		unsigned o = order(z[i]);
		if (o < k.low || (o == k.low && v + i > k.cut) || z[i] < k.least) z[i] = -infinity();
	}
}

// choose is x[i] without an address in registers.
template <class T> __device__ __forceinline__ T choose(const T (&x)[4], int i) {
	T low = i & 1 ? x[1] : x[0], high = i & 1 ? x[3] : x[2];
	return i & 2 ? high : low;
}

// greedy finds this thread's largest logit.
__device__ void greedy(float &score, int &token, const SampleLogits &l, const SampleRow &r) {
#pragma unroll 1
	for (int q = 0; q < SAMPLE_QUADS && slice_token(q) < l.cols; q++) {
		float z[4];
		load_left(z, l, r, slice_token(q));
#pragma unroll
		for (int i = 0; i < 4; i++) {
			if (z[i] > -infinity() && (token < 0 || z[i] > score)) score = z[i], token = slice_token(q) + i;
		}
	}
}

// race finds this thread's largest sum of logit and noise, if it may be the block's. All
// sums are taken with float32 logarithms first, which are off by less than 4e-6 and the
// rounding of the sum: a thread whose largest lies further below the block's than twice
// that cannot win. Only the others take the logarithms in float64.
__device__ __forceinline__ void race(float &score, int &token, const SampleLogits &l, const SampleRow &r, const Kept &k,
                                     float *shared) {
	float z[4], mine = -infinity();
	unsigned words[4];
#pragma unroll 1
	for (int q = 0; q < SAMPLE_QUADS && slice_token(q) < l.cols; q++) {
		load_kept(z, l, r, k, slice_token(q));
		philox(words, slice_token(q) / 4, r.key);
#pragma unroll
		for (int i = 0; i < 4; i++) mine = fmaxf(mine, z[i] + gumbel_about(words[i]));
	}
	float top = block_max<SAMPLE_THREADS>(mine, shared);
	float need = top - (1e-5f + fabsf(top) * 0x1p-21f);
	if (!(need <= top)) need = top; // infinite
	if (!(mine >= need) || mine == -infinity()) return;
#pragma unroll 1
	for (int q = 0; q < SAMPLE_QUADS && slice_token(q) < l.cols; q++) {
		load_kept(z, l, r, k, slice_token(q));
		philox(words, slice_token(q) / 4, r.key);
#pragma unroll 1
		for (int i = 0; i < 4; i++) {
			float x = choose(z, i), y = x + gumbel(choose(words, i));
			if (x > -infinity() && (token < 0 || y > score)) score = y, token = slice_token(q) + i;
		}
	}
}

// sample_seen sets the bits of the tokens that each row's penalty applies to. A block
// takes a row.
BOUNDED_KERNEL(sample_seen, SAMPLE_THREADS, 4)(unsigned *seen, const int *tokens, const SampleRow *rows, int cols) {
	const SampleRow &r = rows[blockIdx.x];
	if (r.penalty == 0) return;
	int words = ceil_div(cols, 32);
	seen += static_cast<long long>(blockIdx.x) * words;
	for (int i = threadIdx.x; i < words; i += SAMPLE_THREADS) seen[i] = 0;
	__syncthreads();
	for (int i = r.seen + threadIdx.x; i < r.seen_end; i += SAMPLE_THREADS) atomicOr(&seen[tokens[i] / 32], 1u << (tokens[i] % 32));
}

// begin_search sets the state of a row's selection, and its histograms to zero, a part in
// each slice.
__device__ void begin_search(SampleSearch *searches, SampleBins *bins, const SampleRow &r) {
	if (blockIdx.x == 0 && threadIdx.x == 0) {
		SampleSearch s = {};
		s.cut = 0x7fffffff;
		s.by = r.top_k > 0 ? TOKENS : r.top_p > 0 ? MASS : NOTHING;
		searches[blockIdx.y] = s;
	}
	if (r.top_k == 0 && r.top_p == 0) return;
	unsigned *words = reinterpret_cast<unsigned *>(&bins[blockIdx.y]);
	int step = gridDim.x * SAMPLE_THREADS, size = sizeof(SampleBins) / sizeof(unsigned);
	for (int i = blockIdx.x * SAMPLE_THREADS + threadIdx.x; i < size; i += step) words[i] = 0;
}

// slice_largest gives every thread the largest logit that is left in its slice.
__device__ __forceinline__ float slice_largest(const SampleLogits &l, const SampleRow &r, float *shared) {
	float largest = -infinity();
#pragma unroll 1
	for (int q = 0; q < SAMPLE_QUADS && slice_token(q) < l.cols; q++) {
		float z[4];
		load_left(z, l, r, slice_token(q));
#pragma unroll
		for (int i = 0; i < 4; i++) largest = fmaxf(largest, z[i]);
	}
	return block_max<SAMPLE_THREADS>(largest, shared);
}

// sample_slices reads all logits: it sets the sums of each slice, and its best token
// unless the row is filtered, in which case the selection begins. Grid: slices × rows.
BOUNDED_KERNEL(sample_slices, SAMPLE_THREADS, 3)(SamplePart *parts, SampleSearch *searches, SampleBins *bins, const float *logits,
                                                 int cols, int stride, const SampleRow *rows, const unsigned *seen,
                                                 const unsigned *allowed) {
	__shared__ float shared[WARP];
	__shared__ int tokens[WARP];
	int row = blockIdx.y;
	SampleRow r = rows[row];
	SampleLogits l = sample_logits(logits, cols, stride, r, seen, allowed, row);
	SamplePart p = {-infinity(), 0, -infinity(), -infinity(), -1, 0};
	float x[SAMPLE_QUADS][4], bad = 0;
#pragma unroll
	for (int q = 0; q < SAMPLE_QUADS; q++) {
		load_logits(x[q], l, slice_token(q));
#pragma unroll
		for (int i = 0; i < 4; i++) {
			bad = x[q][i] <= LOGIT_MAX ? bad : 1;
			x[q][i] = __fmul_rn(x[q][i], r.inverse);
			p.top = fmaxf(p.top, x[q][i]);
		}
	}
	p.bad = block_max<SAMPLE_THREADS>(bad, shared) > 0;
	p.top = block_max<SAMPLE_THREADS>(p.top, shared);
	float shift = p.top == -infinity() ? 0 : p.top;
#pragma unroll
	for (int i = 0; i < 4 * SAMPLE_QUADS; i++) p.sum += expf(x[i / 4][i % 4] - shift);
	p.sum = block_sum<SAMPLE_THREADS>(p.sum, shared);
	if (r.how == FILTERED) begin_search(searches, bins, r);
	if (r.how == FILTERED) p.largest = slice_largest(l, r, shared);
	if (r.how == GREEDY) greedy(p.score, p.token, l, r);
	if (r.how == PLAIN) race(p.score, p.token, l, r, {0, 0, -infinity()}, shared);
	block_best(p.score, p.token, shared, tokens);
	if (threadIdx.x == 0) parts[static_cast<long long>(row) * gridDim.x + blockIdx.x] = p;
}

// row_largest gives every thread the largest logit that the penalty and the mask leave.
__device__ __forceinline__ float row_largest(const SamplePart *parts, float *shared) {
	parts += static_cast<long long>(blockIdx.y) * gridDim.x;
	float largest = -infinity();
	for (int i = threadIdx.x; i < gridDim.x; i += SAMPLE_THREADS) largest = fmaxf(largest, parts[i].largest);
	return block_max<SAMPLE_THREADS>(largest, shared);
}

// A probability relative to the largest is counted in units of 2⁻³⁹: in a slice of 4096
// the upper 20 bits and the lower 20 are summed apart, so that 32 bits hold each sum.
#define MASS_HIGH 0x1p19f
#define MASS_LOW 0x1p20f

// Mass is a probability, high · 2²⁰ + low units.
struct Mass {
	unsigned high, low;
};

__device__ __forceinline__ Mass mass_of(float p) {
	if (!(p > 0)) return {0, 0};
	float x = p * MASS_HIGH;
	unsigned high = static_cast<unsigned>(x);
	float low = rintf((x - static_cast<float>(high)) * MASS_LOW);
	return {high, static_cast<unsigned>(fminf(low, MASS_LOW - 1))};
}

// Histogram levels: where their bits begin and how many there are.
__device__ __forceinline__ int level_shift(int level) { return level == 0 ? 21 : level == 1 ? 10 : 0; }
__device__ __forceinline__ int level_bits(int level) { return level == 2 ? 10 : 11; }

// level_bin is the bin of an order, or −1 where its upper bits are not the prefix.
__device__ __forceinline__ int level_bin(unsigned x, unsigned prefix, int level) {
	int shift = level_shift(level), bits = level_bits(level);
	if (level > 0 && x >> (shift + bits) != prefix) return -1;
	return x >> shift & ((1u << bits) - 1);
}

// sample_count adds the tokens of each slice to the histogram that its row's selection
// needs next. Grid: slices × rows.
BOUNDED_KERNEL(sample_count, SAMPLE_THREADS, 4)(SampleBins *bins, const SampleSearch *searches, const SamplePart *parts,
                                                const float *logits, int cols, int stride, const SampleRow *rows,
                                                const unsigned *seen, const unsigned *allowed) {
	__shared__ unsigned tokens[SAMPLE_BINS], high[SAMPLE_BINS], low[SAMPLE_BINS];
	__shared__ float shared[WARP];
	SampleRow r = rows[blockIdx.y];
	if (r.how != FILTERED || searches[blockIdx.y].by == NOTHING) return;
	const SampleSearch s = searches[blockIdx.y];
	for (int i = threadIdx.x; i < SAMPLE_BINS; i += SAMPLE_THREADS) tokens[i] = high[i] = low[i] = 0;
	float largest = row_largest(parts, shared); // with a barrier
	SampleLogits l = sample_logits(logits, cols, stride, r, seen, allowed, blockIdx.y);
#pragma unroll 1
	for (int q = 0; q < SAMPLE_QUADS && slice_token(q) < l.cols; q++) {
		float z[4];
		load_left(z, l, r, slice_token(q));
#pragma unroll
		for (int i = 0; i < 4; i++) {
			int bin = slice_token(q) + i < cols ? level_bin(order(z[i]), s.prefix, s.level) : -1;
			if (bin < 0) continue;
			Mass m = r.top_p > 0 ? mass_of(expf(z[i] - largest)) : Mass{0, 0};
			if (s.by == TOKENS || m.high | m.low) atomicAdd(&tokens[bin], 1u);
			if (m.high) atomicAdd(&high[bin], m.high);
			if (m.low) atomicAdd(&low[bin], m.low);
		}
	}
	__syncthreads();
	SampleBins &b = bins[blockIdx.y];
	int set = s.level > 0;
	for (int i = threadIdx.x; i < SAMPLE_BINS; i += SAMPLE_THREADS) {
		if (tokens[i]) atomicAdd(&b.tokens[set][i], tokens[i]);
		if (high[i] | low[i]) atomicAdd(&b.mass[set][i], (static_cast<unsigned long long>(high[i]) << 20) + low[i]);
	}
}

// Found is the bin in which a sum from the top reaches its goal.
struct Found {
	unsigned long long tokens, mass; // above the bin
	unsigned long long in_mass;      // in the bin
	unsigned in_tokens;
	int bin; // −1: the goal is not reached
};

// goal returns what the tokens kept have to reach. Sums and goal are compared in float64,
// as on the CPU.
__device__ __forceinline__ double goal(const SampleSearch &s, const SampleRow &r) {
	return s.by == TOKENS ? r.top_k : r.top_p * static_cast<double>(s.total);
}

// scan_above gives each thread the sum of the numbers of the threads before it, and in
// all the sum of all.
__device__ unsigned long long scan_above(unsigned long long x, unsigned long long *shared, unsigned long long &all) {
	shared[threadIdx.x] = x;
	__syncthreads();
	unsigned long long sum = x;
	for (int step = 1; step < SAMPLE_THREADS; step *= 2) {
		unsigned long long below = threadIdx.x >= step ? shared[threadIdx.x - step] : 0;
		__syncthreads();
		shared[threadIdx.x] = sum += below;
		__syncthreads();
	}
	all = shared[SAMPLE_THREADS - 1];
	__syncthreads();
	return sum - x;
}

// find_bin finds the bin of a histogram in which the sum of tokens or mass from the top
// reaches the goal. Thread t has the bins from SAMPLE_BINS−1−8t down.
__device__ void find_bin(Found *found, SampleSearch &s, const SampleRow &r, const SampleBins &b, unsigned long long *shared) {
	int set = s.level > 0, first = SAMPLE_BINS - 1 - BINS_PER_THREAD * threadIdx.x;
	unsigned long long tokens = 0, mass = 0, all;
	for (int i = 0; i < BINS_PER_THREAD; i++) {
		tokens += b.tokens[set][first - i];
		mass += b.mass[set][first - i];
	}
	tokens = scan_above(tokens, shared, all);
	mass = scan_above(mass, shared, all);
	if (s.by == MASS && s.total == 0) s.total = all;
	if (threadIdx.x == 0) found->bin = -1;
	__syncthreads();
	double reach = goal(s, r);
	for (int i = 0; i < BINS_PER_THREAD; i++) {
		unsigned in_tokens = b.tokens[set][first - i];
		unsigned long long in_mass = b.mass[set][first - i];
		unsigned long long before = s.above + (s.by == TOKENS ? tokens : mass), in = s.by == TOKENS ? in_tokens : in_mass;
		if (static_cast<double>(before) < reach && static_cast<double>(before + in) >= reach)
			*found = {tokens, mass, in_mass, in_tokens, first - i};
		tokens += in_tokens;
		mass += in_mass;
	}
	__syncthreads();
}

// descend takes the bin found into the state, one level down.
__device__ __forceinline__ void descend(SampleSearch &s, const Found &f) {
	s.prefix = s.prefix << level_bits(s.level) | f.bin;
	s.above += s.by == TOKENS ? f.tokens : f.mass;
	s.mass += f.mass;
	s.level++;
}

// ties_kept returns how many of the tokens in the last bin, all of one order, top-p keeps:
// the fewest that reach the goal.
__device__ __forceinline__ unsigned ties_kept(const SampleSearch &s, const SampleRow &r, const Found &f) {
	unsigned long long each = f.in_mass / f.in_tokens;
	double reach = goal(s, r);
	unsigned kept = 1;
	if (each > 0) kept = static_cast<unsigned>(fmin(fmax((reach - static_cast<double>(s.above)) / static_cast<double>(each), 1.0), static_cast<double>(f.in_tokens)));
	while (kept > 1 && static_cast<double>(s.above + (kept - 1) * each) >= reach) kept--;
	while (kept < f.in_tokens && static_cast<double>(s.above + kept * each) < reach) kept++;
	return kept;
}

// nth_equal returns the n-th token, from 1, whose order is low. Thread t looks at the t-th
// part of the row.
__device__ int nth_equal(unsigned n, unsigned low, const SampleLogits &l, const SampleRow &r, unsigned long long *shared) {
	__shared__ int nth;
	int part = 4 * ceil_div(l.cols, 4 * SAMPLE_THREADS), from = threadIdx.x * part;
	unsigned long long equal = 0, all;
	for (int pass = 0; pass < 2; pass++) {
		unsigned long long seen = pass == 0 ? 0 : equal;
		for (int v = from; v < min(from + part, l.cols); v += 4) {
			float z[4];
			load_left(z, l, r, v);
			for (int i = 0; i < 4; i++) {
				if (v + i < l.cols && order(z[i]) == low && ++seen == n && pass == 1) nth = v + i;
			}
		}
		if (pass == 0) equal = scan_above(seen, shared, all);
	}
	__syncthreads();
	return nth;
}

// sample_select finds the bin of each row's threshold in the histogram just taken. At the
// end of top-k it begins with top-p, whose first histogram is there already. A block takes
// a row.
BOUNDED_KERNEL(sample_select, SAMPLE_THREADS, 2)(SampleSearch *searches, SampleBins *bins, const float *logits, int cols, int stride,
                                                 const SampleRow *rows, const unsigned *seen, const unsigned *allowed) {
	__shared__ unsigned long long shared[SAMPLE_THREADS];
	__shared__ Found found;
	int row = blockIdx.x;
	SampleRow r = rows[row];
	if (r.how != FILTERED || searches[row].by == NOTHING) return;
	SampleSearch s = searches[row];
	SampleBins &b = bins[row];
	find_bin(&found, s, r, b, shared);
	if (found.bin < 0) s.by = NOTHING; // logits that are not numbers: the row fails
	bool taken = s.level > 0;
	if (s.by != NOTHING) descend(s, found);
	if (s.by != NOTHING && s.level == 3) {
		s.low = s.prefix;
		if (s.by == MASS) {
			unsigned kept = ties_kept(s, r, found);
			if (kept < found.in_tokens) s.cut = nth_equal(kept, s.low, sample_logits(logits, cols, stride, r, seen, allowed, row), r, shared);
			s.by = NOTHING;
		} else {
			s.total = s.mass + found.in_mass;
			s.by = r.top_p > 0 ? MASS : NOTHING;
			s.above = s.mass = s.prefix = s.level = 0;
			if (s.by == MASS) find_bin(&found, s, r, b, shared);
			if (s.by == MASS && found.bin < 0) s.by = NOTHING;
			if (s.by == MASS) descend(s, found);
		}
	}
	for (int i = threadIdx.x; taken && i < SAMPLE_BINS; i += SAMPLE_THREADS) b.tokens[1][i] = 0, b.mass[1][i] = 0;
	__syncthreads();
	if (threadIdx.x == 0) searches[row] = s;
}

// sample_draw draws from what the filters left of each slice of the rows that have any.
// Grid: slices × rows.
BOUNDED_KERNEL(sample_draw, SAMPLE_THREADS, 3)(SamplePart *parts, const SampleSearch *searches, const float *logits, int cols,
                                               int stride, const SampleRow *rows, const unsigned *seen, const unsigned *allowed) {
	__shared__ float shared[WARP];
	__shared__ int tokens[WARP];
	int row = blockIdx.y;
	SampleRow r = rows[row];
	if (r.how != FILTERED) return;
	Kept k = {searches[row].low, searches[row].cut, __fadd_rn(row_largest(parts, shared), r.min_shift)};
	float score = -infinity();
	int token = -1;
	race(score, token, sample_logits(logits, cols, stride, r, seen, allowed, row), r, k, shared);
	block_best(score, token, shared, tokens);
	SamplePart &p = parts[static_cast<long long>(row) * gridDim.x + blockIdx.x];
	if (threadIdx.x == 0) p.score = score, p.token = token;
}

// sample_finish joins the slices of each row: results[2r] is the log-probability of the
// token drawn in the plain distribution, results[2r+1] the token; NaN and −1 where there is
// none. A warp takes a row.
BOUNDED_KERNEL(sample_finish, SAMPLE_THREADS, 4)(double *results, const SamplePart *parts, int slices, const float *logits, int stride,
                                                 const SampleRow *samplings, int rows) {
	int row = blockIdx.x * (SAMPLE_THREADS / WARP) + warp_index();
	if (row >= rows) return;
	parts += static_cast<long long>(row) * slices;
	float top = -infinity(), score = -infinity(), bad = 0;
	int token = -1;
	for (int i = lane_index(); i < slices; i += WARP) {
		SamplePart p = parts[i];
		top = fmaxf(top, p.top);
		bad = p.bad ? 1 : bad;
		if (better(p.score, p.token, score, token)) score = p.score, token = p.token;
	}
	top = warp_max(top);
	bad = warp_max(bad);
	warp_best(score, token);
	double sum = 0;
	for (int i = lane_index(); i < slices; i += WARP) {
		if (parts[i].top > -infinity()) sum += parts[i].sum * exp(static_cast<double>(parts[i].top) - top);
	}
	sum = warp_sum(sum);
	if (lane_index() > 0) return;
	if (bad > 0) token = -1;
	float plain = token < 0 ? quiet_nan() : __fmul_rn(logits[static_cast<long long>(row) * stride + token], samplings[row].inverse);
	results[2 * row] = plain - (top + log(sum));
	results[2 * row + 1] = token;
}
