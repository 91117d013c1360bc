// Declarations of ggml's structures and calls that attention.c and matmul.c need, at the version in go.mod; its headers
// are not on our include path. prunellm_same_layout checks them against the library; if they differ, ggml's own
// functions stay in use.
#ifndef PRUNELLM_TENSOR_H
#define PRUNELLM_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ggml_tensor {
	int       type;
	void *    buffer;
	int64_t   ne[4];
	size_t    nb[4];
	int       op;
	int32_t   op_params[16];
	int32_t   flags;
	struct ggml_tensor * src[10];
	struct ggml_tensor * view_src;
	size_t    view_offs;
	char *    data;
	char      name[64];
	void *    extra; // set if the buffer has its own layout
	char      padding[8];
};
struct ggml_object {
	size_t offs, size;
	void * next;
	int    type;
	char   padding[4];
};
struct ggml_compute_params {
	int    ith, nth; // index of this thread, number of threads
	size_t wsize;    // bytes of wdata
	void * wdata;    // scratch memory that all threads share
	void * threadpool;
};
enum {
	TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q4_0 = 2, TYPE_Q4_1 = 3, TYPE_Q5_0 = 6, TYPE_Q5_1 = 7, TYPE_Q8_0 = 8,
	TYPE_Q4_K = 12, TYPE_Q5_K = 13, TYPE_Q6_K = 14,
};
enum { OP_MUL_MAT = 29 };

extern size_t       ggml_tensor_overhead(void);
extern const char * ggml_op_name(int op);
extern const char * ggml_type_name(int type);
extern const char * ggml_backend_buffer_name(void * buffer);
extern void         ggml_barrier(void * threadpool);

bool prunellm_same_layout(void);

#endif
