// The vectors of products.c with AVX-512 and its products of bytes: 16 rows, and unsigned weights.

enum { ROWS = 16, TILE = 8, ZERO = 128 };

typedef __m512  floats;
typedef __m512i ints;
#define SET   _mm512_set1_ps
#define MUL   _mm512_mul_ps
#define FMA   _mm512_fmadd_ps
#define LOAD  _mm512_loadu_ps
#define STORE _mm512_storeu_ps

#include "panel.h"

ALWAYS ints   setInts(int32_t x) { return _mm512_set1_epi32(x); }
ALWAYS floats toFloats(ints x) { return _mm512_cvtepi32_ps(x); }

// scales reads the float16 that begins a block.
ALWAYS floats scales(const struct rows * rows) { return _mm512_cvtph_ps(_mm256_set_m128i(halves(rows, 8), halves(rows, 0))); }

// scalesAndLeast reads the two float16 that begin a block of Q4_1.
ALWAYS void scalesAndLeast(struct unpacked * u, const struct rows * rows) {
	ints both = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(words(rows, 4), words(rows, 0))),
		_mm256_set_m128i(words(rows, 12), words(rows, 8)), 1);
	u->scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(both));
	u->least = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
}

// turn makes 4 x 4 transpositions of 32-bit values within lanes of 128 bits.
ALWAYS void turn(ints r[4]) {
	ints a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
	ints c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
	r[0] = _mm512_unpacklo_epi64(a, c);
	r[1] = _mm512_unpackhi_epi64(a, c);
	r[2] = _mm512_unpacklo_epi64(b, d);
	r[3] = _mm512_unpackhi_epi64(b, d);
}

// unpackBytes reads the values of a block of Q8_0, plus 128.
ALWAYS void unpackBytes(struct unpacked * u, const struct rows * rows) {
	ints half[2][4]; // rows 0-3 and 4-7, rows 8-11 and 12-15
	UNROLL
	for (int i = 0; i < 8; i++) {
		int row = i / 4 * 8 + i % 4;
		half[i / 4][i % 4] = _mm512_inserti64x4(
			_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *) (rowAt(rows, row) + 2))),
			_mm256_loadu_si256((const __m256i *) (rowAt(rows, row + 4) + 2)), 1);
	}
	turn(half[0]);
	turn(half[1]);
	UNROLL
	for (int q = 0; q < 4; q++) {
		ints sign = _mm512_set1_epi8((char) 0x80);
		u->quads[q]     = _mm512_xor_si512(_mm512_shuffle_i64x2(half[0][q], half[1][q], 0x88), sign);
		u->quads[q + 4] = _mm512_xor_si512(_mm512_shuffle_i64x2(half[0][q], half[1][q], 0xdd), sign);
	}
}

// splitNibbles makes the low nibbles of four vectors the first four, and the high ones the last.
ALWAYS void splitNibbles(struct unpacked * u, const ints r[4]) {
	ints nibble = _mm512_set1_epi8(0x0f);
	UNROLL
	for (int q = 0; q < 4; q++) {
		u->quads[q]     = _mm512_and_si512(r[q], nibble);
		u->quads[q + 4] = _mm512_and_si512(_mm512_srli_epi16(r[q], 4), nibble);
	}
}

// unpackNibbles reads the values of a block of Q4_0 or Q4_1, which begin at an offset.
ALWAYS void unpackNibbles(struct unpacked * u, const struct rows * rows, int offset) {
	ints r[4];
	UNROLL
	for (int i = 0; i < 4; i++) { // rows i, i+4, i+8, i+12
		r[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *) (rowAt(rows, i) + offset)));
		r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 4) + offset)), 1);
		r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 8) + offset)), 2);
		r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 12) + offset)), 3);
	}
	turn(r);
	splitNibbles(u, r);
}

// unpackGrouped reads a block of two groups of Q4_0X8.
ALWAYS void unpackGrouped(struct unpacked * u, const struct rows * rows) {
	const char *low = rows->at[0], *high = rows->at[2];
	u->scale = _mm512_cvtph_ps(_mm256_set_m128i(_mm_loadu_si128((const __m128i *) high), _mm_loadu_si128((const __m128i *) low)));
	ints even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	ints odd = _mm512_add_epi32(even, _mm512_set1_epi32(1)), r[4];
	UNROLL
	for (int q = 0; q < 4; q++) {
		ints l = _mm512_loadu_si512(low + 16 + q / 2 * 64), h = _mm512_loadu_si512(high + 16 + q / 2 * 64);
		r[q] = _mm512_xor_si512(_mm512_permutex2var_epi32(l, q % 2 ? odd : even, h), _mm512_set1_epi8((char) 0x88));
	}
	splitNibbles(u, r);
}

// multiplyBlock adds the products of a block's values with some columns.
ALWAYS void multiplyBlock(int type, int columns, ints * product, const ints * quads, const struct cell * cell) {
	(void) type;
	UNROLL
	for (int q = 0; q < QUADS; q++) {
		UNROLL
		for (int i = 0; i < columns; i++) {
			int32_t four;
			memcpy(&four, cell[i].values + 4 * q, sizeof four);
			product[i] = _mm512_dpbusd_epi32(product[i], quads[q], _mm512_set1_epi32(four));
		}
	}
}
