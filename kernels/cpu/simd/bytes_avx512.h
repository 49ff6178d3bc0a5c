// 8-bit integers of the AVX-512 path. Include after avx512.h; see avx512.h for the rules of this folder.
#pragma once

#include "avx512.h"

namespace longcat {
namespace {

struct Bytes {
    static constexpr int kBlock = 4 * Simd::kLanes;  // floats that become one store

    // Magnitudes as their bits: those of floats are in the order of integers, infinity above all numbers, NaN above infinity.
    using Magnitudes = __m512i;
    static Magnitudes NoMagnitude() { return _mm512_setzero_si512(); }
    static Magnitudes Larger(Magnitudes most, Simd::Vector x) {
        return _mm512_max_epi32(most, _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
    }
    static Magnitudes Larger(Magnitudes a, Magnitudes b) { return _mm512_max_epi32(a, b); }
    static uint32_t Largest(Magnitudes most) { return static_cast<uint32_t>(_mm512_reduce_max_epi32(most)); }

    // Four vectors rounded to the nearest integer, ties to even; beyond -128..127 they saturate.
    static __m512i Round(const Simd::Vector (&v)[4]) {
        __m512i first = _mm512_packs_epi32(_mm512_cvtps_epi32(v[0]), _mm512_cvtps_epi32(v[1])),
                second = _mm512_packs_epi32(_mm512_cvtps_epi32(v[2]), _mm512_cvtps_epi32(v[3]));
        // Packing works in each quarter of a register by itself.
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(first, second));
    }
    static void Store(int8_t* to, const Simd::Vector (&v)[4]) { _mm512_storeu_si512(to, Round(v)); }
    static void Store(int8_t* to, const Simd::Vector (&v)[4], int64_t count) { _mm512_mask_storeu_epi8(to, Mask(count), Round(v)); }

    static int32_t Sum(const int8_t* a, int64_t count) {
        // Sums of absolute differences from 0 are those of unsigned bytes: a + 128, which also fills what is missing.
        const __m512i shift = _mm512_set1_epi8(-128), zero = _mm512_setzero_si512();
        __m512i sum = zero;
        int64_t i = 0;
        for (; i + 64 <= count; i += 64) {
            sum = _mm512_add_epi64(sum, _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(a + i), shift), zero));
        }
        if (i < count) {
            sum = _mm512_add_epi64(sum, _mm512_sad_epu8(_mm512_xor_si512(_mm512_maskz_loadu_epi8(Mask(count - i), a + i), shift), zero));
            i += 64;
        }
        return static_cast<int32_t>(_mm512_reduce_add_epi64(sum) - 128 * i);
    }

  private:
    static __mmask64 Mask(int64_t count) { return (__mmask64{1} << count) - 1; }
};

}  // namespace
}  // namespace longcat
