// What stands between a block's products: root mean square norms, rotary embedding and
// the gated unit, forward and backward; and the optimiser's step. A matrix is a pointer
// and a stride. Elementwise kernels take a grid of any size: blocks along y go through
// rows, threads along x through columns, four at a time where all addresses allow it.
#include "common.cuh"

// Floats are W numbers that lie side by side.
template <int W> struct Floats {
	float v[W];
};

template <int W> __device__ __forceinline__ Floats<W> load(const float *p) {
	Floats<W> r;
	if constexpr (W == 4) {
		float4 q = *reinterpret_cast<const float4 *>(p);
		r.v[0] = q.x, r.v[1] = q.y, r.v[2] = q.z, r.v[3] = q.w;
	} else {
		r.v[0] = *p;
	}
	return r;
}

template <int W> __device__ __forceinline__ void store(float *p, const Floats<W> &x) {
	if constexpr (W == 4) *reinterpret_cast<float4 *>(p) = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
	else *p = x.v[0];
}

// Width is a number of columns that the compiler knows.
template <int W> struct Width {
	static constexpr int size = W;
};

// over_columns calls f(column, Width) for the columns that are this one's of count, four
// at a time where quads is set.
template <class F> __device__ __forceinline__ void over_columns(int cols, bool quads, int index, int count, F f) {
	int whole = quads ? cols / 4 * 4 : 0;
#pragma unroll 2
	for (int j = 4 * index; j < whole; j += 4 * count) f(j, Width<4>());
#pragma unroll 1
	for (int j = whole + index; j < cols; j += count) f(j, Width<1>());
}

// sweep calls f(row, column, Width) for all elements that are this thread's.
template <class F> __device__ __forceinline__ void sweep(int rows, int cols, bool quads, F f) {
	for (long long i = blockIdx.y; i < rows; i += gridDim.y)
		over_columns(cols, quads, blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x,
		             [&](int j, auto width) { f(i, j, width); });
}

// Norms: THREADS threads a row, rows THREADS apart along the grid.

// sum_of gives all threads of a row the sum of term(column, Width) over its columns.
template <int THREADS, class F> __device__ __forceinline__ float sum_of(int cols, bool quads, float *shared, F term) {
	float sum = 0;
	over_columns(cols, quads, threadIdx.x, THREADS, [&](int j, auto width) { sum += term(j, width); });
	return block_sum<THREADS>(sum, shared);
}

// inverse_rms gives all threads 1 / sqrt(mean(x²) + eps) of a row.
template <int THREADS> __device__ __forceinline__ float inverse_rms(const float *x, int cols, float eps, bool quads, float *shared) {
	float sum = sum_of<THREADS>(cols, quads, shared, [&](int j, auto width) {
		auto a = load<decltype(width)::size>(x + j);
		float part = 0;
		for (float e : a.v) part += e * e;
		return part;
	});
	return 1 / sqrtf(sum / cols + eps);
}

template <int THREADS> __device__ __forceinline__ void norm_rows(float *y, int y_stride, const float *x, int x_stride, const float *w, int rows, int cols, float eps) {
	__shared__ float shared[WARP];
	bool quads = aligned16(y, y_stride) && aligned16(x, x_stride) && aligned16(w);
	for (long long t = blockIdx.x; t < rows; t += gridDim.x) {
		const float *in = x + t * x_stride;
		float *out = y + t * y_stride;
		float r = inverse_rms<THREADS>(in, cols, eps, quads, shared);
		over_columns(cols, quads, threadIdx.x, THREADS, [&](int j, auto width) {
			constexpr int W = decltype(width)::size;
			auto a = load<W>(in + j), b = load<W>(w + j);
			for (int e = 0; e < W; e++) a.v[e] *= b.v[e] * r;
			store(out + j, a);
		});
	}
}

// rms_norm sets y[t,d] = x[t,d]·w[d] / sqrt(mean_d(x[t,d]²) + eps), a block a row;
// rms_norm_narrow does so with a warp a row.
BOUNDED_KERNEL(rms_norm, 256, 4)(float *y, int y_stride, const float *x, int x_stride, const float *w, int rows, int cols, float eps) {
	norm_rows<256>(y, y_stride, x, x_stride, w, rows, cols, eps);
}

BOUNDED_KERNEL(rms_norm_narrow, 32, 16)(float *y, int y_stride, const float *x, int x_stride, const float *w, int rows, int cols, float eps) {
	norm_rows<32>(y, y_stride, x, x_stride, w, rows, cols, eps);
}

template <int THREADS>
__device__ __forceinline__ void norm_back_rows(float *dx, int dx_stride, const float *dy, int dy_stride, const float *x, int x_stride,
                                               const float *w, float *inverse, int rows, int cols, float eps) {
	__shared__ float shared[WARP];
	bool quads = aligned16(dx, dx_stride) && aligned16(dy, dy_stride) && aligned16(x, x_stride) && aligned16(w);
	for (long long t = blockIdx.x; t < rows; t += gridDim.x) {
		const float *in = x + t * x_stride, *dout = dy + t * dy_stride;
		float *din = dx + t * dx_stride;
		float r = inverse_rms<THREADS>(in, cols, eps, quads, shared);
		float dot = sum_of<THREADS>(cols, quads, shared, [&](int j, auto width) {
			constexpr int W = decltype(width)::size;
			auto a = load<W>(in + j), d = load<W>(dout + j), b = load<W>(w + j);
			float part = 0;
			for (int e = 0; e < W; e++) part += d.v[e] * b.v[e] * a.v[e];
			return part;
		});
		float back = r * r * r * (dot / cols);
		over_columns(cols, quads, threadIdx.x, THREADS, [&](int j, auto width) {
			constexpr int W = decltype(width)::size;
			auto a = load<W>(in + j), d = load<W>(dout + j), b = load<W>(w + j);
			for (int e = 0; e < W; e++) a.v[e] = r * (d.v[e] * b.v[e]) - back * a.v[e];
			store(din + j, a);
		});
		if (inverse && threadIdx.x == 0) inverse[t] = r;
	}
}

// rms_norm_back sets dx of rms_norm and, unless inverse is null, keeps each row's 1/rms,
// a block a row; rms_norm_back_narrow does so with a warp a row.
BOUNDED_KERNEL(rms_norm_back, 256, 4)(float *dx, int dx_stride, const float *dy, int dy_stride, const float *x, int x_stride,
                                      const float *w, float *inverse, int rows, int cols, float eps) {
	norm_back_rows<256>(dx, dx_stride, dy, dy_stride, x, x_stride, w, inverse, rows, cols, eps);
}

BOUNDED_KERNEL(rms_norm_back_narrow, 32, 16)(float *dx, int dx_stride, const float *dy, int dy_stride, const float *x, int x_stride,
                                             const float *w, float *inverse, int rows, int cols, float eps) {
	norm_back_rows<32>(dx, dx_stride, dy, dy_stride, x, x_stride, w, inverse, rows, cols, eps);
}

// rms_norm_back_weight sets partial[c,d] = Σ_t dy[t,d]·x[t,d]·inverse[t] over the
// chunk_rows rows of chunk c = blockIdx.y: a warp a column of 32 and every eighth row,
// the warps' sums added in their order. Blocks of 256 threads.
BOUNDED_KERNEL(rms_norm_back_weight, 256, 4)(float *partial, const float *dy, int dy_stride, const float *x, int x_stride, const float *inverse,
                                             int rows, int cols, int chunk_rows) {
	constexpr int warps = 256 / WARP;
	__shared__ float sums[warps][WARP];
	int column = blockIdx.x * WARP + lane_index();
	int end = min(rows, static_cast<int>(blockIdx.y + 1) * chunk_rows);
	float sum = 0;
	if (column < cols) {
		for (long long t = static_cast<long long>(blockIdx.y) * chunk_rows + warp_index(); t < end; t += warps)
			sum += dy[t * dy_stride + column] * x[t * x_stride + column] * inverse[t];
	}
	sums[warp_index()][lane_index()] = sum;
	__syncthreads();
	if (warp_index() != 0 || column >= cols) return;
	for (int i = 1; i < warps; i++) sum += sums[i][lane_index()];
	partial[static_cast<long long>(blockIdx.y) * cols + column] = sum;
}

// add_partials adds to dw[d] the sum of partial[c,d] in the order of c.
KERNEL(add_partials)(float *dw, const float *partial, int chunks, int cols) {
	for (int j = blockIdx.x * blockDim.x + threadIdx.x; j < cols; j += gridDim.x * blockDim.x) {
		float sum = 0;
		for (int c = 0; c < chunks; c++) sum += partial[static_cast<long long>(c) * cols + j];
		dw[j] += sum;
	}
}

// Rotary embedding.

// rotary_table sets cosines and sines of positions[t]·frequencies[i], both factors and the
// product in float32. The circle is reduced in float64, where a large angle loses nothing.
KERNEL(rotary_table)(float *cosines, int cos_stride, float *sines, int sin_stride, const int *positions, const float *frequencies, int rows, int cols) {
	constexpr double inverse_pi = 0.318309886183790671538;
	sweep(rows, cols, false, [&](long long t, int i, auto) {
		float angle = __fmul_rn(static_cast<float>(positions[t]), frequencies[i]);
		double s, c;
		sincospi(angle * inverse_pi, &s, &c);
		cosines[t * cos_stride + i] = static_cast<float>(c);
		sines[t * sin_stride + i] = static_cast<float>(s);
	});
}

// rotary turns, in place, the pairs (i, i+half) of every head by the angles of their row;
// sign is -1 where they are turned back. Columns are the pairs of all heads.
KERNEL(rotary)(float *x, int x_stride, const float *cosines, int cos_stride, const float *sines, int sin_stride, int rows, int heads, int half, float sign) {
	bool quads = half % 4 == 0 && aligned16(x, x_stride) && aligned16(cosines, cos_stride) && aligned16(sines, sin_stride);
	sweep(rows, heads * half, quads, [&](long long t, int j, auto width) {
		constexpr int W = decltype(width)::size;
		int head = j / half, i = j - head * half;
		float *low = x + t * x_stride + 2 * head * half + i, *high = low + half;
		auto a = load<W>(low), b = load<W>(high), c = load<W>(cosines + t * cos_stride + i), s = load<W>(sines + t * sin_stride + i);
		for (int e = 0; e < W; e++) {
			float turn = sign * s.v[e], from = a.v[e];
			a.v[e] = from * c.v[e] - b.v[e] * turn;
			b.v[e] = b.v[e] * c.v[e] + from * turn;
		}
		store(low, a);
		store(high, b);
	});
}

// The gated unit.

// Sigmoid is 1/(1+exp(-a)) and its complement, both to a few units in the last place.
struct Sigmoid {
	float of, rest;
};

__device__ __forceinline__ Sigmoid sigmoid(float a) {
	float e = expf(-fabsf(a)), large = 1 / (1 + e), small = e / (1 + e);
	return a >= 0 ? Sigmoid{large, small} : Sigmoid{small, large};
}

// swiglu sets y = gate·sigmoid(gate)·up.
KERNEL(swiglu)(float *y, int y_stride, const float *gate, int gate_stride, const float *up, int up_stride, int rows, int cols) {
	bool quads = aligned16(y, y_stride) && aligned16(gate, gate_stride) && aligned16(up, up_stride);
	sweep(rows, cols, quads, [&](long long t, int j, auto width) {
		constexpr int W = decltype(width)::size;
		auto a = load<W>(gate + t * gate_stride + j), b = load<W>(up + t * up_stride + j);
		for (int e = 0; e < W; e++) a.v[e] *= sigmoid(a.v[e]).of * b.v[e];
		store(y + t * y_stride + j, a);
	});
}

// swiglu_back sets dgate and dup, which may be gate and up.
KERNEL(swiglu_back)(float *dgate, int dgate_stride, float *dup, int dup_stride, const float *dy, int dy_stride,
                    const float *gate, int gate_stride, const float *up, int up_stride, int rows, int cols) {
	bool quads = aligned16(dgate, dgate_stride) && aligned16(dup, dup_stride) && aligned16(dy, dy_stride) &&
	             aligned16(gate, gate_stride) && aligned16(up, up_stride);
	sweep(rows, cols, quads, [&](long long t, int j, auto width) {
		constexpr int W = decltype(width)::size;
		auto a = load<W>(gate + t * gate_stride + j), b = load<W>(up + t * up_stride + j), d = load<W>(dy + t * dy_stride + j);
		for (int e = 0; e < W; e++) {
			float x = a.v[e];
			Sigmoid s = sigmoid(x);
			a.v[e] = d.v[e] * b.v[e] * s.of * (1 + x * s.rest);
			b.v[e] = d.v[e] * x * s.of;
		}
		store(dgate + t * dgate_stride + j, a);
		store(dup + t * dup_stride + j, b);
	});
}

// adamw updates a parameter and its moments; the arithmetic between loads and stores is
// float64. With g' = g·scale: m = beta1·m + rest1·g', v = beta2·v + rest2·g'²,
// p = p·keep - rate·(m·unbias1) / (sqrt(v·unbias2) + eps).
KERNEL(adamw)(float *p, int p_stride, const float *g, int g_stride, float *m, int m_stride, float *v, int v_stride, int rows, int cols,
              double scale, double beta1, double rest1, double unbias1, double beta2, double rest2, double unbias2, double rate, double keep, double eps) {
	bool quads = aligned16(p, p_stride) && aligned16(g, g_stride) && aligned16(m, m_stride) && aligned16(v, v_stride);
	sweep(rows, cols, quads, [&](long long i, int j, auto width) {
		constexpr int W = decltype(width)::size;
		float *to_p = p + i * p_stride + j, *to_m = m + i * m_stride + j, *to_v = v + i * v_stride + j;
		auto parameter = load<W>(to_p), first = load<W>(to_m), second = load<W>(to_v), gradient = load<W>(g + i * g_stride + j);
		for (int e = 0; e < W; e++) {
			double d = gradient.v[e] * scale;
			double a = beta1 * first.v[e] + rest1 * d, b = beta2 * second.v[e] + rest2 * (d * d);
			first.v[e] = static_cast<float>(a);
			second.v[e] = static_cast<float>(b);
			parameter.v[e] = static_cast<float>(parameter.v[e] * keep - rate * (a * unbias1) / (sqrt(b * unbias2) + eps));
		}
		store(to_p, parameter);
		store(to_m, first);
		store(to_v, second);
	});
}
