// The product of interleaved int8 rows (int_rows.h) and one panel of 64 outputs of packed 4-bit weights (longcat/w4a8_matmul.h): the tiles
// that W4A8MatMul and the mixture of experts share. Include after ints_avx2.h or ints_vnni.h.
//
//   W4A8Shape shape(layout);
//   IntBlocks blocks = W4A8Blocks(m);
//   values: m · shape.row_words int32 of the caller
//   W4A8PutRow(shape, blocks, r, a, sums, values);                      for every row: a [k] int8, sums [groups] Σ a
//   W4A8PanelProduct(shape, panel, ahead, blocks, block, rows, output);  for every block and panel
//
// A row's result depends on that row alone, bit for bit; everything may be spread over threads in any way.
#pragma once

#include "int_rows.h"
#include "longcat/w4a8_matmul.h"

namespace longcat {
namespace {

constexpr int32_t kW4A8Start = -8;

struct W4A8Shape {
    int64_t k, depth, group, groups, panel_bytes;  // depth: k filled up to whole steps; group: at most depth
    int64_t row_words;                             // of an interleaved row: its values and a start per group
    int scale_bytes;

    explicit W4A8Shape(const W4A8Layout& layout)
        : k(layout.k),
          depth(CeilDivide(layout.k, kW4A8StepDepth) * kW4A8StepDepth),
          group(Smaller(layout.group, depth)),
          groups(layout.k == 0 ? 0 : CeilDivide(layout.k, layout.group)),
          panel_bytes(W4A8PanelBytes(layout)),
          row_words(depth / 4 + groups),
          scale_bytes(layout.group_scale_bytes) {}
};

// As many blocks as are needed, of nearly equal height.
inline IntBlocks W4A8Blocks(int64_t m) { return {m, CeilDivide(m, m <= 2 * Ints::kFewRows ? Ints::kFewRows : Ints::kRows)}; }

// Row `row` of m from a [k] and the sums of its groups.
inline void W4A8PutRow(const W4A8Shape& shape, const IntBlocks& blocks, int64_t row, const int8_t* a, const int32_t* sums,
                       int32_t* values) {
    int64_t block = blocks.Of(row), first = blocks.First(block), height = blocks.Rows(block);
    int32_t* to = values + first * shape.row_words + (row - first);
    for (int64_t g = 0; g < shape.groups; g++) {
        int64_t from = g * shape.group, length = Smaller(shape.group, shape.k - from);
        *to = kW4A8Start * sums[g];
        to = Interleave(a + from, length, CeilDivide(length, kW4A8StepDepth) * kW4A8StepDepth, height, to + height);
    }
}

// Whether a product with so many rows should fetch the next panel into the second-level cache meanwhile: with fewer rows the processor's
// own streams keep up with memory.
inline bool FetchesAhead(int64_t m) { return m >= 3; }

template <int S>
struct ScaleBytes {
    static constexpr int value = S;
};

// a: a block of R rows.
template <int R, int C, bool Fetch>
void W4A8Tiles(const W4A8Shape& shape, const uint8_t* panel, const uint8_t* ahead, int tile, const int32_t* a, const float* scales,
               const IntOutput& output) {
    int32_t totals[R * C * 16];
    if (shape.groups == 0) {
        std::memset(totals, 0, sizeof(totals));
    } else {
        int64_t steps = shape.group / kW4A8StepDepth, last_steps = (shape.depth - (shape.groups - 1) * shape.group) / kW4A8StepDepth;
        int64_t to_scales = tile * 16 * shape.scale_bytes - tile * 64;
        auto run = [&](auto bytes) {
            Ints::template Tile<R, C, decltype(bytes)::value, Fetch>(panel + tile * 64, ahead + tile * 64, a, shape.groups, steps,
                                                                     last_steps, to_scales, totals);
        };
        switch (shape.scale_bytes) {
            case 0:
                run(ScaleBytes<0>());
                break;
            case 1:
                run(ScaleBytes<1>());
                break;
            default:
                run(ScaleBytes<2>());
                break;
        }
    }
    for (int r = 0; r < R; r++) {
        for (int c = 0; c < C; c++) {
            output.Finish(Ints::ToFloats(Ints::LoadSums(totals + (r * C + c) * 16)), r, (tile + c) * 16, scales[r]);
        }
    }
}

template <int R = 1>
void W4A8Block(int64_t height, const W4A8Shape& shape, const uint8_t* panel, const uint8_t* ahead, const int32_t* a, const float* scales,
               const IntOutput& output) {
    if constexpr (R < Ints::kRows) {
        if (height > R) {
            return W4A8Block<R + 1>(height, shape, panel, ahead, a, scales, output);
        }
    }
    constexpr int kTiles = Ints::Tiles(R);
    for (int tile = 0; tile < 4 && tile * 16 < output.columns; tile += kTiles) {
        if (ahead != nullptr) {
            W4A8Tiles<R, kTiles, true>(shape, panel, ahead, tile, a, scales, output);
        } else {
            W4A8Tiles<R, kTiles, false>(shape, panel, panel, tile, a, scales, output);
        }
    }
}

// panel: the first byte of a panel; ahead: the panel that will be read next, to be fetched meanwhile, or null (see FetchesAhead: once per
// panel is enough). rows and output: of all m rows.
inline void W4A8PanelProduct(const W4A8Shape& shape, const uint8_t* panel, const uint8_t* ahead, const IntBlocks& blocks, int64_t block,
                             const IntRows& rows, const IntOutput& output) {
    int64_t first = blocks.First(block);
    W4A8Block(blocks.Rows(block), shape, panel, ahead, rows.values + first * shape.row_words, rows.scale + first, output.Row(first));
}

}  // namespace
}  // namespace longcat
