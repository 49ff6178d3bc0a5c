#pragma once

#include "longcat/sparse_gated_mlp.h"

namespace longcat {

// The channels that some row keeps, in ascending order, and where the values of h go meanwhile.
struct LiveChannels {
    int64_t count = 0;
    const int32_t* channel = nullptr;  // [count]
    const int32_t* cut = nullptr;      // [cuts + 1]: the first of `channel` that lies in the cut, or behind it
    int64_t stride = 0;                // of h: count rounded up to kChannelBlock
    float* h = nullptr;                // scratch [m, stride]
};

constexpr int64_t kChannelCut = 256;   // channels of a sum of its own: MatMul's depth (cpu/simd/panels.h)
constexpr int64_t kChannelBlock = 32;  // channels whose rows of up are turned into panels at once

void SparseChannelsAvx2(const SparseGatedMlpArguments& arguments, const LiveChannels& live, const ParallelFor& parallel);
void SparseChannelsAvx512(const SparseGatedMlpArguments& arguments, const LiveChannels& live, const ParallelFor& parallel);
void SparseChannelsNeon(const SparseGatedMlpArguments& arguments, const LiveChannels& live, const ParallelFor& parallel);

}  // namespace longcat
