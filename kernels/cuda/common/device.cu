#include "longcat/cuda/device.h"

#include <cstdio>

#include "cuda.cuh"

namespace longcat::cuda {

#if defined(LONGCAT_CUDA_EMULATION)

Status DescribeDevice(int ordinal, Device* device) {
    *device = {ordinal, 9, 0, 3, 227 * 1024, {}};  // few multiprocessors, so that small cases are split as large ones would be
    std::snprintf(device->name, sizeof(device->name), "the emulated grid");
    return {};
}

#else

namespace {

Status Failure(const char* what, cudaError_t error) {
    return Status::Error(StatusCode::kUnsupported,
                         "%s: %s; a GPU of compute capability 8.0 or newer and a driver for it are needed (nvidia-smi must list the GPU)", what,
                         cudaGetErrorString(error));
}

}  // namespace

Status DescribeDevice(int ordinal, Device* device) {
    int count = 0;
    if (cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
        cudaGetLastError();
        return Failure("CUDA finds no device", error);
    }
    if (ordinal < 0 || ordinal >= count) {
        return Status::Error(StatusCode::kInvalidArgument, "device %d: expected 0..%d, the devices that CUDA finds", ordinal, count - 1);
    }
    int shared = 0;
    *device = {};
    device->ordinal = ordinal;
    cudaError_t error = cudaDeviceGetAttribute(&device->major, cudaDevAttrComputeCapabilityMajor, ordinal);
    error = error == cudaSuccess ? cudaDeviceGetAttribute(&device->minor, cudaDevAttrComputeCapabilityMinor, ordinal) : error;
    error = error == cudaSuccess ? cudaDeviceGetAttribute(&device->multiprocessors, cudaDevAttrMultiProcessorCount, ordinal) : error;
    error = error == cudaSuccess ? cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal) : error;
    if (error != cudaSuccess) {
        return Failure("the device cannot be asked for its properties", error);
    }
    device->shared_bytes = static_cast<size_t>(shared);
    std::snprintf(device->name, sizeof(device->name), "device %d (compute capability %d.%d)", ordinal, device->major, device->minor);
    if (device->major < 8) {
        return Status::Error(StatusCode::kUnsupported, "%s: 8.0 or newer is needed", device->name);
    }
    return {};
}

#endif

}  // namespace longcat::cuda
