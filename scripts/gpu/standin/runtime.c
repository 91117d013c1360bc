// A stand-in for CUDA's runtime, for scripts/gpu/check-without-card. Its cards use the machine's memory, and its kernels only write a line
// to a trace. So a test can see a program's calls, and its reaction to errors, without a card.
//
//   STANDIN_DEVICES=N       number of cards (1)               STANDIN_MEMORY_MIB=N   memory of each card (8192)
//   STANDIN_CAPABILITY=NN   compute capability (90)           STANDIN_ERROR=N        error of a query for cards; 35 is that of an old driver
//   STANDIN_TRACE=FILE      writes a line for each call       STANDIN_FAIL=KIND:N    the Nth malloc, hostmalloc, copy, launch or sync fails, and all after it
#define _GNU_SOURCE
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#undef cudaGetDeviceProperties

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long setting(const char * name, long otherwise) {
	const char * value = getenv(name);
	return value != NULL ? atol(value) : otherwise;
}

// Writes one line to the trace for each operation of the card.
static FILE * trace;
void standin_say(const char * format, ...);
#define say standin_say
void standin_say(const char * format, ...) {
	static int asked;
	if (!asked) {
		asked = 1;
		const char * path = getenv("STANDIN_TRACE");
		if (path != NULL) trace = fopen(path, "w");
	}
	if (trace == NULL) return;
	va_list arguments;
	va_start(arguments, format);
	vfprintf(trace, format, arguments);
	va_end(arguments);
	fputc('\n', trace);
	fflush(trace);
}

// Reports whether a call of this kind must fail.
static int fails(const char * kind) {
	static const char * name; static long from, calls; static size_t length;
	if (name == NULL) {
		name = getenv("STANDIN_FAIL");
		if (name == NULL) { name = ""; }
		const char * colon = strchr(name, ':');
		length = colon != NULL ? (size_t) (colon - name) : strlen(name);
		from = colon != NULL ? atol(colon + 1) : 1;
	}
	if (length == 0 || strlen(kind) != length || strncmp(name, kind, length) != 0) return 0;
	pthread_mutex_lock(&lock);
	int now = ++calls >= from;
	pthread_mutex_unlock(&lock);
	return now;
}
static _Thread_local int device;
static _Thread_local cudaError_t last;
static cudaError_t result(cudaError_t e) { if (e != cudaSuccess) last = e; return e; }

// Memory.
#define MAX_DEVICES 16
struct block { void * at; size_t size; int device; struct block * next; };
static struct block * blocks;
static size_t used[MAX_DEVICES];
static size_t total(void) { return (size_t) setting("STANDIN_MEMORY_MIB", 8192) << 20; }
static size_t round_up(size_t n) { return (n + (2 << 20) - 1) & ~(size_t) ((2 << 20) - 1); }

cudaError_t cudaMalloc(void ** at, size_t size) {
	*at = NULL;
	if (size == 0) return cudaSuccess;
	if (fails("malloc")) return result(cudaErrorMemoryAllocation);
	size_t n = round_up(size);
	pthread_mutex_lock(&lock);
	if (used[device] + n > total()) { pthread_mutex_unlock(&lock); say("malloc %zu fails", size); return result(cudaErrorMemoryAllocation); }
	void * p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) { pthread_mutex_unlock(&lock); return result(cudaErrorMemoryAllocation); }
	struct block * b = malloc(sizeof *b);
	*b = (struct block) {p, n, device, blocks};
	blocks = b; used[device] += n;
	pthread_mutex_unlock(&lock);
	say("malloc %zu device %d", size, device);
	*at = p;
	return cudaSuccess;
}
cudaError_t cudaMallocManaged(void ** at, size_t size, unsigned flags) { (void) flags; return cudaMalloc(at, size); }
cudaError_t cudaFree(void * at) {
	if (at == NULL) return cudaSuccess;
	pthread_mutex_lock(&lock);
	for (struct block ** b = &blocks; *b != NULL; b = &(*b)->next) if ((*b)->at == at) {
		struct block * gone = *b;
		*b = gone->next; used[gone->device] -= gone->size; munmap(gone->at, gone->size);
		pthread_mutex_unlock(&lock);
		say("free %zu device %d", gone->size, gone->device);
		free(gone);
		return cudaSuccess;
	}
	pthread_mutex_unlock(&lock);
	return result(cudaErrorInvalidValue);
}
cudaError_t cudaMallocHost(void ** at, size_t size) { if (fails("hostmalloc")) return result(cudaErrorMemoryAllocation); *at = aligned_alloc(4096, (size + 4095) & ~(size_t) 4095); return *at ? cudaSuccess : result(cudaErrorMemoryAllocation); }
cudaError_t cudaFreeHost(void * at) { free(at); return cudaSuccess; }
cudaError_t cudaHostRegister(void * p, size_t n, unsigned f) { (void)p;(void)n;(void)f; return cudaSuccess; }
cudaError_t cudaHostUnregister(void * p) { (void)p; return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t * free_, size_t * total_) { *total_ = total(); pthread_mutex_lock(&lock); *free_ = *total_ - used[device]; pthread_mutex_unlock(&lock); return cudaSuccess; }

// Copies.
static const char * kind_of(enum cudaMemcpyKind k) { return k == cudaMemcpyHostToDevice ? "to" : k == cudaMemcpyDeviceToHost ? "from" : "on"; }
cudaError_t cudaMemcpyAsync(void * to, const void * from, size_t n, enum cudaMemcpyKind k, cudaStream_t s) { (void)s; if (fails("copy")) return result(cudaErrorLaunchFailure); memmove(to, from, n); say("copy %s %zu", kind_of(k), n); return cudaSuccess; }
cudaError_t cudaMemcpyPeerAsync(void * to, int d, const void * from, int e, size_t n, cudaStream_t s) { (void)s; memmove(to, from, n); say("copy peer %d to %d %zu", e, d, n); return cudaSuccess; }
cudaError_t cudaMemcpy2DAsync(void * to, size_t tp, const void * from, size_t fp, size_t w, size_t h, enum cudaMemcpyKind k, cudaStream_t s) {
	(void)s; for (size_t i = 0; i < h; i++) memmove((char *) to + i * tp, (const char *) from + i * fp, w); say("copy2d %s %zu x %zu", kind_of(k), w, h); return cudaSuccess; }
cudaError_t cudaMemcpy3DPeerAsync(const struct cudaMemcpy3DPeerParms * p, cudaStream_t s) { (void)p;(void)s; say("copy3d peer"); return cudaSuccess; }
cudaError_t cudaMemset(void * at, int v, size_t n) { memset(at, v, n); say("set %zu", n); return cudaSuccess; }
cudaError_t cudaMemsetAsync(void * at, int v, size_t n, cudaStream_t s) { (void)s; memset(at, v, n); say("set %zu", n); return cudaSuccess; }

// Devices.
static int devices(void) { long n = setting("STANDIN_DEVICES", 1); return n > MAX_DEVICES ? MAX_DEVICES : (int) n; }
cudaError_t cudaGetDeviceCount(int * n) { long e = setting("STANDIN_ERROR", 0); if (e) { *n = 0; return result((cudaError_t) e); } *n = devices(); const char * v = getenv("CUDA_VISIBLE_DEVICES");
	if (v != NULL) { int c = *v != 0; for (; *v; v++) c += *v == ','; if (c < *n) *n = c; } return *n ? cudaSuccess : result(cudaErrorNoDevice); }
cudaError_t cudaGetDevice(int * d) { *d = device; return cudaSuccess; }
cudaError_t cudaSetDevice(int d) { device = d; return cudaSuccess; }
cudaError_t cudaSetDeviceFlags(unsigned f) { (void)f; return cudaSuccess; }
cudaError_t cudaDeviceReset(void) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize(void) { say("sync device"); return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int * v) { *v = (int) setting("STANDIN_DRIVER", 13000); return cudaSuccess; }
cudaError_t cudaDeviceCanAccessPeer(int * can, int a, int b) { (void)a;(void)b; *can = (int) setting("STANDIN_PEER", 1); return cudaSuccess; }
cudaError_t cudaDeviceEnablePeerAccess(int d, unsigned f) { (void)d;(void)f; return cudaSuccess; }
cudaError_t cudaDeviceDisablePeerAccess(int d) { (void)d; return cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int * v, enum cudaDeviceAttr a, int d) {
	(void)d; long c = setting("STANDIN_CAPABILITY", 90);
	switch (a) {
	case cudaDevAttrComputeCapabilityMajor: *v = (int) (c / 10); break;
	case cudaDevAttrComputeCapabilityMinor: *v = (int) (c % 10); break;
	case cudaDevAttrMultiProcessorCount: *v = 132; break;
	case cudaDevAttrWarpSize: *v = 32; break;
	case cudaDevAttrCooperativeLaunch: *v = 1; break;
	default: *v = 0; }
	return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp * p, int d) {
	memset(p, 0, sizeof *p); long c = setting("STANDIN_CAPABILITY", 90);
	snprintf(p->name, sizeof p->name, "Stand-in %d", d);
	p->uuid.bytes[15] = (char) d; p->pciBusID = d + 1;
	p->totalGlobalMem = total(); p->sharedMemPerBlock = 49152; p->sharedMemPerBlockOptin = 232448; p->sharedMemPerMultiprocessor = 233472;
	p->regsPerBlock = 65536; p->warpSize = 32; p->maxThreadsPerBlock = 1024; p->maxThreadsPerMultiProcessor = 2048;
	p->major = (int) (c / 10); p->minor = (int) (c % 10); p->multiProcessorCount = 132; p->cooperativeLaunch = 1;
	return cudaSuccess;
}

// Streams, events, graphs.
struct CUstream_st { int capturing; long kernels; };
struct CUgraph_st { long kernels; };
struct CUgraphExec_st { long kernels; };
static struct CUstream_st none;
static struct CUstream_st * of(cudaStream_t s) { return (size_t) s <= 2 ? &none : s; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t * s, unsigned f) { (void)f; *s = calloc(1, sizeof **s); return cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t s) { free(s); return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { (void)s; if (fails("sync")) return result(cudaErrorIllegalAddress); say("sync"); return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned f) { (void)s;(void)e;(void)f; say("wait"); return cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus * c) { *c = of(s)->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone; return cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode m) { (void)m; of(s)->capturing = 1; of(s)->kernels = 0; say("capture"); return cudaSuccess; }
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t * g) { *g = calloc(1, sizeof **g); (*g)->kernels = of(s)->kernels; of(s)->capturing = 0; say("captured %ld", (*g)->kernels); return cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t g) { free(g); return cudaSuccess; }
cudaError_t cudaGraphInstantiate(cudaGraphExec_t * x, cudaGraph_t g, unsigned long long f) { (void)f; *x = calloc(1, sizeof **x); (*x)->kernels = g->kernels; say("instantiate"); return cudaSuccess; }
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t x, cudaGraph_t g, cudaGraphExecUpdateResultInfo * i) { if (i) memset(i, 0, sizeof *i); say("update"); x->kernels = g->kernels; return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x) { free(x); return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s) { (void)s; if (fails("launch")) return result(cudaErrorLaunchFailure); say("graph %ld", x->kernels); return cudaSuccess; }
struct CUevent_st { int x; };
cudaError_t cudaEventCreateWithFlags(cudaEvent_t * e, unsigned f) { (void)f; *e = calloc(1, sizeof **e); return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t e) { free(e); return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) { (void)e;(void)s; say("record"); return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t e) { (void)e; say("sync event"); return cudaSuccess; }

// Errors.
cudaError_t cudaGetLastError(void) { cudaError_t e = last; last = cudaSuccess; return e; }
cudaError_t cudaPeekAtLastError(void) { return last; }
const char * cudaGetErrorString(cudaError_t e) { return e == cudaErrorMemoryAllocation ? "out of memory" : e == cudaErrorNoDevice ? "no CUDA-capable device is detected" : e == cudaErrorInsufficientDriver ? "CUDA driver version is insufficient for CUDA runtime version" : e == cudaErrorIllegalAddress ? "an illegal memory access was encountered" : "unspecified launch failure"; }

// Kernels.
struct name { const void * function; const char * name; struct name * next; };
static struct name * names[4096];
static const char * name_of(const void * f) { for (struct name * n = names[((size_t) f >> 4) % 4096]; n; n = n->next) if (n->function == f) return n->name; return "?"; }
void ** __cudaRegisterFatBinary(void * f) { static void * handle; (void)f; return &handle; }
void __cudaRegisterFatBinaryEnd(void ** h) { (void)h; }
void __cudaUnregisterFatBinary(void ** h) { (void)h; }
void __cudaRegisterVar(void ** h, char * a, char * b, const char * n, int e, size_t s, int c, int g) { (void)h;(void)a;(void)b;(void)n;(void)e;(void)s;(void)c;(void)g; }
void __cudaRegisterFunction(void ** h, const char * host, char * fun, const char * name, int limit, void * t, void * b, void * bd, void * gd, int * w) {
	(void)h;(void)fun;(void)limit;(void)t;(void)b;(void)bd;(void)gd;(void)w;
	struct name * n = malloc(sizeof *n); size_t i = ((size_t) host >> 4) % 4096; *n = (struct name) {host, name, names[i]}; names[i] = n; }
cudaError_t __cudaGetKernel(cudaKernel_t * k, const void * f) { *k = (cudaKernel_t) f; return cudaSuccess; }
static _Thread_local struct { dim3 g, b; size_t m; void * s; } call;
unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t m, struct CUstream_st * s) { call.g = g; call.b = b; call.m = m; call.s = s; return 0; }
cudaError_t __cudaPopCallConfiguration(dim3 * g, dim3 * b, size_t * m, void * s) { *g = call.g; *b = call.b; *m = call.m; *(void **) s = call.s; return cudaSuccess; }
static cudaError_t launch(const void * f, dim3 g, dim3 b, cudaStream_t s, int early) {
	if (fails("launch")) return result(cudaErrorLaunchFailure);
	of(s)->kernels++;
	say("kernel %s %u,%u,%u x %u,%u,%u%s", name_of(f), g.x, g.y, g.z, b.x, b.y, b.z, early ? " early" : "");
	return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void ** a, size_t m, cudaStream_t s) { (void)a;(void)m; return launch(k, g, b, s, 0); }
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t * c, const void * f, void ** a) { (void)a; return launch(f, c->gridDim, c->blockDim, c->stream, c->numAttrs > 0); }
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes * a, const void * f) { (void)f; memset(a, 0, sizeof *a); a->maxThreadsPerBlock = 1024; a->binaryVersion = a->ptxVersion = (int) setting("STANDIN_CAPABILITY", 90); a->numRegs = 64; a->maxDynamicSharedSizeBytes = 232448; return cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void * f, enum cudaFuncAttribute a, int v) { (void)f;(void)a;(void)v; return cudaSuccess; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int * n, const void * f, int b, size_t m, unsigned x) { (void)f;(void)b;(void)m;(void)x; *n = 2; return cudaSuccess; }
