// The vector functions of matmul.c for AVX2 without AVX-512: panels of 8 rows. AVX2 multiplies unsigned by signed bytes and adds
// pairs in 16 bits. Weights of four to six bits are unsigned, and a few quads can be added before 16 bits overflow. Weights of
// Q8_0 stay signed: their sign moves to the activation.

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
ALWAYS ints   setBytes(int x) { return _mm256_set1_epi8((char) x); }
ALWAYS floats toFloats(ints x) { return _mm256_cvtepi32_ps(x); }
ALWAYS ints   and(ints a, ints b) { return _mm256_and_si256(a, b); }
ALWAYS ints   or(ints a, ints b) { return _mm256_or_si256(a, b); }
ALWAYS ints   xor(ints a, ints b) { return _mm256_xor_si256(a, b); }
// Shifts of whole lanes. The caller masks bits that come from a neighbouring byte.
ALWAYS ints   right(ints a, int bits) { return _mm256_srli_epi32(a, bits); }
ALWAYS ints   left(ints a, int bits) { return _mm256_slli_epi32(a, bits); }
ALWAYS ints   rightSigned(ints a, int bits) { return _mm256_srai_epi32(a, bits); }

// words reads 32 bits of each row.
ALWAYS ints words(const struct rows * rows, int offset) { return _mm256_set_m128i(words4(rows, 4, offset), words4(rows, 0, offset)); }

// half reads a float16 of each row.
ALWAYS floats half(const struct rows * rows, int offset) { return _mm256_cvtph_ps(halves8(rows, 0, offset)); }

// lowHalf and highHalf convert the lower and the upper float16 of each lane.
ALWAYS floats lowHalf(ints x) {
	x = and(x, setInts(0xffff));
	return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
}
ALWAYS floats highHalf(ints x) { return lowHalf(right(x, 16)); }

// transpose4 transposes 4 x 4 values of 32 bits within lanes of 128 bits.
ALWAYS void transpose4(ints r[4]) {
	ints a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
	ints c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
	r[0] = _mm256_unpacklo_epi64(a, c);
	r[1] = _mm256_unpackhi_epi64(a, c);
	r[2] = _mm256_unpacklo_epi64(b, d);
	r[3] = _mm256_unpackhi_epi64(b, d);
}

// bytes16 reads 16 bytes of each row: bytes 4q to 4q+3 into out[q].
ALWAYS void bytes16(ints out[4], const struct rows * rows, int offset) {
	UNROLL
	for (int i = 0; i < 4; i++) { // rows i and i+4
		out[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *) (rowAt(rows, i) + offset))),
			_mm_loadu_si128((const __m128i *) (rowAt(rows, i + 4) + offset)), 1);
	}
	transpose4(out);
}

// bytes32 reads 32 bytes of each row.
ALWAYS void bytes32(ints out[8], const struct rows * rows, int offset) {
	bytes16(out, rows, offset);
	bytes16(out + 4, rows, offset + 16);
}

// group returns group i of a panel in ggml's grouped layouts. A panel of 8 rows is one group.
ALWAYS const char * group(const struct rows * rows, int i) { (void) i; return rows->at[0]; }

ALWAYS floats loadGroup(const float * at) { return LOAD(at); }
ALWAYS void   storeGroup(float * at, floats sum) { STORE(at, sum); }

// groupHalves reads eight float16.
ALWAYS floats groupHalves(const struct rows * rows, int offset) {
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (group(rows, 0) + offset)));
}

// groupBytes reads 64 bytes, eight of each row: the first four of each into out[0], the others into out[1].
ALWAYS void groupBytes(ints out[2], const struct rows * rows, int offset) {
	const char * at = group(rows, 0) + offset;
	__m256 low = _mm256_loadu_ps((const float *) at), high = _mm256_loadu_ps((const float *) (at + 32));
	out[0] = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88)), 0xd8);
	out[1] = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd)), 0xd8);
}

// fromGroups writes each row's byte to its lane.
ALWAYS ints fromGroups(const uint64_t bytes[1]) { return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t) bytes[0])); }

// fifthBits moves bits 4q to 4q+3 of each lane to bit 4 of the lane's four bytes.
ALWAYS ints fifthBits(ints bits, int q) {
	// Copy the byte with the four bits to each byte of the lane, then test a different bit in each.
	ints copies = _mm256_shuffle_epi8(bits, _mm256_add_epi8(_mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404, 0x08080808, 0x0c0c0c0c),
		setBytes(q / 2)));
	ints one = setInts(q % 2 ? (int32_t) 0x80402010 : 0x08040201);
	return and(_mm256_cmpeq_epi8(and(copies, one), one), setBytes(0x10));
}

// dot adds the dot products of quads from to to-1 with some columns to sum. bits is the width of the weights.
ALWAYS void dot(int bits, int from, int to, int columns, ints * sum, const ints * quads, const struct cell * cell) {
	ints ones = _mm256_set1_epi16(1);
	if (bits == 8) {
		UNROLL
		for (int q = from; q < to; q++) {
			ints w = quads[q], size = _mm256_abs_epi8(w);
			UNROLL
			for (int i = 0; i < columns; i++) {
				int32_t four;
				memcpy(&four, cell[i].values + 4 * q, sizeof four);
				sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(setInts(four), w)), ones));
			}
		}
		return;
	}
	int fit = bits == 4 ? 8 : bits == 5 ? 4 : 2; // quads whose sums fit 16 bits (each product is at most (2^bits - 1) x 127); divides to - from
	UNROLL
	for (int first = from; first < to; first += fit) {
		ints pairs[TILE];
		for (int i = 0; i < columns; i++) {
			pairs[i] = _mm256_setzero_si256();
		}
		UNROLL
		for (int q = first; q < first + fit; q++) {
			UNROLL
			for (int i = 0; i < columns; i++) {
				int32_t four;
				memcpy(&four, cell[i].values + 4 * q, sizeof four);
				pairs[i] = _mm256_add_epi16(pairs[i], _mm256_maddubs_epi16(quads[q], setInts(four)));
			}
		}
		UNROLL
		for (int i = 0; i < columns; i++) {
			sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs[i], ones));
		}
	}
}
