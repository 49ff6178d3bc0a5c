// bfloat16 and small integer helpers, with internal linkage for the same reason as in parallel.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "longcat/weights.h"

namespace longcat {
namespace {

inline float WidenBFloat16(uint16_t value) {
    uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof(result));
    return result;
}

// To the nearest, ties to even; NaN stays NaN.
inline uint16_t NarrowToBFloat16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return static_cast<uint16_t>((bits >> 16) | 0x40u);
    }
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// a·b + c, rounded once. Not std::fma: that of mingw's library rounds the product too. The product of two floats is exact in double; their sum is
// rounded to odd (where something was lost, its last bit is set), and that rounds to the right float.
inline float FusedMultiplyAdd(float a, float b, float c) {
    double product = static_cast<double>(a) * b, sum = product + c;
    double added = sum - product, lost = (product - (sum - added)) + (c - added);
    if (lost < 0 || lost > 0) {
        int64_t bits;
        std::memcpy(&bits, &sum, sizeof(bits));
        if ((bits & 1) == 0) {
            bits += (lost > 0) == (sum > 0) ? 1 : -1;
            std::memcpy(&sum, &bits, sizeof(sum));
        }
    }
    return static_cast<float>(sum);
}

inline float WeightAt(const Weights& weights, int64_t index) {
    return weights.type == WeightType::kFloat32 ? static_cast<const float*>(weights.data)[index]
                                                : WidenBFloat16(static_cast<const uint16_t*>(weights.data)[index]);
}

// The weight of output j and input i of a matrix [·, k], wherever its layout puts it.
inline float WeightOf(const Weights& weights, int64_t j, int64_t i, int64_t k) {
    if (weights.layout == WeightLayout::kRows) {
        return WeightAt(weights, j * k + i);
    }
    int64_t panel = j / kPanelOutputs * PanelElements(weights.type, k), lane = j % kPanelOutputs;
    return WeightAt(weights, weights.type == WeightType::kFloat32 ? panel + i * kPanelOutputs + lane
                                                                  : panel + i / 2 * (2 * kPanelOutputs) + 2 * lane + i % 2);
}

inline const void* Offset(const Weights& weights, int64_t elements) {
    return static_cast<const char*>(weights.data) + elements * static_cast<int64_t>(SizeOf(weights.type));
}

inline int64_t CeilDivide(int64_t value, int64_t by) { return (value + by - 1) / by; }
inline int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t Larger(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace longcat
