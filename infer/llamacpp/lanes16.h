// The vector functions of matmul.c for AVX-512 with its byte dot products (VNNI): panels of 16 rows, unsigned weights.

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
ALWAYS ints   setBytes(int x) { return _mm512_set1_epi8((char) x); }
ALWAYS floats toFloats(ints x) { return _mm512_cvtepi32_ps(x); }
ALWAYS ints   and(ints a, ints b) { return _mm512_and_si512(a, b); }
ALWAYS ints   or(ints a, ints b) { return _mm512_or_si512(a, b); }
ALWAYS ints   xor(ints a, ints b) { return _mm512_xor_si512(a, b); }
// Shifts of whole lanes. The caller masks bits that come from a neighbouring byte.
ALWAYS ints   right(ints a, int bits) { return _mm512_srli_epi32(a, bits); }
ALWAYS ints   left(ints a, int bits) { return _mm512_slli_epi32(a, bits); }
ALWAYS ints   rightSigned(ints a, int bits) { return _mm512_srai_epi32(a, bits); }

// words reads 32 bits of each row.
ALWAYS ints words(const struct rows * rows, int offset) {
	return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(words4(rows, 4, offset), words4(rows, 0, offset))),
		_mm256_set_m128i(words4(rows, 12, offset), words4(rows, 8, offset)), 1);
}

// half reads a float16 of each row.
ALWAYS floats half(const struct rows * rows, int offset) {
	return _mm512_cvtph_ps(_mm256_set_m128i(halves8(rows, 8, offset), halves8(rows, 0, offset)));
}

// lowHalf and highHalf convert the lower and the upper float16 of each lane.
ALWAYS floats lowHalf(ints x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)); }
ALWAYS floats highHalf(ints x) { return lowHalf(right(x, 16)); }

// transpose4 transposes 4 x 4 values of 32 bits within lanes of 128 bits.
ALWAYS void transpose4(ints r[4]) {
	ints a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
	ints c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
	r[0] = _mm512_unpacklo_epi64(a, c);
	r[1] = _mm512_unpackhi_epi64(a, c);
	r[2] = _mm512_unpacklo_epi64(b, d);
	r[3] = _mm512_unpackhi_epi64(b, d);
}

// bytes32 reads 32 bytes of each row: bytes 4q to 4q+3 into out[q].
ALWAYS void bytes32(ints out[8], const struct rows * rows, int offset) {
	ints part[2][4]; // rows 0-3 and 4-7, rows 8-11 and 12-15
	UNROLL
	for (int i = 0; i < 8; i++) {
		int row = i / 4 * 8 + i % 4;
		part[i / 4][i % 4] = _mm512_inserti64x4(
			_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *) (rowAt(rows, row) + offset))),
			_mm256_loadu_si256((const __m256i *) (rowAt(rows, row + 4) + offset)), 1);
	}
	transpose4(part[0]);
	transpose4(part[1]);
	UNROLL
	for (int q = 0; q < 4; q++) {
		out[q]     = _mm512_shuffle_i64x2(part[0][q], part[1][q], 0x88);
		out[q + 4] = _mm512_shuffle_i64x2(part[0][q], part[1][q], 0xdd);
	}
}

// bytes16 reads 16 bytes of each row.
ALWAYS void bytes16(ints out[4], const struct rows * rows, int offset) {
	UNROLL
	for (int i = 0; i < 4; i++) { // rows i, i+4, i+8, i+12
		out[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *) (rowAt(rows, i) + offset)));
		out[i] = _mm512_inserti32x4(out[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 4) + offset)), 1);
		out[i] = _mm512_inserti32x4(out[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 8) + offset)), 2);
		out[i] = _mm512_inserti32x4(out[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 12) + offset)), 3);
	}
	transpose4(out);
}

// group returns group i of a panel in ggml's grouped layouts. A panel of 16 rows has two groups of eight.
ALWAYS const char * group(const struct rows * rows, int i) { return rows->at[2 * i]; }

// loadGroup and storeGroup access the results of only one group.
ALWAYS floats loadGroup(const float * at) { return _mm512_castps256_ps512(_mm256_loadu_ps(at)); }
ALWAYS void   storeGroup(float * at, floats sum) { _mm256_storeu_ps(at, _mm512_castps512_ps256(sum)); }

// groupHalves reads eight float16 of each group.
ALWAYS floats groupHalves(const struct rows * rows, int offset) {
	return _mm512_cvtph_ps(_mm256_set_m128i(_mm_loadu_si128((const __m128i *) (group(rows, 1) + offset)),
		_mm_loadu_si128((const __m128i *) (group(rows, 0) + offset))));
}

// groupBytes reads 64 bytes of each group, eight of each row: the first four of each into out[0], the others into out[1].
ALWAYS void groupBytes(ints out[2], const struct rows * rows, int offset) {
	ints even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	ints l = _mm512_loadu_si512(group(rows, 0) + offset), h = _mm512_loadu_si512(group(rows, 1) + offset);
	out[0] = _mm512_permutex2var_epi32(l, even, h);
	out[1] = _mm512_permutex2var_epi32(l, _mm512_add_epi32(even, _mm512_set1_epi32(1)), h);
}

// fromGroups writes each row's byte to its lane. Each group has eight bytes.
ALWAYS ints fromGroups(const uint64_t bytes[2]) {
	return _mm512_cvtepu8_epi32(_mm_set_epi64x((int64_t) bytes[1], (int64_t) bytes[0]));
}

// fifthBits moves bits 4q to 4q+3 of each lane to bit 4 of the lane's four bytes.
ALWAYS ints fifthBits(ints bits, int q) {
	ints spread = _mm512_setr_epi32(0x00000000, 0x00000010, 0x00001000, 0x00001010, 0x00100000, 0x00100010, 0x00101000, 0x00101010,
		0x10000000, 0x10000010, 0x10001000, 0x10001010, 0x10100000, 0x10100010, 0x10101000, 0x10101010);
	return _mm512_permutexvar_epi32(right(bits, 4 * q), spread); // the permutation uses only the lowest four bits
}

// dot adds the dot products of quads from to to-1 with some columns to sum. It ignores bits, because VNNI sums in 32 bits.
ALWAYS void dot(int bits, int from, int to, int columns, ints * sum, const ints * quads, const struct cell * cell) {
	(void) bits;
	UNROLL
	for (int q = from; q < to; q++) {
		UNROLL
		for (int i = 0; i < columns; i++) {
			int32_t four;
			memcpy(&four, cell[i].values + 4 * q, sizeof four);
			sum[i] = _mm512_dpbusd_epi32(sum[i], quads[q], _mm512_set1_epi32(four));
		}
	}
}
