// 8-bit integers of the NEON path; see bytes_avx512.h.
#pragma once

#include <cstddef>

#include "neon.h"

namespace longcat {
namespace {

struct Bytes {
    static constexpr int kBlock = 4 * Simd::kLanes;

    struct Magnitudes {
        int32x4_t low, high;
    };
    static Magnitudes NoMagnitude() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
    static Magnitudes Larger(Magnitudes most, Simd::Vector x) { return {Larger(most.low, x.low), Larger(most.high, x.high)}; }
    static Magnitudes Larger(Magnitudes a, Magnitudes b) { return {vmaxq_s32(a.low, b.low), vmaxq_s32(a.high, b.high)}; }
    static uint32_t Largest(Magnitudes most) { return static_cast<uint32_t>(vmaxvq_s32(vmaxq_s32(most.low, most.high))); }

    static void Store(int8_t* to, const Simd::Vector (&v)[4]) {
        vst1q_s8(to, Round(v[0], v[1]));
        vst1q_s8(to + 16, Round(v[2], v[3]));
    }
    static void Store(int8_t* to, const Simd::Vector (&v)[4], int64_t count) {
        int8_t part[kBlock];
        Store(part, v);
        __builtin_memcpy(to, part, static_cast<size_t>(count));
    }

    static int32_t Sum(const int8_t* a, int64_t count) {
        int32x4_t sum = vdupq_n_s32(0);
        int64_t i = 0;
        for (; i + 16 <= count; i += 16) {
            sum = vpadalq_s16(sum, vpaddlq_s8(vld1q_s8(a + i)));
        }
        int32_t total = vaddvq_s32(sum);
        for (; i < count; i++) {
            total += a[i];
        }
        return total;
    }

  private:
    static int32x4_t Larger(int32x4_t most, float32x4_t x) {
        return vmaxq_s32(most, vandq_s32(vreinterpretq_s32_f32(x), vdupq_n_s32(0x7fffffff)));
    }
    static int16x8_t Round(Simd::Vector v) {
        return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(v.low)), vqmovn_s32(vcvtnq_s32_f32(v.high)));
    }
    static int8x16_t Round(Simd::Vector first, Simd::Vector second) {
        return vcombine_s8(vqmovn_s16(Round(first)), vqmovn_s16(Round(second)));
    }
};

}  // namespace
}  // namespace longcat
