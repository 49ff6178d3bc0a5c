// 8-bit integers of the AVX2 path; see bytes_avx512.h.
#pragma once

#include "avx2.h"

namespace longcat {
namespace {

struct Bytes {
    static constexpr int kBlock = 4 * Simd::kLanes;

    using Magnitudes = __m256i;
    static Magnitudes NoMagnitude() { return _mm256_setzero_si256(); }
    static Magnitudes Larger(Magnitudes most, Simd::Vector x) {
        return _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff)));
    }
    static Magnitudes Larger(Magnitudes a, Magnitudes b) { return _mm256_max_epi32(a, b); }
    static uint32_t Largest(Magnitudes most) {
        __m128i half = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
        half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
        half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
        return static_cast<uint32_t>(_mm_cvtsi128_si32(half));
    }

    static __m256i Round(const Simd::Vector (&v)[4]) {
        __m256i first = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1])),
                second = _mm256_packs_epi32(_mm256_cvtps_epi32(v[2]), _mm256_cvtps_epi32(v[3]));
        return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    }
    static void Store(int8_t* to, const Simd::Vector (&v)[4]) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), Round(v)); }
    static void Store(int8_t* to, const Simd::Vector (&v)[4], int64_t count) {
        alignas(32) int8_t part[kBlock];
        _mm256_store_si256(reinterpret_cast<__m256i*>(part), Round(v));
        __builtin_memcpy(to, part, static_cast<size_t>(count));
    }

    static int32_t Sum(const int8_t* a, int64_t count) {
        const __m256i shift = _mm256_set1_epi8(-128), zero = _mm256_setzero_si256();
        __m256i sum = zero;
        int64_t i = 0;
        for (; i + 32 <= count; i += 32) {
            __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i));
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(_mm256_xor_si256(bytes, shift), zero));
        }
        __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        int32_t total = static_cast<int32_t>(_mm_cvtsi128_si64(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half))) - 128 * i);
        for (; i < count; i++) {
            total += a[i];
        }
        return total;
    }
};

}  // namespace
}  // namespace longcat
