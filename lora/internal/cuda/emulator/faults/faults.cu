// Kernels with a mistake each, which the emulator has to find (check.py). They are
// launched with 64 threads in a block, and memory for 64 numbers.
#include "common.cuh"

KERNEL(writes_behind_memory)(float *out) { out[4096 + threadIdx.x] = 1; }

KERNEL(writes_just_behind_memory)(float *out) {
	if (threadIdx.x < 16) out[1 + threadIdx.x] = 1;
}

KERNEL(reads_before_memory)(float *out) { out[threadIdx.x] = out[static_cast<int>(threadIdx.x) - 4096]; }

KERNEL(reads_four_at_an_odd_address)(float *out) {
	float4 a = *reinterpret_cast<const float4 *>(out + 1);
	out[threadIdx.x] = a.x;
}

KERNEL(leaves_before_a_barrier)(float *out) {
	if (threadIdx.x >= 48) return;
	__syncthreads();
	out[threadIdx.x] = 1;
}

KERNEL(meets_at_different_calls)(float *out) {
	if (threadIdx.x < 16) __syncthreads();
	else out[threadIdx.x] = warp_sum(1.0f);
}

KERNEL(shuffles_from_outside_its_mask)(float *out) {
	if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0xffff, 1.0f, 16);
}

KERNEL(indexes_beyond_shared_memory)(float *out) {
	__shared__ float few[8];
	for (unsigned i = 0; i < 8; i++) few[i] = 0;
	few[threadIdx.x] = 1;
	__syncthreads();
	out[threadIdx.x] = few[threadIdx.x % 8];
}

KERNEL(reads_beyond_dynamic_memory)(float *out) {
	DYNAMIC_SHARED(float, room);
	out[threadIdx.x] = room[2048 + threadIdx.x];
}

KERNEL(divides_by_zero)(int *out, int zero) { out[threadIdx.x] = static_cast<int>(threadIdx.x + 7) / zero; }

// The kernels below end, with results that show the mistake.

KERNEL(reads_fresh_shared_memory)(float *out) {
	__shared__ float room[64];
	out[threadIdx.x] = room[threadIdx.x];
}

KERNEL(copies_without_waiting)(float *out, const float *in) {
	__shared__ __align__(16) float room[64];
	copy_async_4(room + threadIdx.x, in + threadIdx.x);
	copy_async_commit();
	__syncthreads();
	out[threadIdx.x] = room[threadIdx.x];
}

KERNEL(reads_without_a_barrier)(float *out) {
	__shared__ float room[64];
	room[threadIdx.x] = threadIdx.x;
	out[threadIdx.x] = room[63 - threadIdx.x];
}

KERNEL(reads_with_a_barrier)(float *out) {
	__shared__ float room[64];
	room[threadIdx.x] = threadIdx.x;
	__syncthreads();
	out[threadIdx.x] = room[63 - threadIdx.x];
}

BOUNDED_KERNEL(is_bounded, 32, 1)(float *out) { out[threadIdx.x] = 1; }
