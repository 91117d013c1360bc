// The vectors of products.c with AVX2 alone: 8 rows. Products of bytes add two of them up in 16 bits, which those of four-bit
// weights fit and those of Q8_0 do with one factor's sign on the other; so its weights stay signed.

enum { ROWS = 8, TILE = 4, ZERO = 0 };

typedef __m256  floats;
typedef __m256i ints;
#define SET   _mm256_set1_ps
#define MUL   _mm256_mul_ps
#define FMA   _mm256_fmadd_ps
#define LOAD  _mm256_loadu_ps
#define STORE _mm256_storeu_ps

#include "panel.h"

ALWAYS ints   setInts(int32_t x) { return _mm256_set1_epi32(x); }
ALWAYS floats toFloats(ints x) { return _mm256_cvtepi32_ps(x); }

// scales reads the float16 that begins a block.
ALWAYS floats scales(const struct rows * rows) { return _mm256_cvtph_ps(halves(rows, 0)); }

// scalesAndLeast reads the two float16 that begin a block of Q4_1.
ALWAYS void scalesAndLeast(struct unpacked * u, const struct rows * rows) {
	__m128i low = words(rows, 0), high = words(rows, 4), mask = _mm_set1_epi32(0xffff);
	u->scale = _mm256_cvtph_ps(_mm_packus_epi32(_mm_and_si128(low, mask), _mm_and_si128(high, mask)));
	u->least = _mm256_cvtph_ps(_mm_packus_epi32(_mm_srli_epi32(low, 16), _mm_srli_epi32(high, 16)));
}

// turn makes 4 x 4 transpositions of 32-bit values within lanes of 128 bits.
ALWAYS void turn(ints r[4]) {
	ints a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
	ints c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
	r[0] = _mm256_unpacklo_epi64(a, c);
	r[1] = _mm256_unpackhi_epi64(a, c);
	r[2] = _mm256_unpacklo_epi64(b, d);
	r[3] = _mm256_unpackhi_epi64(b, d);
}

ALWAYS ints two(const char * low, const char * high) {
	return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *) low)), _mm_loadu_si128((const __m128i *) high), 1);
}

// unpackBytes reads the values of a block of Q8_0.
ALWAYS void unpackBytes(struct unpacked * u, const struct rows * rows) {
	UNROLL
	for (int half = 0; half < 2; half++) {
		UNROLL
		for (int i = 0; i < 4; i++) { // rows i and i+4
			u->quads[4 * half + i] = two(rowAt(rows, i) + 2 + 16 * half, rowAt(rows, i + 4) + 2 + 16 * half);
		}
		turn(u->quads + 4 * half);
	}
}

// splitNibbles makes the low nibbles of four vectors the first four, and the high ones the last.
ALWAYS void splitNibbles(struct unpacked * u, const ints r[4]) {
	ints nibble = _mm256_set1_epi8(0x0f);
	UNROLL
	for (int q = 0; q < 4; q++) {
		u->quads[q]     = _mm256_and_si256(r[q], nibble);
		u->quads[q + 4] = _mm256_and_si256(_mm256_srli_epi16(r[q], 4), nibble);
	}
}

// unpackNibbles reads the values of a block of Q4_0 or Q4_1, which begin at an offset.
ALWAYS void unpackNibbles(struct unpacked * u, const struct rows * rows, int offset) {
	ints r[4];
	UNROLL
	for (int i = 0; i < 4; i++) {
		r[i] = two(rowAt(rows, i) + offset, rowAt(rows, i + 4) + offset);
	}
	turn(r);
	splitNibbles(u, r);
}

// unpackGrouped reads a block of a group of Q4_0X8.
ALWAYS void unpackGrouped(struct unpacked * u, const struct rows * rows) {
	const char * at = rows->at[0];
	u->scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) at));
	ints r[4];
	UNROLL
	for (int i = 0; i < 2; i++) {
		__m256 low = _mm256_loadu_ps((const float *) (at + 16 + 64 * i)), high = _mm256_loadu_ps((const float *) (at + 48 + 64 * i));
		ints   sign = _mm256_set1_epi8((char) 0x88);
		r[2 * i]     = _mm256_xor_si256(_mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88)), 0xd8), sign);
		r[2 * i + 1] = _mm256_xor_si256(_mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd)), 0xd8), sign);
	}
	splitNibbles(u, r);
}

// multiplyBlock adds the products of a block's values with some columns.
ALWAYS void multiplyBlock(int type, int columns, ints * product, const ints * quads, const struct cell * cell) {
	ints ones = _mm256_set1_epi16(1);
	ints pairs[TILE]; // of four-bit weights: sums of 16 products of at most 15 x 127
	UNROLL
	for (int i = 0; i < columns; i++) {
		pairs[i] = _mm256_setzero_si256();
	}
	UNROLL
	for (int q = 0; q < QUADS; q++) {
		ints w = quads[q], size = _mm256_abs_epi8(w);
		UNROLL
		for (int i = 0; i < columns; i++) {
			int32_t four;
			memcpy(&four, cell[i].values + 4 * q, sizeof four);
			ints x = _mm256_set1_epi32(four);
			if (type == TYPE_Q8_0) {
				product[i] = _mm256_add_epi32(product[i], _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(x, w)), ones));
			} else {
				pairs[i] = _mm256_add_epi16(pairs[i], _mm256_maddubs_epi16(w, x));
			}
		}
	}
	UNROLL
	for (int i = 0; type != TYPE_Q8_0 && i < columns; i++) {
		product[i] = _mm256_add_epi32(product[i], _mm256_madd_epi16(pairs[i], ones));
	}
}
