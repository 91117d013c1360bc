// Prints a hash of the results of every format of matmul.c for several numbers of columns: see scripts/check/lanes.
#include <stdio.h>
#include <stdlib.h>

#include "matmul.c"

size_t ggml_tensor_overhead(void) { return 0; }
const char * ggml_op_name(int op) { (void) op; return ""; }
const char * ggml_type_name(int type) { (void) type; return ""; }
const char * ggml_backend_buffer_name(void * buffer) { (void) buffer; return "CPU_REPACK"; }
bool prunellm_same_layout(void) { return true; }
void ggml_barrier(void * pool) { (void) pool; }
bool __real_ggml_cpu_extra_compute_forward(struct ggml_compute_params * params, struct ggml_tensor * op) { (void) params; (void) op; abort(); }
bool __real_ggml_cpu_extra_work_size(int threads, const struct ggml_tensor * op, size_t * size) { (void) threads; (void) op; (void) size; abort(); }

static uint32_t state;
static uint32_t draw(void) { return (state = state * 1664525u + 1013904223u) >> 8; }

// halves writes float16 of moderate size; a block of random bytes may contain infinities.
static void halves(uint8_t * at, int n) {
	for (int i = 0; i < n; i++) {
		uint16_t h = _cvtss_sh(0.001f * (1 + draw() % 100) * (draw() % 2 ? 1 : -1), 0);
		memcpy(at + 2 * i, &h, sizeof h);
	}
}

// weightsOf returns m rows of k random values.
static uint8_t * weightsOf(int format, int64_t m, int64_t k) {
	const struct format * f = &formats[format];
	size_t  stride = k / f->unit * f->bytes;
	int     rows = f->grouped ? GROUPED : 1, scales = (f->form == AFFINE ? 2 : 1) * rows;
	uint8_t * w = malloc(stride * m + 64);
	for (size_t i = 0; i < stride * m + 64; i++) {
		w[i] = draw();
	}
	for (size_t at = 0; at < stride * m; at += f->bytes * rows) {
		halves(w + at + (format == Q6_K ? 208 : 0), scales);
	}
	return w;
}

int main(void) {
	const int64_t k = 256 * 9, counts[] = { 1, 3, 8, 13, 150 };
	for (int format = 0; format < FORMATS; format++) {
		const struct format * f = &formats[format];
		int64_t m = f->grouped ? 40 : 48; // grouped rows end with half a panel of 16
		for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
			int64_t n = counts[c];
			state = format + 1;
			size_t    stride = k / f->unit * f->bytes, size = 0;
			uint8_t * weights = weightsOf(format, m, k);
			float *   x = malloc(k * n * sizeof *x), *out = calloc(m * n, sizeof *out);
			for (int64_t i = 0; i < k * n; i++) {
				x[i] = ((int) (draw() % 2001) - 1000) / 700.0f;
			}
			struct ggml_tensor w = { .type = f->type, .ne = { k, m, 1, 1 }, .nb = { f->bytes, stride }, .data = (char *) weights,
				.extra = f->grouped ? weights : NULL, .buffer = weights };
			struct ggml_tensor activations = { .type = TYPE_F32, .ne = { k, n, 1, 1 }, .nb = { 4, 4 * k }, .data = (char *) x };
			struct ggml_tensor op = { .type = TYPE_F32, .op = OP_MUL_MAT, .ne = { m, n, 1, 1 }, .nb = { 4, 4 * m }, .data = (char *) out,
				.src = { &w, &activations } };
			__wrap_ggml_cpu_extra_work_size(1, &op, &size);
			void * scratch = malloc(size);
			struct ggml_compute_params params = { .ith = 0, .nth = 1, .wsize = size, .wdata = scratch };
			__wrap_ggml_cpu_extra_compute_forward(&params, &op);
			uint64_t hash = 1469598103934665603ull, bits = 0;
			for (int64_t i = 0; i < m * n; i++) {
				memcpy(&bits, out + i, sizeof *out);
				hash = (hash ^ bits) * 1099511628211ull;
			}
			printf("format %d, %lld columns: %016llx\n", format, (long long) n, (unsigned long long) hash);
			free(weights), free(x), free(out), free(scratch);
		}
	}
	return 0;
}
