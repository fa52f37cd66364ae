// What all kernels share: bfloat16, sums and maxima of warps and blocks, tensor-core
// products and asynchronous copies. It is compiled by NVRTC, and by a C++ compiler after
// emulator/device.h, which brings the dialect's words and the twins of what is written in
// PTX here.
//
// Conventions: block sizes are multiples of 32 and one-dimensional; every thread of a
// warp or block reaches each collective call; nothing is summed by atomics, so that equal
// calls give equal bytes.
#pragma once

typedef unsigned short bf16;

#define WARP 32
#define FULL_WARP 0xffffffffu

#ifdef __CUDA_ARCH__
// KERNEL(name)(args) begins a kernel; BOUNDED_KERNEL(name, threads, blocks)(args) one that
// is launched with at most so many threads a block and should fit so many blocks on a
// multiprocessor.
#define KERNEL(name) extern "C" __global__ void name
#define BOUNDED_KERNEL(name, threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks) name
// DYNAMIC_SHARED(type, name) declares the pointer to the launch's dynamic shared memory,
// which starts at a multiple of 16 bytes.
#define DYNAMIC_SHARED(type, name)                                \
	extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
	type *name = reinterpret_cast<type *>(dynamic_shared)
#endif

__device__ __forceinline__ int lane_index() { return threadIdx.x % WARP; }
__device__ __forceinline__ int warp_index() { return threadIdx.x / WARP; }

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }
__device__ __forceinline__ float quiet_nan() { return __int_as_float(0x7fffffff); }

template <class T> __device__ __forceinline__ T ceil_div(T a, T b) { return (a + b - 1) / b; }

// aligned16 reports whether float4 may be read at p, and at every stride-th float from it.
__device__ __forceinline__ bool aligned16(const void *p, int stride = 0) {
	return (reinterpret_cast<unsigned long long>(p) % 16 | static_cast<unsigned>(stride % 4)) == 0;
}

__device__ __forceinline__ float bf16_to_f32(bf16 x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }

// low_bf16 and high_bf16 unpack what pack_bf16 packs.
__device__ __forceinline__ float low_bf16(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_bf16(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

#ifdef __CUDA_ARCH__

// f32_to_bf16 rounds to nearest even; NaN stays NaN.
__device__ __forceinline__ bf16 f32_to_bf16(float x) {
	bf16 r;
	asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x));
	return r;
}

// pack_bf16 rounds two numbers into one word, lo into the lower half.
__device__ __forceinline__ unsigned pack_bf16(float lo, float hi) {
	unsigned r;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
	return r;
}

// round_f16 returns x rounded to half precision, ties to even.
__device__ __forceinline__ float round_f16(float x) {
	unsigned short half;
	float r;
	asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
	asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(half));
	return r;
}

// exp2_fast returns 2 to the x within 2 units in the last place; subnormal numbers are 0.
__device__ __forceinline__ float exp2_fast(float x) {
	float r;
	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
	return r;
}

// mma_bf16 adds the product of a [16, 16] by rows and b [16, 8] by columns to d [16, 8],
// held by a warp as PTX's mma.m16n8k16 has it: with g = lane/4 and t = lane%4,
//
//	d: (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1)
//	a: (g, 2t..) (g+8, 2t..) (g, 2t+8..) (g+8, 2t+8..), pairs along the row
//	b: (2t.., g) (2t+8.., g), pairs along the column
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
	             : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ unsigned shared_address(const void *p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// ldmatrix_x4 reads four 8 × 8 matrices of bf16: lane 8i+r names row r of matrix i, 16
// bytes in shared memory at a multiple of 16, and gets of matrix i the pair (lane/4,
// 2(lane%4)..) in r[i]. The _trans forms give the pair of the transposed matrix.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void *shared) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(shared_address(shared))
	             : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void *shared) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(shared_address(shared))
	             : "memory");
}

// ldmatrix_x2 reads two matrices, whose rows lanes 0 to 15 name.
__device__ __forceinline__ void ldmatrix_x2(unsigned (&r)[2], const void *shared) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
	             : "=r"(r[0]), "=r"(r[1])
	             : "r"(shared_address(shared))
	             : "memory");
}

__device__ __forceinline__ void ldmatrix_x2_trans(unsigned (&r)[2], const void *shared) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
	             : "=r"(r[0]), "=r"(r[1])
	             : "r"(shared_address(shared))
	             : "memory");
}

// copy_async_16 starts to copy 16 bytes to shared memory, both at multiples of 16; where
// valid is false it writes zeros and reads nothing.
__device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool valid = true) {
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid ? 16 : 0)
	             : "memory");
}

// copy_async_4 is copy_async_16 for one word.
__device__ __forceinline__ void copy_async_4(void *shared, const void *global, bool valid = true) {
	asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid ? 4 : 0)
	             : "memory");
}

// copy_async_commit ends a group of this thread's copies; copy_async_wait<N> waits until
// all but the last N groups have arrived. What other threads copied needs a barrier too.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int N> __device__ __forceinline__ void copy_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// warp_sum and warp_max give every lane of a warp the sum or the largest number.
template <class T> __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
	for (int step = WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(FULL_WARP, x, step);
	return x;
}

// warp_max ignores NaN unless all are.
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
	for (int step = WARP / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, step));
	return x;
}

#endif

// block_sum gives every thread of a block of THREADS the sum; shared holds a number a
// warp. It ends with a barrier, after which shared may be used again.
template <int THREADS, class T> __device__ __forceinline__ T block_sum(T x, T *shared) {
	constexpr int warps = THREADS / WARP;
	x = warp_sum(x);
	if (warps == 1) return x;
	if (lane_index() == 0) shared[warp_index()] = x;
	__syncthreads();
	x = warp_sum(lane_index() < warps ? shared[lane_index()] : T(0));
	__syncthreads();
	return x;
}

// block_max is block_sum for the largest number.
template <int THREADS> __device__ __forceinline__ float block_max(float x, float *shared) {
	constexpr int warps = THREADS / WARP;
	x = warp_max(x);
	if (warps == 1) return x;
	if (lane_index() == 0) shared[warp_index()] = x;
	__syncthreads();
	x = warp_max(lane_index() < warps ? shared[lane_index()] : -infinity());
	__syncthreads();
	return x;
}
