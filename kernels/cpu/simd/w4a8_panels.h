// The product of interleaved int8 rows (int_rows.h) and one panel of 64 outputs of packed 4-bit weights (longcat/w4a8_matmul.h): the tiles
// that W4A8MatMul and the mixture of experts share. Include after ints_avx2.h, ints_vnni.h or ints_neon.h.
//
//   W4A8Shape shape(layout);
//   IntBlocks blocks = W4A8Blocks(m);
//   values: m · shape.row_words int32 of the caller
//   W4A8PutRow(shape, blocks, r, a, sums, values);                      for every row: a [k] int8, sums [groups] Σ a
//   W4A8PanelProduct(shape, panel, ahead, blocks, first, last, rows, output);   blocks [first, last) of a panel
//
// The blocks of a call share cuts of the panel that are then in the first-level cache; a second call for the same panel reads it anew.
// A row's result depends on that row alone, bit for bit; everything may be spread over threads in any way.
#pragma once

#include "../common/dot_product.h"
#include "int_rows.h"
#include "longcat/w4a8_matmul.h"

namespace longcat {
namespace {

constexpr int32_t kW4A8Start = -8;

struct W4A8Shape {
    int64_t k, depth, group, groups, panel_bytes;  // depth: k filled up to whole steps; group: at most depth
    int64_t row_words;                             // of an interleaved row: its values and a start per group
    int scale_bytes;
    bool wide;  // blocks may be as high as Ints::kWideRows

    explicit W4A8Shape(const W4A8Layout& layout)
        : k(layout.k),
          depth(CeilDivide(layout.k, kW4A8StepDepth) * kW4A8StepDepth),
          group(Smaller(layout.group, depth)),
          groups(layout.k == 0 ? 0 : CeilDivide(layout.k, layout.group)),
          panel_bytes(W4A8PanelBytes(layout)),
          row_words(depth / 4 + groups),
          scale_bytes(layout.group_scale_bytes),
          wide(Ints::kWideRows > 0 && layout.group_scale_bytes == 1 && group >= Ints::kWideGroup && HasFreeShifts()) {}
};

constexpr int kW4A8Rows = Ints::kWideRows > Ints::kRows ? Ints::kWideRows : Ints::kRows;  // of a block, at most

// Blocks of nearly equal height: kWideRows at most, or kBestRows and a little more where there are enough rows and never above kRows.
inline IntBlocks W4A8Blocks(const W4A8Shape& shape, int64_t m) {
    return {m, shape.wide ? CeilDivide(m, Larger(1, Ints::kWideRows)) : Larger(CeilDivide(m, Ints::kRows), m / Ints::kBestRows)};
}

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

// A cut of a panel stays in the first-level cache while several blocks of rows pass; the first of them fetches the next cut. One block
// alone takes the whole panel: a high one fetches as far ahead, a low one leaves fetching to the processor's own streams, which bring more
// than instructions can (a core waits for some twenty lines at most that its instructions asked for).
constexpr int64_t kPanelCut = 17 * 1024;
// Blocks of kWideRows read a panel so slowly that it comes from the second-level cache as fast as from the first: fewer calls.
constexpr int64_t kWideCut = 144 * 1024;
constexpr int64_t kMostBlocks = 24;  // whose totals a call keeps at once; their rows stay in the second-level cache
constexpr int64_t kFetchRows = 3;    // height of a block that computes for longer than its weights take to come
constexpr int64_t kJump = 2048;      // bytes that show the streams where they go on

// Some groups of a panel times a block of R rows by an instruction set's tiles for high blocks.
template <class Set, int R>
void W4A8WideBlock(const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups, int64_t steps, int64_t last_steps,
                   int32_t* totals) {
    ahead == nullptr ? Set::template WideTile<R, false>(w, w, a, groups, steps, last_steps, totals)
                     : Set::template WideTile<R, true>(w, ahead, a, groups, steps, last_steps, totals);
}

// Some groups of a panel times a block of `height` rows.
template <int R = 1>
void W4A8Block(const W4A8Shape& shape, int64_t height, const uint8_t* w, const uint8_t* ahead, const int32_t* a, int64_t groups,
               int64_t steps, int64_t last_steps, int32_t* totals) {
    if constexpr (Ints::kWideRows > 0 && R >= Ints::kLeastWideRows) {
        if (shape.wide && height == R) {
            return W4A8WideBlock<Ints, R>(w, ahead, a, groups, steps, last_steps, totals);
        }
    }
    if constexpr (R < kW4A8Rows) {
        if (height > R) {
            return W4A8Block<R + 1>(shape, height, w, ahead, a, groups, steps, last_steps, totals);
        }
    }
    if constexpr (R <= Ints::kRows) {
        switch (shape.scale_bytes + (ahead == nullptr ? 0 : 4)) {
            case 0:
                return Ints::template Tile<R, 0, false>(w, nullptr, a, groups, steps, last_steps, totals);
            case 1:
                return Ints::template Tile<R, 1, false>(w, nullptr, a, groups, steps, last_steps, totals);
            case 2:
                return Ints::template Tile<R, 2, false>(w, nullptr, a, groups, steps, last_steps, totals);
            case 4:
                return Ints::template Tile<R, 0, true>(w, ahead, a, groups, steps, last_steps, totals);
            case 5:
                return Ints::template Tile<R, 1, true>(w, ahead, a, groups, steps, last_steps, totals);
            default:
                return Ints::template Tile<R, 2, true>(w, ahead, a, groups, steps, last_steps, totals);
        }
    }
}

// Blocks [first, last) of a panel; totals: memory for [their rows, 64]. Without group scales the one group may be cut anywhere, else cuts
// are groups. A block's outputs are written when its last cut has passed, while its totals are near.
inline void W4A8Totals(const W4A8Shape& shape, const uint8_t* panel, const uint8_t* ahead, const IntBlocks& blocks, int64_t first,
                       int64_t last, const IntRows& rows, const IntOutput& output, int32_t* totals) {
    const bool whole = shape.scale_bytes == 0, many = last - first > 1;
    const int64_t unit = whole ? 1 : shape.group / kW4A8StepDepth;  // steps that are not cut
    const int64_t units = whole ? shape.depth / kW4A8StepDepth : shape.groups;
    const int64_t bytes = unit * 256 + kW4A8PanelColumns * shape.scale_bytes;
    const int64_t last_steps = (shape.depth - (units - 1) * unit * kW4A8StepDepth) / kW4A8StepDepth;
    // A block alone and the first wide one fetch 17 KB ahead of what they read; where another panel than the next in memory comes, the last
    // 17 KB are a cut of their own, during which that panel's beginning is fetched.
    const bool streams = !many || shape.wide, fetches = many || blocks.Rows(first) >= kFetchRows;
    const int64_t rest = streams && fetches && ahead != panel + shape.panel_bytes ? Smaller(kPanelCut / bytes, units - 1) : 0;
    const int64_t cut = many ? Larger(1, (shape.wide ? kWideCut : kPanelCut) / bytes) : units;
    const bool once = rest == 0 && cut >= units;
    for (int64_t u = 0, count; u < units; u += count) {
        count = Smaller(cut, u < units - rest ? units - rest - u : units - u);
        bool ends = u + count == units;
        const uint8_t* w = panel + u * bytes;
        const uint8_t* next = streams ? (u < units - rest ? w + kPanelCut : ahead) : ends ? ahead : w + count * bytes;
        if (!fetches) {
            next = nullptr;
        }
        int32_t* to = totals;
        for (int64_t block = first; block < last; block++, next = nullptr) {
            int64_t height = blocks.Rows(block);
            const int32_t* a = rows.values + blocks.First(block) * shape.row_words;
            if (ends) {
                output.Fetch(blocks.First(block), height);
            }
            if (u == 0 && !whole) {
                std::memset(to, 0, static_cast<size_t>(height * kW4A8PanelColumns) * sizeof(int32_t));
            }
            if (whole) {
                for (int64_t i = 0; i < height * 64 && u == 0; i++) {
                    to[i] = a[i / 64];
                }
                W4A8Block(shape, height, w, next, a + height * (1 + u * 2), 1, count, count, to);
            } else {
                W4A8Block(shape, height, w, next, a + height * u * (1 + shape.group / 4), count, unit, ends ? last_steps : unit, to);
            }
            if (ends) {
                output.FinishRows(to, blocks.First(block), height, rows.scale);
            }
            to += once ? 0 : height * 64;
        }
    }
}

constexpr int kTotalRows = Ints::kWideRows > Ints::kBestRows ? Ints::kWideRows : Ints::kBestRows + 1;  // of a block among others

// panel: the first byte of a panel. ahead: the panel that the thread reads next, or null. rows and output: of all m rows.
inline void W4A8PanelProduct(const W4A8Shape& shape, const uint8_t* panel, const uint8_t* ahead, const IntBlocks& blocks, int64_t first,
                             int64_t last, const IntRows& rows, const IntOutput& output) {
    bool one = last - first == 1, follows = ahead == panel + shape.panel_bytes;
    if (one && ahead != nullptr && !follows && blocks.Rows(first) < kFetchRows) {
        for (int64_t i = 0; i < kJump; i += 64) {
            __builtin_prefetch(ahead + i, 0, 2);
        }
    }
    alignas(64) int32_t totals[kMostBlocks * kTotalRows * kW4A8PanelColumns];
    static_assert(Ints::kRows <= 2 * Ints::kBestRows);  // higher blocks than kBestRows + 1 are the only one, or wide ones
    for (int64_t end; first < last; first = end) {
        end = Smaller(first + kMostBlocks, last);
        int64_t begin = blocks.First(first), count = blocks.First(end) - begin;
        if (shape.groups > 0) {
            W4A8Totals(shape, panel, end == last ? ahead : panel, blocks, first, end, rows, output, totals);
        } else {
            std::memset(totals, 0, static_cast<size_t>(count * kW4A8PanelColumns) * sizeof(int32_t));
            output.FinishRows(totals, begin, count, rows.scale);
        }
    }
}

}  // namespace
}  // namespace longcat
