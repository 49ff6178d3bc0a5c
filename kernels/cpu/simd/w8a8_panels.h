// The product of interleaved int8 rows (int_rows.h) and one panel of 64 outputs of 8-bit weights (longcat/w8a8_matmul.h). Include after
// ints_avx2.h, ints_vnni.h or ints_neon.h.
//
//   IntBlocks blocks = W8A8Blocks<D>(m);                               D: digits of an activation, 1 or 2
//   values: m · D · (1 + depth / 4) int32, depth = k filled up to whole steps of 4; digit d of row r is row D · r + d of its block,
//   one group with the start kW8A8Start · Σ_k digit
//   W8A8PanelProduct<D>(depth, panel, ahead, blocks, block, rows, output);
#pragma once

#include "int_rows.h"
#include "longcat/w8a8_matmul.h"

namespace longcat {
namespace {

constexpr int32_t kW8A8Start = Ints::kByteStart;

template <int D>
inline IntBlocks W8A8Blocks(int64_t m) {
    return {m, CeilDivide(m, Ints::kByteRows / D)};
}

template <int D, int R, bool Fetch>
void W8A8Tiles(int64_t steps, const uint8_t* panel, const uint8_t* ahead, int tile, const int32_t* a, int64_t first, const float* scales,
               const IntOutput& output) {
    constexpr int C = Ints::kByteTiles;
    const uint8_t* w = panel + tile * 64;
    ahead += tile * 64;
    typename Ints::Sums sum[R * D][C];
#pragma GCC unroll 16
    for (int r = 0; r < R * D; r++) {
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            sum[r][c] = Ints::All(a[r]);
        }
    }
    a += R * D;
    for (int64_t step = 0; step < steps; step++) {
        if constexpr (Fetch) {
#pragma GCC unroll 4
            for (int c = 0; c < C; c++) {
                __builtin_prefetch(ahead + c * 64, 0, 2);
            }
            ahead += 256;
        }
        typename Ints::Bytes weights[C];
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            weights[c] = Ints::LoadBytes(w + c * 64);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R * D; r++) {
#pragma GCC unroll 4
            for (int c = 0; c < C; c++) {
                Ints::Dot(sum[r][c], weights[c], a[r]);
            }
        }
        w += 256;
        a += R * D;
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            if constexpr (D == 1) {
                output.Finish(Ints::ToFloats(sum[r][c]), first + r, (tile + c) * 16, scales[first + r]);
            } else {
                output.Finish(Ints::ToFloats(sum[2 * r][c], sum[2 * r + 1][c]), first + r, (tile + c) * 16, scales[first + r]);
            }
        }
    }
}

template <int D, int R = 1>
void W8A8Block(int64_t height, int64_t steps, const uint8_t* panel, const uint8_t* ahead, const int32_t* a, int64_t first,
               const float* scales, const IntOutput& output) {
    if constexpr (R < Ints::kByteRows / D) {
        if (height > R) {
            return W8A8Block<D, R + 1>(height, steps, panel, ahead, a, first, scales, output);
        }
    }
    for (int tile = 0; tile < 4 && tile * 16 < output.columns; tile += Ints::kByteTiles) {
        if (ahead != nullptr) {
            W8A8Tiles<D, R, true>(steps, panel, ahead, tile, a, first, scales, output);
        } else {
            W8A8Tiles<D, R, false>(steps, panel, panel, tile, a, first, scales, output);
        }
    }
}

// ahead: the panel that will be read next, to be fetched meanwhile, or null. The others as in w4a8_panels.h.
template <int D>
inline void W8A8PanelProduct(int64_t depth, const uint8_t* panel, const uint8_t* ahead, const IntBlocks& blocks, int64_t block,
                             const IntRows& rows, const IntOutput& output) {
    int64_t first = blocks.First(block);
    W8A8Block<D>(blocks.Rows(block), depth / 4, panel, ahead, rows.values + first * D * (1 + depth / 4), first, rows.scale, output);
}

}  // namespace
}  // namespace longcat
