// Writes a trace of the kernels that a program runs on a GPU. This is a library that CUDA loads into the program
// (CUDA_INJECTION64_PATH). scripts/gpu/check builds it, and scripts/gpu/trace sums up its lines. TRACE_OUT names the file. It has one
// line for each of the last 12,000 kernels and copies: start and length in nanoseconds, and name.
#include <cupti.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Record {
    uint64_t     start, end; // ns
    const char * name;
};

// Never freed, because threads of the driver still use them while the program ends.
auto &     records = *new std::vector<Record>;
auto &     names   = *new std::map<std::string, int>;
std::mutex mutex;

const char * keep(const char * name) { return names.emplace(name, 0).first->first.c_str(); }

void CUPTIAPI request(uint8_t ** buffer, size_t * size, size_t * most) {
    *size   = 8 << 20;
    *most   = 0;
    *buffer = static_cast<uint8_t *>(aligned_alloc(64, *size));
}

void CUPTIAPI complete(CUcontext, uint32_t, uint8_t * buffer, size_t, size_t valid) {
    std::lock_guard<std::mutex> lock(mutex);
    CUpti_Activity * activity = nullptr;
    while (cuptiActivityGetNextRecord(buffer, valid, &activity) == CUPTI_SUCCESS) {
        if (activity->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
            const auto * kernel = reinterpret_cast<KERNEL *>(activity); // -D sets the newest layout in the header
            records.push_back({kernel->start, kernel->end, keep(kernel->name)});
        } else if (activity->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
            const auto * copy = reinterpret_cast<MEMCPY *>(activity);
            records.push_back({copy->start, copy->end, keep(copy->copyKind == 1 ? "H2D" : copy->copyKind == 2 ? "D2H" : "copy")});
        }
    }
    free(buffer);
}

void write() {
    cuptiActivityFlushAll(1);
    const char * path = getenv("TRACE_OUT");
    std::lock_guard<std::mutex> lock(mutex);
    FILE * file = path == nullptr ? nullptr : fopen(path, "w");
    if (file == nullptr) {
        return;
    }
    std::sort(records.begin(), records.end(), [](const Record & a, const Record & b) { return a.start < b.start; });
    const size_t from = records.size() > 12000 ? records.size() - 12000 : 0;
    for (size_t i = from; i < records.size(); i++) {
        fprintf(file, "%llu %llu %s\n", (unsigned long long) (records[i].start - records[from].start),
            (unsigned long long) (records[i].end - records[i].start), records[i].name);
    }
    fclose(file);
}

} // namespace

// A Go program ends without calling the exit functions of libraries, so the file is written periodically.
extern "C" int InitializeInjection() {
    cuptiActivityRegisterCallbacks(request, complete);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
    std::thread([] {
        for (;;) {
            std::this_thread::sleep_for(std::chrono::milliseconds(700));
            write();
        }
    }).detach();
    atexit(write);
    return 1;
}
