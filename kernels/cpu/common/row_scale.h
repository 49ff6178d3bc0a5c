// The scale of a row of 8-bit activations, the same on every path (longcat/quantize_rows.h).
#pragma once

namespace longcat {
namespace {

struct RowScale {
    float scale, inverse;  // inverse is 0 where all integers are 0
};

constexpr float kLeastLargest = 0x1p-120f;  // 127 / this is finite

inline RowScale RowScaleOf(float largest, bool finite, float static_scale) {
    if (!finite) {
        return {__builtin_nanf(""), 0};
    }
    if (static_scale > 0) {
        return {static_scale, 1.0f / static_scale};
    }
    return largest >= kLeastLargest ? RowScale{largest / 127.0f, 127.0f / largest} : RowScale{0, 0};
}

}  // namespace
}  // namespace longcat
