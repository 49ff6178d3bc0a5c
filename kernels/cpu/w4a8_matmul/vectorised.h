// Stages (1) to (3) of longcat/w4a8_matmul.h over the Ints of ints_vnni.h or ints_avx2.h, included before.
#pragma once

#include <cstring>

#include "../common/parallel.h"
#include "paths.h"

namespace longcat {
namespace {

constexpr int64_t kRowChunk = 96;     // rows that stay in the second-level cache while all panels pass
constexpr int64_t kBuffer = 1024;     // quantized values on their way to the interleaved block
constexpr int64_t kPrefetchRows = 3;  // from so many rows on the next panel is fetched while this one is multiplied

// How m rows are cut into blocks: as many as are needed, of nearly equal size.
struct RowBlocks {
    int64_t m, count;
    explicit RowBlocks(int64_t rows) : m(rows), count(CeilDivide(rows, rows <= 2 * Ints::kFewRows ? Ints::kFewRows : Ints::kRows)) {}
    int64_t First(int64_t block) const { return block * m / count; }
};

class W4A8Run {
  public:
    W4A8Run(const W4A8MatMulArguments& arguments, void* workspace, const ParallelFor& parallel)
        : p(arguments), plan_(PlanW4A8(arguments)), parallel_(parallel), blocks_(arguments.m) {
        char* memory = static_cast<char*>(workspace);
        scales_ = reinterpret_cast<float*>(memory + plan_.scales);
        sums_ = reinterpret_cast<int32_t*>(memory + plan_.sums);
        rows_ = reinterpret_cast<int8_t*>(memory + plan_.rows);
        group_ = p.layout.group < plan_.depth ? p.layout.group : plan_.depth;
    }

    void Run() {
        For(Unless(p.m * p.layout.k < kInlineWork, parallel_), static_cast<size_t>(blocks_.count), [&](size_t index) {
            int64_t block = static_cast<int64_t>(index), first = blocks_.First(block), rows = blocks_.First(block + 1) - first;
            for (int64_t r = 0; r < rows; r++) {
                QuantizeRow(first, rows, r);
            }
        });
        int64_t panels = CeilDivide(p.layout.n, kW4A8PanelColumns);
        int64_t blocks_per_chunk = Larger(1, kRowChunk / Ints::kRows), chunks = CeilDivide(blocks_.count, blocks_per_chunk);
        // Tasks of one chunk of rows follow each other: its rows stay near while the panels pass.
        For(Unless(p.m * p.layout.n * p.layout.k < 8 * kInlineWork, parallel_), static_cast<size_t>(chunks * panels), [&](size_t index) {
            int64_t chunk = static_cast<int64_t>(index) / panels, panel = static_cast<int64_t>(index) % panels;
            int64_t begin = chunk * blocks_per_chunk, end = Smaller(begin + blocks_per_chunk, blocks_.count);
            for (int64_t block = begin; block < end; block++) {
                bool fetch = block == begin && p.m >= kPrefetchRows && panel + 1 < panels;
                Multiply(panel, blocks_.First(block), blocks_.First(block + 1) - blocks_.First(block), fetch);
            }
        });
    }

  private:
    // Row first + r of a block of `rows`: four values of k of all rows lie side by side.
    void QuantizeRow(int64_t first, int64_t rows, int64_t r) {
        const float* x = p.x + (first + r) * p.layout.k;
        int32_t* to = reinterpret_cast<int32_t*>(rows_ + first * plan_.depth) + r;
        bool finite;
        float largest = Ints::Largest(x, p.layout.k, &finite);
        float scale = p.static_scale > 0 ? p.static_scale : largest / 127.0f;
        float inverse = p.static_scale > 0 ? 1.0f / scale : largest > 0 ? 127.0f / largest : 0.0f;
        scales_[first + r] = finite ? scale : __builtin_nanf("");
        for (int64_t g = 0; g < plan_.groups; g++) {
            int64_t from = g * group_, length = Smaller(group_, p.layout.k - from);
            int32_t sum = 0;
            for (int64_t at = 0; at < length; at += kBuffer) {
                int64_t count = Smaller(kBuffer, length - at), filled = CeilDivide(count, kW4A8StepDepth) * kW4A8StepDepth;
                alignas(64) int8_t buffer[kBuffer + 16] = {};
                if (finite) {
                    Ints::Quantize(x + from + at, count, inverse, buffer);
                }
                sum += Ints::Sum(buffer, filled);
                for (int64_t i = 0; i < filled; i += 4) {
                    std::memcpy(to, buffer + i, 4);
                    to += rows;
                }
            }
            sums_[(first + r) * plan_.groups + g] = -8 * sum;
        }
    }

    template <int R = 1>
    void Multiply(int64_t panel, int64_t first, int64_t rows, bool fetch) {
        if constexpr (R < Ints::kRows) {
            if (rows > R) {
                return Multiply<R + 1>(panel, first, rows, fetch);
            }
        }
        Block<R>(panel, first, fetch);
    }

    template <int R>
    void Block(int64_t panel, int64_t first, bool fetch) {
        constexpr int kTiles = Ints::Tiles(R);
        for (int tile = 0; tile < kW4A8PanelColumns / 16; tile += kTiles) {
            if (panel * kW4A8PanelColumns + tile * 16 < p.layout.n) {
                fetch ? Tiles<R, kTiles, true>(panel, first, tile) : Tiles<R, kTiles, false>(panel, first, tile);
            }
        }
    }

    template <int R, int C, bool Fetch>
    void Tiles(int64_t panel, int64_t first, int tile) {
        const int64_t bytes = W4A8PanelBytes(p.layout);
        const uint8_t* w = p.weights + panel * bytes + tile * 64;
        const int32_t* a = reinterpret_cast<const int32_t*>(rows_ + first * plan_.depth);
        const int32_t* sums = sums_ + first * plan_.groups;
        const int scale_bytes = p.layout.group_scale_bytes;
        typename Ints::Sums total[R][C];
        for (int r = 0; r < R; r++) {
            for (int c = 0; c < C; c++) {
                total[r][c] = Ints::All(0);
            }
        }
        for (int64_t g = 0; g < plan_.groups; g++) {
            int64_t steps = CeilDivide(Smaller(group_, p.layout.k - g * group_), kW4A8StepDepth);
            typename Ints::Sums sum[R][C];
            for (int r = 0; r < R; r++) {
                for (int c = 0; c < C; c++) {
                    sum[r][c] = Ints::All(sums[r * plan_.groups + g]);
                }
            }
            for (int64_t step = 0; step < steps; step++) {
                if constexpr (Fetch) {
                    for (int c = 0; c < C; c++) {
                        __builtin_prefetch(w + bytes + c * 64, 0, 2);
                    }
                }
                for (int c = 0; c < C; c++) {
                    typename Ints::Weights weights = Ints::Load(w + c * 64);
                    for (int r = 0; r < R; r++) {
                        Ints::Dot(sum[r][c], weights, a[r], a[R + r]);
                    }
                }
                w += 256;
                a += 2 * R;
            }
            if (scale_bytes == 0) {
                for (int r = 0; r < R; r++) {
                    for (int c = 0; c < C; c++) {
                        total[r][c] = Ints::Add(total[r][c], sum[r][c]);
                    }
                }
            } else {
                const uint8_t* scales = w - tile * 64 + tile * 16 * scale_bytes;
                for (int c = 0; c < C; c++) {
                    typename Ints::Sums scale = Ints::GroupScales(scales + c * 16 * scale_bytes, scale_bytes);
                    for (int r = 0; r < R; r++) {
                        total[r][c] = Ints::MultiplyAdd(total[r][c], sum[r][c], scale);
                    }
                }
                w += kW4A8PanelColumns * scale_bytes;
            }
        }
        for (int r = 0; r < R; r++) {
            for (int c = 0; c < C; c++) {
                int64_t n = panel * kW4A8PanelColumns + (tile + c) * 16, row = first + r, at = row * p.layout.n + n;
                if (n < p.layout.n) {
                    Ints::Finish(total[r][c], scales_[row], p.scale + n, p.bias == nullptr ? nullptr : p.bias + n,
                                 p.residual == nullptr ? nullptr : p.residual + at, p.y + at, Smaller(16, p.layout.n - n));
                }
            }
        }
    }

    const W4A8MatMulArguments& p;
    W4A8Plan plan_;
    const ParallelFor& parallel_;
    RowBlocks blocks_;
    float* scales_;
    int32_t* sums_;
    int8_t* rows_;
    int64_t group_;
};

}  // namespace
}  // namespace longcat
