// The library's random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011), any
// element of any stream on its own. The numbers are those of the Go package, bit for bit.
#pragma once
#include "common.cuh"

// PhiloxKey names a stream as lora.Key does; key holds the seed with the purpose mixed in.
struct PhiloxKey {
	unsigned key[2];
	unsigned index, step;
};

// philox gives the four words of block number counter of a stream: those of its elements
// 4·counter to 4·counter+3.
__device__ __forceinline__ void philox(unsigned (&words)[4], unsigned long long counter, const PhiloxKey &k) {
	unsigned x0 = static_cast<unsigned>(counter), x1 = static_cast<unsigned>(counter >> 32), x2 = k.index, x3 = k.step;
	unsigned key0 = k.key[0], key1 = k.key[1];
#pragma unroll
	for (int round = 0; round < 10; round++) {
		unsigned h0 = __umulhi(0xD2511F53u, x0), l0 = 0xD2511F53u * x0;
		unsigned h1 = __umulhi(0xCD9E8D57u, x2), l1 = 0xCD9E8D57u * x2;
		x0 = h1 ^ x1 ^ key0;
		x1 = l1;
		x2 = h0 ^ x3 ^ key1;
		x3 = l0;
		key0 += 0x9E3779B9u;
		key1 += 0xBB67AE85u;
	}
	words[0] = x0;
	words[1] = x1;
	words[2] = x2;
	words[3] = x3;
}

// unit23 is the uniform number in (0, 1) of a word: (w + ½) / 2²³ of its upper 23 bits.
__device__ __forceinline__ float unit23(unsigned word) { return (static_cast<float>(word >> 9) + 0.5f) * (1.0f / (1 << 23)); }

// gumbel is the noise −log(−log(u)) of a word, with both logarithms in float64 and the
// result rounded, so that every engine gives the same.
__device__ __forceinline__ float gumbel(unsigned word) {
	return static_cast<float>(-log(-log(static_cast<double>(unit23(word)))));
}

// gumbel_about is within 4e-6 of gumbel, without float64.
__device__ __forceinline__ float gumbel_about(unsigned word) { return -logf(-logf(unit23(word))); }
