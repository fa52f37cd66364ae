// The CUDA dialect for a C++ compiler: words, vector types, intrinsics and collective
// calls, for kernels whose threads are fibers (fibers.h). It is included before the
// kernels' own headers and stands beside common.cuh, whose PTX has its twins here.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section(EMULATOR_SHARED_SECTION)))

// The build reads the kernels' names after these words.
#define KERNEL(name) EMULATOR_KERNEL void name
#define BOUNDED_KERNEL(name, threads, blocks)            \
	static constexpr unsigned emulator_bound_##name = threads; \
	EMULATOR_KERNEL void name
#define EMULATOR_KERNEL __attribute__((noinline))
#define DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(emulator::dynamic_shared())

#define EMULATOR_VECTORS(type, name, size2, size4)                                         \
	struct alignas(size2) name##2 {                                                          \
		type x, y;                                                                             \
	};                                                                                       \
	struct name##3 {                                                                         \
		type x, y, z;                                                                          \
	};                                                                                       \
	struct alignas(size4) name##4 {                                                          \
		type x, y, z, w;                                                                       \
	};                                                                                       \
	inline name##2 make_##name##2(type x, type y) { return {x, y}; }                         \
	inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMULATOR_VECTORS(unsigned char, uchar, 2, 4)
EMULATOR_VECTORS(signed char, char, 2, 4)
EMULATOR_VECTORS(unsigned short, ushort, 4, 8)
EMULATOR_VECTORS(short, short, 4, 8)
EMULATOR_VECTORS(int, int, 8, 16)
EMULATOR_VECTORS(unsigned, uint, 8, 16)
EMULATOR_VECTORS(float, float, 8, 16)
EMULATOR_VECTORS(double, double, 16, 16)
EMULATOR_VECTORS(long long, longlong, 16, 16)
EMULATOR_VECTORS(unsigned long long, ulonglong, 16, 16)
#undef EMULATOR_VECTORS
typedef uint3 dim3;

namespace emulator {

// What a thread knows of its place.
extern uint3 block_index, block_size, grid_size;
struct Place {
	uint3 thread;
	unsigned lane; // within the warp
};
extern Place *place; // of the thread that runs

void *dynamic_shared();

// block_barrier waits for all threads of the block.
void block_barrier();

// collective waits until all lanes of the mask stand at the same call; the last one to
// arrive runs finish on what each lane brought, indexed by lane.
typedef void Finish(void **lanes, unsigned mask);
void collective(unsigned mask, void *mine, Finish *finish, const char *what);

// fail ends the program with a message that names the kernel, block and thread.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

unsigned long long shuffle(unsigned mask, unsigned long long bits, unsigned source, const char *what);
unsigned ballot(unsigned mask, bool vote, const char *what);
int block_count(int vote);
void copy_async(void *shared, const void *global, unsigned bytes, bool valid);
void copy_async_commit();
void copy_async_wait(int groups);
void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
void ldmatrix(unsigned *r, const void *shared, int matrices, bool transposed);

// exchange moves a value of up to 8 bytes between lanes.
template <class T> T exchange(unsigned mask, T value, unsigned source, const char *what) {
	static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
	unsigned long long bits = 0;
	memcpy(&bits, &value, sizeof value);
	bits = shuffle(mask, bits, source, what);
	memcpy(&value, &bits, sizeof value);
	return value;
}

} // namespace emulator

#define threadIdx (emulator::place->thread)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
static constexpr int warpSize = 32;

// Barriers and votes.

inline void __syncthreads() { emulator::block_barrier(); }
inline int __syncthreads_count(int vote) { return emulator::block_count(vote != 0); }
inline int __syncthreads_or(int vote) { return emulator::block_count(vote != 0) > 0; }
inline int __syncthreads_and(int vote) { return emulator::block_count(vote == 0) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulator::ballot(mask, false, "__syncwarp"); }
inline unsigned __ballot_sync(unsigned mask, int vote) { return emulator::ballot(mask, vote != 0, "__ballot_sync"); }
inline int __any_sync(unsigned mask, int vote) { return emulator::ballot(mask, vote != 0, "__any_sync") != 0; }
inline int __all_sync(unsigned mask, int vote) { return emulator::ballot(mask, vote == 0, "__all_sync") == 0; }
inline void __threadfence() { asm volatile("" ::: "memory"); }
inline void __threadfence_block() { asm volatile("" ::: "memory"); }

// Shuffles: a lane outside the segment of width lanes gives its own value.

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
	unsigned lane = emulator::place->lane;
	return emulator::exchange(mask, value, (lane & ~(width - 1)) | (source & (width - 1)), "__shfl_sync");
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
	unsigned lane = emulator::place->lane, source = lane ^ bits;
	return emulator::exchange(mask, value, source / width > lane / width ? lane : source, "__shfl_xor_sync");
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
	unsigned lane = emulator::place->lane;
	return emulator::exchange(mask, value, lane % width < delta ? lane : lane - delta, "__shfl_up_sync");
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
	unsigned lane = emulator::place->lane;
	return emulator::exchange(mask, value, lane % width + delta >= unsigned(width) ? lane : lane + delta, "__shfl_down_sync");
}

template <class T, class Combine> T emulator_reduce(unsigned mask, T value, Combine combine) {
	T all = value;
	for (int lane = 0, first = 1; lane < 32; lane++) {
		if (!(mask >> lane & 1)) continue;
		T other = emulator::exchange(mask, value, lane, "__reduce_sync");
		all = first ? other : combine(all, other), first = 0;
	}
	return all;
}
template <class T> T __reduce_add_sync(unsigned mask, T value) { return emulator_reduce(mask, value, [](T a, T b) { return T(a + b); }); }
template <class T> T __reduce_max_sync(unsigned mask, T value) { return emulator_reduce(mask, value, [](T a, T b) { return a > b ? a : b; }); }
template <class T> T __reduce_min_sync(unsigned mask, T value) { return emulator_reduce(mask, value, [](T a, T b) { return a < b ? a : b; }); }

// Atomics of integers. Threads never run at the same time, so plain code is atomic.

template <class T> T emulator_swap(T *p, T value) {
	static_assert(!std::is_floating_point_v<T>, "kernels use no floating-point atomics");
	T old = *p;
	*p = value;
	return old;
}
template <class T> T atomicAdd(T *p, std::type_identity_t<T> x) { return emulator_swap(p, T(*p + x)); }
template <class T> T atomicSub(T *p, std::type_identity_t<T> x) { return emulator_swap(p, T(*p - x)); }
template <class T> T atomicMax(T *p, std::type_identity_t<T> x) { return emulator_swap(p, *p > x ? *p : x); }
template <class T> T atomicMin(T *p, std::type_identity_t<T> x) { return emulator_swap(p, *p < x ? *p : x); }
template <class T> T atomicOr(T *p, std::type_identity_t<T> x) { return emulator_swap(p, T(*p | x)); }
template <class T> T atomicAnd(T *p, std::type_identity_t<T> x) { return emulator_swap(p, T(*p & x)); }
template <class T> T atomicXor(T *p, std::type_identity_t<T> x) { return emulator_swap(p, T(*p ^ x)); }
template <class T> T atomicExch(T *p, std::type_identity_t<T> x) { return emulator_swap(p, x); }
template <class T> T atomicCAS(T *p, std::type_identity_t<T> from, std::type_identity_t<T> to) { return emulator_swap(p, *p == from ? to : *p); }
inline unsigned atomicInc(unsigned *p, unsigned limit) { return emulator_swap(p, *p >= limit ? 0u : *p + 1); }

// Loads and stores with cache hints.

template <class T> T __ldg(const T *p) { return *p; }
template <class T> T __ldca(const T *p) { return *p; }
template <class T> T __ldcg(const T *p) { return *p; }
template <class T> T __ldcs(const T *p) { return *p; }
template <class T> T __ldlu(const T *p) { return *p; }
template <class T> T __ldcv(const T *p) { return *p; }
template <class T> void __stwb(T *p, std::type_identity_t<T> x) { *p = x; }
template <class T> void __stcg(T *p, std::type_identity_t<T> x) { *p = x; }
template <class T> void __stcs(T *p, std::type_identity_t<T> x) { *p = x; }

// Numbers.

inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
inline int __clzll(long long x) { return std::countl_zero((unsigned long long)x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
inline int __mulhi(int a, int b) { return (long long)a * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned __int128)a * b >> 64; }
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned n) { return ((unsigned long long)hi << 32 | lo) << (n & 31) >> 32; }
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned n) { return ((unsigned long long)hi << 32 | lo) >> (n & 31); }
inline unsigned __brev(unsigned x) {
	unsigned r = 0;
	for (int i = 0; i < 32; i++) r |= (x >> i & 1) << (31 - i);
	return r;
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s) {
	unsigned long long both = (unsigned long long)y << 32 | x;
	unsigned r = 0;
	for (int i = 0; i < 4; i++) {
		unsigned pick = s >> 4 * i & 15, byte = both >> 8 * (pick & 7) & 255;
		r |= (pick & 8 ? (byte & 128 ? 255u : 0u) : byte) << 8 * i;
	}
	return r;
}
inline int __dp4a(int a, int b, int c) {
	for (int i = 0; i < 4; i++) c += int((signed char)(a >> 8 * i)) * int((signed char)(b >> 8 * i));
	return c;
}

// NVRTC knows these without a header, and takes arguments of mixed types.
template <class A, class B> constexpr auto max(A a, B b) -> std::common_type_t<A, B> {
	if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) return a != a ? b : b != b ? a : a > b ? a : b;
	else return std::common_type_t<A, B>(a) > std::common_type_t<A, B>(b) ? a : b;
}
template <class A, class B> constexpr auto min(A a, B b) -> std::common_type_t<A, B> {
	if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) return a != a ? b : b != b ? a : a < b ? a : b;
	else return std::common_type_t<A, B>(a) < std::common_type_t<A, B>(b) ? a : b;
}

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
// sinpi and cospi reduce the circle exactly.
inline double sinpi(double x) {
	double r = remainder(x, 2);
	return sin(r * M_PI);
}
inline double cospi(double x) {
	double r = remainder(x, 2);
	return cos(r * M_PI);
}
inline void sincospi(double x, double *s, double *c) { *s = sinpi(x), *c = cospi(x); }
inline float exp10f(float x) { return powf(10, x); }
inline float __saturatef(float x) { return x > 0 ? x < 1 ? x : 1 : 0; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __exp10f(float x) { return exp10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return float(1 / std::sqrt(double(x))); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
// No product is fused into a sum through these.
#ifdef __x86_64__
#define EMULATOR_FLOATING_REGISTER "+x"
#else
#define EMULATOR_FLOATING_REGISTER "+w"
#endif
template <class T> T emulator_apart(T x) {
	asm("" : EMULATOR_FLOATING_REGISTER(x));
	return x;
}
inline float __fadd_rn(float a, float b) { return emulator_apart(a) + emulator_apart(b); }
inline float __fsub_rn(float a, float b) { return emulator_apart(a) - emulator_apart(b); }
inline float __fmul_rn(float a, float b) { return emulator_apart(a * b); }
inline double __dadd_rn(double a, double b) { return emulator_apart(a) + emulator_apart(b); }
inline double __dsub_rn(double a, double b) { return emulator_apart(a) - emulator_apart(b); }
inline double __dmul_rn(double a, double b) { return emulator_apart(a * b); }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline float __double2float_rn(double x) { return float(x); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline int __float2int_rn(float x) { return int(nearbyintf(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline int __float2int_rd(float x) { return int(floorf(x)); }

// Twins of what common.cuh writes in PTX.

inline unsigned short f32_to_bf16(float x) {
	unsigned bits = __float_as_uint(x);
	if (x != x) return 0x7fff;
	return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline unsigned pack_bf16(float lo, float hi) { return unsigned(f32_to_bf16(hi)) << 16 | f32_to_bf16(lo); }
// round_f16 rounds to 11 significant bits, and to multiples of 2⁻²⁴ below 2⁻¹⁴.
inline float round_f16(float x) {
	unsigned bits = __float_as_uint(x), sign = bits & 0x80000000u, size = bits & 0x7fffffffu;
	if (x != x) return x;
	if (__uint_as_float(size) >= 65520) {
		size = 0x7f800000u;
	} else if (__uint_as_float(size) < 0x1p-14f) {
		size = __float_as_uint(__fadd_rn(__fadd_rn(__uint_as_float(size), 0.5f), -0.5f));
	} else {
		size = (size + 0xfff + (size >> 13 & 1)) & ~0x1fffu;
	}
	return __uint_as_float(sign | size);
}
inline float exp2_fast(float x) {
	float r = exp2f(x);
	return r < 0x1p-126f ? 0 : r;
}

// butterfly gives every lane what five exchanges with the lanes 16, 8, 4, 2 and 1 apart give,
// in one call.
template <class T, class Combine> void emulator_butterfly(void **lanes, unsigned) {
	T now[32], next[32];
	for (int lane = 0; lane < 32; lane++) now[lane] = *static_cast<T *>(lanes[lane]);
	for (int step = 16; step > 0; step /= 2) {
		for (int lane = 0; lane < 32; lane++) next[lane] = Combine()(now[lane], now[lane ^ step]);
		memcpy(now, next, sizeof now);
	}
	for (int lane = 0; lane < 32; lane++) *static_cast<T *>(lanes[lane]) = now[lane];
}
struct EmulatorSum {
	template <class T> T operator()(T a, T b) const { return a + b; }
};
struct EmulatorMax {
	float operator()(float a, float b) const { return fmaxf(a, b); }
};
template <class T> T warp_sum(T x) {
	emulator::collective(~0u, &x, emulator_butterfly<T, EmulatorSum>, "warp_sum");
	return x;
}
inline float warp_max(float x) {
	emulator::collective(~0u, &x, emulator_butterfly<float, EmulatorMax>, "warp_max");
	return x;
}

inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { emulator::mma(d, a, b); }
inline void ldmatrix_x4(unsigned (&r)[4], const void *shared) { emulator::ldmatrix(r, shared, 4, false); }
inline void ldmatrix_x4_trans(unsigned (&r)[4], const void *shared) { emulator::ldmatrix(r, shared, 4, true); }
inline void ldmatrix_x2(unsigned (&r)[2], const void *shared) { emulator::ldmatrix(r, shared, 2, false); }
inline void ldmatrix_x2_trans(unsigned (&r)[2], const void *shared) { emulator::ldmatrix(r, shared, 2, true); }
inline void copy_async_16(void *shared, const void *global, bool valid = true) { emulator::copy_async(shared, global, 16, valid); }
inline void copy_async_4(void *shared, const void *global, bool valid = true) { emulator::copy_async(shared, global, 4, valid); }
inline void copy_async_commit() { emulator::copy_async_commit(); }
template <int N> void copy_async_wait() { emulator::copy_async_wait(N); }
