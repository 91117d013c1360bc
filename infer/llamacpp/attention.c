//go:build linux

// Attention on the CPU in tiles: see attention.go and decision 0307.
//
// B: KEYS keys of a block, D: size of a head, R: rows (tokens times query heads that share a key-value head) of a tile. A tile adds
// up each row in the same order, whatever its other rows: keys ascending, blocks from cell 0. A masked key adds an exact zero. So a
// row's bits depend only on its own tokens.
#include <math.h>
#include <string.h>

#include "tensor.h"

extern void   __real_ggml_compute_forward_flash_attn_ext(const struct ggml_compute_params * params, struct ggml_tensor * dst);
void          __wrap_ggml_compute_forward_flash_attn_ext(const struct ggml_compute_params * params, struct ggml_tensor * dst);

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

#ifdef __AVX512F__
typedef __m512 vec;
typedef __m512i ivec;
#define FMA    _mm512_fmadd_ps
#define SET    _mm512_set1_ps
#define LOAD   _mm512_loadu_ps
#define STORE  _mm512_storeu_ps
#define HALVES(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) (p)))
#else
typedef __m256 vec;
typedef __m256i ivec;
#define FMA    _mm256_fmadd_ps
#define SET    _mm256_set1_ps
#define LOAD   _mm256_loadu_ps
#define STORE  _mm256_storeu_ps
#define HALVES(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (p)))
#endif
typedef int32_t ints __attribute__((vector_size(sizeof(vec))));

enum {
	LANES  = sizeof(vec) / sizeof(float),
	KEYS   = 64,  // of a block; llama.cpp pads a sequence's cells to 256
	ROWS   = 64,  // of a tile at most
	GROUP  = 6,   // rows whose sums fit the registers
	HEAD   = 256, // size of a head at most
	MASKED = 0xfc00, // minus infinity as float16
};

// tile is the working memory of one thread, on its own stack: some 320 KiB.
struct tile {
	float keys[HEAD * KEYS];   // float32[D, B]: transposed
	float values[KEYS * HEAD]; // float32[B, D]
	float query[ROWS * HEAD];  // float32[R, D], scaled
	float weight[ROWS * KEYS]; // float32[R, B]: scores, then exponentials
	float out[ROWS * HEAD];    // float32[R, D]
	float largest[ROWS], sum[ROWS];
	int   depth;               // D
	int   rows;                // R
};

#define UNROLL _Pragma("GCC unroll 8")

// transposeHalves transposes 8 float16 values of each of 16 keys to 8 vectors of 16 keys. It moves them as float16,
// because a vector holds twice as many.
static inline __attribute__((always_inline)) void transposeHalves(const char * src, size_t stride, __m256i t[8]) {
	__m256i r[8];
	UNROLL
	for (int i = 0; i < 8; i++) { // keys i and i+8 in the two lanes
		r[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *) (src + i * stride))),
			_mm_loadu_si128((const __m128i *) (src + (i + 8) * stride)), 1);
	}
	UNROLL
	for (int i = 0; i < 4; i++) { // pairs of keys: values 0 to 3, and 4 to 7
		t[i]     = _mm256_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
		t[i + 4] = _mm256_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
	}
	UNROLL
	for (int i = 0; i < 4; i += 2) { // four keys: two values each
		UNROLL
		for (int high = 0; high < 2; high++) {
			r[4 * high + i]     = _mm256_unpacklo_epi32(t[4 * high + i], t[4 * high + i + 1]);
			r[4 * high + i + 1] = _mm256_unpackhi_epi32(t[4 * high + i], t[4 * high + i + 1]);
		}
	}
	UNROLL
	for (int pair = 0; pair < 4; pair++) { // eight keys: one value each
		int at = pair / 2 * 4 + pair % 2;
		t[2 * pair]     = _mm256_unpacklo_epi64(r[at], r[at + 2]);
		t[2 * pair + 1] = _mm256_unpackhi_epi64(r[at], r[at + 2]);
	}
}

// transposeToFloats stores the result of transposeHalves as 8 rows of keys in float32: dst[d*KEYS+key].
static inline void transposeToFloats(const char * src, size_t stride, float * dst) {
	__m256i t[8];
	transposeHalves(src, stride, t);
	UNROLL
	for (int d = 0; d < 8; d++) {
		_mm256_storeu_ps(dst + d * KEYS, _mm256_cvtph_ps(_mm256_castsi256_si128(t[d])));
		_mm256_storeu_ps(dst + d * KEYS + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(t[d], 1)));
	}
}

// scoreKeys computes rows of the scores, float32[R, B] = query keys, by a matmul.
static inline __attribute__((always_inline)) void scoreKeys(const int rows, const float * query, const float * keys, float * weight, int depth) {
	for (int c = 0; c < KEYS; c += 2 * LANES) {
		vec sum[GROUP][2];
		for (int r = 0; r < rows; r++) {
			sum[r][0] = sum[r][1] = SET(0);
		}
		for (int d = 0; d < depth; d++) {
			vec a = LOAD(keys + d * KEYS + c), b = LOAD(keys + d * KEYS + c + LANES);
			for (int r = 0; r < rows; r++) {
				vec q = SET(query[r * depth + d]);
				sum[r][0] = FMA(q, a, sum[r][0]);
				sum[r][1] = FMA(q, b, sum[r][1]);
			}
		}
		for (int r = 0; r < rows; r++) {
			STORE(weight + r * KEYS + c, sum[r][0]);
			STORE(weight + r * KEYS + c + LANES, sum[r][1]);
		}
	}
}

// sumValues adds weight values, a matmul, to rows of float32[R, D].
static inline __attribute__((always_inline)) void sumValues(const int rows, const float * weight, const float * values, float * out, int depth) {
	for (int c = 0; c < depth; c += 2 * LANES) {
		vec sum[GROUP][2];
		for (int r = 0; r < rows; r++) {
			sum[r][0] = LOAD(out + r * depth + c);
			sum[r][1] = LOAD(out + r * depth + c + LANES);
		}
		for (int k = 0; k < KEYS; k++) {
			vec a = LOAD(values + k * depth + c), b = LOAD(values + k * depth + c + LANES);
			for (int r = 0; r < rows; r++) {
				vec w = SET(weight[r * KEYS + k]);
				sum[r][0] = FMA(w, a, sum[r][0]);
				sum[r][1] = FMA(w, b, sum[r][1]);
			}
		}
		for (int r = 0; r < rows; r++) {
			STORE(out + r * depth + c, sum[r][0]);
			STORE(out + r * depth + c + LANES, sum[r][1]);
		}
	}
}

// PART converts 16 keys of float16 in __m256i to float32, LANES of them.
#ifdef __AVX512F__
#define PART(v, i) _mm512_cvtph_ps(v)
#else
#define PART(v, i) _mm256_cvtph_ps(i ? _mm256_extracti128_si256(v, 1) : _mm256_castsi256_si128(v))
#endif
enum { PARTS = 16 / LANES };

// scoreCachedKeys is scoreKeys on keys in the cache, for so few rows that each key is read only once.
static inline __attribute__((always_inline)) void scoreCachedKeys(const int rows, const float * query, const char * keys, size_t stride, int visible,
	float * weight, int depth) {
	for (int key = 0; key < visible; key += 16) {
		vec sum[GROUP][PARTS];
		for (int r = 0; r < rows; r++) {
			for (int i = 0; i < PARTS; i++) {
				sum[r][i] = SET(0);
			}
		}
		for (int d = 0; d < depth; d += 8) {
			__m256i t[8];
			transposeHalves(keys + key * stride + d * sizeof(uint16_t), stride, t);
			UNROLL
			for (int j = 0; j < 8; j++) {
				UNROLL
				for (int i = 0; i < PARTS; i++) {
					vec a = PART(t[j], i);
					UNROLL
					for (int r = 0; r < rows; r++) {
						sum[r][i] = FMA(SET(query[r * depth + d + j]), a, sum[r][i]);
					}
				}
			}
		}
		for (int r = 0; r < rows; r++) {
			for (int i = 0; i < PARTS; i++) {
				STORE(weight + r * KEYS + key + i * LANES, sum[r][i]);
			}
		}
	}
	for (int r = 0; r < rows; r++) {
		for (int key = (visible + 15) / 16 * 16; key < KEYS; key += LANES) {
			STORE(weight + r * KEYS + key, SET(0));
		}
	}
}

// sumCachedValues is sumValues on values in the cache.
static inline __attribute__((always_inline)) void sumCachedValues(const int rows, const float * weight, const char * values, size_t stride, int visible,
	float * out, int depth) {
	for (int c = 0; c < depth; c += 2 * LANES) {
		vec sum[GROUP][2];
		for (int r = 0; r < rows; r++) {
			sum[r][0] = LOAD(out + r * depth + c);
			sum[r][1] = LOAD(out + r * depth + c + LANES);
		}
		for (int k = 0; k < visible; k++) {
			vec a = HALVES(values + k * stride + c * sizeof(uint16_t)), b = HALVES(values + k * stride + (c + LANES) * sizeof(uint16_t));
			UNROLL
			for (int r = 0; r < rows; r++) {
				vec w = SET(weight[r * KEYS + k]);
				sum[r][0] = FMA(w, a, sum[r][0]);
				sum[r][1] = FMA(w, b, sum[r][1]);
			}
		}
		for (int r = 0; r < rows; r++) {
			STORE(out + r * depth + c, sum[r][0]);
			STORE(out + r * depth + c + LANES, sum[r][1]);
		}
	}
}

// BY_ROWS calls f with the number of rows, at most GROUP, as a constant.
#define BY_ROWS(f, rows, ...)                \
	switch (rows) {                          \
	case 1:  f(1, __VA_ARGS__); break;       \
	case 2:  f(2, __VA_ARGS__); break;       \
	case 3:  f(3, __VA_ARGS__); break;       \
	case 4:  f(4, __VA_ARGS__); break;       \
	case 5:  f(5, __VA_ARGS__); break;       \
	default: f(GROUP, __VA_ARGS__);          \
	}

// BY_GROUP calls f for GROUP rows at a time, and for the rest.
#define BY_GROUP(f, rows, first, first_step, second, third, third_step, depth)                                                      \
	for (int r = 0; r < (rows); r += GROUP) {                                                                                       \
		BY_ROWS(f, (rows) - r < GROUP ? (rows) - r : GROUP, first + r * (first_step), second, third + r * (third_step), depth)      \
	}

// exponential computes e to the x for x of at most 0; 0 below -87 and for NaN.
static inline vec exponential(vec x) {
	ints n = __builtin_convertvector(x * 1.44269504f - 0.5f, ints);
	vec  f = __builtin_convertvector(n, vec);
	vec  r = FMA(f, SET(2.12194440e-4f), FMA(f, SET(-0.693359375f), x));
	vec  p = SET(1.0f / 720);
	p = FMA(p, r, SET(1.0f / 120));
	p = FMA(p, r, SET(1.0f / 24));
	p = FMA(p, r, SET(1.0f / 6));
	p = FMA(p, r, SET(0.5f));
	p = FMA(p, r, SET(1));
	p = FMA(p, r, SET(1));
	vec e = p * (vec) ((n + 127) << 23);
	return (vec) ((ints) e & (x >= -87.0f));
}

// softmaxStep is one step of a softmax over blocks. It adds the mask to a row's scores, replaces them by exponentials of
// their distance to the largest so far, and rescales the row's output. If the mask hides the whole block, the row does
// not change.
static void softmaxStep(struct tile * t, int row, const float * mask) {
	float * w = t->weight + row * KEYS;
	vec     top = SET(-INFINITY);
	for (int c = 0; c < KEYS; c += LANES) {
		vec s = LOAD(w + c) + LOAD(mask + c);
		ints above = s > top;
		top = (vec) (((ints) s & above) | ((ints) top & ~above));
		STORE(w + c, s);
	}
	float largest = t->largest[row];
	for (int i = 0; i < LANES; i++) {
		largest = top[i] > largest ? top[i] : largest;
	}
	if (largest == -INFINITY) {
		memset(w, 0, KEYS * sizeof *w);
		return;
	}
	if (largest > t->largest[row]) {
		float shrink = expf(t->largest[row] - largest); // 0 for the first block
		for (int c = 0; c < t->depth; c += LANES) {
			STORE(t->out + row * t->depth + c, LOAD(t->out + row * t->depth + c) * shrink);
		}
		t->sum[row] *= shrink;
		t->largest[row] = largest;
	}
	vec sum = SET(0);
	for (int c = 0; c < KEYS; c += LANES) {
		vec e = exponential(LOAD(w + c) - largest);
		STORE(w + c, e);
		sum += e;
	}
	float total = 0;
	for (int i = 0; i < LANES; i++) {
		total += sum[i];
	}
	t->sum[row] += total;
}

// seen returns one more than the last key of a block that a token's mask leaves visible; 0: none.
static int seen(const uint16_t * mask) {
	int k = KEYS;
	while (k > 0 && mask[k - 1] == MASKED) {
		k--;
	}
	return k;
}

// work is the part of an operation that one tile computes: some tokens and the query heads of one key-value head, or
// one token and the query heads of several.
struct work {
	const struct ggml_tensor *q, *k, *v, *mask;
	struct ggml_tensor * dst;
	float scale;
	int   stream, head, heads; // stream, first key-value head, query heads that share one
	int   groups;              // key-value heads
	int   from, tokens;        // tokens of the tile
};

static void readQueries(struct tile * t, const struct work * w) {
	int heads = w->groups * w->heads;
	for (int row = 0; row < t->rows; row++) {
		const char * src = w->q->data + (w->from + row / heads) * w->q->nb[1] + (w->head * w->heads + row % heads) * w->q->nb[2] +
			w->stream * w->q->nb[3];
		for (int d = 0; d < t->depth; d += LANES) {
			STORE(t->query + row * t->depth + d, LOAD((const float *) src + d) * w->scale);
		}
		t->largest[row] = -INFINITY;
		t->sum[row]     = 0;
	}
	memset(t->out, 0, t->rows * t->depth * sizeof *t->out);
}

// cells returns the address of a block of a key-value head in the cache of keys or values.
static const char * cells(const struct work * w, const struct ggml_tensor * cache, int head, int64_t first) {
	int stream = w->stream / (w->q->ne[3] / cache->ne[3]);
	return cache->data + first * cache->nb[1] + head * cache->nb[2] + stream * cache->nb[3];
}

// fetch prefetches cells of all heads of a stream, which are contiguous: sequential reads are several times faster than
// reads of one head's cells, which are strided.
static void fetch(const struct work * w, const struct ggml_tensor * cache, int64_t first, int count) {
	const char * begin = cells(w, cache, 0, first);
	for (const char * at = begin; at < begin + count * cache->nb[1]; at += 64) {
		__builtin_prefetch(at, 0, 2);
	}
}

// readBlock converts the keys and values from cell `first` on to float32; cells that no token sees become zeros.
static void readBlock(struct tile * t, const struct work * w, int64_t first, int visible) {
	const char *keys = cells(w, w->k, w->head, first), *values = cells(w, w->v, w->head, first);
	for (int key = 0; key < visible; key += 16) {
		for (int d = 0; d < t->depth; d += 8) {
			transposeToFloats(keys + key * w->k->nb[1] + d * sizeof(uint16_t), w->k->nb[1], t->keys + d * KEYS + key);
		}
	}
	for (int key = (visible + 15) / 16 * 16; key < KEYS; key += 16) {
		for (int d = 0; d < t->depth; d++) {
			memset(t->keys + d * KEYS + key, 0, 16 * sizeof *t->keys);
		}
	}
	for (int key = 0; key < visible; key++) {
		for (int d = 0; d < t->depth; d += LANES) {
			STORE(t->values + key * t->depth + d, HALVES(values + key * w->v->nb[1] + d * sizeof(uint16_t)));
		}
	}
	memset(t->values + visible * t->depth, 0, (KEYS - visible) * t->depth * sizeof *t->values);
}

static void attendTile(struct tile * t, const struct work * w) {
	int rows = w->tokens * w->heads; // of a group
	t->rows = w->groups * rows;
	readQueries(t, w);
	for (int64_t first = 0; first < w->k->ne[1]; first += KEYS) {
		const char * masks = w->mask->data + (w->stream % w->mask->ne[3]) * w->mask->nb[3] + w->from * w->mask->nb[1] + first * sizeof(uint16_t);
		int visible = 0;
		for (int i = 0; i < w->tokens && visible < KEYS; i++) {
			int n = seen((const uint16_t *) (masks + i * w->mask->nb[1]));
			visible = n > visible ? n : visible;
		}
		if (visible == 0) {
			continue;
		}
		bool few = rows <= GROUP;
		if (w->groups > 1) {
			fetch(w, w->k, first, visible);
		}
		if (few) {
			for (int g = 0; g < w->groups; g++) {
				const float * query = t->query + g * rows * t->depth;
				BY_ROWS(scoreCachedKeys, rows, query, cells(w, w->k, w->head + g, first), w->k->nb[1], visible, t->weight + g * rows * KEYS, t->depth)
			}
		} else {
			readBlock(t, w, first, visible);
			BY_GROUP(scoreKeys, rows, t->query, t->depth, t->keys, t->weight, KEYS, t->depth)
		}
		if (w->groups > 1) {
			fetch(w, w->v, first, visible);
		}
		for (int i = 0; i < w->tokens; i++) {
			float mask[KEYS];
			for (int c = 0; c < KEYS; c += LANES) {
				STORE(mask + c, HALVES(masks + i * w->mask->nb[1] + c * sizeof(uint16_t)));
			}
			for (int h = 0; h < w->groups * w->heads; h++) {
				softmaxStep(t, i * w->heads + h, mask);
			}
		}
		if (few) {
			for (int g = 0; g < w->groups; g++) {
				const float * weight = t->weight + g * rows * KEYS;
				BY_ROWS(sumCachedValues, rows, weight, cells(w, w->v, w->head + g, first), w->v->nb[1], visible, t->out + g * rows * t->depth, t->depth)
			}
		} else {
			BY_GROUP(sumValues, rows, t->weight, KEYS, t->values, t->out, t->depth, t->depth)
		}
	}
	int heads = w->groups * w->heads;
	for (int row = 0; row < t->rows; row++) {
		int64_t token = w->from + row / heads, head = w->head * w->heads + row % heads;
		float * dst = (float *) (w->dst->data + (w->stream * w->dst->ne[2] * w->dst->ne[1] + head + token * w->dst->ne[1]) * w->dst->nb[1]);
		float   inverse = t->sum[row] == 0 ? 0 : 1 / t->sum[row];
		for (int d = 0; d < t->depth; d += LANES) {
			STORE(dst + d, LOAD(t->out + row * t->depth + d) * inverse);
		}
	}
}

// tiled reports whether attendTile can compute an operation: float16 keys and values of one head size, a mask and
// nothing else that changes the scores. The result depends on the model and its cache, never on the other sequences of
// the batch.
static bool tiled(const struct ggml_tensor * dst) {
	if (!prunellm_same_layout()) {
		return false;
	}
	const struct ggml_tensor *q = dst->src[0], *k = dst->src[1], *v = dst->src[2], *mask = dst->src[3], *sinks = dst->src[4];
	float bias, cap;
	memcpy(&bias, dst->op_params + 1, sizeof bias);
	memcpy(&cap, dst->op_params + 2, sizeof cap);
	int64_t depth = q->ne[0];
	return q->type == TYPE_F32 && k->type == TYPE_F16 && v->type == TYPE_F16 && mask && mask->type == TYPE_F16 && !sinks &&
		bias == 0 && cap == 0 && depth <= HEAD && depth % (2 * LANES) == 0 && k->ne[0] == depth && v->ne[0] == depth &&
		k->nb[0] == 2 && v->nb[0] == 2 && q->nb[0] == 4 && mask->nb[0] == 2 && dst->nb[0] == 4 && dst->nb[1] == depth * sizeof(float) &&
		k->ne[1] % KEYS == 0 && v->ne[1] == k->ne[1] && v->ne[2] == k->ne[2] && mask->ne[2] == 1 && mask->ne[0] >= k->ne[1] && mask->ne[1] >= q->ne[1] &&
		q->ne[2] % k->ne[2] == 0 && q->ne[2] / k->ne[2] <= ROWS && q->ne[3] % k->ne[3] == 0 && q->ne[3] % v->ne[3] == 0;
}

// attend assigns tiles to threads round-robin. That spreads the later tiles of a prompt, which see more keys.
static void attend(const struct ggml_compute_params * params, struct ggml_tensor * dst) {
	struct tile t;
	struct work w = { .q = dst->src[0], .k = dst->src[1], .v = dst->src[2], .mask = dst->src[3], .dst = dst };
	memcpy(&w.scale, dst->op_params, sizeof w.scale);
	t.depth = w.q->ne[0];
	w.heads = w.q->ne[2] / w.k->ne[2];
	int64_t height = ROWS / w.heads, tiles = (w.q->ne[1] + height - 1) / height, streams = 0;
	if (w.q->ne[1] == 1 && w.heads <= GROUP && w.q->ne[2] <= ROWS) { // one token per stream: a whole stream per thread, as many streams as divide evenly
		streams  = w.q->ne[3] / params->nth * params->nth;
		w.groups = w.k->ne[2];
		w.tokens = 1;
		w.from = w.head = 0;
		for (w.stream = params->ith; w.stream < streams; w.stream += params->nth) {
			attendTile(&t, &w);
		}
	}
	w.groups = 1;
	for (int64_t unit = params->ith; unit < tiles * w.k->ne[2] * (w.q->ne[3] - streams); unit += params->nth) {
		w.from   = unit % tiles * height;
		w.tokens = w.q->ne[1] - w.from < height ? w.q->ne[1] - w.from : height;
		w.head   = unit / tiles % w.k->ne[2];
		w.stream = streams + unit / tiles / w.k->ne[2];
		attendTile(&t, &w);
	}
}

void __wrap_ggml_compute_forward_flash_attn_ext(const struct ggml_compute_params * params, struct ggml_tensor * dst) {
	if (tiled(dst)) {
		attend(params, dst);
	} else {
		__real_ggml_compute_forward_flash_attn_ext(params, dst);
	}
}

#else

void __wrap_ggml_compute_forward_flash_attn_ext(const struct ggml_compute_params * params, struct ggml_tensor * dst) {
	__real_ggml_compute_forward_flash_attn_ext(params, dst);
}

#endif
