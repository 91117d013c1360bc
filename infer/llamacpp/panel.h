// The parts of matmul.c that do not depend on the vector width. lanes16.h and lanes8.h include this file after they define
// ROWS, floats and ints.

// unpacked is one block of each row of a panel, as bytes with their scale. Each lane has one row; quads[q] has values 4q to
// 4q+3 of the block.
struct unpacked {
	ints   quads[QUADS];
	floats scale;
	union {
		floats least;  // AFFINE: added to each value
		floats second; // HALVES: the scale of the block's second half
	};
};

// rows are the addresses of a panel's rows of weights: one pointer for every four rows, and the distances to the next three.
// With one pointer for each row the compiler would run out of registers.
struct rows {
	const char *at[ROWS / 4];
	size_t stride, stride3;
};

ALWAYS struct rows rowsAt(const char * at, size_t stride) {
	struct rows r = { .stride = stride, .stride3 = 3 * stride };
	UNROLL
	for (int i = 0; i < ROWS / 4; i++) {
		r.at[i] = at + 4 * i * stride;
	}
	return r;
}

ALWAYS const char * rowAt(const struct rows * r, int row) {
	return r->at[row / 4] + (row % 4 == 0 ? 0 : row % 4 == 1 ? r->stride : row % 4 == 2 ? 2 * r->stride : r->stride3);
}

ALWAYS void advance(struct rows * r, size_t bytes) {
	UNROLL
	for (int i = 0; i < ROWS / 4; i++) {
		r->at[i] += bytes;
		__asm__("" : "+r"(r->at[i]));
	}
}

#define INSERT(insert, v, type, row, lane) v = insert(v, *(const type *) (rowAt(rows, row) + offset), lane)

// halves8 reads the float16 at an offset of each of eight rows.
ALWAYS __m128i halves8(const struct rows * rows, int first, int offset) {
	__m128i v = _mm_setzero_si128();
	INSERT(_mm_insert_epi16, v, uint16_t, first, 0);
	INSERT(_mm_insert_epi16, v, uint16_t, first + 1, 1);
	INSERT(_mm_insert_epi16, v, uint16_t, first + 2, 2);
	INSERT(_mm_insert_epi16, v, uint16_t, first + 3, 3);
	INSERT(_mm_insert_epi16, v, uint16_t, first + 4, 4);
	INSERT(_mm_insert_epi16, v, uint16_t, first + 5, 5);
	INSERT(_mm_insert_epi16, v, uint16_t, first + 6, 6);
	INSERT(_mm_insert_epi16, v, uint16_t, first + 7, 7);
	return v;
}

// words4 reads the 32 bits at an offset of each of four rows.
ALWAYS __m128i words4(const struct rows * rows, int first, int offset) {
	__m128i v = _mm_cvtsi32_si128(*(const int32_t *) (rowAt(rows, first) + offset));
	INSERT(_mm_insert_epi32, v, int32_t, first + 1, 1);
	INSERT(_mm_insert_epi32, v, int32_t, first + 2, 2);
	INSERT(_mm_insert_epi32, v, int32_t, first + 3, 3);
	return v;
}
