// Attention over forests: the plan that the host makes of a tree, and tiles of numbers in
// shared memory.
//
// The heads of a group share a key head. Packed row p = row·group + g stands for query row
// p/group of the group's head g, so that one tile of packed rows serves all heads that read
// the same keys. Keys stand in slots, in depth-first order of their nodes; slot s is seen
// by the packed rows in [lo[s], hi[s]), because the rows of a node's descendants follow
// each other. 32 slots are a block, which carries bounds of these intervals. Slots that
// fill the last block up are seen by no row.
//
// A plan is one array of int32: a header, then the lists that the header has the places of.
#pragma once

#include "common.cuh"

enum {
	PLAN_SLOTS,      // number of slots, a multiple of 64
	PLAN_ITEMS,      // number of items
	PLAN_KV,         // row of keys and values of each slot
	PLAN_LO,         // first packed row that sees each slot
	PLAN_HI,         // row after the last
	PLAN_BOUNDS,     // of each block: least lo, largest lo, least hi, largest hi
	PLAN_ITEM,       // of each item: tile, first range, end of ranges, partial result or -1
	PLAN_RANGES,     // blocks [first, end), several of them an item
	PLAN_CLAIMED,    // bit row%32 of word row/32: a node claims the query row
	PLAN_TILES,      // of each tile of packed rows: first partial result, number of them
	PLAN_KEY_ITEMS,  // number of key items
	PLAN_KEY_ITEM,   // of each: tile of slots, packed rows [first, end), partial result or -1
	PLAN_KEY_TILES,  // of each tile of slots: first partial result, number of them
};

#define BLOCK_SLOTS 32

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

// list returns the list of a plan that stands at a header's place.
__device__ __forceinline__ const int *list(const int *plan, int at) { return plan + plan[at]; }

// claimed reports whether a node claims a query row.
__device__ __forceinline__ bool claimed(const int *plan, int row) {
	return list(plan, PLAN_CLAIMED)[row / 32] >> row % 32 & 1;
}

// packed_at returns where packed row p of a key head begins in a matrix [rows, heads·cols].
__device__ __forceinline__ long long packed_at(int p, int head, int group, int cols, int stride) {
	return static_cast<long long>(p / group) * stride + (head * group + p % group) * cols;
}

// Walk goes through the blocks of an item.
struct Walk {
	const int *range, *end;
	int block;

	__device__ __forceinline__ Walk(const int *plan, int first, int last) {
		range = list(plan, PLAN_RANGES) + 2 * first;
		end = list(plan, PLAN_RANGES) + 2 * last;
		block = more() ? range[0] : 0;
	}
	__device__ __forceinline__ bool more() const { return range < end; }
	__device__ __forceinline__ void next() {
		if (++block < range[1]) return;
		range += 2;
		if (more()) block = range[0];
	}
};

// What packed rows see of a block.
enum { SEES_NOTHING, SEES_PART, SEES_ALL };

// sight says what packed rows [first, last] see of a block; SEES_PART where that is not clear.
__device__ __forceinline__ int sight(const int *bounds, int block, int first, int last) {
	const int *b = bounds + 4 * block;
	if (last < b[0] || first >= b[3]) return SEES_NOTHING;
	return b[1] <= first && last < b[2] ? SEES_ALL : SEES_PART;
}

// hide returns x where packed row p sees a slot, -Inf elsewhere.
__device__ __forceinline__ float hide(float x, int p, int lo, int hi) { return lo <= p && p < hi ? x : -infinity(); }

__device__ __forceinline__ bool is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }

// finite_or_zero returns x, or 0 in place of NaN and Inf, of which it takes note. A
// probability of 0 times an infinite value is not 0, so that products are made of finite
// values only; the others are added afterwards to the rows that see them.
__device__ __forceinline__ float finite_or_zero(float x, bool &found) {
	if (is_finite(x)) return x;
	found = true;
	return 0;
}

// read4 returns columns c to c+3 of a row of dim numbers, 0 beyond its end. aligned says
// that float4 may be read.
__device__ __forceinline__ float4 read4(const float *row, int c, int dim, bool aligned) {
	if (aligned && c + 4 <= dim) return *reinterpret_cast<const float4 *>(row + c);
	float4 x;
	x.x = c < dim ? row[c] : 0;
	x.y = c + 1 < dim ? row[c + 1] : 0;
	x.z = c + 2 < dim ? row[c + 2] : 0;
	x.w = c + 3 < dim ? row[c + 3] : 0;
	return x;
}

// shift returns what is taken off exponents: the running maximum, or 0 while a row has
// seen nothing above -Inf.
__device__ __forceinline__ float shift(float top) { return top == -infinity() ? 0 : top; }

// log_denominator returns the natural logarithm of sum·2^top.
__device__ __forceinline__ float log_denominator(float top, float sum) { return shift(top) * LN_2 + logf(sum); }

// Values is where the values of a head lie.
struct Values {
	const float *at; // in row 0
	int stride, dim;
	const int *kv; // row of each slot
};

// infinite_sum returns the sum of column c of the values that are not finite, among those
// that packed row p sees of an item's blocks. seen is what products make of a value.
template <class Seen>
__device__ __forceinline__ float infinite_sum(const int *plan, const int *item, const Values &v, int p, int c, Seen seen) {
	const int *lo = list(plan, PLAN_LO), *hi = list(plan, PLAN_HI);
	float sum = 0;
	for (Walk w(plan, item[1], item[2]); w.more(); w.next())
		for (int s = w.block * BLOCK_SLOTS; s < (w.block + 1) * BLOCK_SLOTS; s++) {
			if (p < lo[s] || p >= hi[s]) continue;
			float x = seen(v.at[static_cast<long long>(v.kv[s]) * v.stride + c]);
			if (!is_finite(x)) sum += x;
		}
	return sum;
}

// Output is where an item's results go: to the matrices or, where the tile's keys are
// shared among items, to a partial result, which holds for each row dim sums of values
// that are not divided yet, and the maximum (in base 2) and the sum of the soft-max.
struct Output {
	float *o, *lse;
	int o_stride, lse_stride;
	float *partial_o, *partial_sum;
};

// Place is where one row's results go.
struct Place {
	float *o;
	float scale;
};

// place_row writes the ends of packed row p, row r of its tile, and returns where its
// values go: nowhere, if nobody wants them. One thread of a row writes.
__device__ __forceinline__ Place place_row(const Output &to, const int *plan, const int *item, int p, int r, int tile_rows, int group,
                                           int dim, float top, float sum, bool writes) {
	int head = blockIdx.y;
	if (item[3] >= 0) {
		long long row = (static_cast<long long>(item[3]) * gridDim.y + head) * tile_rows + r;
		if (writes) {
			to.partial_sum[2 * row] = top;
			to.partial_sum[2 * row + 1] = sum;
		}
		return {sum == 0 ? nullptr : to.partial_o + row * dim, 1};
	}
	if (!claimed(plan, p / group)) return {nullptr, 1};
	if (writes) to.lse[packed_at(p, head, group, 1, to.lse_stride)] = log_denominator(top, sum);
	return {to.o + packed_at(p, head, group, dim, to.o_stride), 1 / sum};
}
