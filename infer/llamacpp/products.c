//go:build linux

// Products with block-quantized weights on the CPU: see products.go and docs/decisions/0310.
//
// M rows of weights, K values each, in blocks of 32 (B = K/32); N columns of activations; the result is float32[N, M].
// Each number of it is added up in one order, blocks ascending, whatever else is in the batch: so its bits depend on its own
// row and column alone.
#include <string.h>

#include "tensor.h"

bool __real_ggml_cpu_extra_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * op);
bool __wrap_ggml_cpu_extra_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * op);
bool __real_ggml_cpu_extra_work_size(int threads, const struct ggml_tensor * op, size_t * size);
bool __wrap_ggml_cpu_extra_work_size(int threads, const struct ggml_tensor * op, size_t * size);

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)
#include <immintrin.h>

enum {
	ROWS    = 16,  // of a panel: one for each lane
	BLOCK   = 32,  // values that share a scale
	QUADS   = BLOCK / 4, // a lane takes four values at a time
	DEPTH   = 64,  // blocks of a panel at most: what is unpacked stays in the first two caches
	TILE    = 8,   // columns whose sums fit the registers
	SPAN    = 128, // columns that pass a panel before the next is unpacked: their activations stay in the second cache
	NEAR    = 8 << 10, // bytes ahead that the first cache is asked for, more than a panel takes to compute
	FAR     = 64 << 10, // bytes ahead that the second cache is asked for: memory is that far away in time
	PRIVATE = 8,   // up to so many columns each thread quantizes all for itself, which costs less than to wait for the others
};

// cell is one block of a column of activations. Cells lie in tiles of up to TILE columns: cell[B, columns of the tile], so that
// a tile is read from the first byte to the last.
struct cell {
	int8_t values[BLOCK];
	float  scale;
	union {
		int32_t start; // what the products of a block start from, because a weight of 0 is stored as 128 or 8
		float   total; // Q4_1: the sum of the block's activations, for the least weight that all have in common
	};
};

// columnSize is the bytes of a column of K activations.
static size_t columnSize(int64_t k) { return k / BLOCK * sizeof(struct cell); }

// Q4_0X8 is how ggml stores Q4_0 in memory of its own: eight rows of a block together, first their scales, then the first eight
// bytes of each, then the others, as signed numbers of four bits.
enum { Q4_0X8 = 1000, GROUPED = 8 };

static size_t blockSize(int type) { return type == TYPE_Q8_0 ? 34 : type == TYPE_Q4_1 ? 20 : 18; }

// quantize writes column i of n, with K activations. The scale is the largest of a block by 127, as in ggml.
static void quantize(const float * x, int64_t k, int type, struct cell * cells, int64_t i, int64_t n) {
	int64_t tile = i / TILE * TILE, columns = n - tile < TILE ? n - tile : TILE;
	struct cell * cell = cells + tile * (k / BLOCK) + i % TILE;
	for (; k > 0; k -= BLOCK, x += BLOCK, cell += columns) {
		__m512  low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
		float   largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
		__m512  inverse = _mm512_set1_ps(largest == 0 ? 0 : 127 / largest);
		__m128i bytesLow = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)));
		__m128i bytesHigh = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, inverse)));
		int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_cvtepi8_epi32(bytesLow), _mm512_cvtepi8_epi32(bytesHigh)));
		_mm_storeu_si128((__m128i *) cell->values, bytesLow);
		_mm_storeu_si128((__m128i *) (cell->values + 16), bytesHigh);
		cell->scale = largest / 127;
		if (type == TYPE_Q4_1) {
			cell->total = cell->scale * sum;
		} else {
			cell->start = sum * (type == TYPE_Q8_0 ? -128 : -8);
		}
	}
}

// unpacked is one block of each of 16 rows, lanes are rows: values 4q to 4q+3 of a block in quads[q], unsigned.
struct unpacked {
	__m512i quads[QUADS];
	__m512  scale, least; // least: Q4_1 only
};

#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

// rows are 16 rows of weights: four pointers, and steps from each to the three after it. Left alone, the compiler keeps sixteen
// pointers and runs out of registers.
struct rows {
	const char *at[4];
	size_t stride, stride3;
};

ALWAYS struct rows rowsAt(const char * at, size_t stride) {
	return (struct rows) { { at, at + 4 * stride, at + 8 * stride, at + 12 * stride }, stride, 3 * stride };
}

ALWAYS const char * rowAt(const struct rows * r, int row) {
	return r->at[row / 4] + (row % 4 == 0 ? 0 : row % 4 == 1 ? r->stride : row % 4 == 2 ? 2 * r->stride : r->stride3);
}

ALWAYS void advance(struct rows * r, size_t bytes) {
	UNROLL
	for (int i = 0; i < 4; i++) {
		r->at[i] += bytes;
		__asm__("" : "+r"(r->at[i]));
	}
}

#define WORD(insert, v, type, row, lane) v = insert(v, *(const type *) rowAt(rows, row), lane)

// scales reads the float16 that begins a block of 16 rows.
ALWAYS __m512 scales(const struct rows * rows) {
	__m128i low = _mm_setzero_si128(), high = low;
#define HALVES(v, row)                                                                               \
	WORD(_mm_insert_epi16, v, uint16_t, row, 0); WORD(_mm_insert_epi16, v, uint16_t, row + 1, 1);     \
	WORD(_mm_insert_epi16, v, uint16_t, row + 2, 2); WORD(_mm_insert_epi16, v, uint16_t, row + 3, 3); \
	WORD(_mm_insert_epi16, v, uint16_t, row + 4, 4); WORD(_mm_insert_epi16, v, uint16_t, row + 5, 5); \
	WORD(_mm_insert_epi16, v, uint16_t, row + 6, 6); WORD(_mm_insert_epi16, v, uint16_t, row + 7, 7)
	HALVES(low, 0);
	HALVES(high, 8);
	return _mm512_cvtph_ps(_mm256_set_m128i(high, low));
}

// pairs reads the two float16 that begin a block of 16 rows as lanes of 32 bits.
ALWAYS __m512i pairs(const struct rows * rows) {
	__m128i v[4];
	UNROLL
	for (int i = 0; i < 4; i++) {
		v[i] = _mm_cvtsi32_si128(*(const int32_t *) rowAt(rows, 4 * i));
		WORD(_mm_insert_epi32, v[i], int32_t, 4 * i + 1, 1);
		WORD(_mm_insert_epi32, v[i], int32_t, 4 * i + 2, 2);
		WORD(_mm_insert_epi32, v[i], int32_t, 4 * i + 3, 3);
	}
	return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(v[1], v[0])), _mm256_set_m128i(v[3], v[2]), 1);
}

// turn makes 4 x 4 transpositions of 32-bit values within lanes of 128 bits.
ALWAYS void turn(__m512i r[4]) {
	__m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
	__m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
	r[0] = _mm512_unpacklo_epi64(a, c);
	r[1] = _mm512_unpackhi_epi64(a, c);
	r[2] = _mm512_unpacklo_epi64(b, d);
	r[3] = _mm512_unpackhi_epi64(b, d);
}

// unpackGrouped reads one block of two groups of Q4_0X8.
ALWAYS struct unpacked unpackGrouped(const char * low, const char * high) {
	struct unpacked u;
	u.scale = _mm512_cvtph_ps(_mm256_set_m128i(_mm_loadu_si128((const __m128i *) high), _mm_loadu_si128((const __m128i *) low)));
	__m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	__m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1)), nibble = _mm512_set1_epi8(0x0f);
	UNROLL
	for (int q = 0; q < 4; q++) {
		__m512i l = _mm512_loadu_si512(low + 16 + q / 2 * 64), h = _mm512_loadu_si512(high + 16 + q / 2 * 64);
		__m512i both = _mm512_xor_si512(_mm512_permutex2var_epi32(l, q % 2 ? odd : even, h), _mm512_set1_epi8((char) 0x88));
		u.quads[q]     = _mm512_and_si512(both, nibble);
		u.quads[q + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
	}
	return u;
}

// unpack reads one block of 16 rows, and moves on to the next.
ALWAYS struct unpacked unpack(int type, struct rows * rows) {
	struct unpacked u;
	if (type == Q4_0X8) {
		u = unpackGrouped(rows->at[0], rows->at[2]);
		advance(rows, GROUPED * blockSize(type));
		return u;
	}
	if (type == TYPE_Q4_1) {
		__m512i both = pairs(rows);
		u.scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(both));
		u.least = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
	} else {
		u.scale = scales(rows);
	}
	if (type == TYPE_Q8_0) {
		__m512i half[2][4]; // rows 0-3 and 4-7, rows 8-11 and 12-15
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
			__m512i sign = _mm512_set1_epi8((char) 0x80); // plus 128
			u.quads[q]     = _mm512_xor_si512(_mm512_shuffle_i64x2(half[0][q], half[1][q], 0x88), sign);
			u.quads[q + 4] = _mm512_xor_si512(_mm512_shuffle_i64x2(half[0][q], half[1][q], 0xdd), sign);
		}
		advance(rows, blockSize(type));
		return u;
	}
	__m512i r[4];
	UNROLL
	for (int i = 0; i < 4; i++) { // rows i, i+4, i+8, i+12
		int from = type == TYPE_Q4_1 ? 4 : 2;
		r[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *) (rowAt(rows, i) + from)));
		r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 4) + from)), 1);
		r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 8) + from)), 2);
		r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *) (rowAt(rows, i + 12) + from)), 3);
	}
	turn(r);
	UNROLL
	for (int q = 0; q < 4; q++) {
		__m512i nibble = _mm512_set1_epi8(0x0f);
		u.quads[q]     = _mm512_and_si512(r[q], nibble);
		u.quads[q + 4] = _mm512_and_si512(_mm512_srli_epi16(r[q], 4), nibble);
	}
	advance(rows, blockSize(type));
	return u;
}

// addBlock adds the products of one block of 16 rows to the sums of some columns. Their chains of dependent instructions run
// side by side.
ALWAYS void addBlock(int type, int columns, __m512 * sum, const struct unpacked * u, const struct cell * cell) {
	__m512i product[TILE];
	UNROLL
	for (int i = 0; i < columns; i++) {
		product[i] = type == TYPE_Q4_1 ? _mm512_setzero_si512() : _mm512_set1_epi32(cell[i].start);
	}
	UNROLL
	for (int q = 0; q < QUADS; q++) {
		UNROLL
		for (int i = 0; i < columns; i++) {
			int32_t four;
			memcpy(&four, cell[i].values + 4 * q, sizeof four);
			product[i] = _mm512_dpbusd_epi32(product[i], u->quads[q], _mm512_set1_epi32(four));
		}
	}
	UNROLL
	for (int i = 0; i < columns; i++) {
		sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product[i]), _mm512_mul_ps(u->scale, _mm512_set1_ps(cell[i].scale)), sum[i]);
		if (type == TYPE_Q4_1) {
			sum[i] = _mm512_fmadd_ps(u->least, _mm512_set1_ps(cell[i].total), sum[i]);
		}
	}
}

// product is what an operation needs beside its tensors.
struct product {
	int64_t blocks, n;          // B, N
	const char * weights;
	size_t  stride;             // bytes of a row of weights
	const struct cell * cells;
	float * out;
	size_t  outStride;          // values from one column of the result to the next
};

// ahead asks for memory beyond the next bytes of weights, and returns what follows them. Rows are read side by side, which
// the processor does not foresee; all of them together lie in one piece.
ALWAYS const char * ahead(const char * line, size_t bytes) {
	const char * end = line + bytes;
	for (; line < end; line += 64) {
		_mm_prefetch(line + NEAR, _MM_HINT_T0);
		_mm_prefetch(line + FAR, _MM_HINT_T1);
	}
	return line;
}

// few multiplies a panel with the columns of one tile while it unpacks it.
ALWAYS void few(int type, int columns, const struct product * p, int64_t panel) {
	size_t size = blockSize(type);
	struct rows rows = rowsAt(p->weights + panel * ROWS * p->stride, p->stride);
	const char * line = p->weights + panel * ROWS * p->stride;
	const struct cell * cell = p->cells;
	__m512 sum[TILE];
	for (int i = 0; i < columns; i++) {
		sum[i] = _mm512_setzero_ps();
	}
	for (int64_t b = 0; b < p->blocks; b++, cell += columns) {
		line = ahead(line, ROWS * size);
		struct unpacked u = unpack(type, &rows);
		addBlock(type, columns, sum, &u, cell);
	}
	for (int i = 0; i < columns; i++) {
		_mm512_storeu_ps(p->out + i * p->outStride + panel * ROWS, sum[i]);
	}
}

// tile multiplies some unpacked blocks of a panel, from block `first` on, with the tile that begins at column `from`.
ALWAYS void tile(int type, int columns, const struct product * p, int64_t panel, const struct unpacked * u, int64_t first, int64_t blocks, int64_t from) {
	const struct cell * cell = p->cells + from * p->blocks + first * columns;
	float * out = p->out + from * p->outStride + panel * ROWS;
	__m512 sum[TILE];
	for (int i = 0; i < columns; i++) {
		sum[i] = first == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(out + i * p->outStride);
	}
	for (int64_t b = 0; b < blocks; b++, cell += columns) {
		addBlock(type, columns, sum, &u[b], cell);
	}
	for (int i = 0; i < columns; i++) {
		_mm512_storeu_ps(out + i * p->outStride, sum[i]);
	}
}

// BY_COLUMNS calls f with the number of columns as a constant.
#define BY_COLUMNS(f, type, columns, ...)          \
	switch (columns) {                             \
	case 1:  f(type, 1, __VA_ARGS__); break;       \
	case 2:  f(type, 2, __VA_ARGS__); break;       \
	case 3:  f(type, 3, __VA_ARGS__); break;       \
	case 4:  f(type, 4, __VA_ARGS__); break;       \
	case 5:  f(type, 5, __VA_ARGS__); break;       \
	case 6:  f(type, 6, __VA_ARGS__); break;       \
	case 7:  f(type, 7, __VA_ARGS__); break;       \
	default: f(type, TILE, __VA_ARGS__);           \
	}

// many multiplies a panel with the columns from `from` to `to`.
ALWAYS void many(int type, const struct product * p, int64_t panel, int64_t from, int64_t to) {
	struct unpacked u[DEPTH];
	for (int64_t first = 0; first < p->blocks; first += DEPTH) {
		int64_t blocks = p->blocks - first < DEPTH ? p->blocks - first : DEPTH;
		struct rows rows = rowsAt(p->weights + panel * ROWS * p->stride + first * blockSize(type) * (type == Q4_0X8 ? GROUPED : 1), p->stride);
		const char * line = p->weights + panel * ROWS * p->stride + first * ROWS * blockSize(type);
		for (int64_t b = 0; b < blocks; b++) {
			line = ahead(line, ROWS * blockSize(type));
			u[b] = unpack(type, &rows);
		}
		for (int64_t i = from; i < to; i += TILE) {
			BY_COLUMNS(tile, type, to - i < TILE ? to - i : TILE, p, panel, u, first, blocks, i);
		}
	}
}

ALWAYS void panels(int type, const struct product * p, int64_t from, int64_t to) {
	if (p->n <= TILE) {
		for (int64_t panel = from; panel < to; panel++) {
			BY_COLUMNS(few, type, p->n, p, panel);
		}
		return;
	}
	for (int64_t column = 0; column < p->n; column += SPAN) {
		for (int64_t panel = from; panel < to; panel++) {
			many(type, p, panel, column, column + SPAN < p->n ? column + SPAN : p->n);
		}
	}
}

// layout tells how a matrix of weights is stored: a type if as in the file, Q4_0X8, or -1 for what is not taken.
static int layout(const struct ggml_tensor * w) {
	if (!w->extra) {
		return w->type == TYPE_Q8_0 || w->type == TYPE_Q4_0 || w->type == TYPE_Q4_1 ? w->type : -1;
	}
	return w->type == TYPE_Q4_0 && w->buffer && strcmp(ggml_backend_buffer_name(w->buffer), "CPU_REPACK") == 0 ? Q4_0X8 : -1;
}

// multiply computes this thread's share of the panels.
static void multiply(const struct ggml_compute_params * params, struct ggml_tensor * dst) {
	const struct ggml_tensor *w = dst->src[0], *x = dst->src[1];
	int64_t k = w->ne[0], n = x->ne[1], count = w->ne[1] / ROWS;
	bool    alone = n <= PRIVATE;
	struct cell * cells = (struct cell *) ((char *) params->wdata + (alone ? params->ith * n * columnSize(k) : 0));
	for (int64_t i = alone ? 0 : params->ith; i < n; i += alone ? 1 : params->nth) {
		quantize((const float *) (x->data + i * x->nb[1]), k, w->type, cells, i, n);
	}
	if (!alone) {
		ggml_barrier(params->threadpool);
	}
	struct product p = { .blocks = k / BLOCK, .n = n, .weights = w->data, .stride = w->nb[1], .cells = cells,
		.out = (float *) dst->data, .outStride = dst->nb[1] / sizeof(float) };
	int64_t from = count * params->ith / params->nth, to = count * (params->ith + 1) / params->nth;
	switch (layout(w)) {
	case TYPE_Q8_0: panels(TYPE_Q8_0, &p, from, to); break;
	case TYPE_Q4_1: panels(TYPE_Q4_1, &p, from, to); break;
	case Q4_0X8:    panels(Q4_0X8, &p, from, to); break;
	default:        panels(TYPE_Q4_0, &p, from, to);
	}
}

// taken tells whether multiply can compute an operation: a matrix of weights in a layout it knows, and plain activations. The
// answer depends on the model, never on who is in the batch.
static bool taken(const struct ggml_tensor * op) {
	if (op->op != OP_MUL_MAT || !prunellm_same_layout()) {
		return false;
	}
	const struct ggml_tensor *w = op->src[0], *x = op->src[1];
	return layout(w) >= 0 && x->type == TYPE_F32 && op->type == TYPE_F32 &&
		w->ne[0] % BLOCK == 0 && w->ne[1] % ROWS == 0 && w->ne[2] == 1 && w->ne[3] == 1 && x->ne[2] == 1 && x->ne[3] == 1 &&
		w->nb[0] == blockSize(w->type) && w->nb[1] == w->ne[0] / BLOCK * w->nb[0] && x->nb[0] == sizeof(float) && op->nb[0] == sizeof(float) &&
		op->nb[1] % sizeof(float) == 0;
}

bool __wrap_ggml_cpu_extra_work_size(int threads, const struct ggml_tensor * op, size_t * size) {
	if (!taken(op)) {
		return __real_ggml_cpu_extra_work_size(threads, op, size);
	}
	int64_t n = op->src[1]->ne[1];
	*size = columnSize(op->src[0]->ne[0]) * n * (n <= PRIVATE ? threads : 1);
	return true;
}

bool __wrap_ggml_cpu_extra_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * op) {
	if (!taken(op)) {
		return __real_ggml_cpu_extra_compute_forward(params, op);
	}
	multiply(params, op);
	return true;
}

#else

bool __wrap_ggml_cpu_extra_work_size(int threads, const struct ggml_tensor * op, size_t * size) {
	return __real_ggml_cpu_extra_work_size(threads, op, size);
}

bool __wrap_ggml_cpu_extra_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * op) {
	return __real_ggml_cpu_extra_compute_forward(params, op);
}

#endif
