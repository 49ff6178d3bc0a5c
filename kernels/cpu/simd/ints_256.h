// Sixteen 32-bit sums in two registers of AVX2: what ints_avx2.h and ints_avxvnni.h share, which is all but the products.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace longcat {
namespace {

struct Ints256 {
    struct Sums {
        __m256i left, right;  // outputs 0..7 and 8..15 of a tile
    };

    static Sums All(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
    static Sums LoadSums(const int32_t* from) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 8))};
    }
    static void StoreSums(Sums sums, int32_t* to) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums.left);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), sums.right);
    }

    struct Floats {
        __m256 left, right;
    };
    static Floats ToFloats(Sums total) { return {_mm256_cvtepi32_ps(total.left), _mm256_cvtepi32_ps(total.right)}; }
    // 256 · high + low, which a double holds exactly: rounded once.
    static __m256 ToFloats(__m256i high, __m256i low) {
        auto half = [](__m128i h, __m128i l) {
            return _mm256_cvtpd_ps(_mm256_add_pd(_mm256_mul_pd(_mm256_cvtepi32_pd(h), _mm256_set1_pd(256)), _mm256_cvtepi32_pd(l)));
        };
        return _mm256_set_m128(half(_mm256_extracti128_si256(high, 1), _mm256_extracti128_si256(low, 1)),
                               half(_mm256_castsi256_si128(high), _mm256_castsi256_si128(low)));
    }
    static Floats ToFloats(Sums high, Sums low) { return {ToFloats(high.left, low.left), ToFloats(high.right, low.right)}; }

    static void Finish(Floats total, float row_scale, const float* scale, const float* bias, const float* residual, float* y,
                       int64_t count) {
        for (int half = 0; half < 2; half++) {
            int64_t first = 8 * half, left = count - first;
            if (left <= 0) {
                break;
            }
            alignas(32) static constexpr int32_t kLanes[8] = {0, 1, 2, 3, 4, 5, 6, 7};
            __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(left < 8 ? left : 8)),
                                              _mm256_load_si256(reinterpret_cast<const __m256i*>(kLanes)));
            __m256 value = _mm256_mul_ps(half == 0 ? total.left : total.right,
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
    // Eight of the values that are left: round(x · inverse) within ±most.
    static __m256i Rounded(const float* x, int64_t left, float inverse, float most) {
        alignas(32) float part[8] = {};
        for (int64_t j = 0; j < left && left < 8; j++) {
            part[j] = x[j];
        }
        __m256 value = _mm256_mul_ps(left < 8 ? _mm256_load_ps(part) : _mm256_loadu_ps(x), _mm256_set1_ps(inverse));
        return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(value, _mm256_set1_ps(-most)), _mm256_set1_ps(most)));
    }
    static void StoreBytes(__m256i a, int8_t* to) {
        __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(narrow, narrow));
    }
    static void Quantize(const float* x, int64_t count, float inverse, int8_t* a) {
        for (int64_t i = 0; i < count; i += 8) {
            StoreBytes(Rounded(x + i, count - i, inverse, 127), a + i);
        }
    }
    static void QuantizeDigits(const float* x, int64_t count, float inverse, int8_t* high, int8_t* low) {
        for (int64_t i = 0; i < count; i += 8) {
            __m256i a = Rounded(x + i, count - i, inverse, 32512);
            __m256i upper = _mm256_srai_epi32(_mm256_add_epi32(a, _mm256_set1_epi32(128)), 8);
            StoreBytes(upper, high + i);
            StoreBytes(_mm256_sub_epi32(a, _mm256_slli_epi32(upper, 8)), low + i);
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
