// Sixteen 32-bit sums with AVX-512 VNNI: what vectorised.h needs of an instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "ints_tile_vnni.h"
#include "ints_wide_tile_vnni.h"

namespace longcat {
namespace {

struct Ints {
    using Sums = __m512i;                           // one lane per output of a tile
    static constexpr int kRows = 6, kBestRows = 4;  // of a block: at most, and where most sums and totals find a register
    // Of a block of WideTile: at least and at most, and the shortest group that covers what the tile does beside its dot products.
    static constexpr int kLeastWideRows = 6, kWideRows = 8, kWideGroup = 128;

    static Sums All(int32_t x) { return _mm512_set1_epi32(x); }
    static Sums LoadSums(const int32_t* from) { return _mm512_loadu_si512(from); }
    // totals [R, 4, 16] += R interleaved rows a times `groups` groups of a panel, all of `steps` steps but the last. S: bytes of a group
    // scale; 0: one group or a part of it, which adds to the totals alone and whose rows' starts are not at a.
    // Fetch: as many bytes from `ahead` on come into the second-level cache meanwhile.
    template <int R, int S, bool Fetch>
    static void Tile(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                     int32_t* totals) {
        TileVnni<R, S, Fetch>::Run(w, ahead, a, groups, steps, last_steps, totals);
    }

    // The same for blocks of kLeastWideRows and more, with group scales of one byte.
    template <int R, bool Fetch>
    static void WideTile(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                         int32_t* totals) {
        WideTileVnni<R, Fetch>::Run(w, ahead, a, groups, steps, last_steps, totals);
    }

    using Bytes = __m512i;                               // unsigned: q + 128 of four values of k
    static constexpr int kByteRows = 6, kByteTiles = 4;  // of a block of 8-bit weights
    static constexpr int32_t kByteStart = -128;          // times Σ a: what a sum begins with, for these bytes are q + 128
    static Bytes LoadBytes(const uint8_t* tile) { return _mm512_loadu_si512(tile); }
    static void Dot(Sums& sums, const Bytes& w, const int32_t& a) { asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(w), "m"(a)); }

    using Floats = __m512;
    static Floats ToFloats(Sums total) { return _mm512_cvtepi32_ps(total); }
    // 256 · high + low, which a double holds exactly: rounded once.
    static Floats ToFloats(Sums high, Sums low) {
        auto half = [](__m256i h, __m256i l) {
            return _mm512_cvtpd_ps(_mm512_add_pd(_mm512_mul_pd(_mm512_cvtepi32_pd(h), _mm512_set1_pd(256)), _mm512_cvtepi32_pd(l)));
        };
        return _mm512_insertf32x8(_mm512_castps256_ps512(half(_mm512_castsi512_si256(high), _mm512_castsi512_si256(low))),
                                  half(_mm512_extracti64x4_epi64(high, 1), _mm512_extracti64x4_epi64(low, 1)), 1);
    }

    // y = (total · (row_scale · scale) + bias) + residual, the first count of 16.
    static void Finish(Floats total, float row_scale, const float* scale, const float* bias, const float* residual, float* y,
                       int64_t count) {
        __mmask16 mask = static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
        __m512 value = _mm512_mul_ps(total, _mm512_mul_ps(_mm512_set1_ps(row_scale), _mm512_maskz_loadu_ps(mask, scale)));
        if (bias != nullptr) {
            value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, bias));
        }
        if (residual != nullptr) {
            value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, residual));
        }
        _mm512_mask_storeu_ps(y, mask, value);
    }

    // The largest |x|, and whether all are finite.
    static float Largest(const float* x, int64_t count, bool* finite) {
        __m512 most = _mm512_setzero_ps();
        const __m512 infinity = _mm512_set1_ps(__builtin_inff());
        __mmask16 bad = 0;
        for (int64_t i = 0; i < count; i += 16) {
            __mmask16 mask = static_cast<__mmask16>(count - i >= 16 ? 0xffff : (1u << (count - i)) - 1);
            __m512 value = _mm512_abs_ps(_mm512_maskz_loadu_ps(mask, x + i));
            bad = static_cast<__mmask16>(bad | _mm512_cmp_ps_mask(value, infinity, _CMP_NLT_UQ));
            most = _mm512_max_ps(most, value);
        }
        *finite = bad == 0;
        return _mm512_reduce_max_ps(most);
    }
    // a = clamp(round(x · inverse), -127, 127) of count values, zeros up to a multiple of 16.
    static void Quantize(const float* x, int64_t count, float inverse, int8_t* a) {
        const __m512 factor = _mm512_set1_ps(inverse), least = _mm512_set1_ps(-127), most = _mm512_set1_ps(127);
        for (int64_t i = 0; i < count; i += 16) {
            __mmask16 mask = static_cast<__mmask16>(count - i >= 16 ? 0xffff : (1u << (count - i)) - 1);
            __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
            value = _mm512_min_ps(_mm512_max_ps(value, least), most);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(a + i), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(value)));
        }
    }
    // The digits of a = clamp(round(x · inverse), -32512, 32512) = 256 · high + low, zeros up to a multiple of 16.
    static void QuantizeDigits(const float* x, int64_t count, float inverse, int8_t* high, int8_t* low) {
        const __m512 factor = _mm512_set1_ps(inverse), least = _mm512_set1_ps(-32512), most = _mm512_set1_ps(32512);
        for (int64_t i = 0; i < count; i += 16) {
            __mmask16 mask = static_cast<__mmask16>(count - i >= 16 ? 0xffff : (1u << (count - i)) - 1);
            __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
            __m512i a = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(value, least), most));
            __m512i upper = _mm512_srai_epi32(_mm512_add_epi32(a, _mm512_set1_epi32(128)), 8);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(high + i), _mm512_cvtepi32_epi8(upper));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(low + i), _mm512_cvtepi32_epi8(_mm512_sub_epi32(a, _mm512_slli_epi32(upper, 8))));
        }
    }
    // Σ a of count values, a multiple of 8 that is followed by zeros up to a multiple of 16 … only the count are added.
    static int32_t Sum(const int8_t* a, int64_t count) {
        __m512i sum = _mm512_setzero_si512();
        const __m512i ones = _mm512_set1_epi8(1);
        for (int64_t i = 0; i < count; i += 64) {
            __mmask64 mask = count - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (count - i)) - 1;
            sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(mask, a + i));
        }
        return _mm512_reduce_add_epi32(sum);
    }
};

}  // namespace
}  // namespace longcat
