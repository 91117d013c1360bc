// Defines the parts of CUDA C++ that a compiler for the CPU lacks, so that the sources of ggml's CUDA backend compile after
// scripts/gpu/standin/convert. Written from CUDA's documentation; it covers only what ggml uses.
#pragma once

#include <cuda_runtime.h>
#include <cuda.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#undef  __shared__
#define __shared__ static // blocks run one after the other
#undef  __launch_bounds__
#define __launch_bounds__(...)
#define __builtin_assume(x) ((void) 0)
#define __trap() abort()

using std::isinf;
using std::isnan;
using std::max;
using std::min;

static inline int min(unsigned a, int b) { return (int) a < b ? (int) a : b; }
static inline int max(unsigned a, int b) { return (int) a > b ? (int) a : b; }

extern uint3 threadIdx, blockIdx;
extern dim3  blockDim, gridDim;
static const int warpSize = 32;

namespace standin {

extern char lane_values[][16], shared_memory[];
int  lane();       // of the running thread in its warp
int  first_lane(); // first lane of that warp, in the block
void wait_warp();
void wait_block();
void run(dim3 grid, dim3 threads, void (* body)(void *), void * data);

// kernel<<<grid, threads, shared, stream>>>(...) is launch(grid, threads, shared, stream).run([&]{ kernel(...); })
struct launch {
	dim3 grid, threads;

	launch(dim3 grid, dim3 threads, size_t = 0, cudaStream_t = nullptr) : grid(grid), threads(threads) {}

	template <typename F> void run(F f) const {
		standin::run(grid, threads, [](void * data) { (*(F *) data)(); }, &f);
	}
};

// Returns the value of another lane of the warp.
template <typename T> T exchange(T value, int other) {
	static_assert(sizeof value <= 16);
	memcpy(lane_values[first_lane() + lane()], &value, sizeof value);
	wait_warp();
	memcpy(&value, lane_values[first_lane() + other], sizeof value);
	wait_warp();
	return value;
}

} // namespace standin

static inline void __syncthreads() { standin::wait_block(); }
static inline void __syncwarp(unsigned = ~0u) { standin::wait_warp(); }
static inline void __threadfence() {}

template <typename T> static inline T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
	return standin::exchange(value, standin::lane() ^ mask);
}
template <typename T> static inline T __shfl_sync(unsigned, T value, int from, int width = 32) {
	return standin::exchange(value, (standin::lane() & ~(width - 1)) | (from & (width - 1)));
}
template <typename T> static inline T __shfl_up_sync(unsigned, T value, int delta, int width = 32) {
	const int lane = standin::lane();
	return standin::exchange(value, (lane & (width - 1)) >= delta ? lane - delta : lane);
}
template <typename T> static inline T __shfl_down_sync(unsigned, T value, int delta, int width = 32) {
	const int lane = standin::lane();
	return standin::exchange(value, (lane & (width - 1)) + delta < width ? lane + delta : lane);
}
static inline unsigned __ballot_sync(unsigned, int predicate) {
	unsigned votes = 0;
	for (int i = 0; i < warpSize; i++) {
		votes |= (unsigned) (standin::exchange(predicate, i) != 0) << i;
	}
	return votes;
}
static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == ~0u; }

template <typename T> static inline T __ldg(const T * p) { return *p; }
template <typename T> static inline T atomicAdd(T * p, T value) {
	const T old = *p;
	*p = old + value;
	return old;
}
static inline int atomicMax(int * p, int value) {
	const int old = *p;
	*p = value > old ? value : old;
	return old;
}

// Four bytes at a time.
static inline int8_t standin_byte(unsigned x, int i) { return (int8_t) (x >> 8*i); }
static inline int __dp4a(int a, int b, int c) {
	for (int i = 0; i < 4; i++) {
		c += (int) standin_byte(a, i)*standin_byte(b, i);
	}
	return c;
}
#define STANDIN_BYTES(name, result)                                      \
	static inline unsigned name(unsigned x, unsigned y) {                  \
		unsigned all = 0;                                                    \
		for (int i = 0; i < 4; i++) {                                        \
			const int a = standin_byte(x, i), b = standin_byte(y, i);          \
			all |= (unsigned) (uint8_t) (result) << 8*i;                       \
		}                                                                    \
		return all;                                                          \
	}
STANDIN_BYTES(__vadd4, a + b)
STANDIN_BYTES(__vsub4, a - b)
STANDIN_BYTES(__vsubss4, a - b > 127 ? 127 : a - b < -128 ? -128 : a - b)
STANDIN_BYTES(__vcmpeq4, a == b ? 255 : 0)
STANDIN_BYTES(__vcmpne4, a != b ? 255 : 0)
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
	const uint64_t both = (uint64_t) y << 32 | x;
	unsigned all = 0;
	for (int i = 0; i < 4; i++) {
		all |= (unsigned) (both >> 8*(selector >> 4*i & 7) & 255) << 8*i;
	}
	return all;
}

static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned) ((uint64_t) a*b >> 32); }
static inline int      __popc(unsigned x) { return __builtin_popcount(x); }

// A card's fast functions round differently.
static inline float __fdividef(float a, float b) { return a/b; }
static inline float rsqrtf(float x) { return 1.0f/sqrtf(x); }
#define __expf expf
#define __logf logf
#define __powf powf

template <typename T, typename F> static inline T standin_bits(F from) {
	T to;
	memcpy(&to, &from, sizeof to);
	return to;
}
static inline float    __int_as_float(int x) { return standin_bits<float>(x); }
static inline int      __float_as_int(float x) { return standin_bits<int>(x); }
static inline float    __uint_as_float(unsigned x) { return standin_bits<float>(x); }
static inline unsigned __float_as_uint(float x) { return standin_bits<unsigned>(x); }
