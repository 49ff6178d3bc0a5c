// The scale of a row of 8-bit activations (longcat/quantize_rows.h), or of 16-bit ones (longcat/w8a8_matmul.h), the same on every path.
#pragma once

namespace longcat {
namespace {

struct RowScale {
    float scale, inverse;  // inverse is 0 where all integers are 0
};

constexpr float kLeastLargest = 0x1p-110f;  // 32512 / this is finite

// most: the integer that stands for the largest.
inline RowScale RowScaleOf(float largest, bool finite, float static_scale, float most = 127) {
    if (!finite) {
        return {__builtin_nanf(""), 0};
    }
    if (static_scale > 0) {
        return {static_scale, 1.0f / static_scale};
    }
    return largest >= kLeastLargest ? RowScale{largest / most, most / largest} : RowScale{0, 0};
}

}  // namespace
}  // namespace longcat
