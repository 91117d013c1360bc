// A stand-in for cuBLAS: products that leave a line in the trace; see runtime.c.
#include <stdlib.h>

extern void standin_say(const char *, ...);

int cublasCreate_v2(void ** handle) { *handle = malloc(1); return 0; }
int cublasDestroy_v2(void * handle) { free(handle); return 0; }
int cublasSetMathMode(void) { return 0; }
int cublasSetStream_v2(void) { return 0; }
const char * cublasGetStatusString(int status) { (void) status; return "no status"; }

#define PRODUCT(name) int name(void) { standin_say("blas %s", #name); return 0; }
PRODUCT(cublasGemmBatchedEx)
PRODUCT(cublasGemmEx)
PRODUCT(cublasGemmStridedBatchedEx)
PRODUCT(cublasSgemm_v2)
PRODUCT(cublasStrsmBatched)
