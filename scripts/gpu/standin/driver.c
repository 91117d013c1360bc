// A stand-in for the driver's library. ggml asks it for virtual memory, which the stand-in does not support; see runtime.c.
int cuDeviceGet(int * device, int number) { *device = number; return 0; }
int cuDeviceGetAttribute(int * value, int attribute, int device) { (void) attribute; (void) device; *value = 0; return 0; }
int cuGetErrorString(int error, const char ** text) { (void) error; *text = "an error of a stand-in"; return 0; }

#define MISSING(name) int name(void) { return 801; } // CUDA_ERROR_NOT_SUPPORTED
MISSING(cuMemAddressFree)
MISSING(cuMemAddressReserve)
MISSING(cuMemCreate)
MISSING(cuMemGetAllocationGranularity)
MISSING(cuMemMap)
MISSING(cuMemRelease)
MISSING(cuMemSetAccess)
MISSING(cuMemUnmap)
