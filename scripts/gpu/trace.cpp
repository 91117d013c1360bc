// Writes what a program has a GPU do, kernel by kernel: a library that CUDA loads into it (CUDA_INJECTION64_PATH). scripts/gpu/check
// builds it and scripts/gpu/trace adds the lines up. TRACE_OUT names the file: one line for each kernel and copy of the last 12,000, with
// its start and length in nanoseconds and its name.
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

// Never freed: threads of the driver come back to them while the program ends.
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
            const auto * kernel = reinterpret_cast<KERNEL *>(activity); // the newest layout: the header's last, by -D
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

// A Go program ends without a word to libraries, so the file is written now and then.
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
