// A GPU and where on it a kernel runs. All kernels of longcat/cuda take pointers to memory of the device, put their work on the given stream
// and return: they neither wait for it nor allocate; scratch memory comes from the caller, 256-byte aligned, and must live until the
// stream has passed the kernel. What a Status of theirs says is what could be seen before the work began: shapes, missing pointers,
// an error of a launch. Values on the device (page numbers, ids) are not read by the host; each kernel says what it does with bad ones.
#pragma once

#include <cstddef>

#include "longcat/status.h"

namespace longcat::cuda {

struct Device {
    int ordinal = 0;
    int major = 0, minor = 0;  // compute capability, 8.0 or newer
    int multiprocessors = 0;
    size_t shared_bytes = 0;  // most that a block can have
    char name[128] = {};
};

// kUnsupported: no driver, no such device, a compute capability below 8.0; the message says which.
Status DescribeDevice(int ordinal, Device* device);

struct Execution {
    Device device;
    void* stream = nullptr;  // a cudaStream_t; null: the default stream
};

}  // namespace longcat::cuda
