// Memory of the device for tests and benchmarks, and the stream they use. Under emulation a device's memory is the host's, exactly as long as asked
// for, so that a sanitizer sees what goes beyond.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "longcat/cuda/device.h"

#if defined(LONGCAT_CUDA_EMULATION)
#include "../emulation/grid.h"
#else
#include <cuda_runtime.h>
#endif

namespace longcat::cuda::test {

#if !defined(LONGCAT_CUDA_EMULATION)
inline void Need(cudaError_t error, const char* what) {
    if (error != cudaSuccess) {
        std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
        std::exit(1);
    }
}
#endif

template <class T>
class Array {
  public:
    explicit Array(size_t count) : count_(count) {
#if defined(LONGCAT_CUDA_EMULATION)
        data_ = count == 0 ? nullptr : static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{256}));
#else
        void* data = nullptr;
        Need(cudaMalloc(&data, count == 0 ? 1 : count * sizeof(T)), "cudaMalloc");
        data_ = count == 0 ? nullptr : static_cast<T*>(data);
        unused_ = count == 0 ? data : nullptr;
#endif
        Fill(0xff);
    }
    explicit Array(const std::vector<T>& values) : Array(values.size()) { Set(values); }
    Array(const Array&) = delete;
    ~Array() {
#if defined(LONGCAT_CUDA_EMULATION)
        if (data_ != nullptr) {
            ::operator delete(data_, std::align_val_t{256});
        }
#else
        cudaFree(data_);
        cudaFree(unused_);
#endif
    }
    T* get() { return data_; }
    size_t size() const { return count_; }
    void Fill(int byte) {
        if (count_ > 0) {
#if defined(LONGCAT_CUDA_EMULATION)
            std::memset(static_cast<void*>(data_), byte, count_ * sizeof(T));
#else
            Need(cudaMemset(data_, byte, count_ * sizeof(T)), "cudaMemset");
            Need(cudaDeviceSynchronize(), "cudaMemset");  // tests use a stream that does not wait for the default one
#endif
        }
    }
    void Set(const std::vector<T>& values) {
        if (count_ > 0) {
#if defined(LONGCAT_CUDA_EMULATION)
            std::memcpy(static_cast<void*>(data_), values.data(), count_ * sizeof(T));
#else
            Need(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
            Need(cudaDeviceSynchronize(), "cudaMemcpy");
#endif
        }
    }
    std::vector<T> Values() {
        std::vector<T> values(count_);
        if (count_ > 0) {
#if defined(LONGCAT_CUDA_EMULATION)
            std::memcpy(static_cast<void*>(values.data()), data_, count_ * sizeof(T));
#else
            Need(cudaDeviceSynchronize(), "a kernel");
            Need(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
#endif
        }
        return values;
    }

  private:
    size_t count_;
    T* data_ = nullptr;
#if !defined(LONGCAT_CUDA_EMULATION)
    void* unused_ = nullptr;
#endif
};

// The device tests run on; a program that finds none says why and ends with 77, which ctest counts as skipped.
inline Execution TestExecution() {
    Execution execution;
    if (Status status = DescribeDevice(0, &execution.device); !status.ok()) {
        std::printf("skipped: %s\n", status.message);
        std::exit(77);
    }
    std::printf("on %s\n", execution.device.name);
#if !defined(LONGCAT_CUDA_EMULATION)
    cudaStream_t stream;
    Need(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    execution.stream = stream;
#endif
    return execution;
}

inline void Finish([[maybe_unused]] const Execution& execution) {
#if !defined(LONGCAT_CUDA_EMULATION)
    Need(cudaStreamSynchronize(static_cast<cudaStream_t>(execution.stream)), "a kernel");
#endif
}

// The orders in which emulated threads run; on a GPU the same thing, thrice.
template <class Body>
void InEveryOrder(Body&& body) {
    for (int order = 0; order < 3; order++) {
#if defined(LONGCAT_CUDA_EMULATION)
        emulation::SetOrder(static_cast<emulation::Order>(order), 7);
#endif
        body(order);
    }
#if defined(LONGCAT_CUDA_EMULATION)
    emulation::SetOrder(emulation::Order::kForward);
#endif
}

}  // namespace longcat::cuda::test
