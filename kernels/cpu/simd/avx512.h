// The vector of the AVX-512 path. Everything below cpu/simd has internal linkage and uses nothing of the C++ library: a function
// compiled for one instruction set must never be merged by the linker with one for another.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace longcat {
namespace {

struct Simd {
    using Vector = __m512;
    using Doubles = __m512d;
    static constexpr int kLanes = 16;
    static constexpr int kDoubleLanes = 8;
    // Register tiles, 32 registers: dot products keep rows · columns sums, the rows of a and one row of b; weighted sums keep
    // rows · vectors sums, the vectors of b and one weight; products with panels at most kPanelRows rows and kPanelSums sums.
    static constexpr int kDotRows = 4, kDotColumns = 6;
    static constexpr int kSumRows = 4, kSumVectors = 4;
    static constexpr int kPanelRows = 14, kPanelSums = 28;
    static constexpr int kRouterTokens = 4, kRouterExperts = 6;  // sums of sixteen lanes each

    static __mmask16 Mask(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

    static Vector Zero() { return _mm512_setzero_ps(); }
    static Vector All(float x) { return _mm512_set1_ps(x); }
    static Vector Load(const float* x) { return _mm512_loadu_ps(x); }
    static Vector Load(const uint16_t* x) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x))), 16));
    }
    static Vector Load(const int8_t* x) {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
    }
    // The first count < kLanes elements, zeros above; nothing beyond them is touched.
    static Vector Load(const float* x, int64_t count) { return _mm512_maskz_loadu_ps(Mask(count), x); }
    static Vector Load(const uint16_t* x, int64_t count) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(Mask(count), x)), 16));
    }
    static Vector Load(const int8_t* x, int64_t count) {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(Mask(count), x)));
    }
    // Of kLanes pairs of bfloat16: the first and the second of each pair.
    static Vector LoadFirsts(const uint16_t* x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(x), 16)); }
    static Vector LoadSeconds(const uint16_t* x) {
        return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
    }
    // Four numbers, over and over; and of each four lanes number I in all four.
    static Vector LoadFour(const float* x) { return _mm512_broadcast_f32x4(_mm_loadu_ps(x)); }
    template <int I>
    static Vector Spread(Vector v) { return _mm512_permute_ps(v, I * 0x55); }
    // Four numbers of each of kLanes / 4 rows.
    static Vector LoadFours(const float* x, int64_t stride) {
        __m512 v = LoadFour(x);
        v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_loadu_ps(x + stride));
        v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_loadu_ps(x + 2 * stride));
        return _mm512_mask_broadcast_f32x4(v, 0xf000, _mm_loadu_ps(x + 3 * stride));
    }
    static void Store(float* x, Vector v) { _mm512_storeu_ps(x, v); }
    static void Store(float* x, Vector v, int64_t count) { _mm512_mask_storeu_ps(x, Mask(count), v); }

    static Vector Add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
    static Vector Subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
    static Vector Multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
    static Vector Divide(Vector a, Vector b) { return _mm512_div_ps(a, b); }
    static Vector MultiplyAdd(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
    static Vector Larger(Vector a, Vector b) { return _mm512_max_ps(a, b); }   // b where one is NaN
    static Vector Smaller(Vector a, Vector b) { return _mm512_min_ps(a, b); }  // b where one is NaN
    static float Sum(Vector v) { return _mm512_reduce_add_ps(v); }
    // Of sixteen lanes in 16 / kLanes vectors, in the order of every path: lane i and i + 8, then i + 4, i + 2, i + 1.
    static float SumOf16(const Vector* v) {
        __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(*v), _mm512_extractf32x8_ps(*v, 1));
        __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        four = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
    }
    static float Largest(Vector v) { return _mm512_reduce_max_ps(v); }
    static Vector Round(Vector v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Vector TimesPowerOfTwo(Vector v, Vector n) { return _mm512_scalef_ps(v, n); }
    static Vector ZeroBelow(Vector v, Vector x, float limit) {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_NLT_UQ), v);
    }

    static Doubles ZeroDoubles() { return _mm512_setzero_pd(); }
    static Doubles LoadDoubles(const float* x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
    static Doubles LoadDoubles(const float* x, int64_t count) {
        return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(static_cast<__mmask8>((1u << count) - 1), x));
    }
    static Doubles MultiplyAdd(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a, b, c); }
    static double Sum(Doubles v) { return _mm512_reduce_add_pd(v); }
};

}  // namespace
}  // namespace longcat
