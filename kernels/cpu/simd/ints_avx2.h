// Sixteen 32-bit sums in two registers with AVX2: what vectorised.h needs of an instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace longcat {
namespace {

struct Ints {
    struct Sums {
        __m256i left, right;  // outputs 0..7 and 8..15 of a tile
    };
    struct Weights {
        __m256i left_low, left_high, right_low, right_high;
    };
    static constexpr int kRows = 2, kFewRows = 2;
    static constexpr int Tiles(int) { return 1; }

    static Sums All(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
    static Weights Load(const uint8_t* tile) {
        const __m256i mask = _mm256_set1_epi8(15);
        __m256i left = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile)),
                right = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + 32));
        return {_mm256_and_si256(left, mask), _mm256_and_si256(_mm256_srli_epi16(left, 4), mask), _mm256_and_si256(right, mask),
                _mm256_and_si256(_mm256_srli_epi16(right, 4), mask)};
    }
    // Four products of at most 15 · 127 fit 16 bits: nothing saturates.
    static __m256i Dot(__m256i sums, __m256i low, __m256i high, __m256i first, __m256i second) {
        __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, first), _mm256_maddubs_epi16(high, second));
        return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    static void Dot(Sums& sums, const Weights& w, const int32_t& first, const int32_t& second) {
        __m256i a = _mm256_set1_epi32(first), b = _mm256_set1_epi32(second);
        sums = {Dot(sums.left, w.left_low, w.left_high, a, b), Dot(sums.right, w.right_low, w.right_high, a, b)};
    }
    static Sums GroupScales(const uint8_t* scales, int bytes) {
        if (bytes == 1) {
            __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales));
            return {_mm256_cvtepu8_epi32(all), _mm256_cvtepu8_epi32(_mm_srli_si128(all, 8))};
        }
        return {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales))),
                _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + 16)))};
    }
    static Sums MultiplyAdd(Sums total, Sums sums, Sums scales) {
        return {_mm256_add_epi32(total.left, _mm256_mullo_epi32(sums.left, scales.left)),
                _mm256_add_epi32(total.right, _mm256_mullo_epi32(sums.right, scales.right))};
    }
    static Sums Add(Sums a, Sums b) { return {_mm256_add_epi32(a.left, b.left), _mm256_add_epi32(a.right, b.right)}; }

    static void Finish(Sums total, float row_scale, const float* scale, const float* bias, const float* residual, float* y, int64_t count) {
        for (int half = 0; half < 2; half++) {
            int64_t first = 8 * half, left = count - first;
            if (left <= 0) {
                break;
            }
            alignas(32) static constexpr int32_t kLanes[8] = {0, 1, 2, 3, 4, 5, 6, 7};
            __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(left < 8 ? left : 8)),
                                              _mm256_load_si256(reinterpret_cast<const __m256i*>(kLanes)));
            __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(half == 0 ? total.left : total.right),
                                         _mm256_mul_ps(_mm256_set1_ps(row_scale), _mm256_maskload_ps(scale + first, mask)));
            if (bias != nullptr) {
                value = _mm256_add_ps(value, _mm256_maskload_ps(bias + first, mask));
            }
            if (residual != nullptr) {
                value = _mm256_add_ps(value, _mm256_maskload_ps(residual + first, mask));
            }
            _mm256_maskstore_ps(y + first, mask, value);
        }
    }

    static float Largest(const float* x, int64_t count, bool* finite) {
        const __m256 sign = _mm256_set1_ps(-0.0f), infinity = _mm256_set1_ps(__builtin_inff());
        __m256 most = _mm256_setzero_ps(), bad = _mm256_setzero_ps();
        int64_t i = 0;
        for (; i + 8 <= count; i += 8) {
            __m256 value = _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i));
            bad = _mm256_or_ps(bad, _mm256_cmp_ps(value, infinity, _CMP_NLT_UQ));
            most = _mm256_max_ps(most, value);
        }
        alignas(32) float lanes[8];
        _mm256_store_ps(lanes, most);
        float largest = 0;
        for (float lane : lanes) {
            largest = lane > largest ? lane : largest;
        }
        *finite = _mm256_movemask_ps(bad) == 0;
        for (; i < count; i++) {
            float value = __builtin_fabsf(x[i]);
            *finite = *finite && value < __builtin_inff();
            largest = value > largest ? value : largest;
        }
        return largest;
    }
    static void Quantize(const float* x, int64_t count, float inverse, int8_t* a) {
        const __m256 factor = _mm256_set1_ps(inverse), least = _mm256_set1_ps(-127), most = _mm256_set1_ps(127);
        alignas(32) float part[8];
        for (int64_t i = 0; i < count; i += 8) {
            __m256 value;
            if (count - i >= 8) {
                value = _mm256_loadu_ps(x + i);
            } else {
                for (int64_t j = 0; j < 8; j++) {
                    part[j] = i + j < count ? x[i + j] : 0;
                }
                value = _mm256_load_ps(part);
            }
            value = _mm256_min_ps(_mm256_max_ps(_mm256_mul_ps(value, factor), least), most);
            __m256i whole = _mm256_cvtps_epi32(value);
            __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
            _mm_storel_epi64(reinterpret_cast<__m128i*>(a + i), _mm_packs_epi16(narrow, narrow));
        }
    }
    static int32_t Sum(const int8_t* a, int64_t count) {
        int32_t sum = 0;
        for (int64_t i = 0; i < count; i++) {
            sum += a[i];
        }
        return sum;
    }
};

}  // namespace
}  // namespace longcat
