// Time of work on the device: medians over replays of a graph, whose calls go round through inputs that together are larger than the cache.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../tests/device_memory.h"

namespace longcat::cuda::bench {

using test::Array;
using test::Need;

// More than the second-level cache of any GPU there is: a call finds nothing of what an earlier round left.
inline constexpr size_t kRotatedBytes = size_t{512} << 20;

inline int Copies(size_t bytes) { return static_cast<int>(std::clamp<size_t>((kRotatedBytes + bytes - 1) / std::max<size_t>(bytes, 1), 2, 64)); }

// call(i) puts the work of copy i on the stream; microseconds of one call.
inline double Microseconds(const Execution& execution, int copies, const std::function<void(int)>& call, int rounds = 15) {
    cudaStream_t stream = static_cast<cudaStream_t>(execution.stream);
    for (int i = 0; i < copies; i++) {
        call(i);  // also what is loaded or allocated at the first call
    }
    Need(cudaStreamSynchronize(stream), "warming up");
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    Need(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    for (int i = 0; i < copies; i++) {
        call(i);
    }
    Need(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    Need(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");
    cudaEvent_t begin, end;
    Need(cudaEventCreate(&begin), "cudaEventCreate");
    Need(cudaEventCreate(&end), "cudaEventCreate");
    std::vector<double> times;
    for (int round = 0; round < rounds + 2; round++) {
        Need(cudaEventRecord(begin, stream), "cudaEventRecord");
        Need(cudaGraphLaunch(ready, stream), "cudaGraphLaunch");
        Need(cudaEventRecord(end, stream), "cudaEventRecord");
        Need(cudaEventSynchronize(end), "a timed graph");
        float milliseconds = 0;
        Need(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
        if (round >= 2) {
            times.push_back(static_cast<double>(milliseconds) * 1000 / copies);
        }
    }
    cudaEventDestroy(begin), cudaEventDestroy(end), cudaGraphExecDestroy(ready), cudaGraphDestroy(graph);
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    return times[times.size() / 2];
}

// cuBLAS, found at run time: a machine without it has fewer columns. The numbers are those of cublas_api.h and library_types.h.
class Cublas {
  public:
    explicit Cublas(const Execution& execution) {
        for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
            library_ = library_ == nullptr ? dlopen(name, RTLD_NOW) : library_;
        }
        if (library_ == nullptr) {
            std::printf("cuBLAS is not on the library path: no peers (%s)\n", dlerror());
            return;
        }
        auto create = reinterpret_cast<int (*)(void**)>(dlsym(library_, "cublasCreate_v2"));
        auto set_stream = reinterpret_cast<int (*)(void*, void*)>(dlsym(library_, "cublasSetStream_v2"));
        gemm_ = reinterpret_cast<Gemm>(dlsym(library_, "cublasGemmEx"));
        if (create == nullptr || set_stream == nullptr || gemm_ == nullptr || create(&handle_) != 0 || set_stream(handle_, execution.stream) != 0) {
            std::printf("cuBLAS does not start: no peers\n");
            gemm_ = nullptr;
        }
    }
    Cublas(const Cublas&) = delete;
    bool ready() const { return gemm_ != nullptr; }

    // y [m, n] = x [m, k] · w [n, k] transposed, bfloat16 in and out, sums in float32. False: refused.
    bool BFloat16(int m, int n, int k, const void* x, const void* w, void* y) const {
        const float one = 1, zero = 0;
        return gemm_(handle_, 1, 0, n, m, k, &one, w, 14, k, x, 14, k, &zero, y, 14, n, 68, -1) == 0;
    }
    // The same for int8 with int32 sums.
    bool Int8(int m, int n, int k, const void* x, const void* w, void* y) const {
        const int one = 1, zero = 0;
        return gemm_(handle_, 1, 0, n, m, k, &one, w, 3, k, x, 3, k, &zero, y, 10, n, 72, -1) == 0;
    }

  private:
    using Gemm = int (*)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*, void*, int, int, int, int);
    void* library_ = nullptr;
    void* handle_ = nullptr;
    Gemm gemm_ = nullptr;
};

// Numbers that look random and are the same every time.
inline uint64_t NextWord(uint64_t& state) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

// What the machine can do, measured: bytes a second of a copy (read and written) and bfloat16 operations a second of a large product.
struct Ceilings {
    double bytes_per_second = 0, operations_per_second = 0;
};

}  // namespace longcat::cuda::bench
