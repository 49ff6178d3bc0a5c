// What an expert makes inside. Include after avx2.h or avx512.h.
#pragma once

#include "../simd/silu.h"

namespace longcat {
namespace {

// result[i] = silu(gate[i]) · up[i]; result may be gate or up.
inline void Activate(const float* gate, const float* up, int64_t count, float* result) {
    int64_t i = 0;
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
        Simd::Store(result + i, SiluMul(Simd::Load(gate + i), Simd::Load(up + i)));
    }
    if (i < count) {
        Simd::Store(result + i, SiluMul(Simd::Load(gate + i, count - i), Simd::Load(up + i, count - i)), count - i);
    }
}

}  // namespace
}  // namespace longcat
