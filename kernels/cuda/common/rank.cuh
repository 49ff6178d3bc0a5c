// Floats in the order of whole numbers.
#pragma once

#include "instructions.cuh"

namespace longcat::cuda {

// Ascending like the numbers, as cpu/common/highest.h: 0 and -0 are one, what is no number lies below all and has rank 0. At most 0xff800000.
__device__ __forceinline__ uint32_t RankOf(float value) {
    uint32_t bits = BitsOf(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return 0;
    }
    bits = bits == 0x80000000u ? 0 : bits;
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

}  // namespace longcat::cuda
