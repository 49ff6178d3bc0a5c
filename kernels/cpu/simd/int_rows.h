// Rows of int8 activations in the order in which the tiles of w4a8_panels.h and w8a8_panels.h read them. Include after ints_avx2.h,
// ints_vnni.h or ints_neon.h.
//
// Rows are cut into blocks of nearly equal height. Of a block there are, group by group, one 32-bit number per row at which its sum begins,
// then four values of k of all its rows, then the next four, …: one dot product takes four bytes, everything is read once from the
// beginning to the end, and rows whose addresses differ by multiples of 4 KiB would share one set of the first-level cache.
//
//   IntBlocks blocks = W4A8Blocks(m);                                  how m rows are cut (W8A8Blocks: the other kernel's cut)
//   shape.RowBytes() · m bytes                                          memory of the caller, aligned to 4 bytes
//   PutRow(…)                                                           row r of m; different rows may be put by different threads
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>
#include <cstring>

#include "../common/numbers.h"

namespace longcat {
namespace {

struct IntBlocks {
    int64_t m, count;
    int64_t First(int64_t block) const { return block * m / count; }
    int64_t Rows(int64_t block) const { return First(block + 1) - First(block); }
    int64_t Of(int64_t row) const { return ((row + 1) * count - 1) / m; }
};

// m rows in IntBlocks' order.
struct IntRows {
    const int32_t* values = nullptr;  // blocks one after another
    const float* scale = nullptr;     // [m]
};

// Four values each to `to`, `to + stride`, …; beyond k up to depth there are zeros. The place of the next four.
inline int32_t* Interleave(const int8_t* a, int64_t k, int64_t depth, int64_t stride, int32_t* to) {
    int64_t i = 0;
    for (; i + 4 <= k; i += 4, to += stride) {
        std::memcpy(to, a + i, 4);
    }
    for (; i < depth; i += 4, to += stride) {
        int8_t four[4] = {};
        for (int64_t j = 0; j < 4 && i + j < k; j++) {
            four[j] = a[i + j];
        }
        std::memcpy(to, four, 4);
    }
    return to;
}

// `height` rows, `distance` bytes apart, at once: all of a block. Four rows at a time are transposed in registers (ARM: blocks of four).
inline int32_t* InterleaveRows(const int8_t* a, int64_t distance, int64_t k, int64_t depth, int64_t height, int32_t* to) {
    if (k != depth) {
        for (int64_t r = 0; r < height; r++) {
            Interleave(a + r * distance, k, depth, height, to + r);
        }
        return to + depth / 4 * height;
    }
    int64_t i = 0;
#if defined(__x86_64__)
    for (; height >= 4 && i + 16 <= k; i += 16, to += 4 * height) {
        int64_t r = 0;
        for (; r + 4 <= height; r += 4) {
            auto load = [&](int64_t row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + (r + row) * distance + i)); };
            auto store = [&](int64_t at, __m128i four) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at * height + r), four); };
            __m128i first = load(0), second = load(1), third = load(2), fourth = load(3);
            __m128i left = _mm_unpacklo_epi32(first, second), right = _mm_unpacklo_epi32(third, fourth);
            store(0, _mm_unpacklo_epi64(left, right));
            store(1, _mm_unpackhi_epi64(left, right));
            left = _mm_unpackhi_epi32(first, second), right = _mm_unpackhi_epi32(third, fourth);
            store(2, _mm_unpacklo_epi64(left, right));
            store(3, _mm_unpackhi_epi64(left, right));
        }
        for (; r < height; r++) {
            for (int64_t at = 0; at < 4; at++) {
                std::memcpy(to + at * height + r, a + r * distance + i + 4 * at, 4);
            }
        }
    }
#elif defined(__aarch64__)
    for (; height == 4 && i + 16 <= k; i += 16, to += 16) {
        auto load = [&](int64_t r) { return vreinterpretq_s32_s8(vld1q_s8(a + r * distance + i)); };
        vst4q_s32(to, int32x4x4_t{{load(0), load(1), load(2), load(3)}});
    }
#endif
    for (; i < k; i += 4) {
        for (int64_t r = 0; r < height; r++) {
            std::memcpy(to++, a + r * distance + i, 4);
        }
    }
    return to;
}

// What becomes of a panel's totals t, once they are floats: y[r, c] = (t · (row scale · scale[c]) + bias[c]) + residual[r, c].
struct IntOutput {
    const float* scale = nullptr;     // of the panel's columns, as are all of these
    const float* bias = nullptr;      // may be null
    const float* residual = nullptr;  // [m, stride], may be null, may be y
    float* y = nullptr;               // [m, stride], row 0 of all rows
    int64_t stride = 0;
    int64_t columns = 64;  // of the panel that exist; nothing beyond is read or written

    // Rows that will be written soon, each in lines and often in a page of its own.
    void Fetch(int64_t first, int64_t count) const {
        for (int64_t row = first; row < first + count; row++) {
            const char* line = reinterpret_cast<const char*>(y + row * stride);
            for (int64_t at = 0; at < columns * 4; at += 64) {
#if defined(__x86_64__)
                asm volatile("prefetchw %0" ::"m"(line[at]));
#else
                __builtin_prefetch(line + at, 1);
#endif
            }
        }
    }
    // `count` rows from `first` on of whole totals [count, 64].
    void FinishRows(const int32_t* totals, int64_t first, int64_t count, const float* row_scales) const {
        const bool whole = columns == 64 && bias == nullptr;
        for (int64_t row = first; row < first + count; row++, totals += 64) {
            float row_scale = row_scales[row];
            float* to = y + row * stride;
            if (whole && residual == nullptr) {
#pragma GCC unroll 4
                for (int c = 0; c < 64; c += 16) {
                    Ints::Finish(Ints::ToFloats(Ints::LoadSums(totals + c)), row_scale, scale + c, nullptr, nullptr, to + c, 16);
                }
            } else if (whole) {
#pragma GCC unroll 4
                for (int c = 0; c < 64; c += 16) {
                    Ints::Finish(Ints::ToFloats(Ints::LoadSums(totals + c)), row_scale, scale + c, nullptr, residual + row * stride + c,
                                 to + c, 16);
                }
            } else {
                for (int c = 0; c < 64; c += 16) {
                    Finish(Ints::ToFloats(Ints::LoadSums(totals + c)), row, c, row_scale);
                }
            }
        }
    }
    void Finish(Ints::Floats total, int64_t row, int64_t column, float row_scale) const {
        if (column < columns) {
            int64_t at = row * stride + column;
            Ints::Finish(total, row_scale, scale + column, bias == nullptr ? nullptr : bias + column,
                         residual == nullptr ? nullptr : residual + at, y + at, Smaller(16, columns - column));
        }
    }
};

}  // namespace
}  // namespace longcat
