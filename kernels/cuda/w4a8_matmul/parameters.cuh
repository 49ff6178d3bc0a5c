// What the kernels of W4A8MatMul share: parameters, fragments and the end of a sum.
#pragma once

#include "../common/instructions.cuh"
#include "longcat/w4a8_matmul.h"

namespace longcat::cuda {

struct W4A8Parameters {
    int64_t m = 0, n = 0, k = 0;
    int64_t group = 0, groups = 0;  // one group: k, rounded up to a multiple of 128
    int64_t panels = 0, panel_bytes = 0;
    int64_t x_pitch = 0;  // bytes from row to row, a multiple of 16
    int64_t splits = 1;   // parts of K; with more than one, sums go to `partial`
    int64_t panels_per_block = 1;
    bool vector = false;  // rows of y, partial sums, scale, bias and residual may be moved by 16 bytes
    const uint8_t* weights = nullptr;
    const int8_t* x = nullptr;
    const int32_t* rows = nullptr;  // which row of x and x_scale a token has; null: its own
    const float* x_scale = nullptr;
    const float* scale = nullptr;
    const float* bias = nullptr;
    const float* residual = nullptr;
    float* y = nullptr;
    int32_t* partial = nullptr;  // [splits, m, n]
};

// What follows from the shape of the weights.
inline W4A8Parameters ParametersOf(const W4A8Layout& layout) {
    W4A8Parameters p;
    p.n = layout.n, p.k = layout.k;
    p.groups = W4A8Groups(layout), p.group = p.groups > 1 ? layout.group : LargerOf((layout.k + 127) / 128 * 128, 128);
    p.panels = (layout.n + kW4A8PanelColumns - 1) / kW4A8PanelColumns, p.panel_bytes = W4A8PanelBytes(layout);
    return p;
}
// Whether `tile` takes such groups.
inline bool FitsTiles(const W4A8Layout& layout) { return layout.group >= layout.k || layout.group == 64 || layout.group % 128 == 0; }

inline constexpr int kPanelOutputs8 = 64;  // outputs of a panel
inline constexpr int kStepBytes = 256;     // of eight values of k of a panel
inline constexpr int kSlabSteps = 16;      // 128 values of k
inline constexpr uint32_t kZeroWeights = 0x88888888u;  // eight q of 0

// The weights of outputs 4 · group + 2 · pair and the one after it as the A operand.
__device__ __forceinline__ void WeightFragment(uint32_t first, uint32_t second, uint32_t (&a)[4]) {
    a[0] = ((first << 4) & 0xf0f0f0f0u) ^ 0x80808080u;
    a[1] = ((second << 4) & 0xf0f0f0f0u) ^ 0x80808080u;
    a[2] = (first & 0xf0f0f0f0u) ^ 0x80808080u;
    a[3] = (second & 0xf0f0f0f0u) ^ 0x80808080u;
}

// Scales of a group for the outputs 4 · group .. + 3 of both halves of a panel, as they lie.
template <int kScaleBytes>
struct GroupScales {
    uint32_t words[2][kScaleBytes] = {};

    // at: the group's scales of the panel.
    __device__ __forceinline__ void Load(const uint8_t* at, int group) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint32_t* from = reinterpret_cast<const uint32_t*>(at + (32 * half + 4 * group) * kScaleBytes);
#pragma unroll
            for (int i = 0; i < kScaleBytes; i++) {
                words[half][i] = from[i];
            }
        }
    }
    __device__ __forceinline__ uint32_t Of(int half, int output) const {
        if constexpr (kScaleBytes == 1) {
            return static_cast<uint32_t>(static_cast<int32_t>(static_cast<int8_t>(words[half][0] >> (8 * output))));
        } else {
            return static_cast<uint32_t>(static_cast<int32_t>(static_cast<int16_t>(words[half][output / 2] >> (16 * (output % 2)))));
        }
    }
};
template <>
struct GroupScales<0> {
    __device__ __forceinline__ void Load(const uint8_t*, int) {}
    __device__ __forceinline__ uint32_t Of(int, int) const { return 1; }
};

// totals += scale · (sums / 16), sums = 0, for matrix tiles kFirst .. of a panel. Register r of tile t holds output 2 · (t % 2) + r / 2 of half
// t / 2; all modulo 2^32.
template <int kFirst, int kCount, int kTiles, int kScaleBytes>
__device__ __forceinline__ void Flush(int32_t (&sums)[kCount][kTiles][4], uint32_t (&totals)[4][kTiles][4], const GroupScales<kScaleBytes>& scales) {
#pragma unroll
    for (int t = 0; t < kCount; t++) {
        const int tile = kFirst + t;
#pragma unroll
        for (int column = 0; column < kTiles; column++) {
#pragma unroll
            for (int r = 0; r < 4; r++) {
                totals[tile][column][r] +=
                    static_cast<uint32_t>(sums[t][column][r] >> 4) * scales.Of(tile / 2, 2 * (tile % 2) + r / 2);
                sums[t][column][r] = 0;
            }
        }
    }
}

__device__ __forceinline__ int64_t RowOf(const W4A8Parameters& p, int64_t token) { return p.rows == nullptr ? token : p.rows[token]; }

// y of one output, in the order of longcat/w4a8_matmul.h.
__device__ __forceinline__ float Finished(const W4A8Parameters& p, int64_t token, int64_t output, uint32_t total) {
    float value = Multiply(static_cast<float>(static_cast<int32_t>(total)), Multiply(p.x_scale[RowOf(p, token)], p.scale[output]));
    if (p.bias != nullptr) {
        value = Add(value, p.bias[output]);
    }
    if (p.residual != nullptr) {
        value = Add(value, p.residual[token * p.n + output]);
    }
    return value;
}

__device__ __forceinline__ void WriteTotal(const W4A8Parameters& p, int64_t split, int64_t token, int64_t output, uint32_t total) {
    if (p.splits > 1) {
        p.partial[(split * p.m + token) * p.n + output] = static_cast<int32_t>(total);
    } else {
        p.y[token * p.n + output] = Finished(p, token, output, total);
    }
}

}  // namespace longcat::cuda
