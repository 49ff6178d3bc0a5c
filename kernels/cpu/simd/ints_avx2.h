// Sixteen 32-bit sums with AVX2: what vectorised.h needs of an instruction set.
#pragma once

#include "ints_256.h"

namespace longcat {
namespace {

struct Ints : Ints256 {
    struct Weights {
        __m256i left_low, left_high, right_low, right_high;
    };
    static constexpr int kRows = 2, kBestRows = 2;
    static constexpr int kLeastWideRows = 0, kWideRows = 0, kWideGroup = 0;  // there is no WideTile

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
    // Bytes up to 255 times 127 saturate 16 bits: their upper and lower four bits are multiplied apart.
    using Bytes = Weights;
    static constexpr int kByteRows = 2, kByteTiles = 1;
    static constexpr int32_t kByteStart = -128;
    static Bytes LoadBytes(const uint8_t* tile) { return Load(tile); }
    static __m256i DotBytes(__m256i sums, __m256i low, __m256i high, __m256i a) {
        __m256i lower = _mm256_madd_epi16(_mm256_maddubs_epi16(low, a), _mm256_set1_epi16(1));
        return _mm256_add_epi32(sums, _mm256_add_epi32(lower, _mm256_madd_epi16(_mm256_maddubs_epi16(high, a), _mm256_set1_epi16(16))));
    }
    static void Dot(Sums& sums, const Bytes& w, const int32_t& a) {
        __m256i all = _mm256_set1_epi32(a);
        sums = {DotBytes(sums.left, w.left_low, w.left_high, all), DotBytes(sums.right, w.right_low, w.right_high, all)};
    }
    // The scales of 16 outputs.
    static Sums GroupScales(const uint8_t* scales, int bytes) {
        if (bytes == 1) {
            __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales));
            return {_mm256_cvtepi8_epi32(all), _mm256_cvtepi8_epi32(_mm_srli_si128(all, 8))};
        }
        return {_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales))),
                _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + 16)))};
    }
    // As in ints_vnni.h.
    template <int R, int S, bool Fetch>
    static void Tile(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                     int32_t* totals) {
        for (int c = 0; c < 4; c++) {
            const uint8_t* weights = w + c * 64;
            const int32_t* row = a;
            for (int64_t g = 0; g < groups; g++) {
                Sums sum[R];
                for (int r = 0; r < R; r++) {
                    sum[r] = S == 0 ? LoadSums(totals + (r * 4 + c) * 16) : All(row[r]);
                }
                row += S == 0 ? 0 : R;
                for (int64_t step = 0; step < (g + 1 < groups ? steps : last_steps); step++) {
                    if constexpr (Fetch) {
                        __builtin_prefetch(ahead, 0, 2);
                        ahead += 64;
                    }
                    Weights unpacked = Load(weights);
                    for (int r = 0; r < R; r++) {
                        Dot(sum[r], unpacked, row[r], row[R + r]);
                    }
                    weights += 256, row += 2 * R;
                }
                for (int r = 0; r < R; r++) {
                    int32_t* total = totals + (r * 4 + c) * 16;
                    if constexpr (S > 0) {
                        Sums scale = GroupScales(weights - c * 64 + c * 16 * S, S), before = LoadSums(total);
                        sum[r] = {_mm256_add_epi32(before.left, _mm256_mullo_epi32(sum[r].left, scale.left)),
                                  _mm256_add_epi32(before.right, _mm256_mullo_epi32(sum[r].right, scale.right))};
                    }
                    StoreSums(sum[r], total);
                }
                weights += 64 * S;
            }
        }
    }
};

}  // namespace
}  // namespace longcat
