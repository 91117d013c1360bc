// A stand-in for cuBLAS: its matmuls only write a line to the trace; see runtime.c.
#include <stdlib.h>

extern void standin_say(const char *, ...);

int cublasCreate_v2(void ** handle) { *handle = malloc(1); return 0; }
int cublasDestroy_v2(void * handle) { free(handle); return 0; }
int cublasSetMathMode(void) { return 0; }
int cublasSetStream_v2(void) { return 0; }
const char * cublasGetStatusString(int status) { (void) status; return "no status"; }

#define MATMUL(name) int name(void) { standin_say("blas %s", #name); return 0; }
MATMUL(cublasGemmBatchedEx)
MATMUL(cublasGemmEx)
MATMUL(cublasGemmStridedBatchedEx)
MATMUL(cublasSgemm_v2)
MATMUL(cublasStrsmBatched)
