// The formats of weights that matmul.c supports, each with a case in `unpack`. matmul.c includes this file after lanes16.h or
// lanes8.h.

// format describes one format: its ggml type, the values in a unit, the bytes of a unit of one row, the bits of a value, and
// the form of dequantization. A unit is unpacked at once, and the length of a row is a multiple of it. q is the unpacked
// integer.
//   OFFSET  scale * (q - zero)          AFFINE  scale * q + least
//   HALVES  as OFFSET, with a scale for each half of a block
enum { OFFSET, AFFINE, HALVES };
struct format { int type, unit, bytes, bits, form, zero, grouped; };

// GROUPED is the number of rows that ggml's grouped layouts interleave in memory.
enum { GROUPED = 8 };

// Formats are numbered so that the compiler can generate code for a constant format.
enum { Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, Q4_0X8, Q4_KX8, FORMATS };
static const struct format formats[FORMATS] = {
	[Q8_0]   = { .type = TYPE_Q8_0, .unit = 32,  .bytes = 34,  .bits = 8, .form = OFFSET, .zero = ZERO },
	[Q4_0]   = { .type = TYPE_Q4_0, .unit = 32,  .bytes = 18,  .bits = 4, .form = OFFSET, .zero = 8 },
	[Q4_1]   = { .type = TYPE_Q4_1, .unit = 32,  .bytes = 20,  .bits = 4, .form = AFFINE },
	[Q5_0]   = { .type = TYPE_Q5_0, .unit = 32,  .bytes = 22,  .bits = 5, .form = OFFSET, .zero = 16 },
	[Q5_1]   = { .type = TYPE_Q5_1, .unit = 32,  .bytes = 24,  .bits = 5, .form = AFFINE },
	[Q4_K]   = { .type = TYPE_Q4_K, .unit = 256, .bytes = 144, .bits = 4, .form = AFFINE },
	[Q5_K]   = { .type = TYPE_Q5_K, .unit = 256, .bytes = 176, .bits = 5, .form = AFFINE },
	[Q6_K]   = { .type = TYPE_Q6_K, .unit = 256, .bytes = 210, .bits = 6, .form = HALVES, .zero = 32 },
	[Q4_0X8] = { .type = TYPE_Q4_0, .unit = 32,  .bytes = 18,  .bits = 4, .form = OFFSET, .zero = 8, .grouped = 1 },
	[Q4_KX8] = { .type = TYPE_Q4_K, .unit = 256, .bytes = 144, .bits = 4, .form = AFFINE, .grouped = 1 },
};

// splitNibbles writes the low nibbles of four vectors to the first four quads, and the high nibbles to the last four.
ALWAYS void splitNibbles(struct unpacked * u, const ints r[4]) {
	UNROLL
	for (int q = 0; q < 4; q++) {
		u->quads[q]     = and(r[q], setBytes(0x0f));
		u->quads[q + 4] = and(right(r[q], 4), setBytes(0x0f));
	}
}

// nibbles reads 16 bytes that hold 32 values.
ALWAYS void nibbles(struct unpacked * u, const struct rows * rows, int offset) {
	ints r[4];
	bytes16(r, rows, offset);
	splitNibbles(u, r);
}

// addFifthBits adds the fifth bits of a block, 32 bits for each row, to its 4-bit values.
ALWAYS void addFifthBits(struct unpacked * u, ints bits) {
	UNROLL
	for (int q = 0; q < QUADS; q++) {
		u->quads[q] = or(u->quads[q], fifthBits(bits, q));
	}
}

// splitChunk splits 32 bytes of each row into two blocks: the low nibbles are the first block, the high nibbles the second.
ALWAYS void splitChunk(struct unpacked * u, const ints r[8]) {
	UNROLL
	for (int q = 0; q < QUADS; q++) {
		u[0].quads[q] = and(r[q], setBytes(0x0f));
		u[1].quads[q] = and(right(r[q], 4), setBytes(0x0f));
	}
}

// scalesOfK reads the head of a super-block of Q4_K or Q5_K: two float16, then eight scales and eight mins of six bits each in
// 12 bytes. A value is scale * q - min; u.least is -min.
ALWAYS void scalesOfK(struct unpacked u[8], const struct rows * rows) {
	ints both = words(rows, 0), a = words(rows, 4), b = words(rows, 8), c = words(rows, 12);
	floats d = lowHalf(both), least = MUL(highHalf(both), SET(-1));
	ints low = setBytes(0x0f), six = setBytes(0x3f), top = setBytes(0x30);
	ints scales[2] = { and(a, six), or(and(c, low), and(right(a, 2), top)) };
	ints mins[2]   = { and(b, six), or(and(right(c, 4), low), and(right(b, 2), top)) };
	UNROLL
	for (int i = 0; i < 8; i++) {
		u[i].scale = MUL(d, toFloats(and(right(scales[i / 4], i % 4 * 8), setInts(0xff))));
		u[i].least = MUL(least, toFloats(and(right(mins[i / 4], i % 4 * 8), setInts(0xff))));
	}
}

// scalesOfGroups is scalesOfK for Q4_KX8, which packs the scales and mins of one block of eight rows into 12 bytes.
ALWAYS void scalesOfGroups(struct unpacked u[8], const struct rows * rows) {
	floats d = groupHalves(rows, 0), least = MUL(groupHalves(rows, 16), SET(-1));
	UNROLL
	for (int i = 0; i < 8; i++) {
		uint64_t scales[ROWS / GROUPED], mins[ROWS / GROUPED];
		UNROLL
		for (int g = 0; g < ROWS / GROUPED; g++) {
			uint32_t w[3];
			memcpy(w, group(rows, g) + 32 + 12 * i, sizeof w);
			scales[g] = (w[0] & 0x3f3f3f3fu) | (uint64_t) ((w[2] & 0x0f0f0f0fu) | (w[0] >> 2 & 0x30303030u)) << 32;
			mins[g]   = (w[1] & 0x3f3f3f3fu) | (uint64_t) ((w[2] >> 4 & 0x0f0f0f0fu) | (w[1] >> 2 & 0x30303030u)) << 32;
		}
		u[i].scale = MUL(d, toFloats(fromGroups(scales)));
		u[i].least = MUL(least, toFloats(fromGroups(mins)));
	}
}

// fiveBitChunk reads 64 values of Q5_K, blocks i and i+1 of a super-block. Bit i of each byte in high is the fifth bit of a
// value of block i.
ALWAYS void fiveBitChunk(struct unpacked * u, const struct rows * rows, const ints high[8], int i) {
	ints r[8];
	bytes32(r, rows, 48 + i * 16);
	splitChunk(u, r);
	UNROLL
	for (int q = 0; q < QUADS; q++) {
		UNROLL
		for (int j = 0; j < 2; j++) {
			int bit = i + j; // to bit 4
			ints moved = bit > 4 ? right(high[q], bit - 4) : left(high[q], 4 - bit);
			u[j].quads[q] = or(u[j].quads[q], and(moved, setBytes(0x10)));
		}
	}
}

// sixBitHalf reads 128 values of Q6_K, half n of a super-block. The low nibbles of 64 bytes belong to blocks 0 and 1, the high
// nibbles to blocks 2 and 3. Each block's upper two bits are in 32 more bytes.
ALWAYS void sixBitHalf(struct unpacked u[4], const struct rows * rows, int n) {
	ints low[2][8], high[8];
	bytes32(low[0], rows, 64 * n);
	bytes32(low[1], rows, 64 * n + 32);
	bytes32(high, rows, 128 + 32 * n);
	UNROLL
	for (int j = 0; j < 4; j++) {
		UNROLL
		for (int q = 0; q < QUADS; q++) {
			ints four = and(j < 2 ? low[j % 2][q] : right(low[j % 2][q], 4), setBytes(0x0f));
			ints two = and(j < 2 ? left(high[q], 4 - 2 * j) : right(high[q], 2 * j - 4), setBytes(0x30));
			u[j].quads[q] = or(four, two);
		}
	}
}

// scalesOfHalves reads the 16 scales of a super-block of Q6_K, a signed byte for each half of a block.
ALWAYS void scalesOfHalves(struct unpacked u[8], const struct rows * rows) {
	floats d = half(rows, 208);
	UNROLL
	for (int i = 0; i < 4; i++) {
		ints four = words(rows, 192 + 4 * i);
		UNROLL
		for (int j = 0; j < 2; j++) {
			u[2 * i + j].scale  = MUL(d, toFloats(rightSigned(left(four, 24 - 16 * j), 24)));
			u[2 * i + j].second = MUL(d, toFloats(rightSigned(left(four, 16 - 16 * j), 24)));
		}
	}
}

// unpack reads one unit of a panel's rows into unit/BLOCK blocks, and advances the rows to the next unit.
ALWAYS void unpack(int format, struct unpacked * u, struct rows * rows) {
	switch (format) {
	case Q8_0:
		u->scale = half(rows, 0);
		bytes32(u->quads, rows, 2);
		UNROLL
		for (int q = 0; q < QUADS; q++) {
			u->quads[q] = xor(u->quads[q], setBytes(ZERO));
		}
		break;
	case Q4_0:
		u->scale = half(rows, 0);
		nibbles(u, rows, 2);
		break;
	case Q4_1: {
		ints both = words(rows, 0);
		u->scale = lowHalf(both), u->least = highHalf(both);
		nibbles(u, rows, 4);
		break;
	}
	case Q5_0:
		u->scale = half(rows, 0);
		nibbles(u, rows, 6);
		addFifthBits(u, words(rows, 2));
		break;
	case Q5_1: {
		ints both = words(rows, 0);
		u->scale = lowHalf(both), u->least = highHalf(both);
		nibbles(u, rows, 8);
		addFifthBits(u, words(rows, 4));
		break;
	}
	case Q4_K:
		scalesOfK(u, rows);
		UNROLL
		for (int i = 0; i < 8; i += 2) {
			ints r[8];
			bytes32(r, rows, 16 + 16 * i);
			splitChunk(u + i, r);
		}
		break;
	case Q5_K: {
		ints high[8];
		scalesOfK(u, rows);
		bytes32(high, rows, 16);
		UNROLL
		for (int i = 0; i < 8; i += 2) {
			fiveBitChunk(u + i, rows, high, i);
		}
		break;
	}
	case Q6_K:
		scalesOfHalves(u, rows);
		sixBitHalf(u, rows, 0);
		sixBitHalf(u + 4, rows, 1);
		break;
	case Q4_0X8: { // this layout stores signed values
		ints r[4];
		u->scale = groupHalves(rows, 0);
		groupBytes(r, rows, 16);
		groupBytes(r + 2, rows, 80);
		UNROLL
		for (int q = 0; q < 4; q++) {
			r[q] = xor(r[q], setBytes(0x88));
		}
		splitNibbles(u, r);
		break;
	}
	case Q4_KX8:
		scalesOfGroups(u, rows);
		UNROLL
		for (int i = 0; i < 8; i += 2) {
			ints r[8];
			UNROLL
			for (int t = 0; t < 4; t++) {
				groupBytes(r + 2 * t, rows, 128 + 64 * (2 * i + t));
			}
			splitChunk(u + i, r);
		}
		break;
	}
	advance(rows, formats[format].bytes * (formats[format].grouped ? GROUPED : 1));
}
