// Putting a kernel on a stream. Kernels take one argument, a struct.
#pragma once

#include "cuda.cuh"
#include "longcat/cuda/device.h"

namespace longcat::cuda {

struct LaunchShape {
    int64_t x = 1, y = 1, z = 1;  // blocks
    int threads = 0;
    size_t shared = 0;
};

inline constexpr int64_t kMostBlocksYZ = 65'535;
inline constexpr size_t kSharedWithoutAsking = 48 * 1024;

template <class Parameters>
Status Start(const char* name, void (*kernel)(Parameters), const LaunchShape& shape, const Parameters& parameters, const Execution& execution) {
    if (shape.y > kMostBlocksYZ || shape.z > kMostBlocksYZ || shape.x > INT32_MAX) {
        return Status::Error(StatusCode::kInvalidArgument, "%s: %lld x %lld x %lld blocks are more than a launch can have", name,
                             static_cast<long long>(shape.x), static_cast<long long>(shape.y), static_cast<long long>(shape.z));
    }
    if (shape.shared > execution.device.shared_bytes) {
        return Status::Error(StatusCode::kUnsupported, "%s wants %zu bytes of shared memory a block, %s has %zu", name, shape.shared,
                             execution.device.name, execution.device.shared_bytes);
    }
#if defined(LONGCAT_CUDA_EMULATION)
    struct Call {
        void (*kernel)(Parameters);
        const Parameters* parameters;
    } call{kernel, &parameters};
    emulation::Run({static_cast<unsigned>(shape.x), static_cast<unsigned>(shape.y), static_cast<unsigned>(shape.z)},
                   static_cast<unsigned>(shape.threads), shape.shared,
                   [](const void* argument) {
                       const Call& it = *static_cast<const Call*>(argument);
                       it.kernel(*it.parameters);
                   },
                   &call);
    return {};
#else
    const void* function = reinterpret_cast<const void*>(kernel);
    cudaError_t error = cudaSuccess;
    if (shape.shared > kSharedWithoutAsking) {
        error = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared));
    }
    if (error == cudaSuccess) {
        dim3 grid, block;
        grid.x = static_cast<unsigned>(shape.x), grid.y = static_cast<unsigned>(shape.y), grid.z = static_cast<unsigned>(shape.z);
        block.x = static_cast<unsigned>(shape.threads);
        Parameters copy = parameters;
        void* arguments[] = {&copy};
        error = cudaLaunchKernel(function, grid, block, arguments, shape.shared, static_cast<cudaStream_t>(execution.stream));
    }
    if (error != cudaSuccess) {
        cudaGetLastError();  // what is reported here shall not be reported again by whoever asks next
        return Status::Error(StatusCode::kDeviceFailure, "%s could not be started on %s: %s", name, execution.device.name,
                             cudaGetErrorString(error));
    }
    return {};
#endif
}

}  // namespace longcat::cuda
