// Around the products of ExpertMixture: x as bfloat16, the sum over a token's experts, the optional output `inner`.
#pragma once

#include "../common/instructions.cuh"

namespace longcat::cuda {

inline constexpr int kCombineThreads = 256;

struct NarrowParameters {
    int64_t pieces;  // of eight
    const float* from;
    uint16_t* to;
};

// Grid: pieces / 256.
__global__ void __launch_bounds__(kCombineThreads) NarrowRows(NarrowParameters p) {
    const int64_t piece = static_cast<int64_t>(BlockX()) * kCombineThreads + ThreadX();
    if (piece >= p.pieces) {
        return;
    }
    const float* from = p.from + 8 * piece;
    Words4 words;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        words.x[i] = PackBFloat16(from[2 * i], from[2 * i + 1]);
    }
    reinterpret_cast<Words4*>(p.to)[piece] = words;
}

struct CombineParameters {
    int64_t hidden = 0, intermediate = 0;
    int top_k = 0;
    const float* x = nullptr;
    const int32_t* place = nullptr;        // [tokens, top_k]: the pair, -1: none
    const float* weight = nullptr;         // [tokens, top_k]
    const float* zero_weight = nullptr;    // [tokens]
    const float* product = nullptr;        // [pairs, hidden]
    const float* value = nullptr;          // [pairs, intermediate]
    float* y = nullptr;
    float* inner = nullptr;                // [tokens, top_k, intermediate]
};

// Grid: tokens, outputs / 256. Experts ascending, as on the CPU.
__global__ void __launch_bounds__(kCombineThreads) CombineExperts(CombineParameters p) {
    const int64_t token = BlockX(), output = static_cast<int64_t>(BlockY()) * kCombineThreads + ThreadX();
    if (output >= p.hidden) {
        return;
    }
    float sum = 0;
    for (int64_t i = token * p.top_k; i < (token + 1) * p.top_k; i++) {
        const int64_t pair = p.place[i];
        if (pair >= 0) {
            sum = Add(sum, Multiply(p.weight[i], p.product[pair * p.hidden + output]));
        }
    }
    const int64_t at = token * p.hidden + output;
    p.y[at] = Add(sum, Multiply(p.zero_weight[token], p.x[at]));
}

// Grid: tokens · top_k.
__global__ void __launch_bounds__(kCombineThreads) CopyInner(CombineParameters p) {
    const int64_t pair = p.place[BlockX()];
    for (int64_t i = ThreadX(); i < p.intermediate; i += kCombineThreads) {
        p.inner[BlockX() * p.intermediate + i] = pair < 0 ? 0 : p.value[pair * p.intermediate + i];
    }
}

}  // namespace longcat::cuda
