// Around the products of W4A8MatMul: rows whose length is no multiple of 16, and the end of sums whose K was split over blocks.
#pragma once

#include "parameters.cuh"

namespace longcat::cuda {

inline constexpr int kFinishThreads = 256;
inline constexpr int64_t kMostFinishRows = 32'768;  // blocks over tokens

// One output a thread: x runs over blocks of outputs, y over tokens (in strides, so that any number will do).
__global__ void __launch_bounds__(kFinishThreads) W4A8Finish(W4A8Parameters p) {
    int64_t output = static_cast<int64_t>(BlockX()) * kFinishThreads + ThreadX();
    if (output >= p.n) {
        return;
    }
    for (int64_t token = BlockY(); token < p.m; token += kMostFinishRows) {
        uint32_t total = 0;
        for (int64_t split = 0; split < p.splits; split++) {
            total += static_cast<uint32_t>(p.partial[(split * p.m + token) * p.n + output]);
        }
        p.y[token * p.n + output] = Finished(p, token, output, total);
    }
}

struct PadParameters {
    int64_t m, k, pitch;
    const int8_t* from;
    int8_t* to;
};

// A block a row.
__global__ void __launch_bounds__(kFinishThreads) W4A8Pad(PadParameters p) {
    for (int64_t k = ThreadX(); k < p.pitch; k += kFinishThreads) {
        p.to[BlockX() * p.pitch + k] = k < p.k ? p.from[BlockX() * p.k + k] : 0;
    }
}

}  // namespace longcat::cuda
