// A row of floats as 8-bit integers with one scale (longcat/cache.h). Internal linkage for the same reason as in parallel.h.
#pragma once

#include <cstdint>
#include <cstring>

namespace longcat {
namespace {

// Integer i goes to to[i · stride]; the scale to four bytes anywhere.
inline void StoreInt8Row(const float* x, int count, int8_t* to, int64_t stride, void* scale) {
    float most = 0;
    bool finite = true;
    for (int i = 0; i < count; i++) {
        float magnitude = x[i] < 0 ? -x[i] : x[i];
        finite = finite && magnitude <= 3.40282347e+38f;  // false for NaN
        most = magnitude > most ? magnitude : most;
    }
    bool empty = !finite || most < 0x1p-110f;
    float inverse = empty ? 0 : 127 / most, factor = finite ? (empty ? 0 : most / 127) : __builtin_nanf("");
    for (int i = 0; i < count; i++) {
        // What is added leaves no room for a fraction: the sum is rounded, ties to even.
        constexpr float kRounding = 12'582'912;
        to[i * stride] = empty ? int8_t{0} : static_cast<int8_t>(x[i] * inverse + kRounding - kRounding);
    }
    std::memcpy(scale, &factor, sizeof(factor));
}

inline float ScaleAt(const void* at) {
    float scale;
    std::memcpy(&scale, at, sizeof(scale));
    return scale;
}

}  // namespace
}  // namespace longcat
