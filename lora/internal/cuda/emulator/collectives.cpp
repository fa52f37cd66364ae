// What the lanes of a warp do together.

#include "fibers.h"

namespace emulator {

namespace {

struct Shuffle {
	unsigned long long bits;
	unsigned source;
	unsigned long long out;
};

void finish_shuffle(void **lanes, unsigned mask) {
	for (unsigned lane = 0; lane < 32; lane++) {
		if (!(mask >> lane & 1)) continue;
		Shuffle *s = static_cast<Shuffle *>(lanes[lane]);
		if (!(mask >> s->source & 1)) fail("lane %u shuffles from lane %u, which the mask %08x leaves out", lane, s->source, mask);
		s->out = static_cast<Shuffle *>(lanes[s->source])->bits;
	}
}

struct Vote {
	bool yes;
	unsigned out;
};

void finish_ballot(void **lanes, unsigned mask) {
	unsigned all = 0;
	for (unsigned lane = 0; lane < 32; lane++) {
		if (mask >> lane & 1 && static_cast<Vote *>(lanes[lane])->yes) all |= 1u << lane;
	}
	for (unsigned lane = 0; lane < 32; lane++) {
		if (mask >> lane & 1) static_cast<Vote *>(lanes[lane])->out = all;
	}
}

float half_of(unsigned pair, int i) { return __uint_as_float(i ? pair & 0xffff0000u : pair << 16); }

struct Product {
	float *d;
	const unsigned *a, *b;
};

// finish_mma gathers the operands of all lanes, multiplies, and hands out the sums.
void finish_mma(void **lanes, unsigned) {
	float a[16][16], b[16][8], d[16][8];
	for (int lane = 0; lane < 32; lane++) {
		Product *p = static_cast<Product *>(lanes[lane]);
		int g = lane / 4, t = lane % 4 * 2;
		for (int i = 0; i < 2; i++) {
			a[g][t + i] = half_of(p->a[0], i), a[g + 8][t + i] = half_of(p->a[1], i);
			a[g][t + 8 + i] = half_of(p->a[2], i), a[g + 8][t + 8 + i] = half_of(p->a[3], i);
			b[t + i][g] = half_of(p->b[0], i), b[t + 8 + i][g] = half_of(p->b[1], i);
			d[g][t + i] = p->d[i], d[g + 8][t + i] = p->d[2 + i];
		}
	}
	for (int k = 0; k < 16; k++) {
		for (int i = 0; i < 16; i++) {
			for (int j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
		}
	}
	for (int lane = 0; lane < 32; lane++) {
		Product *p = static_cast<Product *>(lanes[lane]);
		int g = lane / 4, t = lane % 4 * 2;
		for (int i = 0; i < 2; i++) p->d[i] = d[g][t + i], p->d[2 + i] = d[g + 8][t + i];
	}
}

struct Matrices {
	unsigned *r;
	const void *row;
};

template <int N, bool transposed> void finish_ldmatrix(void **lanes, unsigned) {
	unsigned short m[N][8][8];
	for (int lane = 0; lane < 8 * N; lane++) {
		const void *row = static_cast<Matrices *>(lanes[lane])->row;
		if (reinterpret_cast<size_t>(row) % 16) fail("ldmatrix: the row of lane %d is not aligned to 16 bytes", lane);
		memcpy(m[lane / 8][lane % 8], row, 16);
	}
	for (int lane = 0; lane < 32; lane++) {
		unsigned *r = static_cast<Matrices *>(lanes[lane])->r;
		int i = lane / 4, j = lane % 4 * 2;
		for (int n = 0; n < N; n++) {
			r[n] = transposed ? m[n][j][i] | unsigned(m[n][j + 1][i]) << 16 : m[n][i][j] | unsigned(m[n][i][j + 1]) << 16;
		}
	}
}

} // namespace

unsigned long long shuffle(unsigned mask, unsigned long long bits, unsigned source, const char *what) {
	Shuffle s = {bits, source, 0};
	collective(mask, &s, finish_shuffle, what);
	return s.out;
}

unsigned ballot(unsigned mask, bool vote, const char *what) {
	Vote v = {vote, 0};
	collective(mask, &v, finish_ballot, what);
	return v.out;
}

void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
	Product p = {d, a, b};
	collective(~0u, &p, finish_mma, "mma_bf16");
}

void ldmatrix(unsigned *r, const void *shared, int matrices, bool transposed) {
	Matrices m = {r, shared};
	Finish *finish = matrices == 4 ? transposed ? finish_ldmatrix<4, true> : finish_ldmatrix<4, false>
	                               : transposed ? finish_ldmatrix<2, true> : finish_ldmatrix<2, false>;
	collective(~0u, &m, finish, "ldmatrix");
}

} // namespace emulator
