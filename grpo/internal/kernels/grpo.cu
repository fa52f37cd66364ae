// Group advantages, and the loss of GRPO with its gradient, in the double precision of the
// host's version: package grpo's Advantages and Objective say what is computed.
#include "common.cuh"

enum { SCALE_GROUP, SCALE_BATCH, SCALE_NONE };

// Spread is the mean and the sample deviation of the numbers that are not NaN.
struct Spread {
	double mean, deviation;
};

// spread_of goes through the numbers in their order, so that equal ones give exactly their
// value and 0.
__device__ __noinline__ Spread spread_of(const double *x, int n) {
	int count = 0;
	double first = quiet_nan(), shift = 0, squares = 0;
	for (int i = 0; i < n; i++) {
		if (x[i] != x[i]) continue;
		if (count++ == 0) first = x[i];
		shift += x[i] - first;
	}
	double mean = first + shift / max(1, count);
	if (count < 2) return {mean, 0};
	for (int i = 0; i < n; i++) {
		if (x[i] == x[i]) squares += (x[i] - mean) * (x[i] - mean);
	}
	return {mean, sqrt(squares / (count - 1))};
}

// group_advantages sets advantages[i] = (rewards[i] − mean) / divisor for groups that
// follow each other, NaN where there is no reward. Grid: groups. The numbers are few, so
// that each thread goes through all of them.
KERNEL(group_advantages)(double *advantages, const double *rewards, int rows, int group, int scale, double eps) {
	int from = blockIdx.x * group, n = min(group, rows - from);
	Spread own = spread_of(rewards + from, n);
	double divisor = 1;
	if (scale == SCALE_GROUP) divisor = own.deviation + eps;
	if (scale == SCALE_BATCH) divisor = spread_of(rewards, rows).deviation + eps;
	for (int i = threadIdx.x; i < n; i += blockDim.x) advantages[from + i] = (rewards[from + i] - own.mean) / divisor;
}

#define LOSS_THREADS 128

// What a completion has beside its log-probabilities, and what a loss is made of.
enum { HAS_OLD = 1, HAS_REF = 2 };
enum { TRUNCATED = 1, SEQUENCE_LEVEL = 2, RATIO_KL = 4 };

// Completion is a row of the batch: its tokens are numbers first to first+tokens.
struct Completion {
	double advantage, weight;
	int first, tokens, has, unused;
};

// Sums are those over a completion's tokens. ratio is the derivative with respect to a
// ratio that all tokens share.
struct Sums {
	double loss, kl, low, high, ratio;
};

// Term is one token's loss with its derivatives.
struct Term {
	double loss, by_ratio, by_logp;
	bool low, high;
};

// clipped is −min(ρA, clip(ρ, 1−low, 1+high)A).
__device__ Term clipped(double ratio, double advantage, double low, double high) {
	double lo = 1 - low, hi = 1 + high;
	if (ratio < lo && advantage < 0) return {-lo * advantage, 0, 0, true, false};
	if (ratio > hi && advantage > 0) return {-hi * advantage, 0, 0, false, true};
	return {-ratio * advantage, -advantage, 0, false, false};
}

// truncated is −min(ρ, high)·A·p with a constant weight.
__device__ Term truncated(double ratio, double advantage, double logp, double high) {
	double w = -(ratio > high ? high : ratio) * advantage;
	return {w * logp, 0, w, false, ratio > high && advantage > 0};
}

// add_kl adds beta·k to a term, times the ratio where that is asked for, and returns k.
__device__ double add_kl(Term &t, double ratio, double logp, double ref, double beta, int form) {
	double e = expm1(ref - logp), k = e - (ref - logp), by_logp = -e;
	if (k < 0) k = 0;
	if (form & RATIO_KL) {
		t.by_ratio += beta * k;
		k *= ratio, by_logp *= ratio;
	}
	t.loss += beta * k;
	t.by_logp += beta * by_logp;
	return k;
}

// sequence_ratio returns exp(mean(p − o)) over a completion's tokens.
__device__ double sequence_ratio(const double *logp, const double *old, int n, double *shared) {
	double sum = 0;
	for (int t = threadIdx.x; t < n; t += LOSS_THREADS) sum += logp[t] - old[t];
	return exp(block_sum<LOSS_THREADS>(sum, shared) / max(1, n));
}

// sum_block gives every thread the sums over the block.
__device__ void sum_block(Sums &s, double *shared) {
	s.loss = block_sum<LOSS_THREADS>(s.loss, shared);
	s.kl = block_sum<LOSS_THREADS>(s.kl, shared);
	s.low = block_sum<LOSS_THREADS>(s.low, shared);
	s.high = block_sum<LOSS_THREADS>(s.high, shared);
	s.ratio = block_sum<LOSS_THREADS>(s.ratio, shared);
}

// completion_losses sets out[4i..] = (loss, kl, low, high) to the sums of completion i
// before its weight, and behind those of all completions the derivative of the step's loss
// with respect to each log-probability. Grid: completions.
KERNEL(completion_losses)(double *out, const Completion *completions, const double *logp, const double *old, const double *ref,
                          int form, double low, double high, double beta) {
	__shared__ double shared[LOSS_THREADS / WARP];
	Completion c = completions[blockIdx.x];
	double *d = out + 4 * gridDim.x + c.first;
	logp += c.first, old += c.first, ref += c.first;
	if (!(c.has & HAS_OLD)) old = logp;
	bool whole = form & SEQUENCE_LEVEL;
	double ratio = whole ? sequence_ratio(logp, old, c.tokens, shared) : 0;
	Sums s = {};
	for (int t = threadIdx.x; t < c.tokens; t += LOSS_THREADS) {
		if (!whole) ratio = exp(logp[t] - old[t]);
		Term term = form & TRUNCATED ? truncated(ratio, c.advantage, logp[t], high) : clipped(ratio, c.advantage, low, high);
		if (c.has & HAS_REF) s.kl += add_kl(term, ratio, logp[t], ref[t], beta, form);
		s.loss += term.loss, s.low += term.low, s.high += term.high, s.ratio += term.by_ratio;
		d[t] = (whole ? term.by_logp : term.by_logp + term.by_ratio * ratio) * c.weight;
	}
	sum_block(s, shared);
	double shared_part = s.ratio * ratio / max(1, c.tokens) * c.weight;
	for (int t = threadIdx.x; whole && t < c.tokens; t += LOSS_THREADS) d[t] += shared_part;
	if (threadIdx.x == 0) {
		out += 4 * blockIdx.x;
		out[0] = s.loss, out[1] = s.kl, out[2] = s.low, out[3] = s.high;
	}
}
