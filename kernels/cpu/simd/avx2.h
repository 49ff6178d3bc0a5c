// The vector of the AVX2 path; see avx512.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace longcat {
namespace {

struct Simd {
    using Vector = __m256;
    using Doubles = __m256d;
    static constexpr int kLanes = 8;
    static constexpr int kDoubleLanes = 4;
    // Register tiles, 16 registers: see avx512.h.
    static constexpr int kDotRows = 3, kDotColumns = 4;
    static constexpr int kSumRows = 4, kSumVectors = 2;
    static constexpr int kPanelRows = 6, kPanelSums = 12;
    static constexpr int kRouterTokens = 2, kRouterExperts = 3;

    static __m256i Mask(int64_t count) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }

    static Vector Zero() { return _mm256_setzero_ps(); }
    static Vector All(float x) { return _mm256_set1_ps(x); }
    static Vector Load(const float* x) { return _mm256_loadu_ps(x); }
    static Vector Load(const uint16_t* x) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))), 16));
    }
    static Vector Load(const int8_t* x) {
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x))));
    }
    // The first count < kLanes elements, zeros above; nothing beyond them is touched.
    static Vector Load(const float* x, int64_t count) { return _mm256_maskload_ps(x, Mask(count)); }
    static Vector Load(const uint16_t* x, int64_t count) {
        alignas(16) uint16_t part[kLanes] = {};
        for (int64_t i = 0; i < count; i++) {
            part[i] = x[i];
        }
        return Load(part);
    }
    static Vector Load(const int8_t* x, int64_t count) {
        alignas(8) int8_t part[kLanes] = {};
        for (int64_t i = 0; i < count; i++) {
            part[i] = x[i];
        }
        return Load(part);
    }
    // Of kLanes pairs of bfloat16: the first and the second of each pair.
    static Vector LoadFirsts(const uint16_t* x) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), 16));
    }
    static Vector LoadSeconds(const uint16_t* x) {
        return _mm256_castsi256_ps(
            _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
    }
    // See avx512.h.
    static Vector LoadFour(const float* x) { return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(x)); }
    template <int I>
    static Vector Spread(Vector v) { return _mm256_permute_ps(v, I * 0x55); }
    static Vector LoadFours(const float* x, int64_t stride) { return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x)), _mm_loadu_ps(x + stride), 1); }
    static void Store(float* x, Vector v) { _mm256_storeu_ps(x, v); }
    static void Store(float* x, Vector v, int64_t count) { _mm256_maskstore_ps(x, Mask(count), v); }

    static Vector Add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
    static Vector Subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
    static Vector Multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
    static Vector Divide(Vector a, Vector b) { return _mm256_div_ps(a, b); }
    static Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
    static Vector Larger(Vector a, Vector b) { return _mm256_max_ps(a, b); }   // b where one is NaN
    static Vector Smaller(Vector a, Vector b) { return _mm256_min_ps(a, b); }  // b where one is NaN
    static float Sum(Vector v) {
        __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        half = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
    }
    static float SumOf16(const Vector* v) { return Sum(Add(v[0], v[1])); }  // see avx512.h
    static float Largest(Vector v) {
        __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        half = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
    }
    static Vector Round(Vector v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    // n is an integer in -252..254: the power is applied in two halves, so that neither leaves the exponent's range.
    static Vector TimesPowerOfTwo(Vector v, Vector n) {
        __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
        __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
        __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
        return _mm256_mul_ps(_mm256_mul_ps(v, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
    }
    static Vector ZeroBelow(Vector v, Vector x, float limit) {
        return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_NLT_UQ), v);
    }

    static Doubles ZeroDoubles() { return _mm256_setzero_pd(); }
    static Doubles LoadDoubles(const float* x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
    static Doubles LoadDoubles(const float* x, int64_t count) {
        __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(count)), _mm_setr_epi32(0, 1, 2, 3));
        return _mm256_cvtps_pd(_mm_maskload_ps(x, mask));
    }
    static Doubles MultiplyAdd(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
    static double Sum(Doubles v) {
        __m128d half = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
        return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
    }
};

}  // namespace
}  // namespace longcat
