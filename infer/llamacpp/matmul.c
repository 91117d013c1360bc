//go:build linux

// Matmuls with block-quantized weights on the CPU: see matmul.go and decisions 0310 and 0318.
//
// M rows of weights, K values each, in blocks of 32 (B = K/32); N columns of activations; the result is float32[N, M].
// Each element is summed in ascending order of blocks, whatever else is in the batch. Its bits therefore depend only on its
// own row and column.
#include <string.h>

#include "tensor.h"

bool __real_ggml_cpu_extra_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * op);
bool __wrap_ggml_cpu_extra_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * op);
bool __real_ggml_cpu_extra_work_size(int threads, const struct ggml_tensor * op, size_t * size);
bool __wrap_ggml_cpu_extra_work_size(int threads, const struct ggml_tensor * op, size_t * size);

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum {
	BLOCK   = 32,  // values that share a scale
	QUADS   = BLOCK / 4, // a lane processes four values at a time
	DEPTH   = 64,  // blocks of a panel to unpack at once: they stay in the L1 and L2 caches
	SPAN    = 128, // columns to multiply with a panel before the next is unpacked: their activations stay in the L2 cache
	NEAR    = 8 << 10, // prefetch distance in bytes for the L1 cache: more than a panel
	FAR     = 64 << 10, // prefetch distance in bytes for the L2 cache: covers the latency of memory
	PRIVATE = 8,   // up to this many columns, each thread quantizes all of them itself, which costs less than a barrier
};

// cell is one block of a column of activations, quantized to 8 bits. Cells are stored in tiles of up to TILE columns,
// cell[B, columns of the tile], so that a tile is read sequentially. The union depends on the form of the weights' format.
struct cell {
	int8_t values[BLOCK];
	float  scale;
	union {
		int32_t start;   // OFFSET: initial value of a block's dot product, because the weight 0 is stored as `zero`
		float   total;   // AFFINE: the sum of the block's activations, to be multiplied by `least`
		int16_t sums[2]; // HALVES: the sums of the values of each half of the block
	};
};

// columnSize returns the bytes of a column of K activations.
static size_t columnSize(int64_t k) { return k / BLOCK * sizeof(struct cell); }

// Two files have the code that depends on the vector width. Each defines functions of the same names and three constants: ROWS
// (rows of a panel, one per lane), TILE (columns whose sums fit the registers) and ZERO (the byte to which unpack maps a weight
// of 0 in Q8_0).
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)
#include "lanes16.h"
#else
#include "lanes8.h"
#endif
#include "blocks.h"

// sum8 returns the sum of eight lanes.
ALWAYS int32_t sum8(__m256i v) {
	__m128i sum4 = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	sum4 = _mm_add_epi32(sum4, _mm_shuffle_epi32(sum4, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(sum4, _mm_shuffle_epi32(sum4, 0xb1)));
}

// quantize writes column i of n, with K activations. A block's scale is its largest absolute value divided by 127, as in ggml.
static void quantize(const float * x, int64_t k, const struct format * format, struct cell * cells, int64_t i, int64_t n) {
	int64_t tile = i / TILE * TILE, columns = n - tile < TILE ? n - tile : TILE;
	struct cell * cell = cells + tile * (k / BLOCK) + i % TILE;
	for (; k > 0; k -= BLOCK, x += BLOCK, cell += columns) {
		__m256 v[4], top = _mm256_setzero_ps();
		UNROLL
		for (int j = 0; j < 4; j++) {
			v[j] = _mm256_loadu_ps(x + 8 * j);
			top = _mm256_max_ps(top, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v[j]));
		}
		__m128 top4 = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
		top4 = _mm_max_ps(top4, _mm_movehl_ps(top4, top4));
		float   largest = _mm_cvtss_f32(_mm_max_ss(top4, _mm_movehdup_ps(top4)));
		__m256  inverse = _mm256_set1_ps(largest == 0 ? 0 : 127 / largest);
		__m256i n32[4];
		UNROLL
		for (int j = 0; j < 4; j++) {
			n32[j] = _mm256_cvtps_epi32(_mm256_mul_ps(v[j], inverse));
		}
		__m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(n32[0], n32[1]), _mm256_packs_epi32(n32[2], n32[3]));
		bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); // the pack instructions work on each half separately
		_mm256_storeu_si256((__m256i *) cell->values, bytes);
		int32_t first = sum8(_mm256_add_epi32(n32[0], n32[1])), second = sum8(_mm256_add_epi32(n32[2], n32[3]));
		cell->scale = largest / 127;
		switch (format->form) {
		case OFFSET: cell->start = -(first + second) * format->zero; break;
		case AFFINE: cell->total = cell->scale * (first + second); break;
		case HALVES: cell->sums[0] = first, cell->sums[1] = second;
		}
	}
}

// addDots adds the dot products of some quads of a block, times a scale, to the sums of some columns.
ALWAYS void addDots(int format, int from, int to, int columns, floats * sum, ints * product, const struct unpacked * u, floats scale, const struct cell * cell) {
	dot(formats[format].bits, from, to, columns, product, u->quads, cell);
	UNROLL
	for (int i = 0; i < columns; i++) {
		sum[i] = FMA(toFloats(product[i]), MUL(scale, SET(cell[i].scale)), sum[i]);
	}
}

// addBlock adds one block of a panel's rows to the sums of some columns. It interleaves the columns, so that their chains of
// dependent instructions overlap.
ALWAYS void addBlock(int format, int columns, floats * sum, const struct unpacked * u, const struct cell * cell) {
	ints product[TILE];
	if (formats[format].form == HALVES) {
		UNROLL
		for (int half = 0; half < 2; half++) {
			for (int i = 0; i < columns; i++) {
				product[i] = setInts(-formats[format].zero * cell[i].sums[half]);
			}
			addDots(format, half * QUADS / 2, (half + 1) * QUADS / 2, columns, sum, product, u, half ? u->second : u->scale, cell);
		}
		return;
	}
	bool affine = formats[format].form == AFFINE;
	for (int i = 0; i < columns; i++) {
		product[i] = affine ? setInts(0) : setInts(cell[i].start);
	}
	addDots(format, 0, QUADS, columns, sum, product, u, u->scale, cell);
	UNROLL
	for (int i = 0; affine && i < columns; i++) {
		sum[i] = FMA(u->least, SET(cell[i].total), sum[i]);
	}
}

// matmul holds the arguments of one operation.
struct matmul {
	int64_t blocks, m, n;       // B, M, N
	const char * weights;
	size_t  stride;             // bytes of a row of weights
	const struct cell * cells;
	float * out;
	size_t  outStride;          // float32s from one column of the result to the next
};

// ahead prefetches memory NEAR and FAR beyond the next bytes of weights, and returns the address after these bytes. A panel
// reads ROWS rows in parallel, which the processor's prefetcher does not recognize. Together the rows are contiguous.
ALWAYS const char * ahead(const char * line, size_t bytes) {
	const char * end = line + bytes;
	for (; line < end; line += 64) {
		_mm_prefetch(line + NEAR, _MM_HINT_T0);
		_mm_prefetch(line + FAR, _MM_HINT_T1);
	}
	return line;
}

// unitBlocks is the number of blocks in a unit, unitBytes the bytes of some blocks of one row.
#define unitBlocks(format) (formats[format].unit / BLOCK)
#define unitBytes(format, blocks) ((blocks) / unitBlocks(format) * formats[format].bytes)

// panelAt returns a panel's rows, starting at a block. In a grouped layout the last panel may have only one group; panelAt
// then uses it in place of the missing one too.
ALWAYS struct rows panelAt(int format, const struct matmul * p, int64_t panel, int64_t block) {
	size_t offset = unitBytes(format, block) * (formats[format].grouped ? GROUPED : 1);
	struct rows rows = rowsAt(p->weights + panel * ROWS * p->stride + offset, p->stride);
	if (formats[format].grouped && (panel + 1) * ROWS > p->m) {
		for (int i = 0; i < ROWS / 8; i++) {
			rows.at[ROWS / 4 - 1 - i] = rows.at[ROWS / 8 - 1 - i];
		}
	}
	return rows;
}

// load and store access a panel's results of one column.
ALWAYS floats load(int format, const struct matmul * p, int64_t panel, const float * at) {
	return formats[format].grouped && (panel + 1) * ROWS > p->m ? loadGroup(at) : LOAD(at);
}

ALWAYS void store(int format, const struct matmul * p, int64_t panel, float * at, floats sum) {
	if (formats[format].grouped && (panel + 1) * ROWS > p->m) {
		storeGroup(at, sum);
	} else {
		STORE(at, sum);
	}
}

// few multiplies a panel by the columns of one tile, block by block as it unpacks them.
ALWAYS void few(int format, int columns, const struct matmul * p, int64_t panel) {
	struct rows rows = panelAt(format, p, panel, 0);
	const char * line = p->weights + panel * ROWS * p->stride;
	const struct cell * cell = p->cells;
	floats sum[TILE];
	for (int i = 0; i < columns; i++) {
		sum[i] = SET(0);
	}
	for (int64_t b = 0; b < p->blocks; b += unitBlocks(format)) {
		struct unpacked u[8];
		line = ahead(line, ROWS * formats[format].bytes);
		unpack(format, u, &rows);
		for (int i = 0; i < unitBlocks(format); i++, cell += columns) {
			addBlock(format, columns, sum, &u[i], cell);
		}
	}
	for (int i = 0; i < columns; i++) {
		store(format, p, panel, p->out + i * p->outStride + panel * ROWS, sum[i]);
	}
}

// tile multiplies some unpacked blocks of a panel, starting at block `first`, by the tile that begins at column `from`.
ALWAYS void tile(int format, int columns, const struct matmul * p, int64_t panel, const struct unpacked * u, int64_t first, int64_t blocks, int64_t from) {
	const struct cell * cell = p->cells + from * p->blocks + first * columns;
	float * out = p->out + from * p->outStride + panel * ROWS;
	floats sum[TILE];
	for (int i = 0; i < columns; i++) {
		sum[i] = first == 0 ? SET(0) : load(format, p, panel, out + i * p->outStride);
	}
	for (int64_t b = 0; b < blocks; b++, cell += columns) {
		addBlock(format, columns, sum, &u[b], cell);
	}
	for (int i = 0; i < columns; i++) {
		store(format, p, panel, out + i * p->outStride, sum[i]);
	}
}

#define AT_MOST(n) ((n) < TILE ? (n) : TILE)

// BY_COLUMNS calls f with the number of columns as a constant.
#define BY_COLUMNS(f, format, columns, ...)          \
	switch (columns) {                             \
	case 1:  f(format, 1, __VA_ARGS__); break;       \
	case 2:  f(format, 2, __VA_ARGS__); break;       \
	case 3:  f(format, 3, __VA_ARGS__); break;       \
	case 4:  f(format, 4, __VA_ARGS__); break;       \
	case 5:  f(format, AT_MOST(5), __VA_ARGS__); break; \
	case 6:  f(format, AT_MOST(6), __VA_ARGS__); break; \
	case 7:  f(format, AT_MOST(7), __VA_ARGS__); break; \
	default: f(format, TILE, __VA_ARGS__);           \
	}

// many multiplies a panel by the columns from `from` to `to`.
ALWAYS void many(int format, const struct matmul * p, int64_t panel, int64_t from, int64_t to) {
	struct unpacked u[DEPTH];
	for (int64_t first = 0; first < p->blocks; first += DEPTH) {
		int64_t blocks = p->blocks - first < DEPTH ? p->blocks - first : DEPTH;
		struct rows rows = panelAt(format, p, panel, first);
		const char * line = p->weights + panel * ROWS * p->stride + ROWS * unitBytes(format, first);
		for (int64_t b = 0; b < blocks; b += unitBlocks(format)) {
			line = ahead(line, ROWS * formats[format].bytes);
			unpack(format, &u[b], &rows);
		}
		for (int64_t i = from; i < to; i += TILE) {
			BY_COLUMNS(tile, format, to - i < TILE ? to - i : TILE, p, panel, u, first, blocks, i);
		}
	}
}

ALWAYS void panels(int format, const struct matmul * p, int64_t from, int64_t to) {
	if (p->n <= TILE) {
		for (int64_t panel = from; panel < to; panel++) {
			BY_COLUMNS(few, format, p->n, p, panel);
		}
		return;
	}
	for (int64_t column = 0; column < p->n; column += SPAN) {
		for (int64_t panel = from; panel < to; panel++) {
			many(format, p, panel, column, column + SPAN < p->n ? column + SPAN : p->n);
		}
	}
}

// One function for each format, so that the format is a constant when the compiler generates the code.
#define PANELS(format) static void panels_##format(const struct matmul * p, int64_t from, int64_t to) { panels(format, p, from, to); }
PANELS(Q8_0) PANELS(Q4_0) PANELS(Q4_1) PANELS(Q5_0) PANELS(Q5_1) PANELS(Q4_K) PANELS(Q5_K) PANELS(Q6_K) PANELS(Q4_0X8) PANELS(Q4_KX8)
static void (*const panelsOf[FORMATS])(const struct matmul *, int64_t, int64_t) = {
	[Q8_0] = panels_Q8_0, [Q4_0] = panels_Q4_0, [Q4_1] = panels_Q4_1, [Q5_0] = panels_Q5_0, [Q5_1] = panels_Q5_1,
	[Q4_K] = panels_Q4_K, [Q5_K] = panels_Q5_K, [Q6_K] = panels_Q6_K, [Q4_0X8] = panels_Q4_0X8, [Q4_KX8] = panels_Q4_KX8,
};

// formatOf returns the format of a matrix of weights, as in the file or in ggml's grouped layout; -1 if multiply does not
// support it.
static int formatOf(const struct ggml_tensor * w) {
	int grouped = w->extra != NULL;
	if (grouped && !(w->buffer && strcmp(ggml_backend_buffer_name(w->buffer), "CPU_REPACK") == 0)) {
		return -1;
	}
	for (int i = 0; i < FORMATS; i++) {
		if (formats[i].type == w->type && formats[i].grouped == grouped) {
			return i;
		}
	}
	return -1;
}

// multiply computes this thread's share of the panels.
static void multiply(const struct ggml_compute_params * params, struct ggml_tensor * dst) {
	const struct ggml_tensor *w = dst->src[0], *x = dst->src[1];
	int     format = formatOf(w);
	int64_t k = w->ne[0], n = x->ne[1], count = (w->ne[1] + ROWS - 1) / ROWS;
	bool    alone = n <= PRIVATE;
	struct cell * cells = (struct cell *) ((char *) params->wdata + (alone ? params->ith * n * columnSize(k) : 0));
	for (int64_t i = alone ? 0 : params->ith; i < n; i += alone ? 1 : params->nth) {
		quantize((const float *) (x->data + i * x->nb[1]), k, &formats[format], cells, i, n);
	}
	if (!alone) {
		ggml_barrier(params->threadpool);
	}
	struct matmul p = { .blocks = k / BLOCK, .m = w->ne[1], .n = n, .weights = w->data, .stride = w->nb[1], .cells = cells,
		.out = (float *) dst->data, .outStride = dst->nb[1] / sizeof(float) };
	panelsOf[format](&p, count * params->ith / params->nth, count * (params->ith + 1) / params->nth);
}

// taken reports whether multiply can compute an operation: the weights are a matrix in a supported format, and the activations
// are float32. The result depends only on the model, never on the batch.
static bool taken(const struct ggml_tensor * op) {
	if (op->op != OP_MUL_MAT || !prunellm_same_layout()) {
		return false;
	}
	const struct ggml_tensor *w = op->src[0], *x = op->src[1];
	int i = formatOf(w);
	if (i < 0) {
		return false;
	}
	const struct format * f = &formats[i];
	return x->type == TYPE_F32 && op->type == TYPE_F32 &&
		w->ne[0] % f->unit == 0 && w->ne[1] % (f->grouped ? GROUPED : ROWS) == 0 &&
		w->ne[2] == 1 && w->ne[3] == 1 && x->ne[2] == 1 && x->ne[3] == 1 &&
		w->nb[0] == (size_t) f->bytes && w->nb[1] == w->ne[0] / f->unit * w->nb[0] && x->nb[0] == sizeof(float) && op->nb[0] == sizeof(float) &&
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
